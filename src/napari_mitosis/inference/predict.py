"""A detector looks at a field: the one place where networks meet pixels."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from ..decision.evidence import Evidence
from ..fields.field import Field
from ..jobs import Job, Progress
from ..models.registry import BoxNetwork, DenseNetwork, Detector, ExaminingNetwork, JoiningNetwork
from .cache import EvidenceCache
from .device import available_devices, choose_device, inference_on
from .examine import examine_points
from .memory import kept_memory
from .objects import all_boxes, as_candidates, joined_candidates
from .poses import POSES, mean_over_poses
from .runtime import network_for, runtime_of
from .tiling import Tile, model_scale, model_shape, read_tile, tiles

__all__ = ["available_devices", "predict"]

_BORDER_PX = 32
"""How far a network sees beyond the edge of the field, unless it sets `border_px`."""
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
    only: tuple[str, ...] | None = None,
    cache: EvidenceCache | None = None,
) -> Job[Evidence]:
    """Score a field. A job: run it with `jobs.run`, or in a worker.

    The field is brought to the um/px of the model's card, cut into tiles with halo, scored and stitched. Boxes
    are collected over the tiles; a second stage then looks at each candidate. Where the device runs out of
    memory, tiles are halved and the work goes on.

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
        default. The card's thresholds were chosen for its own number. Boxes are found in the plain image.
    only : tuple of str, optional
        The score maps to compute, of a network that lets one select (IDSIA DNN: one net of the two).
    cache : EvidenceCache, optional
        Evidence found there is returned at once, and new evidence is put there.

    Yields
    ------
    Progress
        One for each tile, then for each batch of candidates of a second stage.

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
        If `poses` is not from 1 to 8, or `only` names what cannot be selected.
    """
    mpp = field.require_mpp(f"Detection with {detector.card.name}")
    place = choose_device(device)
    field = in_memory(field)
    card = detector.card
    size = tile_px or card.tile_px
    poses = card.poses if poses is None else poses
    if not 1 <= poses <= len(POSES):
        raise ValueError(f"there are 1 to {len(POSES)} poses, not {poses}")
    names = _selected(detector, only)
    chosen = "" if only is None else "-" + "+".join(names)
    where = f"{place.type}-{runtime_of(detector, place)}"
    key = f"{field.digest}-{detector.fingerprint}-{mpp:.6f}-{size}-{poses}-{where}{chosen}"
    if cache is not None and (known := cache.get(key)) is not None:
        yield Progress(1, 1, "known from before")
        return known
    scale = model_scale(mpp, card.mpp)
    plan = _Plan(place, scale, model_shape(field.shape, scale), size, poses, names)
    with kept_memory():
        maps, boxes = yield from _score(field, detector, plan)
        evidence = Evidence(
            maps=dict(zip(names, maps, strict=True)),
            stride=detector.dense.stride * scale,
            shape=field.shape,
            mpp=mpp,
            model=card.name,
            field_digest=field.digest,
        )
        evidence = yield from _with_candidates(evidence, boxes, field, detector, plan)
    if cache is not None:
        cache.put(key, evidence)
    return evidence


def in_memory(field: Field) -> Field:
    """The field, decoded once where it is small: JPEG and PNG are decoded whole at each read."""
    return field.loaded() if field.shape[0] * field.shape[1] <= _IN_MEMORY_PX else field


@dataclass(frozen=True)
class _Plan:
    """How a field is looked at: where, in which frame (see `tiling`), in which tiles, poses and maps."""

    place: torch.device
    scale: float
    shape: tuple[int, int]
    size: int
    poses: int
    names: tuple[str, ...]


def _selected(detector: Detector, only: tuple[str, ...] | None) -> tuple[str, ...]:
    """Names of the score maps to compute, in the network's order."""
    names = detector.dense.map_names
    if only is None:
        return names
    unknown = [name for name in only if name not in names]
    if unknown or not only or not getattr(detector.network, "selectable", False):
        raise ValueError(f"{detector.card.name} cannot compute only {only}; its score maps: {', '.join(names)}")
    return tuple(name for name in names if name in only)


