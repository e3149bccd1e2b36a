"""From scores to probabilities: after calibration, of detections at 0.8 four in five are mitoses.

A network's score ranks; what share of detections of a score is right has to be measured on fields that the
network did not see. The map is isotonic regression, drawn towards a logistic curve where there are few data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit
from scipy.stats import binomtest

from ..decision.decide import Rule

RELIABILITY_COLUMNS: tuple[str, ...] = (
    "low",
    "high",
    "count",
    "predicted",
    "observed",
    "observed_low",
    "observed_high",
)
"""Edges of a bin of probability, detections in it, their mean probability, the share that is right, its interval."""

_KNOTS = 24
_PULL = 50.0
"""Isotonic and logistic curve weigh alike where hits and misses, twice the rarer of them, are so many."""
_LEAST, _MOST = 0.002, 0.998
"""No number of fields makes a detection certain."""
_PEAK_FLOOR = 0.025


@dataclass(frozen=True)
class Calibration:
    """A monotone, piecewise linear map from score to probability.

    Attributes
    ----------
    knots : tuple of (float, float)
        Score and probability, by rising score; constant beyond the ends. Empty: the score itself.

    Raises
    ------
    ValueError
        If the knots do not rise in score, fall in probability or leave [0, 1].
    """

    knots: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        knots = tuple((float(score), float(probability)) for score, probability in self.knots)
        object.__setattr__(self, "knots", knots)
        table = np.array(knots, dtype=np.float64).reshape(-1, 2)
        if not ((table >= 0) & (table <= 1)).all():
            raise ValueError("knots of a calibration must lie in [0, 1]")
        if not ((np.diff(table[:, 0]) > 0).all() and (np.diff(table[:, 1]) >= 0).all()):
            raise ValueError("knots of a calibration must rise in score, and not fall in probability")

    def apply(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Probabilities of these scores, in their shape."""
        values = np.asarray(scores, dtype=np.float64)
        if not self.knots:
            return values.copy()
        at, probability = np.array(self.knots).T
        return np.asarray(np.interp(values, at, probability), dtype=np.float64)


def uncut(rule: Rule) -> Rule:
    """The same rule without its last look at the score: all candidates, as calibration wants them."""
    if rule.method == "peaks":
        return replace(rule, threshold=_PEAK_FLOOR, min_score=0.0)
    return replace(rule, min_score=0.0)


def fit_calibration(scores: ArrayLike, hits: ArrayLike) -> Calibration:
    """Fit the map from score to probability.

    Parameters
    ----------
    scores : array_like of float, shape (n,)
        Of candidates in fields that the network did not see, whatever their score.
    hits : array_like of bool, shape (n,)
        Which of them are mitoses.

    Returns
    -------
    Calibration
        Rising throughout, from score 0 to score 1, never exactly 0 or 1.

    Raises
    ------
    ValueError
        If there is no candidate, or a score is none.
    """
    score = np.asarray(scores, dtype=np.float64).reshape(-1)
    hit = np.asarray(hits, dtype=bool).reshape(-1)
    if len(score) == 0 or len(score) != len(hit):
        raise ValueError("a calibration needs candidates, and for each whether it is a mitosis")
    if not ((score >= 0) & (score <= 1)).all():
        raise ValueError("scores must lie in [0, 1]")
    order = np.argsort(score, kind="stable")
    score, hit = score[order], hit[order]
    at = _places(score)
    steps = _isotonic(score, hit, at)
    curve = _logistic(score, hit, at)
    known = 2.0 * min(hit.sum(), (~hit).sum())
    share = known / (known + _PULL)
    probability = np.clip(share * steps + (1 - share) * curve, _LEAST, _MOST)
    # What rounding leaves equal is still no fall.
    return Calibration(tuple(zip(at.tolist(), np.maximum.accumulate(probability.round(5)).tolist(), strict=True)))


