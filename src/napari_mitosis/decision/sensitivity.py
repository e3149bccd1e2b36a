"""One slider from strict to sensitive, on which more never shows fewer figures.

A lower threshold by itself does not keep that promise: blobs merge, and two figures become one; a blob grows, its mean
score falls, and a figure is gone. So figures are taken in step by step instead. `Rule.sensitivity` runs from 0 to 1:

* at 0.5 the rule decides as it stands;
* below, of its detections those stay whose score is above a limit that rises to 1 at sensitivity 0;
* above, all of its detections stay as they are, and at each of `STEPS` steps those figures join them that the rule
  finds with a lower threshold, least score and least area: but no blob that holds a figure which is there already (its
  peak stays apart, as it was), and nothing within `Rule.min_distance_um` of one.

A figure that one sensitivity shows is in every higher one: the same row, place and score. A slider binds to
``dataclasses.replace(rule, sensitivity=value)``; a step is 0.05 wide above the middle, and values in between count as
the step below. The first visit of a step costs about one decision; it is remembered as long as the rest of the rule
stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .blobs import Blobs, Table
from .evidence import Evidence
from .filters import best_first, far_enough, in_field, passing
from .rule import Rule

STEPS = 10
"""Steps from the rule as it stands to the most sensitive."""

_LOWEST_THRESHOLD = 0.05
_LEAST_AREA = 0.25
"""Share of the rule's least area that the last step asks for."""


def steps_of(sensitivity: float) -> int:
    """How many steps beyond the rule as it stands a sensitivity is; 0 up to the middle."""
    return max(0, int((sensitivity - 0.5) * 2 * STEPS + 1e-9))


def strictness(rule: Rule, least_score: float) -> float:
    """Score that a detection must be above at this sensitivity; that of the rule from the middle on.

    Parameters
    ----------
    rule : Rule
    least_score : float
        No candidate has a score below it.
    """
    if rule.sensitivity >= 0.5:
        return rule.min_score
    low = max(rule.min_score, least_score)
    return low + (1.0 - low) * (0.5 - rule.sensitivity) * 2


def loosened(rule: Rule, threshold: float, step: int, lowest: float = _LOWEST_THRESHOLD) -> Rule:
    """The rule that finds what joins at a step.

    Parameters
    ----------
    threshold : float
        Of the rule as it stands, in this field.
    step : int
        1 to `STEPS`.
    lowest : float
        Threshold of the last step, where that of the rule is not lower.
    """
    share = step / STEPS
    bottom = min(threshold, lowest)
    return replace(
        rule,
        sensitivity=0.5,
        threshold=threshold + (bottom - threshold) * share,
        min_score=rule.min_score * (1 - share),
        min_area_um2=rule.min_area_um2 * (1 - (1 - _LEAST_AREA) * share),
    )


@dataclass(frozen=True, eq=False)
class Found:
    """What joined so far, and what guards it.

    Attributes
    ----------
    rows : ndarray of float64, shape (n, columns)
        Figures of the rule itself first, then those of each step.
    ends : tuple of int
        Number of rows after the rule itself, after the first step, and so on.
    tops : ndarray of int, shape (n, 2)
        Of figures that are blobs their largest cells; empty otherwise.
    """

    rows: Table
    ends: tuple[int, ...]
    tops: NDArray[np.intp]

    def upto(self, step: int) -> Table:
        """The figures of a step and all before it."""
        return self.rows[: self.ends[step]]


def first_blobs(blobs: Blobs, evidence: Evidence, rule: Rule, threshold: float) -> Found:
    """The blobs that the rule keeps as it stands."""
    cells = blobs.cells(threshold)
    rows, tops = in_field(cells.table(), evidence), cells.tops()
    order = best_first(rows)
    order = order[passing(rows[order], rule)]
    return Found(rows[order], (len(order),), tops[order])


def more_blobs(grown: Found, blobs: Blobs, evidence: Evidence, loose: Rule) -> Found:
    """One more step: the blobs of a looser rule that hold none of the figures and are near none."""
    cells = blobs.cells(float(loose.threshold))
    rows, tops = in_field(cells.table(), evidence), cells.tops()
    free = np.flatnonzero(~cells.holding(grown.tops, blobs.shape))
    new = free[_joining(rows[free], grown.rows, loose)]
    return Found(
        np.concatenate([grown.rows, rows[new]]),
        (*grown.ends, len(grown.rows) + len(new)),
        np.concatenate([grown.tops, tops[new]]),
    )


def first_listed(table: Table, rule: Rule) -> Found:
    """The peaks or candidates that the rule keeps as it stands."""
    rows = table[passing(table, rule)]
    return Found(rows, (len(rows),), np.zeros((0, 2), dtype=np.intp))


def more_listed(grown: Found, listed: Callable[[float], Table], loose: Rule) -> Found:
    """One more step, among peaks or candidates above a threshold."""
    rows = listed(float(loose.threshold))
    rows = rows[_joining(rows, grown.rows, loose)]
    return Found(np.concatenate([grown.rows, rows]), (*grown.ends, len(grown.rows) + len(rows)), grown.tops)


def with_rejected(figures: Table, candidates: Table, distance_um: float) -> tuple[Table, NDArray[np.bool_]]:
    """Figures and the candidates near none of them in one table, best first; and which rows are figures."""
    rejected = candidates[~_near(candidates, figures, distance_um)]
    table = np.concatenate([figures, rejected])
    order = best_first(table)
    return table[order], order < len(figures)


def _joining(rows: Table, figures: Table, rule: Rule) -> NDArray[np.intp]:
    """Places of the rows that pass area and score, lie near no figure and near no better one of them; best first."""
    order = best_first(rows)
    score, area = rows[order, 4], rows[order, 5]
    passes = (area > rule.min_area_um2) & (area <= rule.max_area_um2) & (score > rule.min_score)
    order = order[passes]
    order = order[~_near(rows[order], figures, rule.min_distance_um)]
    joining: NDArray[np.intp] = order[far_enough(rows[order, 2:4], rule.min_distance_um)]
    return joining


def _near(rows: Table, figures: Table, distance_um: float) -> NDArray[np.bool_]:
    """Which rows lie nearer to a figure than `distance_um`, or at the same place."""
    if not len(figures) or not len(rows):
        return np.zeros(len(rows), dtype=bool)
    distance, _ = cKDTree(figures[:, 2:4]).query(rows[:, 2:4])
    return np.asarray((distance < distance_um) | (distance == 0))