def _with_candidates(
    evidence: Evidence, boxes: Sequence[NDArray[np.float32]], field: Field, detector: Detector, plan: _Plan
) -> Job[Evidence]:
    """Boxes or joined maps become candidates; a second stage looks at each of them."""
    network = detector.network
    if isinstance(network, BoxNetwork):
        frame = as_candidates(boxes, network.score_names, evidence.shape, plan.scale)
        scores = tuple(network.score_names)
    elif isinstance(network, JoiningNetwork):
        frame = joined_candidates(network, evidence)
        scores = tuple(network.join_names)
    else:
        return evidence
    if isinstance(network, ExaminingNetwork):
        points = frame[["y_px", "x_px"]].to_numpy()
        columns = yield from examine_points(field, points, detector, plan.place)
        for i, name in enumerate(network.examine_names):
            frame.insert(4 + len(scores) + i, name, columns[:, i].astype(np.float64))
        scores += tuple(network.examine_names)
    return replace(evidence, candidates=frame, scores=scores)


def _score(field: Field, detector: Detector, plan: _Plan) -> Job[tuple[NDArray[np.float16], list[NDArray[np.float32]]]]:
    """Score maps (maps, h, w) of the whole field, and the boxes of each tile in model pixels."""
    dense = detector.dense
    stride = dense.stride
    grid = int(np.lcm(dense.multiple, stride))
    size = max(grid, plan.size // grid * grid)
    h, w = (-(-n // stride) for n in plan.shape)
    maps = np.zeros((len(plan.names), h, w), dtype=np.float16)
    boxes: list[NDArray[np.float32]] = []
    queue = deque(tiles(plan.shape, size))
    done, message = 0, f"{detector.card.name} on {plan.place.type}"
    yield Progress(0, len(queue), message)
    while queue:
        tile = queue.popleft()
        try:
            part, tile_boxes = _look_at_tile(field, detector, plan, tile)
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
        boxes.append(tile_boxes)
        done += 1
        yield Progress(done, done + len(queue), message)
    return maps, boxes


def _out_of_memory(error: RuntimeError) -> bool:
    """CUDA has an error of its own; MPS and the CPU's allocator only say so in words."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in text or "can't allocate" in text


def _look_at_tile(
    field: Field, detector: Detector, plan: _Plan, tile: Tile
) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Score maps (maps, h, w) of a tile's core, and the boxes in and about it, in model pixels."""
    network = network_for(detector, plan.place)
    dense = cast(DenseNetwork, network)
    border = getattr(network, "border_px", _BORDER_PX)
    halo = detector.card.halo_px
    pixels, top, left = read_tile(field, tile, plan.shape, plan.scale, halo, border, dense.multiple)
    h, w = -(-(tile.y1 - tile.y0) // dense.stride), -(-(tile.x1 - tile.x0) // dense.stride)
    part = np.zeros((0, h, w), dtype=np.float16)
    tile_boxes = np.zeros((0, 5), dtype=np.float32)
    with inference_on(network, plan.place):
        image = pixels.to(plan.place)
        if plan.names:
            scores = mean_over_poses(_scorer(dense, plan.names), image, plan.poses)
            top_cell, left_cell = top // dense.stride, left // dense.stride
            core = scores[0, :, top_cell : top_cell + h, left_cell : left_cell + w]
            part = core.clamp(0, 1).to(torch.float16).cpu().numpy()
        if isinstance(network, BoxNetwork):
            boxes = network.boxes(image.contiguous(memory_format=torch.channels_last)).float().cpu().numpy()
            tile_boxes = all_boxes(boxes, tile, top, left)
    return part, tile_boxes


def _scorer(dense: DenseNetwork, names: tuple[str, ...]) -> Callable[[torch.Tensor], torch.Tensor]:
    """The scores of these maps only, where a selection was made."""
    if names == dense.map_names:
        return dense.scores
    return lambda pixels: dense.scores(pixels, only=names)  # type: ignore[call-arg]
