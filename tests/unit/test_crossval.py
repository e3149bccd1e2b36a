"""Folds never mix, and no rule is chosen on the fields that it decides."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from napari_mitosis.datasets.sample import Sample
from napari_mitosis.decision.decide import Rule
from napari_mitosis.decision.evidence import Evidence
from napari_mitosis.fields.field import Field
from napari_mitosis.jobs import run
from napari_mitosis.measures.sweep import Grid, choose_rule
from napari_mitosis.tables import annotations_frame
from napari_mitosis.training.crossval import Scored, count_all, cross_fitted_rules, folds, measure


def make_sample(name: str, case: str, n: int = 3) -> Sample:
    field = Field.from_array(np.zeros((240, 240, 3), dtype=np.uint8), 0.25, name)
    points = annotations_frame([40.0 + 60 * i for i in range(n)], [60.0] * n)
    return Sample(field, points, case=case, dataset="test")


SAMPLES = [make_sample(f"{case}_{i:02}", case) for case, n in (("A", 5), ("B", 4), ("C", 2)) for i in range(n)]


@pytest.mark.parametrize("protocol", ["S", "N"])
def test_every_field_is_tested_once(protocol):
    dealt = folds(SAMPLES, protocol)
    assert sorted(i for test in dealt.values() for i in test) == list(range(len(SAMPLES)))


def test_new_slide_folds_share_no_slide_with_their_training():
    for test in folds(SAMPLES, "N").values():
        tested = {SAMPLES[i].case for i in test}
        assert len(tested) == 1
        assert not any(s.case in tested for i, s in enumerate(SAMPLES) if i not in test)


def test_same_slide_folds_take_one_field_in_four_of_each_slide():
    dealt = folds(SAMPLES, "S")
    assert len(dealt) == 4
    for test in dealt.values():
        cases = [SAMPLES[i].case for i in test]
        assert cases.count("A") in (1, 2)
        assert cases.count("B") == 1


def scored(sample: Sample, fold: str, false_score: float) -> Scored:
    """A map that finds all mitoses at .9 and as many false figures at `false_score`."""
    cells = np.zeros((60, 60), dtype=np.float16)
    for y, x in sample.centroids_yx():
        row, column = int(y / 4), int(x / 4)
        cells[row - 2 : row + 3, column - 2 : column + 3] = 0.9
        cells[row - 2 : row + 3, column + 23 : column + 28] = false_score
    evidence = Evidence({"score": cells}, 4, (240, 240), 0.25, "test@1", sample.field.digest)
    return Scored(sample, fold, evidence, evidence)


def test_a_fold_is_decided_by_a_rule_from_other_fields_of_both_protocols():
    a, b, c = SAMPLES[0], SAMPLES[1], SAMPLES[5]
    both = [
        scored(a, "S-0", 0.85),
        scored(b, "S-1", 0.4),
        scored(a, "N-A", 0.85),
        scored(b, "N-A", 0.4),
        scored(c, "N-B", 0.3),
    ]
    counts = run(count_all(both, Rule(), 7.5))
    rules = cross_fitted_rules(both, counts, Rule())
    # Field a stands in S-0 and in N-A: neither of its entries may speak for S-0.
    expected, _ = choose_rule([counts[i] for i in (1, 3, 4)], 9, Rule(), Grid())
    assert rules["S-0"] == expected
    expected, _ = choose_rule([counts[4]], 3, Rule(), Grid())
    assert rules["N-A"] == expected
    pooled = measure([s for s in both if s.fold[0] == "S"], rules, 7.5)
    assert pooled.counts.tp == 6
    assert list(pooled.per_field["field"]) == [a.field.name, b.field.name]


def test_names_of_folds_sort_as_they_are_dealt():
    names = list(folds(SAMPLES, "S"))
    assert all(x < y for x, y in pairwise(names))
