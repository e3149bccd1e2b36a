"""Detections against annotations: one-to-one matching, precision, recall, F, curves, intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

MATCH_RADII_UM: Mapping[str, float] = MappingProxyType(
    {"icpr2012": 5.0, "amida13": 7.5, "tupac16": 7.5, "midog": 7.5, "icpr2014": 8.0}
)
"""Matching radius of each contest in um (20, 30 and 32 px at 0.25 um/px)."""


@dataclass(frozen=True)
class Counts:
    """True positives, false positives and false negatives."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def precision(self) -> float:
        """tp / (tp + fp); nan where nothing was detected."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else float("nan")

    @property
    def recall(self) -> float:
        """tp / (tp + fn); nan where nothing was there."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else float("nan")

    @property
    def f(self) -> float:
        """Harmonic mean of precision and recall, 2 tp / (2 tp + fp + fn); nan where all are 0."""
        total = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / total if total else float("nan")


@dataclass(frozen=True, eq=False)
class Matching:
    """Which detection is which mitosis.

    Attributes
    ----------
    pairs : ndarray of int, shape (n, 2)
        Rows of the detections table, and of the truth.
    false_positives, false_negatives : ndarray of int
        Rows of the detections table, rows of the truth.
    """

    pairs: NDArray[np.intp]
    false_positives: NDArray[np.intp]
    false_negatives: NDArray[np.intp]

    @property
    def counts(self) -> Counts:
        """Their numbers."""
        return Counts(len(self.pairs), len(self.false_positives), len(self.false_negatives))


