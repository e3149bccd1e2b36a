"""Another threshold for this slide from the candidates that a reader judged, without any training.

A laboratory's stain and scanner move all scores of a network: the order of the candidates mostly holds, the threshold
does not. The card's calibration says how likely a candidate of a score is a mitosis elsewhere; a reader's judgements
shift and stretch that curve (both on the scale of log odds), and few judgements do so only a little.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from .calibrate import Calibration

FEWEST_JUDGED = 20
"""With fewer judged candidates nothing is offered."""

FEWEST_OF_EACH = 3
"""So many mitoses and so many mimics must be among them."""

_SHIFT_SD, _STRETCH_SD = 1.5, 0.3
"""How far, in log odds, laboratories are expected to lie apart, and by which factor (its logarithm)."""
_DRAWS = 400
_CARE = 0.1
"""A threshold is preferred that gains even where the judged candidates were lucky ones: in so many of the draws."""
_LEAST_GAIN = 0.02
_SCORES = np.arange(0.02, 0.981, 0.01).round(2)


@dataclass(frozen=True)
class Expected:
    """Precision, recall and F that a threshold is expected to have on this slide, each with its 90 % interval.

    Attributes
    ----------
    min_score : float
    precision, recall, f : float
    precision_range, recall_range, f_range : tuple of (float, float)
    kept : int
        Candidates that it keeps.
    """

    min_score: float
    precision: float
    recall: float
    f: float
    precision_range: tuple[float, float]
    recall_range: tuple[float, float]
    f_range: tuple[float, float]
    kept: int


@dataclass(frozen=True)
class Recalibration:
    """What a reader's judgements say about the threshold.

    Attributes
    ----------
    offered : bool
        Whether another threshold is worth a look.
    reason : str
        One sentence for the reader.
    judged, mitoses, mimics : int
        Candidates that were judged.
    present, best : Expected or None
        The threshold in use, and the one with the best expected F; None where too few were judged.
    probability : ndarray of float, shape (n,)
        Of each candidate to be a mitosis; those that were judged have 0 or 1. Empty where too few were judged.
    """

    offered: bool
    reason: str
    judged: int
    mitoses: int
    mimics: int
    present: Expected | None = None
    best: Expected | None = None
    probability: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))


def recalibrate(
    scores: ArrayLike,
    mitosis: ArrayLike,
    min_score: float,
    calibration: Calibration | None = None,
    *,
    missed: int = 0,
    seed: int = 0,
) -> Recalibration:
    """Offer a threshold for a slide after some of its candidates were judged.

    Parameters
    ----------
    scores : array_like of float, shape (n,)
        Of every candidate of the slide's fields, those below the threshold too (`calibrate.uncut`).
    mitosis : array_like of float, shape (n,)
        1 for a candidate that the reader called a mitosis, 0 for a mimic, NaN for one that nobody judged or
        that the reader is not sure of.
    min_score : float
        The threshold in use.
    calibration : Calibration, optional
        The card's; without one the score itself is where the curve begins.
    missed : int
        Mitoses that the reader added where there is no candidate; no threshold brings them back.
    seed : int
        Of the draws that the intervals come from.

    Returns
    -------
    Recalibration
        Recall counts the mitoses among the candidates, judged and expected, and the missed ones. What has neither
        a candidate nor a reader's mark is not known, so the true recall is that or lower.

    Raises
    ------
    ValueError
        If scores and judgements do not belong together, or a score lies outside [0, 1].

    Notes
    -----
    Which candidates are judged may depend on their scores: a queue by score does no harm. A reader who judges only
    the clear ones makes the rest look clearer than it is.
    """
    score = np.asarray(scores, dtype=np.float64).reshape(-1)
    label = np.asarray(mitosis, dtype=np.float64).reshape(-1)
    if len(score) != len(label):
        raise ValueError(f"{len(score)} scores and {len(label)} judgements do not belong together")
    if not ((score >= 0) & (score <= 1)).all():
        raise ValueError("scores must lie in [0, 1]")
    judged = ~np.isnan(label)
    mitoses, mimics = int((label == 1).sum()), int((label == 0).sum())
    few = _too_few(mitoses, mimics)
    if few:
        return Recalibration(False, few, mitoses + mimics, mitoses, mimics)
    before = logit(np.clip((calibration or Calibration()).apply(score), 0.002, 0.998))
    draws = _posterior(before[judged], label[judged], np.random.default_rng(seed))
    chances = expit(draws[:, :1] + np.exp(draws[:, 1:]) * before)
    chances[:, judged] = label[judged]
    present = _expected(score, chances, min_score, missed, seed)
    best = _expected(score, chances, _careful(score, chances, min_score, missed), missed, seed)
    offered = best.f > present.f + _LEAST_GAIN
    reason = _reason(present, best, offered)
    return Recalibration(offered, reason, mitoses + mimics, mitoses, mimics, present, best, chances.mean(axis=0))


def _too_few(mitoses: int, mimics: int) -> str:
    """Why nothing can be said yet; empty where it can."""
    if mitoses + mimics < FEWEST_JUDGED:
        left = FEWEST_JUDGED - mitoses - mimics
        return f"Judge {left} more candidate{'s' if left != 1 else ''}: then a threshold for this slide can be offered."
    for count, name in ((mitoses, "mitoses"), (mimics, "mimics")):
        if count < FEWEST_OF_EACH:
            return f"Too little evidence: {count} {name} among the judged candidates, {FEWEST_OF_EACH} are needed."
    return ""


def _posterior(
    before: NDArray[np.float64], label: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draws of (shift, log stretch), shape (draws, 2): a normal about the mode (Laplace)."""

    def cost(p: NDArray[np.float64]) -> float:
        z = p[0] + np.exp(p[1]) * before
        return float(
            np.logaddexp(0, z).sum() - label @ z + 0.5 * (p[0] / _SHIFT_SD) ** 2 + 0.5 * (p[1] / _STRETCH_SD) ** 2
        )

    mode = minimize(cost, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-6}).x
    stretch = np.exp(mode[1])
    z = mode[0] + stretch * before
    chance = expit(z)
    slope = np.stack([np.ones_like(z), stretch * before])
    precision = (slope * (chance * (1 - chance))) @ slope.T + np.diag([_SHIFT_SD**-2, _STRETCH_SD**-2])
    return np.asarray(rng.multivariate_normal(mode, np.linalg.inv(precision), _DRAWS))


