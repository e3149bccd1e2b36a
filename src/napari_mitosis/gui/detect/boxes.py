"""Boxes of candidates and detections, as edges in pixels of the field."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...decision.evidence import CANDIDATE_COLUMNS
from ...session import Result

MOST_DROPPED = 60
"""Dropped candidates beyond this many are not drawn: a detector of boxes has hundreds of poor ones."""


def boxes_of(result: Result) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Boxes of all detections, and of the best candidates that the rule drops.

    Candidates without a box (blobs of a score map) get the square about an ellipse of their area.

    Returns
    -------
    edges : ndarray of float64, shape (n, 4)
        y0, x0, y1, x1 in pixels of the field; pixel i covers [i - 0.5, i + 0.5).
    kept : ndarray of bool, shape (n,)
        Which of them are detections.
    """
    place = ["y_px", "x_px"]
    found = result.candidates
    kept_at = {(float(y), float(x)) for y, x in result.detections[place].to_numpy()}
    kept = np.array([(float(y), float(x)) in kept_at for y, x in found[place].to_numpy()], dtype=bool)
    shown = kept | (np.cumsum(~kept) <= MOST_DROPPED)
    found, kept = found[shown], kept[shown]
    y, x = found[place].to_numpy(dtype=np.float64).T
    candidates = result.evidence.candidates
    if candidates is None:
        height = width = np.sqrt(found["area_um2"].to_numpy() * 4 / math.pi) / result.evidence.mpp
    else:
        sizes = {(row[0], row[1]): row[2:] for row in candidates[list(CANDIDATE_COLUMNS)].to_numpy(np.float64).tolist()}
        pairs = [sizes[one] for one in zip(y.tolist(), x.tolist(), strict=True)]
        height, width = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    return np.stack([y - height / 2, x - width / 2, y + height / 2, x + width / 2], axis=1), kept