@dataclass(frozen=True, eq=False)
class FieldResult:
    """Detections and truth of one field.

    Attributes
    ----------
    name, case : str
        The field, and the slide or patient that it comes from.
    detections : DataFrame
    truth_yx : ndarray of float64, shape (n, 2)
        Centroids of mitoses (not of mimics) in field pixels.
    mpp : float
        um/px.
    """

    name: str
    case: str
    detections: pd.DataFrame
    truth_yx: NDArray[np.float64]
    mpp: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Pooled result over fields.

    Attributes
    ----------
    counts : Counts
    per_field : DataFrame
        field, case, mitoses, detections, tp, fp, fn, precision, recall, f.
    interval : mapping of str to (float, float)
        95 % bootstrap interval over fields of ``precision``, ``recall`` and ``f``.
    radius_um : float
    """

    counts: Counts
    per_field: pd.DataFrame
    interval: Mapping[str, tuple[float, float]]
    radius_um: float


def match(detections: pd.DataFrame, truth_yx: ArrayLike, radius_um: float, mpp: float) -> Matching:
    """Match one to one, best score first; each detection takes the nearest truth that is still free.

    Parameters
    ----------
    detections : DataFrame
        With columns y_px, x_px, score.
    truth_yx : array_like, shape (n, 2)
        Centroids in field pixels.
    radius_um : float
        A truth at exactly this distance still matches.
    mpp : float
        um/px.

    Raises
    ------
    ValueError
        If the radius or `mpp` is not positive.
    """
    if not (radius_um > 0 and mpp > 0):
        raise ValueError("radius and um/px must be positive")
    truth = np.asarray(truth_yx, dtype=np.float64).reshape(-1, 2)
    detected = detections[["y_px", "x_px"]].to_numpy(np.float64)
    order = np.argsort(-detections["score"].to_numpy(np.float64), kind="stable")
    distance = cdist(detected, truth) * mpp
    free = np.ones(len(truth), dtype=bool)
    pairs, wrong = [], []
    for i in order:
        near = np.flatnonzero(free & (distance[i] <= radius_um))
        if len(near):
            j = near[np.argmin(distance[i, near])]
            free[j] = False
            pairs.append((int(i), int(j)))
        else:
            wrong.append(int(i))
    return Matching(np.array(pairs, dtype=np.intp).reshape(-1, 2), np.array(wrong, dtype=np.intp), np.flatnonzero(free))


def evaluate(results: Sequence[FieldResult], radius_um: float, *, samples: int = 2000, seed: int = 0) -> Evaluation:
    """Pool fields, those without any mitosis included.

    Parameters
    ----------
    results : sequence of FieldResult
    radius_um : float
    samples, seed : int
        Of the bootstrap.
    """
    each = [match(r.detections, r.truth_yx, radius_um, r.mpp).counts for r in results]
    rows = [
        {
            "field": r.name,
            "case": r.case,
            "mitoses": c.tp + c.fn,
            "detections": c.tp + c.fp,
            "tp": c.tp,
            "fp": c.fp,
            "fn": c.fn,
            "precision": c.precision,
            "recall": c.recall,
            "f": c.f,
        }
        for r, c in zip(results, each, strict=True)
    ]
    columns = ["field", "case", "mitoses", "detections", "tp", "fp", "fn", "precision", "recall", "f"]
    total = sum(each, Counts())
    interval = bootstrap_interval(each, samples=samples, seed=seed)
    return Evaluation(total, pd.DataFrame(rows, columns=columns), interval, radius_um)


def bootstrap_interval(
    each: Sequence[Counts], *, samples: int = 2000, seed: int = 0, level: float = 0.95
) -> dict[str, tuple[float, float]]:
    """Percentile interval of pooled precision, recall and F when fields are drawn with replacement.

    Draws in which a measure is undefined are left out of that measure.
    """
    if not each:
        return dict.fromkeys(("precision", "recall", "f"), (float("nan"), float("nan")))
    table = np.array([(c.tp, c.fp, c.fn) for c in each], dtype=np.float64)
    draws = np.random.default_rng(seed).integers(len(each), size=(samples, len(each)))
    tp, fp, fn = table[draws].sum(axis=1).T
    tail = 100 * (1 - level) / 2
    intervals = {}
    for name, top, bottom in (
        ("precision", tp, tp + fp),
        ("recall", tp, tp + fn),
        ("f", 2 * tp, 2 * tp + fp + fn),
    ):
        defined = bottom > 0
        values = top[defined] / bottom[defined]
        low, high = np.percentile(values, [tail, 100 - tail]) if defined.any() else (np.nan, np.nan)
        intervals[name] = (float(low), float(high))
    return intervals


def pr_curve(results: Sequence[FieldResult], radius_um: float) -> pd.DataFrame:
    """Pooled precision, recall and F for every threshold on the score.

    Because matching goes best score first, dropping low scores never changes the matches of high ones: one
    matching serves all thresholds.

    Returns
    -------
    DataFrame
        threshold (a detection counts if its score is at least this), tp, fp, fn, precision, recall, f; from
        the highest threshold down.
    """
    scores, hits = [], []
    truths = 0
    for r in results:
        matching = match(r.detections, r.truth_yx, radius_um, r.mpp)
        hit = np.zeros(len(r.detections), dtype=bool)
        hit[matching.pairs[:, 0]] = True
        scores.append(r.detections["score"].to_numpy(np.float64))
        hits.append(hit)
        truths += len(r.truth_yx)
    score = np.concatenate(scores) if scores else np.empty(0)
    order = np.argsort(-score, kind="stable")
    score, hit = score[order], np.concatenate(hits)[order] if hits else np.empty(0, dtype=bool)
    last = np.flatnonzero(np.diff(score, append=-np.inf)) if len(score) else np.empty(0, dtype=np.intp)
    tp, fp = np.cumsum(hit)[last], np.cumsum(~hit)[last]
    counts = [Counts(int(t), int(f), truths - int(t)) for t, f in zip(tp, fp, strict=True)]
    return pd.DataFrame(
        {
            "threshold": score[last],
            "tp": tp,
            "fp": fp,
            "fn": truths - tp,
            "precision": [c.precision for c in counts],
            "recall": [c.recall for c in counts],
            "f": [c.f for c in counts],
        }
    )


def average_precision(curve: pd.DataFrame) -> float:
    """Area under the precision-recall steps of `pr_curve`."""
    recall = curve["recall"].to_numpy(np.float64)
    return float(np.sum(np.diff(recall, prepend=0.0) * curve["precision"].to_numpy(np.float64)))
