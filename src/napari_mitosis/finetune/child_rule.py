"""A new rule for a new child, chosen on what it makes of tissue that it did not learn from.

A fine-tuned network scores on another scale than its parent, and so does its parent in a new laboratory: a threshold
may have to go up or down. With few judged figures the best rule is mostly luck, so rules near the parent's are
preferred, the more so the fewer figures there are. Mimics that the parent took for mitoses are evidence as good as
mitoses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..decision.decide import Rule
from ..decision.evidence import Evidence
from ..measures.sweep import Grid, as_stated, count_grid
from .folds import Unit, within

RADIUS_UM = 7.5
_NEARNESS = 1.0
"""How much F a rule at one usual step (`_STEP_SCORE`) from the parent's must gain over it, times judged figures + 1."""
_STEP_SCORE = 0.2
_THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
_SCORES = tuple(np.round(np.arange(0.025, 0.97, 0.025), 3).tolist())


def grid_about(evidence: Evidence, rule: Rule) -> Grid:
    """The rules about a parent's: other thresholds and scores.

    Areas, smoothing, distance and weights stay: the size of a mitosis does not change with the slide, and with few
    figures each number more to choose is one more to get wrong.
    """
    blobs = evidence.candidates is None and rule.method == "blobs"
    thresholds: tuple[float, ...] = (0.025,) if rule.method == "peaks" else _THRESHOLDS
    if evidence.candidates is not None:
        thresholds = (_lowest(rule),)
    elif blobs:
        thresholds = tuple(sorted({*thresholds, _lowest(rule)}))
    return Grid(
        smoothing_um=(rule.smoothing_um,),
        disc_um=(rule.disc_um,),
        min_distance_um=(rule.min_distance_um,),
        threshold=thresholds,
        min_area_um2=(rule.min_area_um2,),
        min_score=_SCORES,
    )


def count_unit(evidence: Evidence, truth_yx: NDArray[np.float64], unit: Unit, rule: Rule) -> NDArray[np.int64]:
    """True and false positives of a unit under each rule of `grid_about`; shape (threshold, score, 2)."""
    counts = count_grid(
        within(evidence, unit), truth_yx[unit.holds(truth_yx)], rule, RADIUS_UM, grid_about(evidence, rule)
    )
    return np.asarray(counts[0, :, 0, 0])


@dataclass(frozen=True)
class Choice:
    """A child and its rule.

    Attributes
    ----------
    blend : float
        Share of the way from parent to child.
    rule : Rule
    f : float
        F on the units that it was chosen on: it flatters.
    """

    blend: float
    rule: Rule
    f: float


def choose(
    counts: Mapping[float, Sequence[NDArray[np.int64]]],
    mitoses: int,
    parent: Rule,
    grid: Grid,
    false_weight: float = 1.0,
) -> Choice:
    """The blend and the rule with the best F, near the parent's rule.

    F is averaged over neighbouring rules before its maximum is taken, as in `sweep.choose_rule`.

    Parameters
    ----------
    counts : mapping of float to sequence of ndarray
        Blend to counts of each unit, of `count_unit`.
    mitoses : int
        In all of these units. Without any, the answer is the parent's rule and the first blend.
    false_weight : float
        What a false detection counts, see `held_out.false_weight`.
    """
    first = min(counts)
    if mitoses == 0:
        return Choice(first, parent, float("nan"))
    away = _distance(parent, grid)
    best: tuple[float, Choice] | None = None
    judged = mitoses + false_weight * _false_of_parent(np.sum(counts[first], axis=0), parent, grid)
    for share in sorted(counts):
        total = np.sum(counts[share], axis=0)
        f = 2 * total[..., 0] / np.maximum(total[..., 0] + false_weight * total[..., 1] + mitoses, 1)
        value = ndimage.gaussian_filter(f, (0.5, 2.0), mode="nearest") - _NEARNESS / (judged + 1) * away
        place = np.unravel_index(int(np.argmax(value)), value.shape)
        threshold, score = (int(i) for i in place)
        rule = as_stated(grid.rule(parent, (0, threshold, 0, 0, score)))
        if best is None or value[place] > best[0] + 1e-9:
            best = float(value[place]), Choice(share, rule, float(f[place]))
    assert best is not None
    return best[1]


def _false_of_parent(total: NDArray[np.int64], parent: Rule, grid: Grid) -> int:
    """False detections of the rule of the grid that is nearest to the parent's."""
    nearest = np.unravel_index(int(np.argmin(_distance(parent, grid))), total.shape[:2])
    return int(total[nearest][1])


def _distance(parent: Rule, grid: Grid) -> NDArray[np.float64]:
    """Squared distance of each rule from the parent's, in usual steps."""
    peaks = parent.method == "peaks"
    score = max(parent.min_score, _lowest(parent)) if peaks else parent.min_score
    thresholds = np.array([t for t in grid.threshold if t != "otsu"], dtype=np.float64)
    start = thresholds if peaks else np.full(len(thresholds), _lowest(parent))
    by_threshold, by_score = (thresholds - start) / _STEP_SCORE, (np.array(grid.min_score) - score) / _STEP_SCORE
    return np.asarray(by_threshold[:, None] ** 2 + by_score[None, :] ** 2)


def _lowest(rule: Rule) -> float:
    """The threshold of a rule as a number."""
    return rule.floor if rule.threshold == "otsu" else rule.threshold
