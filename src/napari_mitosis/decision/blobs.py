"""8-connected blobs of a score map above a threshold, again and again as the threshold moves.

Every blob above a threshold lies inside a blob above a lower one. So the cells above a low level are
collected once, with the links between neighbours; another threshold only drops cells and links.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

ScoreMap = NDArray[np.float32]
Mask = NDArray[np.bool_]
Table = NDArray[np.float64]

# Cells are collected from the first of these levels that not more than `_MANY` cells are above: beyond that
# many, labelling the whole map takes no longer than following the links, and far less memory.
_LEVELS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
_MANY = 2**19


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells of a score map above a threshold.

    Attributes
    ----------
    label : ndarray of int, shape (n,)
        Number of the blob of each cell, from 0 on: its row in `Blobs.above`.
    blobs : int
        How many there are.
    value : ndarray of float64, shape (n,)
    y, x : ndarray of int, shape (n,)
    """

    label: NDArray[np.integer]
    blobs: int
    value: Table
    y: NDArray[np.intp]
    x: NDArray[np.intp]

    def table(self) -> Table:
        """Rows of `Blobs.above`."""
        return _sums(self.label, self.blobs, self.value, self.y, self.x)

    def tops(self) -> NDArray[np.intp]:
        """Row and column of the largest cell of each blob, shape (blobs, 2)."""
        order = np.lexsort((-self.value, self.label))
        first = order[np.searchsorted(self.label[order], np.arange(self.blobs))]
        return np.stack([self.y[first], self.x[first]], axis=1)

    def holding(self, places: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Which blobs hold one of these cells, shape (blobs,)."""
        marked = np.zeros(shape, dtype=bool)
        marked[tuple(places.T)] = True
        holds = np.zeros(self.blobs, dtype=bool)
        holds[self.label[marked[self.y, self.x]]] = True
        return holds


class Blobs:
    """Blobs of one map at any threshold; quick where few cells are above it.

    Parameters
    ----------
    score : ndarray of float32, shape (h, w)
        Values in [0, 1].
    """

    def __init__(self, score: ScoreMap) -> None:
        self._score = score
        self.shape = score.shape
        self._level = next((v for v in _LEVELS if np.count_nonzero(above(score, v)) <= _MANY), 1.0)
        inside = above(score, self._level)
        self._y, self._x = np.nonzero(inside)
        self._values = score[inside].astype(np.float64)
        self._links = _links(self._y, self._x, score.shape)
        # A link holds as long as both of its cells are above the threshold.
        self._strength = np.minimum(self._values[self._links[0]], self._values[self._links[1]])

    def above(self, threshold: float) -> Table:
        """One row for each blob of cells above `threshold`.

        Parameters
        ----------
        threshold : float
            In [0, 1]. A cell that equals it is not above it.

        Returns
        -------
        ndarray of float64, shape (n, 4)
            Number of cells; mean score; score-weighted centroid (y, x) in cells. In no particular order.
        """
        if threshold < self._level:
            return measure(above(self._score, threshold), self._score)
        return self.cells(threshold).table()

    def cells(self, threshold: float) -> Cells:
        """Every cell above `threshold` with the blob that it belongs to."""
        if threshold < self._level:
            return _cells_of(above(self._score, threshold), self._score)
        inside = self._values > threshold
        count = int(np.count_nonzero(inside))
        number = np.cumsum(inside, dtype=np.int32) - np.int32(1)
        held = self._strength > threshold
        a, b = number[self._links[0][held]], number[self._links[1][held]]
        graph = coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(count, count))
        blobs, label = connected_components(graph, directed=False) if count else (0, np.zeros(0, dtype=np.int32))
        return Cells(label, blobs, self._values[inside], self._y[inside], self._x[inside])


def above(score: ScoreMap, threshold: float) -> Mask:
    """Cells whose exact value is above `threshold`.

    A plain comparison rounds the threshold to float32 first, so that a cell of float32(0.3), which is more than
    0.3, would be above 0.3 or not depending on the type it happens to be compared in.
    """
    cut = np.float32(threshold)
    if float(cut) > threshold:
        cut = np.nextafter(cut, np.float32(-np.inf))
    mask: Mask = score > cut
    return mask


def measure(mask: Mask, score: ScoreMap) -> Table:
    """Blobs of a mask, by labelling all of it; the columns of `Blobs.above`.

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w)
    score : ndarray of float32, shape (h, w)
        Above 0 wherever the mask holds.
    """
    return _cells_of(mask, score).table()


def _cells_of(mask: Mask, score: ScoreMap) -> Cells:
    label, blobs = ndimage.label(mask, structure=np.ones((3, 3), dtype=bool))
    y, x = np.nonzero(mask)
    return Cells(label[mask] - 1, blobs, score[mask].astype(np.float64), y, x)


def _sums(label: NDArray[np.integer], blobs: int, value: Table, y: NDArray[np.intp], x: NDArray[np.intp]) -> Table:
    """Rows of `Blobs.above` from the cells of all blobs.

    Sums of scores are exact: float32 values above a threshold, added in float64. So neither the order of the
    cells nor the way here changes a bit of the mean, and equal blobs have equal scores.
    """
    cells = np.bincount(label, minlength=blobs)
    total = np.bincount(label, value, minlength=blobs)
    y_sum = np.bincount(label, value * y, minlength=blobs)
    x_sum = np.bincount(label, value * x, minlength=blobs)
    if blobs == 0:
        return np.empty((0, 4))
    return np.stack([cells, total / cells, y_sum / total, x_sum / total], axis=1)


def _links(y: NDArray[np.intp], x: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Pairs (2, m) of places in the list of cells that touch: to the east, south-west, south, south-east."""
    # One spare column and row: what lies beyond the border is no cell, on either side.
    width = shape[1] + 1
    place = np.full((shape[0] + 1) * width + 1, -1, dtype=np.int32)
    flat = y * width + x
    place[flat] = np.arange(len(flat), dtype=np.int32)
    pairs = []
    for step in (1, width - 1, width, width + 1):
        other = place[flat + step]
        here = np.flatnonzero(other >= 0).astype(np.int32)
        pairs.append(np.stack([here, other[here]]))
    return np.concatenate(pairs, axis=1)
