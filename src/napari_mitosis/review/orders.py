"""In which order the candidates of a queue are looked at. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

CHANGE = "change"
"""The order by what still matters."""

ORDERS: Mapping[str, str] = MappingProxyType(
    {
        "score": "best score first",
        "uncertainty": "least sure first",
        "disagreement": "most disputed first",
        CHANGE: "what matters first",
        "reading": "line by line, like reading",
    }
)
"""Orders of the queue, and what they mean."""

ROW_UM = 64.0
"""Height of a line, when the field is read line by line."""


def ordered(frame: pd.DataFrame, rows: NDArray[np.int64], order: str, mpp: float, row_um: float) -> NDArray[np.int64]:
    """Rows of candidates in one of `ORDERS`; equal ones stay in the order of their score, which is that of the frame.

    Parameters
    ----------
    frame : DataFrame
        `candidates.REVIEW_COLUMNS`.
    rows : ndarray of int64, shape (n,)
    order : str
    mpp : float
        um/px.
    row_um : float
        Height of a line of reading order.
    """
    if order == "reading":
        return rows[reading_order(frame[["y_px", "x_px"]].to_numpy(dtype=np.float64)[rows] * mpp, row_um)]
    column = frame[order].to_numpy(dtype=np.float64)[rows]
    return rows[np.argsort(column if order == "uncertainty" else -column, kind="stable")]


def reading_order(yx_um: NDArray[np.float64], row_um: float = ROW_UM) -> NDArray[np.int64]:
    """Rows of places in the order of the shortest way of the eye: line by line, every other line backwards.

    Parameters
    ----------
    yx_um : ndarray of float64, shape (n, 2)
    row_um : float
        Height of a line.

    Returns
    -------
    ndarray of int64, shape (n,)
    """
    line = np.floor(yx_um[:, 0] / row_um).astype(np.int64)
    along = np.where(line % 2 == 0, yx_um[:, 1], -yx_um[:, 1])
    return np.lexsort((yx_um[:, 0], along, line))
