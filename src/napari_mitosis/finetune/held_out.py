"""What networks make of fields that they did not learn from: it chooses the child's rule, and the gate weighs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..datasets.sample import Sample
from ..decision.decide import Rule, decide
from ..decision.evidence import Evidence
from .child_rule import Choice, choose, count_unit, grid_about
from .folds import Unit
from .gate import Judged

FEWEST_REFERENCES = 2
LEAST_WEIGHT = 0.1


def false_weight(chosen_per_mm2: Sequence[float], others_per_mm2: Sequence[float]) -> float:
    """What a false detection in fields that a reader chose counts, so that they stand for the slide.

    Readers annotate the fields where the network is wrong most often. A child that learns to say no gains there more
    than it will elsewhere. The parent's detections in fields that nobody chose say how much more.

    Parameters
    ----------
    chosen_per_mm2, others_per_mm2 : sequence of float
        Detections of the parent for each mm2, in each field chosen and in each field of the same scanner that was
        not.

    Returns
    -------
    float
        From 0.1 to 1; 1 where there are fewer than two other fields to compare with.
    """
    if len(others_per_mm2) < FEWEST_REFERENCES or not sum(chosen_per_mm2):
        return 1.0
    ratio = float(np.mean(others_per_mm2) / np.mean(chosen_per_mm2))
    return min(1.0, max(LEAST_WEIGHT, ratio))


@dataclass(eq=False)
class HeldOut:
    """Evidence of annotated fields by networks that did not learn from them.

    Attributes
    ----------
    samples : sequence of Sample
        The fields that are learnt from, in the order of the plan.
    parent : sequence of Evidence
        What the parent sees in each of them.
    rule : Rule
        The parent's.
    folds : sequence of tuple of Unit
    weight : float
        Of a false detection, see `false_weight`.
    """

    samples: Sequence[Sample]
    parent: Sequence[Evidence]
    rule: Rule
    folds: Sequence[tuple[Unit, ...]]
    weight: float = 1.0
    _evidence: dict[tuple[float, Unit], Evidence] = field(default_factory=dict)
    _counts: dict[tuple[float, Unit], NDArray[np.int64]] = field(default_factory=dict)

    def put(self, share: float, unit: Unit, evidence: Evidence) -> None:
        """Take in what the blend `share` of a network that did not learn from `unit` sees in it."""
        truth = self.samples[unit.field].centroids_yx()
        self._evidence[share, unit] = evidence
        self._counts[share, unit] = count_unit(evidence, truth, unit, self.rule)

    def units(self, blends: Sequence[float]) -> list[Unit]:
        """The parts of fields that every blend has been judged on."""
        return [u for held in self.folds for u in held if all((share, u) in self._counts for share in blends)]

    def choice(self, blends: Sequence[float], units: Sequence[Unit]) -> Choice:
        """Blend and rule by these units."""
        counts = {share: [self._counts[share, u] for u in units] for share in blends}
        mitoses = sum(int(u.holds(self.samples[u.field].centroids_yx()).sum()) for u in units)
        return choose(counts, mitoses, self.rule, grid_about(self.parent[0], self.rule), self.weight)

    def judged(self, blends: Sequence[float], chosen: Choice) -> list[Judged]:
        """Each field under the child's rule, and under rules that were chosen without its fold."""
        units = self.units(blends)
        tables: dict[int, tuple[list[pd.DataFrame], list[pd.DataFrame]]] = {}
        for held in self.folds:
            mine = [u for u in held if u in units]
            if not mine:
                continue
            other = self.choice(blends, [u for u in units if u not in held])
            for unit in mine:
                parts = tables.setdefault(unit.field, ([], []))
                for choice, part in zip((chosen, other), parts, strict=True):
                    table = decide(self._evidence[choice.blend, unit], choice.rule)
                    part.append(table[unit.holds(table[["y_px", "x_px"]].to_numpy())])
        judged_fields = []
        for i in sorted(tables):
            child, crossed = (pd.concat(p).sort_values("score", ascending=False, ignore_index=True) for p in tables[i])
            judged_fields.append(replace(self.against_parent(i, child), crossed=crossed))
        return judged_fields

    def judged_by(self, blends: Sequence[float], choice: Choice) -> list[Judged]:
        """Each field under one rule, without those that were chosen without it."""
        return [replace(field, crossed=None) for field in self.judged(blends, choice)]

    def against_parent(self, i: int, child: pd.DataFrame) -> Judged:
        """Field `i` as the parent decides on it, beside these detections."""
        evidence, sample = self.parent[i], self.samples[i]
        truth = sample.centroids_yx()
        return Judged(i, sample.field.shape, evidence.mpp, truth, decide(evidence, self.rule), child)
