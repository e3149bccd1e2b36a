"""What several detectors found becomes one table of calibrated probabilities.

Each member's candidates are made by a loose rule, their scores turned into probabilities, and candidates of
several members that mean one figure put together (`agreement`). The score columns of the result are these
probabilities, so a rule weighs the members and cuts the weighted mean without a network being run again.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ..decision.candidates import side_px
from ..decision.decide import Rule
from ..decision.evidence import CANDIDATE_COLUMNS, Evidence
from ..measures.agreement import group
from ..measures.calibrate import Calibration

SUREST = "surest"
"""First score column of an ensemble: the highest probability that any member gives. It has no weight of its own."""

MIN_DISTANCE_UM = 6.0
"""Of two figures of an ensemble that are nearer the better one stays."""


def with_probability(detections: pd.DataFrame, calibration: Calibration) -> pd.DataFrame:
    """The same detections with the probability of each as the column ``probability``."""
    return detections.assign(probability=calibration.apply(detections["score"]))


def combine(
    tables: Mapping[str, pd.DataFrame], shape: tuple[int, int], mpp: float, model: str, field_digest: str
) -> Evidence:
    """Put the candidates of several detectors together, those of one figure in one row.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        For each member its candidates: `tables.DETECTION_COLUMNS` and ``probability``.
    shape : tuple of int
        (H, W) of the field, in pixels.
    mpp : float
        um/px.
    model, field_digest : str
        See `Evidence`.
    """
    names = tuple(tables)
    columns = ["y_px", "x_px", "area_um2", "probability"]
    every = np.concatenate([tables[name][columns].to_numpy(np.float64) for name in names] or [np.zeros((0, 4))])
    member = np.repeat(np.arange(len(names)), [len(tables[name]) for name in names])
    figures = group(tables)
    scores = np.zeros((len(figures), 1 + len(names)))
    for row, rows in enumerate(figures):
        scores[row, 1 + member[rows]] = every[rows, 3]
    scores[:, 0] = scores[:, 1:].max(axis=1, initial=0.0)
    y, x, area, _ = every[[rows[0] for rows in figures]].T if figures else np.zeros((4, 0))
    side = side_px(area, mpp)  # of the surest member's area
    found_by = np.array([len(rows) for rows in figures], dtype=np.float64)
    frame = pd.DataFrame(
        np.column_stack([y, x, side, side, scores, found_by]), columns=[*CANDIDATE_COLUMNS, SUREST, *names, "found_by"]
    )
    return Evidence({}, 1.0, shape, mpp, model, field_digest, candidates=frame, scores=(SUREST, *names))


def ensemble_rule(weights: Mapping[str, float], min_score: float) -> Rule:
    """The rule of an ensemble: weights of its members and threshold on their weighted mean probability."""
    return Rule(
        smoothing_um=0.0,
        threshold=0.0,
        floor=0.0,
        min_area_um2=0.0,
        min_score=min_score,
        min_distance_um=MIN_DISTANCE_UM,
        weights=tuple(weights.items()),
    )
