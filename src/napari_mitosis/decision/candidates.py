"""Candidates of a box detector, a second stage or an ensemble as a table that decisions are made on."""

from __future__ import annotations

import math

import numpy as np

from .blobs import Table
from .evidence import Evidence


def candidate_table(evidence: Evidence, weights: tuple[tuple[str, float], ...], threshold: float) -> Table:
    """Candidates whose first score is above a threshold, with their fused score.

    Parameters
    ----------
    evidence : Evidence
        With candidates.
    weights : tuple of (str, float)
        Weight of each score column; empty = all alike.
    threshold : float
        For the first score column.

    Returns
    -------
    ndarray of float64, shape (n, 6 + k)
        Columns of `tables.DETECTION_COLUMNS`, then the k score and information columns; best fused score
        first, then by y and x. The area is that of the ellipse in the box.

    Raises
    ------
    ValueError
        If a weight names no score column, there is no score column, or a score is no probability.
    """
    frame = evidence.candidates
    assert frame is not None
    if not evidence.scores:
        raise ValueError("there is no score column to decide on")
    unknown = [name for name, _ in weights if name not in evidence.scores]
    if unknown:
        raise ValueError(f"there is no score '{unknown[0]}'; there are: {', '.join(evidence.scores)}")
    scores = frame[list(evidence.scores)].to_numpy(dtype=np.float64)
    # nan fails both comparisons.
    if scores.size and not (scores.min() >= 0 and scores.max() <= 1):
        raise ValueError(f"candidates of {evidence.model} hold scores that are no probabilities")
    shares = dict(weights) or dict.fromkeys(evidence.scores, 1.0)
    share = np.array([shares.get(name, 0.0) for name in evidence.scores])
    fused = np.minimum(scores @ (share / share.sum()), 1.0)
    y, x, height, width = frame[["y_px", "x_px", "height_px", "width_px"]].to_numpy(dtype=np.float64).T
    area = math.pi / 4 * height * width * evidence.mpp**2
    extra = frame[list(evidence.scores + evidence.information)].to_numpy(dtype=np.float64)
    table = np.column_stack([y, x, y * evidence.mpp, x * evidence.mpp, fused, area, extra])
    table = table[scores[:, 0] > threshold]
    order = np.lexsort((table[:, 1], table[:, 0], -table[:, 4]))
    return table[order]
