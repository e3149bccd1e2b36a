"""From centroids to boxes, with a score map (DeepMitosis, sections 3.3 and 4.3.1: DeepSeg).

Where only the centres of mitoses are known, the blob of the score map that covers a centre gives its box; where
none does, the box has a fixed side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from .decide import Decider, Rule
from .evidence import Evidence

BOX_COLUMNS: tuple[str, ...] = ("y_px", "x_px", "y0_px", "x0_px", "y1_px", "x1_px", "estimated")
"""The centroid, then the edges of its box in field pixels: pixel i covers [i - 0.5, i + 0.5)."""

FIXED_SIDE_UM = 7.5
"""Side of the box of a centroid that no blob covers: the paper's 30 px at 0.25 um/px."""

STRONG_MAP = "strong"
"""Name of a score map that was learned from the outlines of mitoses: preferred where there is one."""

_REACH_UM = 10.0
_EIGHT = np.ones((3, 3), dtype=bool)


def box_rule(evidence: Evidence) -> Rule:
    """Otsu's threshold of the whole field (section 4.3.1) on the map that knows outlines best, as it is."""
    weights = ((STRONG_MAP, 1.0),) if STRONG_MAP in evidence.maps else ()
    return Rule(smoothing_um=0.0, weights=weights)


def estimate_boxes(
    evidence: Evidence, centroids_yx: ArrayLike, rule: Rule | None = None, *, side_um: float = FIXED_SIDE_UM
) -> pd.DataFrame:
    """Boxes about known centroids.

    The score map is brought to the pixels of the field (bilinear), cut at the threshold, and the 8-connected blob
    that covers a centroid gives its box. A blob that covers several centroids is dealt out: each pixel goes to the
    nearest of them.

    Parameters
    ----------
    evidence : Evidence
        With score maps; its candidates are not looked at.
    centroids_yx : array-like of float, shape (n, 2)
        (y, x) in field pixels.
    rule : Rule, optional
        Its weights, smoothing, threshold and floor, and nothing else of it; `box_rule` where absent.
    side_um : float
        Side of the fixed box.

    Returns
    -------
    DataFrame
        `BOX_COLUMNS`, a row for each centroid in the order given. ``estimated`` is false where the box is fixed.

    Raises
    ------
    ValueError
        If there is no such score map, a centroid lies outside the field, or the side is not positive.
    """
    boxes = fixed_boxes(centroids_yx, evidence.mpp, side_um)
    points = boxes[["y_px", "x_px"]].to_numpy()
    _check_inside(points, evidence.shape)
    decider = Decider(replace(evidence, candidates=None, scores=()))
    rule = replace(rule or box_rule(evidence), method="blobs")
    score, threshold = decider.smoothed(rule), decider.threshold(rule)
    for i in range(len(points)):
        edges = _blob_edges(score, evidence, threshold, points, i)
        if edges is not None:
            boxes.loc[i, list(BOX_COLUMNS[2:6])] = edges
            boxes.loc[i, "estimated"] = True
    return boxes


def fixed_boxes(centroids_yx: ArrayLike, mpp: float, side_um: float = FIXED_SIDE_UM) -> pd.DataFrame:
    """Squares of one side about centroids.

    Parameters
    ----------
    centroids_yx : array-like of float, shape (n, 2)
        (y, x) in field pixels.
    mpp : float
        um/px of the field.
    side_um : float

    Returns
    -------
    DataFrame
        `BOX_COLUMNS`, ``estimated`` false. A box may reach beyond the field.

    Raises
    ------
    ValueError
        If a value cannot be meant.
    """
    points = np.asarray(centroids_yx, dtype=np.float64).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise ValueError("centroids must be finite")
    if not (np.isfinite(side_um) and side_um > 0):
        raise ValueError(f"side_um must be a number above 0, not {side_um}")
    half = side_um / mpp / 2
    frame = pd.DataFrame(np.hstack([points, points - half, points + half]), columns=list(BOX_COLUMNS[:6]))
    frame["estimated"] = False
    return frame


