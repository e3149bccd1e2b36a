"""Figures that may have been counted twice: the two plates of one anaphase, marked one by one."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree

WITHIN_UM = 20.0
"""The plates of one late anaphase or telophase stand no farther apart."""

DOUBLE_COLUMNS: tuple[str, ...] = ("first", "second", "apart_um")


def possible_doubles(yx_um: ArrayLike, within_um: float = WITHIN_UM) -> pd.DataFrame:
    """Pairs of figures that stand so near one another that they may be one mitosis.

    Parameters
    ----------
    yx_um : array_like of float, shape (n, 2)
    within_um : float

    Returns
    -------
    DataFrame
        `DOUBLE_COLUMNS`: rows of the two and their distance; the nearest pair first.
    """
    places = np.asarray(yx_um, dtype=np.float64).reshape(-1, 2)
    if len(places) < 2:
        pairs = np.empty((0, 2), dtype=np.intp)
    else:
        pairs = cKDTree(places).query_pairs(within_um, output_type="ndarray")
    apart = np.hypot(*(places[pairs[:, 0]] - places[pairs[:, 1]]).T)
    frame = pd.DataFrame({"first": pairs.min(axis=1, initial=len(places)) if len(pairs) else pairs[:, 0],
                          "second": pairs.max(axis=1) if len(pairs) else pairs[:, 1], "apart_um": apart})  # fmt: skip
    return frame.sort_values(["apart_um", "first", "second"], ignore_index=True)
