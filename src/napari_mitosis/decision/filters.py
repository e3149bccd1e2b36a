"""Which candidates a rule keeps: by area, score and distance. Tables hold `tables.DETECTION_COLUMNS` and more."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .blobs import Table
from .evidence import Evidence
from .rule import Rule


def in_field(blobs: Table, evidence: Evidence) -> Table:
    """Blobs in cells, as `Blobs.above` gives them -> rows of `tables.DETECTION_COLUMNS`, in the same order."""
    cells, score, y, x = blobs.T
    y_px, x_px = ((i + 0.5) * evidence.stride - 0.5 for i in (y, x))
    columns = (y_px, x_px, y_px * evidence.mpp, x_px * evidence.mpp, score, cells * evidence.cell_um2)
    return np.stack(columns, axis=1)


def best_first(table: Table) -> NDArray[np.intp]:
    """Order of rows: best score first, then by y and x."""
    return np.lexsort((table[:, 1], table[:, 0], -table[:, 4]))


def passing(table: Table, rule: Rule) -> NDArray[np.bool_]:
    """Which of the candidates pass area, score and distance."""
    score, area = table[:, 4], table[:, 5]
    keep = (area > rule.min_area_um2) & (area <= rule.max_area_um2) & (score > rule.min_score)
    keep[keep] = far_enough(table[keep, 2:4], rule.min_distance_um)
    return np.asarray(keep)


def far_enough(points_um: Table, distance_um: float) -> NDArray[np.bool_]:
    """Which of the points, the best first, are not nearer than `distance_um` to a better one that stays."""
    keep = np.ones(len(points_um), dtype=bool)
    if distance_um <= 0 or len(points_um) < 2:
        return keep
    # The tree compares squares; a hair more, and the plain distance decides.
    pairs = cKDTree(points_um).query_pairs(distance_um * (1 + 1e-9), output_type="ndarray")
    apart = points_um[pairs[:, 0]] - points_um[pairs[:, 1]]
    pairs = pairs[np.sqrt((apart**2).sum(axis=1)) < distance_um]
    better, worse = pairs.min(axis=1), pairs.max(axis=1)
    # All at once what one by one, best first, would give: who has no better neighbour left stays, and its
    # neighbours go.
    while len(better):
        beaten = np.zeros(len(keep), dtype=bool)
        beaten[worse] = True
        keep[worse[~beaten[better]]] = False
        left = keep[better] & keep[worse]
        better, worse = better[left], worse[left]
    return keep
