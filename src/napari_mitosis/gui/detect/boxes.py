"""Boxes of candidates and detections, as edges in pixels of the field."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...decision.candidates import side_px
from ...decision.evidence import CANDIDATE_COLUMNS
from ...session import Result

MOST_DROPPED = 60
"""Dropped candidates beyond this many are not drawn: a detector of boxes has hundreds of poor ones."""


def boxes_of(result: Result) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Boxes of all detections, and of the best candidates that the rule drops.

    Candidates without a box (blobs of a score map) get the square about a circle of their area.

    Returns
    -------
    edges : ndarray of float64, shape (n, 4)
        y0, x0, y1, x1 in pixels of the field; pixel i covers [i - 0.5, i + 0.5).
    kept : ndarray of bool, shape (n,)
        Which of them are detections.
    """
    shown = result.kept | (np.cumsum(~result.kept) <= MOST_DROPPED)
    candidates = result.candidates[shown]
    if result.evidence.candidates is None:
        y, x = candidates[["y_px", "x_px"]].to_numpy(dtype=np.float64).T
        height = width = side_px(candidates["area_um2"].to_numpy(dtype=np.float64), result.evidence.mpp)
    else:
        y, x, height, width = candidates[list(CANDIDATE_COLUMNS)].to_numpy(dtype=np.float64).T
    return np.stack([y - height / 2, x - width / 2, y + height / 2, x + width / 2], axis=1), result.kept[shown]
