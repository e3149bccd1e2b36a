"""What a network makes of a candidate before it decides: features to tell alike from unlike."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..fields.field import Field
from ..inference.device import choose_device, inference_on
from ..inference.tiling import Tile, model_scale, model_shape, read_tile
from ..jobs import Job, Progress
from ..models.registry import Detector

CROP_PX = 64
BATCH = 64


def candidate_features(
    field: Field, points_yx: NDArray[np.float64], detector: Detector, *, device: str = "auto"
) -> Job[NDArray[np.float64]]:
    """Mean features of the trunk over the crop about each point.

    Parameters
    ----------
    field : Field
    points_yx : ndarray, shape (n, 2)
        Centres (y, x) in field pixels.
    detector : Detector

    Yields
    ------
    Progress
        One for each batch.

    Returns
    -------
    ndarray of float, shape (n, d)
        Of the deepest layer of the trunk; d = 0 for a network without a trunk.
    """
    trunk = next((m for name, m in detector.network.named_modules() if name.split(".")[-1] == "trunk"), None)
    if trunk is None or not len(points_yx):
        return np.zeros((len(points_yx), 0))
    place = choose_device(device)
    scale = model_scale(field.require_mpp("Features of candidates"), detector.card.mpp)
    shape = model_shape(field.shape, scale)
    parts = []
    with inference_on(detector.network, place):
        for start in range(0, len(points_yx), BATCH):
            yield Progress(start, len(points_yx), "comparing candidates")
            crops = [_crop(field, point, shape, scale) for point in points_yx[start : start + BATCH]]
            parts.append(_pooled(trunk(torch.cat(crops).to(place))).float().cpu().numpy())
    return np.concatenate(parts).astype(np.float64)


def _crop(field: Field, point: NDArray[np.float64], shape: tuple[int, int], scale: float) -> Tensor:
    """The crop about a point, in model pixels, (1, 3, side, side) at least `CROP_PX` wide."""
    y, x = (int(np.clip(v / scale, CROP_PX // 2, n - CROP_PX // 2)) for v, n in zip(point, shape, strict=True))
    y, x = max(0, y - CROP_PX // 2), max(0, x - CROP_PX // 2)
    tile = Tile(y, y + CROP_PX, x, x + CROP_PX)
    pixels, top, left = read_tile(field, tile, shape, scale, 0, 0, 32)
    return pixels[:, :, top : top + CROP_PX, left : left + CROP_PX]


def _pooled(features: Tensor | list[Tensor]) -> Tensor:
    """The mean over space of the deepest of these features, (N, C)."""
    deepest = features if isinstance(features, Tensor) else features[-1]
    return deepest.mean(dim=(2, 3))
