"""A detector looks at a field: the one place where networks meet pixels."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..evidence import Evidence
from ..field import Field
from ..jobs import Job, Progress
from ..models.registry import Detector
from .cache import EvidenceCache
from .device import available_devices, choose_device, inference_on
from .memory import kept_memory
from .poses import mean_over_poses
from .tiling import Tile, model_scale, model_shape, read_tile, tiles

__all__ = ["available_devices", "predict"]

_BORDER_PX = 32
_SMALLEST_TILE_PX = 256
_IN_MEMORY_PX = 64 * 2**20
_log = logging.getLogger(__name__)


def predict(
    field: Field,
    detector: Detector,
    *,
    device: str = "auto",
    tile_px: int | None = None,
    poses: int | None = None,
    cache: EvidenceCache | None = None,
) -> Job[Evidence]:
    """Score a field. A job: run it with `jobs.run`, or in a worker.

    The field is brought to the um/px of the model's card, cut into tiles with halo, scored and stitched.
    Where the device runs out of memory, tiles are halved and the work goes on.

    Parameters
    ----------
    field : Field
    detector : Detector
    device : str
        ``"auto"``, ``"cuda"``, ``"mps"`` or ``"cpu"``.
    tile_px : int, optional
        Side of a tile's core in model pixels; the card's by default.
    poses : int, optional
        The mean over so many of the eight rotations and mirror images (`poses.POSES`); the card's by
        default. The card's thresholds were chosen for its own number.
    cache : EvidenceCache, optional
        Evidence found there is returned at once, and new evidence is put there.

    Yields
    ------
    Progress
        One for each tile.

    Returns
    -------
    Evidence

    Raises
    ------
    UnknownResolution
        If the field does not know its um/px.
    FieldError
        If its pixels cannot be read.
    MitosisError
        If there is no such device.
    ValueError
        If `poses` is not from 1 to 8.
    """
    mpp = field.require_mpp(f"Detection with {detector.card.name}")
    place = choose_device(device)
    if field.shape[0] * field.shape[1] <= _IN_MEMORY_PX:
        field = field.loaded()  # JPEG and PNG are decoded whole at each read
    card = detector.card
    size = tile_px or card.tile_px
    poses = card.poses if poses is None else poses
    key = f"{field.digest}-{detector.fingerprint}-{mpp:.6f}-{size}-{poses}-{place.type}"
    if cache is not None and (known := cache.get(key)) is not None:
        yield Progress(1, 1, "known from before")
        return known
    scale = model_scale(mpp, card.mpp)
    plan = _Plan(place, scale, model_shape(field.shape, scale), size, poses)
    with kept_memory():
        maps = yield from _score(field, detector, plan)
    dense = detector.dense
    evidence = Evidence(
        maps=dict(zip(dense.map_names, maps, strict=True)),
        stride=dense.stride * scale,
        shape=field.shape,
        mpp=mpp,
        model=card.name,
        field_digest=field.digest,
    )
    if cache is not None:
        cache.put(key, evidence)
    return evidence


@dataclass(frozen=True)
class _Plan:
    """How a field is looked at: where, in which frame (see `tiling`), in which tiles and poses."""

    place: torch.device
    scale: float
    shape: tuple[int, int]
    size: int
    poses: int


def _score(field: Field, detector: Detector, plan: _Plan) -> Job[NDArray[np.float16]]:
    """Score maps (maps, h, w) of the whole field."""
    dense = detector.dense
    stride = dense.stride
    grid = int(np.lcm(dense.multiple, stride))
    size = max(grid, plan.size // grid * grid)
    h, w = (-(-n // stride) for n in plan.shape)
    maps = np.zeros((len(dense.map_names), h, w), dtype=np.float16)
    queue = deque(tiles(plan.shape, size))
    done, message = 0, f"{detector.card.name} on {plan.place.type}"
    yield Progress(0, len(queue), message)
    while queue:
        tile = queue.popleft()
        try:
            part = _score_tile(field, detector, plan, tile)
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            halves = tile.halves(grid)
            if max(tile.y1 - tile.y0, tile.x1 - tile.x0) <= _SMALLEST_TILE_PX or len(halves) == 1:
                raise
            _log.warning("out of memory on %s; tiles are halved", plan.place.type)
            if plan.place.type == "cuda":
                torch.cuda.empty_cache()
            # What did not fit once will not fit later: halve the waiting tiles too.
            queue = deque([*halves, *(part for waiting in queue for part in waiting.halves(grid))])
            message = f"{detector.card.name} on {plan.place.type}, smaller tiles (memory was short)"
            continue
        y, x = tile.y0 // stride, tile.x0 // stride
        maps[:, y : y + part.shape[1], x : x + part.shape[2]] = part
        done += 1
        yield Progress(done, done + len(queue), message)
    return maps


def _out_of_memory(error: RuntimeError) -> bool:
    """CUDA has an error of its own; MPS and the CPU's allocator only say so in words."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in text or "can't allocate" in text


def _score_tile(field: Field, detector: Detector, plan: _Plan, tile: Tile) -> NDArray[np.float16]:
    """Score maps (maps, h, w) of a tile's core."""
    dense = detector.dense
    halo = detector.card.halo_px
    pixels, top, left = read_tile(field, tile, plan.shape, plan.scale, halo, _BORDER_PX, dense.multiple)
    with inference_on(detector.network, plan.place):
        scores = mean_over_poses(dense.scores, pixels.to(plan.place), plan.poses)
        top, left = top // dense.stride, left // dense.stride
        h, w = -(-(tile.y1 - tile.y0) // dense.stride), -(-(tile.x1 - tile.x0) // dense.stride)
        core = scores[0, :, top : top + h, left : left + w]
        part: NDArray[np.float16] = core.clamp(0, 1).to(torch.float16).cpu().numpy()
    return part
