"""Candidates of a box detector, a second stage or an ensemble as a table that decisions are made on."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .blobs import Table
from .evidence import CANDIDATE_COLUMNS, Evidence


def side_px(area_um2: NDArray[np.float64], mpp: float) -> NDArray[np.float64]:
    """Side in pixels of the square box about a circle of an area in um2."""
    side: NDArray[np.float64] = np.sqrt(area_um2 * 4 / math.pi) / mpp
    return side


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
    ndarray of float64, shape (n, 8 + k)
        Columns of `tables.DETECTION_COLUMNS`, height and width of the box in pixels, then the k score and information
        columns; best fused score first, then by y and x. The area is that of the ellipse in the box.

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
    y, x, height, width = frame[list(CANDIDATE_COLUMNS)].to_numpy(dtype=np.float64).T
    area = math.pi / 4 * height * width * evidence.mpp**2
    extra = frame[list(evidence.scores + evidence.information)].to_numpy(dtype=np.float64)
    table = np.column_stack([y, x, y * evidence.mpp, x * evidence.mpp, fused, area, height, width, extra])
    table = table[scores[:, 0] > threshold]
    order = np.lexsort((table[:, 1], table[:, 0], -table[:, 4]))
    return table[order]