def rectangles(boxes: pd.DataFrame) -> NDArray[np.float64]:
    """Corners of boxes, to be drawn over the field: shape (n, 4, 2), (y, x) in field pixels, going round."""
    y0, x0, y1, x1 = boxes[list(BOX_COLUMNS[2:6])].to_numpy(dtype=np.float64).T
    corners = np.stack([np.stack([y, x], axis=1) for y, x in ((y0, x0), (y0, x1), (y1, x1), (y1, x0))], axis=1)
    return corners.reshape(-1, 4, 2)


def box_iou(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of boxes in pairs.

    Parameters
    ----------
    first, second : ndarray, shape (n, 4)
        y0, x0, y1, x1.

    Returns
    -------
    ndarray, shape (n,)
    """
    low, high = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:], second[:, 2:])
    both = np.prod(np.maximum(high - low, 0.0), axis=1)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first, second)]
    return np.asarray(both / (areas[0] + areas[1] - both))


def _check_inside(points: NDArray[np.float64], shape: tuple[int, int]) -> None:
    outside = ((points < -0.5) | (points > np.array(shape) - 0.5)).any(axis=1)
    if outside.any():
        y, x = points[outside][0]
        raise ValueError(f"the centroid at y {y:g}, x {x:g} is outside the field of {shape[0]} x {shape[1]} px")


def _blob_edges(
    score: NDArray[np.float32], evidence: Evidence, threshold: float, points: NDArray[np.float64], index: int
) -> Sequence[float] | None:
    """Edges of the blob that covers a centroid; None where there is none."""
    shape = np.array(evidence.shape)
    places = np.clip(np.floor(points + 0.5).astype(np.intp), 0, shape - 1)
    reach = int(np.ceil(_REACH_UM / evidence.mpp))
    while True:
        low = np.maximum(places[index] - reach, 0)
        high = np.minimum(places[index] + reach + 1, shape)
        blobs, _ = ndimage.label(_at_pixels(score, evidence.stride, low, high) > threshold, _EIGHT)
        number = blobs[tuple(places[index] - low)]
        if number == 0:
            return None
        blob = blobs == number
        inside = ~np.array([blob[0].any() and low[0] > 0, blob[:, 0].any() and low[1] > 0])
        if inside.all() and not ((blob[-1].any() and high[0] < shape[0]) or (blob[:, -1].any() and high[1] < shape[1])):
            break
        reach *= 2  # the blob goes on beyond the part that was looked at
    within = ((places >= low) & (places < high)).all(axis=1)
    others = [k for k in np.flatnonzero(within) if k != index and blob[tuple(places[k] - low)]]
    if others:
        blob = _own_part(blob, points[index] - low, points[others] - low, tuple(places[index] - low))
    rows, columns = np.flatnonzero(blob.any(axis=1)), np.flatnonzero(blob.any(axis=0))
    edges = (low[0] + rows[0], low[1] + columns[0], low[0] + rows[-1] + 1, low[1] + columns[-1] + 1)
    return [float(v) - 0.5 for v in edges]


def _at_pixels(
    score: NDArray[np.float32], stride: float, low: NDArray[np.intp], high: NDArray[np.intp]
) -> NDArray[np.float32]:
    """The score map at the field pixels from `low` up to `high`, between cells by bilinear interpolation."""
    rows, columns = ((np.arange(a, b) + 0.5) / stride - 0.5 for a, b in zip(low, high, strict=True))
    grid = np.meshgrid(rows, columns, indexing="ij")
    return np.asarray(ndimage.map_coordinates(score, grid, order=1, mode="nearest"))


def _own_part(
    blob: NDArray[np.bool_], centre: NDArray[np.float64], others: NDArray[np.float64], place: tuple[int, ...]
) -> NDArray[np.bool_]:
    """What of a blob is nearer to its own centroid than to any other one, and hangs together with it."""
    yx = np.moveaxis(np.indices(blob.shape, dtype=np.float64), 0, -1)
    mine = ((yx - centre) ** 2).sum(axis=-1)
    theirs = ((yx[..., None, :] - others) ** 2).sum(axis=-1).min(axis=-1)
    part = blob & (mine <= theirs)
    part[place] = True
    labels, _ = ndimage.label(part, _EIGHT)
    return np.asarray(labels == labels[place])
