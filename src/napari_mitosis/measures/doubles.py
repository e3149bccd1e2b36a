"""Figures that may have been counted twice: the two plates of one anaphase, marked one by one."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

WITHIN_UM = 20.0
"""The plates of one late anaphase or telophase stand no farther apart."""


def possible_doubles(yx_um: ArrayLike, within_um: float = WITHIN_UM) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Pairs of figures that stand so near one another that they may be one mitosis.

    Parameters
    ----------
    yx_um : array_like of float, shape (n, 2)
    within_um : float

    Returns
    -------
    pairs : ndarray of int, shape (m, 2)
        Rows of the two, the lower first; the nearest pair first.
    apart_um : ndarray of float64, shape (m,)
    """
    places = np.asarray(yx_um, dtype=np.float64).reshape(-1, 2)
    if len(places) < 2:
        return np.empty((0, 2), dtype=np.intp), np.empty(0)
    # Made for one look: a tree that is not balanced is there in half the time.
    pairs = cKDTree(places, balanced_tree=False, compact_nodes=False).query_pairs(within_um, output_type="ndarray")
    apart = np.hypot(*(places[pairs[:, 0]] - places[pairs[:, 1]]).T)
    order = np.lexsort((pairs[:, 1], pairs[:, 0], apart))
    return pairs[order].astype(np.intp), apart[order]
