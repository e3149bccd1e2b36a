"""8-connected blobs of a score map above a threshold, again and again as the threshold moves.

Every blob above a threshold lies inside a blob above a lower one. So the cells above a low level are
collected once, with the links between neighbours; another threshold only drops cells and links.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Table = NDArray[np.float64]


class Blobs:
    """Blobs of one map at any threshold from `level` on.

    Parameters
    ----------
    score : ndarray of float32, shape (h, w)
    level : float
        Lowest threshold that will be asked for.
    """

    def __init__(self, score: NDArray[np.float32], level: float) -> None:
        self.level = level
        flat = np.flatnonzero(score > level)
        self._values = score.ravel()[flat].astype(np.float64)
        self._y, self._x = np.divmod(flat, score.shape[1])
        self._links = _links(flat, self._x, score.shape)
        # A link holds as long as both of its cells are above the threshold.
        self._strength = np.minimum(self._values[self._links[0]], self._values[self._links[1]])

    def above(self, threshold: float) -> Table:
        """One row for each blob of cells above `threshold`: cells, mean score, weighted y and x.

        Returns
        -------
        ndarray of float64, shape (n, 4)
            Number of cells; mean score; score-weighted centroid (y, x) in cells. In no particular order.

        Raises
        ------
        ValueError
            If `threshold` is below `level`.
        """
        if threshold < self.level:
            raise ValueError(f"blobs are known from {self.level} on, not at {threshold}")
        inside = self._values > threshold
        count = int(inside.sum())
        if count == 0:
            return np.empty((0, 4))
        number = np.cumsum(inside) - 1
        held = self._strength > threshold
        a, b = number[self._links[0][held]], number[self._links[1][held]]
        graph = coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(count, count))
        n, label = connected_components(graph, directed=False)
        value = self._values[inside]
        cells = np.bincount(label, minlength=n)
        total = np.bincount(label, value, minlength=n)
        y = np.bincount(label, value * self._y[inside], minlength=n) / total
        x = np.bincount(label, value * self._x[inside], minlength=n) / total
        return np.stack([cells, total / cells, y, x], axis=1)


def _links(flat: NDArray[np.intp], x: NDArray[np.intp], shape: tuple[int, int]) -> NDArray[np.intp]:
    """Pairs (2, m) of positions in `flat` whose cells touch: to the east, south-west, south, south-east."""
    width = shape[1]
    pairs = []
    for step, dx in ((1, 1), (width - 1, -1), (width, 0), (width + 1, 1)):
        target = flat + step
        place = np.searchsorted(flat, target)
        place[place == len(flat)] = 0
        there = (flat[place] == target) & (x + dx >= 0) & (x + dx < width) if len(flat) else place > 0
        pairs.append(np.stack([np.flatnonzero(there), place[there]]))
    return np.concatenate(pairs, axis=1)