def _places(score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the knots stand: 0, 1 and quantiles of the scores between them."""
    inner = np.quantile(score, (np.arange(_KNOTS) + 0.5) / _KNOTS)
    return np.unique(np.concatenate([[0.0], inner, [1.0]]).round(5))


def _isotonic(score: NDArray[np.float64], hit: NDArray[np.bool_], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Isotonic regression, linear between the middles of its blocks."""
    values, start = np.unique(score, return_index=True)
    count = np.diff(start, append=len(score)).astype(np.float64)
    share = np.add.reduceat(hit.astype(np.float64), start) / count
    fitted = isotonic_regression(share, weights=count).x
    edges = np.flatnonzero(np.diff(fitted, prepend=-1.0) > 0)
    weight = np.add.reduceat(count, edges)
    middle = np.add.reduceat(count * values, edges) / weight
    return np.asarray(np.interp(at, middle, fitted[edges]), dtype=np.float64)


def _logistic(score: NDArray[np.float64], hit: NDArray[np.bool_], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logistic curve, rising; its targets are kept off 0 and 1 as Platt does, so that it exists for any data."""
    right, wrong = int(hit.sum()), int((~hit).sum())
    target = np.where(hit, (right + 1) / (right + 2), 1 / (wrong + 2))

    def cost(ab: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = ab[0] * score + ab[1]
        wanted = expit(z) - target
        loss = np.logaddexp(0, z).sum() - target @ z
        return float(loss), np.array([wanted @ score, wanted.sum()])

    fitted = minimize(cost, np.array([1.0, -1.0]), jac=True, bounds=[(0.0, 200.0), (-200.0, 200.0)], method="L-BFGS-B")
    return np.asarray(expit(fitted.x[0] * at + fitted.x[1]), dtype=np.float64)


def reliability_table(probabilities: ArrayLike, hits: ArrayLike, bins: int = 10) -> pd.DataFrame:
    """What share of the detections of a probability is right.

    Parameters
    ----------
    probabilities : array_like of float, shape (n,)
        Of detections in fields that took no part in the calibration.
    hits : array_like of bool, shape (n,)
    bins : int
        Of equal width.

    Returns
    -------
    DataFrame
        `RELIABILITY_COLUMNS`, one row for each bin with detections; the interval is Wilson's, 95 %.

    Raises
    ------
    ValueError
        If there are fewer than one bin, or a probability is none.
    """
    probability = np.asarray(probabilities, dtype=np.float64).reshape(-1)
    hit = np.asarray(hits, dtype=bool).reshape(-1)
    if bins < 1 or not ((probability >= 0) & (probability <= 1)).all():
        raise ValueError("probabilities must lie in [0, 1], and there must be a bin")
    place = np.minimum((probability * bins).astype(int), bins - 1)
    rows = []
    for i in np.unique(place):
        in_bin = place == i
        right, count = int(hit[in_bin].sum()), int(in_bin.sum())
        interval = binomtest(right, count).proportion_ci(method="wilson")
        mean = float(probability[in_bin].mean())
        rows.append((i / bins, (i + 1) / bins, count, mean, right / count, float(interval.low), float(interval.high)))
    return pd.DataFrame(rows, columns=list(RELIABILITY_COLUMNS))


def expected_calibration_error(probabilities: ArrayLike, hits: ArrayLike, bins: int = 10) -> float:
    """Mean distance of probability and share of hits over the bins, weighted by their detections; NaN for none."""
    table = reliability_table(probabilities, hits, bins)
    if table.empty:
        return float("nan")
    return float(np.average(np.abs(table["predicted"] - table["observed"]), weights=table["count"]))


def cross_fitted(scores: pd.DataFrame) -> NDArray[np.float64]:
    """Probability of each candidate by a calibration that was fitted without the fields of its fold.

    Parameters
    ----------
    scores : DataFrame
        Columns fold, field, score, hit. A field may be in a fold of each protocol: it is left out of both.

    Raises
    ------
    ValueError
        If nothing is left without the fields of a fold.
    """
    probability = np.empty(len(scores), dtype=np.float64)
    for fold in scores["fold"].unique():
        in_fold = (scores["fold"] == fold).to_numpy()
        rest = scores[~scores["field"].isin(scores["field"][in_fold])]
        probability[in_fold] = fit_calibration(rest["score"], rest["hit"]).apply(scores["score"][in_fold])
    return probability
