"""Boxes of tiles and joined score maps -> candidates in the frame of the field."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..decision.evidence import CANDIDATE_COLUMNS, Evidence
from ..models.registry import JoiningNetwork
from .tiling import Tile

# Two tiles place the same figure a few pixels apart: each keeps what lies so far outside its core, or one on
# the seam could be lost by both.
SEAM_PX = 8
_SAME_IOU = 0.3
_MITOSIS_SIDE_PX = 30.0  # the fixed box of DeepMitosis, at 0.25 um/px


def all_boxes(boxes: NDArray[np.float32], tile: Tile, top: int, left: int) -> NDArray[np.float32]:
    """Boxes whose centre lies in the tile's core or up to `SEAM_PX` beyond it, in model pixels.

    Parameters
    ----------
    boxes : ndarray, shape (n, 4 + k)
        y0, x0, y1, x1 in pixels of the tile with its halo, then scores.
    top, left : int
        Where the core begins in it.
    """
    moved = boxes.copy()
    moved[:, [0, 2]] += tile.y0 - top
    moved[:, [1, 3]] += tile.x0 - left
    y, x = (moved[:, 0] + moved[:, 2]) / 2, (moved[:, 1] + moved[:, 3]) / 2
    near_y = (y >= tile.y0 - 0.5 - SEAM_PX) & (y < tile.y1 - 0.5 + SEAM_PX)
    near_x = (x >= tile.x0 - 0.5 - SEAM_PX) & (x < tile.x1 - 0.5 + SEAM_PX)
    return moved[near_y & near_x]


def as_candidates(
    boxes: Sequence[NDArray[np.float32]], score_names: Sequence[str], shape: tuple[int, int], scale: float
) -> pd.DataFrame:
    """Boxes of all tiles, without duplicates, as candidates of the field.

    Parameters
    ----------
    boxes : sequence of ndarray, shape (n, 4 + k)
        In model pixels, from `all_boxes`.
    score_names : sequence of str
        Names of the k scores.
    shape : tuple of int
        (H, W) of the field; centres beyond its edge are dropped.
    scale : float
        Field pixels for each model pixel.
    """
    every = np.concatenate(boxes).astype(np.float64) if boxes else np.zeros((0, 4 + len(score_names)))
    if len(boxes) > 1:
        every = every[_distinct(every)]
    edges = (every[:, :4] + 0.5) * scale - 0.5
    y, x = (edges[:, 0] + edges[:, 2]) / 2, (edges[:, 1] + edges[:, 3]) / 2
    columns = [y, x, edges[:, 2] - edges[:, 0], edges[:, 3] - edges[:, 1], *every[:, 4:].T]
    table = np.column_stack(columns)
    inside = (y >= -0.5) & (x >= -0.5) & (y < shape[0] - 0.5) & (x < shape[1] - 0.5)
    return pd.DataFrame(table[inside], columns=[*CANDIDATE_COLUMNS, *score_names])


def _distinct(boxes: NDArray[np.float64]) -> NDArray[np.intp]:
    """Greedy suppression of boxes that overlap a better one; places in `boxes`, best first."""
    order = np.argsort(-boxes[:, 4], kind="stable")
    kept: list[int] = []
    while len(order):
        best = int(order[0])
        kept.append(best)
        order = order[1:]
        top = np.maximum(boxes[order, :2], boxes[best, :2])
        bottom = np.minimum(boxes[order, 2:4], boxes[best, 2:4])
        shared = np.clip(bottom - top, 0, None).prod(axis=1)
        area = (boxes[order, 2:4] - boxes[order, :2]).prod(axis=1)
        best_area = (boxes[best, 2:4] - boxes[best, :2]).prod()
        order = order[shared <= _SAME_IOU * (area + best_area - shared)]
    return np.array(kept, dtype=np.intp)


def joined_candidates(network: JoiningNetwork, evidence: Evidence) -> pd.DataFrame:
    """Candidates that a network makes of its own score maps, in field pixels, with a box of fixed size."""
    joined = network.join({name: score.astype(np.float32) for name, score in evidence.maps.items()})
    y, x = ((joined[axis].to_numpy(dtype=np.float64) + 0.5) * evidence.stride - 0.5 for axis in ("y", "x"))
    side = np.full(len(joined), _MITOSIS_SIDE_PX * 0.25 / evidence.mpp)
    frame = pd.DataFrame(dict(zip(CANDIDATE_COLUMNS, (y, x, side, side), strict=True)))
    rest = joined.drop(columns=["y", "x"]).astype(np.float64).reset_index(drop=True)
    return pd.concat([frame, rest], axis=1)
