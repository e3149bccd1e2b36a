"""A network looks at one candidate at a time: the second stage of a detector, or a verifier."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import WeightsError
from ..fields.field import Field
from ..jobs import Job, Progress
from ..models.registry import Detector, ExaminingNetwork
from .device import choose_device, inference_on
from .tiling import Tile, model_scale, model_shape, read_tile


def examine(
    field: Field, points_yx: NDArray[np.float64], detector: Detector, *, device: str = "auto", batch: int = 64
) -> Job[NDArray[np.float32]]:
    """Score places of a field, each by the crop about it.

    Parameters
    ----------
    field : Field
    points_yx : ndarray, shape (n, 2)
        Centres (y, x) in field pixels.
    detector : Detector
        With a network that examines crops (`models.registry.ExaminingNetwork`).
    device : str
        ``"auto"``, ``"cuda"``, ``"mps"`` or ``"cpu"``.
    batch : int
        Crops for each pass.

    Yields
    ------
    Progress
        One for each batch.

    Returns
    -------
    ndarray of float32, shape (n, k)
        A column for each of the network's `examine_names`, in [0, 1].

    Raises
    ------
    UnknownResolution
        If the field does not know its um/px.
    WeightsError
        If the network cannot examine crops.
    """
    return (yield from examine_points(field, points_yx, detector, choose_device(device), batch))


def examine_points(
    field: Field, points_yx: NDArray[np.float64], detector: Detector, place: torch.device, batch: int = 64
) -> Job[NDArray[np.float32]]:
    """As `examine`, on a device that is chosen already."""
    network = detector.network
    if not isinstance(network, ExaminingNetwork):
        raise WeightsError(f"{detector.card.name} cannot examine candidates")
    scale = model_scale(field.require_mpp(f"Examination with {detector.card.name}"), detector.card.mpp)
    parts = [np.zeros((0, len(network.examine_names)), dtype=np.float32)]
    for start in range(0, len(points_yx), batch):
        yield Progress(start, len(points_yx), f"{detector.card.name}: candidates")
        some = points_yx[start : start + batch]
        crops = torch.cat([read_crop(field, y, x, network.examine_px, scale) for y, x in some])
        with inference_on(network, place):
            scores = network.examine(crops.to(place).contiguous(memory_format=torch.channels_last))
            parts.append(scores.float().clamp(0, 1).cpu().numpy())
    return np.concatenate(parts)


def read_crop(field: Field, y: float, x: float, side: int, scale: float) -> torch.Tensor:
    """Crop (1, 3, side, side) of model pixels about a place in field pixels, mirrored beyond the field.

    The centre of the crop, between its middle pixels where `side` is even, is put on the nearest model pixel.
    """
    shape = model_shape(field.shape, scale)
    top, left = (round((v + 0.5) / scale - 0.5) - side // 2 for v in (y, x))
    tile = Tile(top, top + side, left, left + side)
    # A tile of its own with no halo: `read_tile` mirrors whatever lies outside the field.
    pixels, _, _ = read_tile(field, tile, shape, scale, halo=0, border=2 * side + max(shape), multiple=1)
    return pixels
