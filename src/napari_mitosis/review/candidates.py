"""The candidates of a field as the review looks at them: which the rule keeps, how sure it is, who disagrees."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..decision.decide import Rule
from ..decision.evidence import Evidence
from ..session import Result
from .judge import LINK_UM, link

REVIEW_COLUMNS: tuple[str, ...] = ("y_px", "x_px", "score", "area_um2", "kept", "uncertainty", "disagreement", "change")
"""Centroid in pixels of the field, score, area; whether the rule keeps it, how far it is from being decided the
other way (small = uncertain), the spread of the detectors' scores (NaN where there is only one), and by how much
judging it is expected to change the mitotic score (0 until `Queue.set_change`)."""

AT_UM = 2.0
"""A score map is read off within this distance of a candidate."""


def review_frame(result: Result, agreement: pd.DataFrame | None = None) -> pd.DataFrame:
    """All candidates of a result, with `REVIEW_COLUMNS`, best score first.

    Parameters
    ----------
    result : Result
    agreement : DataFrame, optional
        What several detectors said of this field: y_px, x_px, and a column of probabilities for each detector, NaN
        where it found nothing.
    """
    candidates = result.candidates
    frame = candidates[["y_px", "x_px", "score", "area_um2"]].reset_index(drop=True)
    frame["kept"] = _kept(candidates, result.detections)
    frame["uncertainty"] = uncertainty(frame, result.rule)
    frame["disagreement"] = disagreement(candidates, result.evidence, agreement)
    frame["change"] = 0.0
    return frame


def no_candidates() -> pd.DataFrame:
    """A frame of `REVIEW_COLUMNS` without rows."""
    frame = pd.DataFrame({name: np.empty(0, dtype=np.float64) for name in REVIEW_COLUMNS})
    return frame.astype({"kept": bool})


def dropped_candidates(places: pd.DataFrame) -> pd.DataFrame:
    """`REVIEW_COLUMNS` of what the rule leaves out: y_px, x_px, score and area_um2 are known of it."""
    columns = {"kept": False, "uncertainty": np.nan, "disagreement": np.nan, "change": 0.0}
    return places.assign(**columns)[list(REVIEW_COLUMNS)].astype({"kept": bool})


def no_candidate_at(y_px: float, x_px: float) -> pd.DataFrame:
    """A row of `REVIEW_COLUMNS` for a place of which no detector says anything."""
    return dropped_candidates(pd.DataFrame({"y_px": [y_px], "x_px": [x_px], "score": np.nan, "area_um2": np.nan}))


def _kept(candidates: pd.DataFrame, detections: pd.DataFrame) -> NDArray[np.bool_]:
    """Which candidates are detections: the detections are some of the candidates, in the same order."""
    names = ["y_px", "x_px", "score", "area_um2"]
    wanted = detections[names].to_numpy()
    kept = np.zeros(len(candidates), dtype=bool)
    at = 0
    for row, values in enumerate(candidates[names].to_numpy()):
        if at < len(wanted) and np.array_equal(values, wanted[at]):
            kept[row] = True
            at += 1
    return kept


def uncertainty(frame: pd.DataFrame, rule: Rule) -> NDArray[np.float64]:
    """How far each candidate is from being decided the other way, in [0, sqrt 2]; small means uncertain.

    For most it is the distance of the score from the rule's. What only its area keeps out has no distance in
    score: there it is the share by which the area misses its bound; what misses both is as far as both together.

    Parameters
    ----------
    frame : DataFrame
        With score and area_um2.
    rule : Rule
    """
    score = frame["score"].to_numpy(dtype=np.float64)
    area = frame["area_um2"].to_numpy(dtype=np.float64)
    short = np.zeros(len(frame))
    if rule.min_area_um2 > 0:
        short = np.maximum(short, 1.0 - area / rule.min_area_um2)
    over = area > rule.max_area_um2
    short[over] = 1.0 - rule.max_area_um2 / area[over]
    by_area = short > 0
    from_score = np.abs(score - rule.min_score)
    from_score[by_area & (score > rule.min_score)] = 0.0
    return np.asarray(np.hypot(from_score, short), dtype=np.float64)


def disagreement(
    candidates: pd.DataFrame, evidence: Evidence, agreement: pd.DataFrame | None = None
) -> NDArray[np.float64]:
    """Largest less smallest score that different eyes gave each candidate; NaN where only one has looked.

    The eyes are, where there are two or more: the detectors that were compared on this field; else the score columns
    (members of an ensemble, stages, a verifier); else the score maps of one detector.

    Parameters
    ----------
    candidates : DataFrame
        Of a `Result`.
    evidence : Evidence
        What they were found in.
    agreement : DataFrame, optional
        As in `review_frame`. Of a candidate that none of these detectors found, the spread is that of the next kind.
    """
    spread = np.full(len(candidates), np.nan)
    columns = [name for name in evidence.scores if name in candidates.columns]
    if len(columns) > 1:
        # A member that did not find the figure gave it nothing.
        spread = _spread(np.nan_to_num(candidates[columns].to_numpy(dtype=np.float64)))
    elif evidence.candidates is None and len(evidence.maps) > 1:
        spread = _spread(_read_off(candidates, evidence))
    names = [] if agreement is None else [name for name in agreement.columns if name not in ("y_px", "x_px")]
    if agreement is not None and len(names) > 1:
        places = ["y_px", "x_px"]
        linked = link(candidates[places], agreement[places], evidence.mpp, LINK_UM)
        known = linked >= 0
        spread[known] = _spread(np.nan_to_num(agreement[names].to_numpy(dtype=np.float64)[linked[known]]))
    return spread


def _spread(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(scores.max(axis=1) - scores.min(axis=1), dtype=np.float64)


def _read_off(candidates: pd.DataFrame, evidence: Evidence) -> NDArray[np.float64]:
    """The largest value of each score map at each candidate, shape (n, maps)."""
    reach = max(1, round(AT_UM / (evidence.stride * evidence.mpp)))
    cells = np.rint((candidates[["y_px", "x_px"]].to_numpy() + 0.5) / evidence.stride - 0.5).astype(int)
    scores = np.zeros((len(cells), len(evidence.maps)))
    for column, score_map in enumerate(evidence.maps.values()):
        for row, (i, j) in enumerate(cells):
            window = score_map[max(0, i - reach) : i + reach + 1, max(0, j - reach) : j + reach + 1]
            scores[row, column] = window.max() if window.size else 0.0
    return scores


def why_no_disagreement(frame: pd.DataFrame) -> str | None:
    """Why candidates cannot be ordered by disagreement; None where they can."""
    if frame["disagreement"].notna().any():
        return None
    return "Only one detector has looked here, with one score. Compare detectors, or detect with the ensemble."