def _careful(score: NDArray[np.float64], chances: NDArray[np.float64], min_score: float, missed: int) -> float:
    """The threshold that gains most over the present one in a bad case: in one of `_CARE` of the draws."""
    thresholds = np.concatenate([[min_score], _SCORES])
    kept = score >= thresholds[:, None]
    hits = chances @ kept.T
    f = 2 * hits / np.maximum(kept.sum(axis=1) + chances.sum(axis=1, keepdims=True) + missed, 1e-9)
    gain = np.quantile(f - f[:, :1], _CARE, axis=0)
    return float(thresholds[int(np.argmax(gain))])


def _expected(
    score: NDArray[np.float64], chances: NDArray[np.float64], min_score: float, missed: int, seed: int
) -> Expected:
    """Precision, recall and F of one threshold over the draws; each candidate is a mitosis or not in each of them."""
    kept = score >= min_score
    is_mitosis = np.random.default_rng(seed).random(chances.shape) < chances
    hits, mitoses = is_mitosis[:, kept].sum(axis=1), is_mitosis.sum(axis=1) + missed
    precision, recall = hits / max(int(kept.sum()), 1), hits / np.maximum(mitoses, 1)
    f = 2 * hits / np.maximum(kept.sum() + mitoses, 1)
    (precision_mean, precision_range), (recall_mean, recall_range), (f_mean, f_range) = (
        (float(values.mean()), tuple(np.quantile(values, (0.05, 0.95)).tolist())) for values in (precision, recall, f)
    )
    return Expected(
        min_score, precision_mean, recall_mean, f_mean, precision_range, recall_range, f_range, int(kept.sum())
    )


def _reason(present: Expected, best: Expected, offered: bool) -> str:
    if not offered:
        return f"The threshold fits this slide: expected F {present.f:.2f}, and no other is clearly better."
    return (
        f"A score of {best.min_score:.2f} instead of {present.min_score:.2f} fits this slide better: precision "
        f"{present.precision:.2f} → {best.precision:.2f}, recall {present.recall:.2f} → {best.recall:.2f} (expected)."
    )
