"""Score map -> peaks: the mean in a disc, then greedy maximum suppression (IDSIA DNN, section 2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .blobs import ScoreMap, Table


def disc_offsets(radius: float) -> list[tuple[int, int]]:
    """(row offset, half width) of each row of a disc of cells whose centres lie within `radius`."""
    reach = int(radius)
    return [(dy, int(np.sqrt(radius**2 - dy**2))) for dy in range(-reach, reach + 1)]


def disc_mean(score: ScoreMap, radius: float) -> ScoreMap:
    """Mean score within a disc about each cell; beyond the border the map is mirrored.

    Parameters
    ----------
    score : ndarray of float32, shape (h, w)
    radius : float
        In cells; below 1 the map stays as it is.

    Returns
    -------
    ndarray of float32, shape (h, w)
    """
    reach = int(radius)
    if reach < 1 or not score.size:
        return score.copy()
    h, w = score.shape
    padded = np.pad(score, reach, mode="symmetric")
    # Sums along rows by differences of running sums: one subtraction for each row of the disc.
    running = np.zeros((padded.shape[0], padded.shape[1] + 1))
    np.cumsum(padded, axis=1, dtype=np.float64, out=running[:, 1:])
    total = np.zeros((h, w))
    count = 0
    for dy, half in disc_offsets(radius):
        rows = running[reach + dy : reach + dy + h]
        total += rows[:, reach + half + 1 : reach + half + 1 + w]
        total -= rows[:, reach - half : reach - half + w]
        count += 2 * half + 1
    return np.clip(total / count, 0, 1).astype(np.float32)


def greedy_peaks(score: ScoreMap, threshold: float, radius: float) -> Table:
    """Repeatedly the largest cell above the threshold; nothing else within `radius` cells of it.

    Parameters
    ----------
    score : ndarray of float32, shape (h, w)
    threshold : float
    radius : float
        In cells.

    Returns
    -------
    ndarray of float64, shape (n, 3)
        Score, row and column, best first; equal scores in reading order.
    """
    h, w = score.shape
    flat = np.flatnonzero(score > threshold)
    order = flat[np.argsort(-score.ravel()[flat], kind="stable")]
    taken = np.zeros((h, w), dtype=bool)
    reach = int(radius)
    span = np.arange(-reach, reach + 1)
    disc: NDArray[np.bool_] = span[:, None] ** 2 + span[None, :] ** 2 <= radius**2
    peaks: list[tuple[float, int, int]] = []
    while len(order):
        y, x = divmod(int(order[0]), w)
        peaks.append((float(score[y, x]), y, x))
        top, left = max(0, y - reach), max(0, x - reach)
        part = taken[top : y + reach + 1, left : x + reach + 1]
        part |= disc[top - y + reach :, left - x + reach :][: part.shape[0], : part.shape[1]]
        order = _next(order, taken.ravel())
    return np.array(peaks, dtype=np.float64).reshape(-1, 3)


def _next(order: NDArray[np.intp], taken: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The cells from the first that is not taken on, looked for in growing steps."""
    start, step = 0, 64
    while start < len(order):
        free = np.flatnonzero(~taken[order[start : start + step]])
        if len(free):
            return order[start + int(free[0]) :]
        start, step = start + step, step * 2
    return order[:0]
