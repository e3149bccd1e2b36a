"""After the queue: the best candidates that the rule leaves out, so that misses are found as well. Pure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from ..decision.decide import Decider, Rule
from ..decision.evidence import Evidence
from ..jobs import Job, Progress
from ..measures.agreement import SAME_UM

LOWER = (1.0, 0.5, 0.25, 0.1)
"""Shares of the rule's threshold: a blob that only shows at a low one is found there."""

LOOK_COLUMNS: tuple[str, ...] = ("y_px", "x_px", "score", "area_um2")

SPECK_UM2 = 1.0
"""Smaller blobs are single hot cells."""


def left_out(evidence: Evidence, rule: Rule) -> pd.DataFrame:
    """Candidates that a rule leaves out, best first: too weak, too small, too large or too near another one.

    Parameters
    ----------
    evidence : Evidence
    rule : Rule

    Returns
    -------
    DataFrame
        `LOOK_COLUMNS`; no two of them, and none and a detection of the rule, within `agreement.SAME_UM`.
    """
    decider = Decider(evidence)
    taken = decider.decide(rule)[["y_px", "x_px"]].to_numpy(dtype=np.float64)
    threshold = decider.threshold(rule)
    reach = SAME_UM / evidence.mpp
    rows: list[pd.DataFrame] = []
    for share in LOWER:
        fresh = decider.candidates(replace(rule, threshold=threshold * share))[list(LOOK_COLUMNS)]
        if evidence.candidates is None:
            fresh = fresh[fresh["area_um2"] >= SPECK_UM2]
        fresh = apart(fresh, taken, reach)
        rows.append(fresh)
        taken = np.vstack([taken, fresh[["y_px", "x_px"]].to_numpy(dtype=np.float64)])
    return pd.concat(rows, ignore_index=True).sort_values("score", ascending=False, ignore_index=True, kind="stable")


def apart(candidates: pd.DataFrame, taken: np.ndarray, reach_px: float) -> pd.DataFrame:
    """Rows further than `reach_px` from all `taken` (m, 2) and from all better rows; `found` is sorted, best first."""
    points = candidates[["y_px", "x_px"]].to_numpy(dtype=np.float64)
    free = np.ones(len(points), dtype=bool)
    if len(points) and len(taken):
        free &= cKDTree(taken).query(points)[0] > reach_px
    near = cKDTree(points).query_ball_point(points, reach_px) if len(points) else []
    for at in range(len(points)):
        if free[at]:
            for other in near[at]:
                if other > at:
                    free[other] = False
    return candidates[free].reset_index(drop=True)


def looking(evidence: Evidence, rule: Rule) -> Job[pd.DataFrame]:
    """`left_out` as a job: on a large field it takes a moment."""
    yield Progress(0, 1, "looking below the threshold")
    return left_out(evidence, rule)
