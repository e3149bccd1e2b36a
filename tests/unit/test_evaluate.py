"""Matching and measures against cases worked out by hand, and against slower ways to the same figures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mitosis.measures.evaluate import (
    MATCH_RADII_UM,
    Counts,
    FieldResult,
    average_precision,
    bootstrap_interval,
    evaluate,
    match,
    pr_curve,
)
from napari_mitosis.tables import DETECTION_COLUMNS, check_detections

MPP = 0.25


def detections(*rows: tuple[float, float, float]) -> pd.DataFrame:
    """A detections frame of (y_px, x_px, score), best first."""
    table = np.array(sorted(rows, key=lambda row: -row[2]), dtype=np.float64).reshape(-1, 3)
    y, x, score = table.T
    columns = [y, x, y * MPP, x * MPP, score, np.full(len(table), 30.0)]
    return check_detections(pd.DataFrame(np.stack(columns, axis=1), columns=list(DETECTION_COLUMNS)))


def field(
    rows: Sequence[tuple[float, float, float]], truth: Sequence[tuple[float, float]], name: str = "f"
) -> FieldResult:
    return FieldResult(name, "slide", detections(*rows), np.array(truth, dtype=np.float64).reshape(-1, 2), MPP)


def test_radii_are_those_of_the_contests() -> None:
    at_quarter_um = {name: radius / 0.25 for name, radius in MATCH_RADII_UM.items()}
    assert at_quarter_um == {"icpr2012": 20, "amida13": 30, "tupac16": 30, "midog": 30, "icpr2014": 32}


def test_one_truth_is_matched_once_by_the_best_score() -> None:
    # The nearer detection has the lower score: it is the false positive.
    found = match(detections((100, 100, 0.6), (100, 110, 0.9)), [(100, 100)], 5.0, MPP)
    assert found.pairs.tolist() == [[0, 0]]
    assert found.false_positives.tolist() == [1]
    assert found.counts == Counts(1, 1, 0)


def test_a_detection_takes_the_nearest_truth_that_is_free() -> None:
    truth = [(100, 100), (100, 115)]
    found = match(detections((100, 109, 0.9), (100, 112, 0.5)), truth, 5.0, MPP)
    # 109 is nearer to 115 and takes it, so 112 gets 100, which is 12 px away.
    assert found.pairs.tolist() == [[0, 1], [1, 0]]
    assert found.counts == Counts(2, 0, 0)
    # Greedy, as the contests match: best first takes the nearest, and the other one goes without.
    truth = [(100, 100), (100, 125)]
    found = match(detections((100, 115, 0.9), (100, 140, 0.5)), truth, 5.0, MPP)
    assert found.pairs.tolist() == [[0, 1]]
    assert (found.false_positives.tolist(), found.false_negatives.tolist()) == ([1], [0])


@pytest.mark.parametrize(("x", "hits"), [(120.0, 1), (120.01, 0)])
def test_the_radius_itself_still_matches(x: float, hits: int) -> None:
    assert match(detections((100, x, 0.9)), [(100, 100)], 5.0, MPP).counts == Counts(hits, 1 - hits, 1 - hits)


def test_the_radius_is_in_micrometres() -> None:
    one = detections((100, 130, 0.9))
    assert match(one, [(100, 100)], 7.5, 0.25).counts.tp == 1
    assert match(one, [(100, 100)], 7.5, 0.26).counts.tp == 0
    for radius_um, mpp in ((0, 0.25), (5, 0), (math.nan, 0.25)):
        with pytest.raises(ValueError, match="positive"):
            match(one, [(100, 100)], radius_um, mpp)


def test_nothing_to_match() -> None:
    assert match(detections(), [], 5, MPP).counts == Counts(0, 0, 0)
    assert match(detections((1, 1, 0.5)), [], 5, MPP).counts == Counts(0, 1, 0)
    assert match(detections(), [(1, 1), (2, 2)], 5, MPP).counts == Counts(0, 0, 2)


points = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)


@settings(max_examples=200, deadline=None)
@given(points, points, st.randoms(use_true_random=False))
def test_matching_is_one_to_one_and_greedy(
    found: list[tuple[int, int]], truth: list[tuple[int, int]], random: object
) -> None:
    scores = np.linspace(0.9, 0.1, len(found))
    table = detections(*((y, x, s) for (y, x), s in zip(found, scores, strict=True)))
    matching = match(table, truth, 5.0, MPP)
    rows, truths = matching.pairs[:, 0].tolist(), matching.pairs[:, 1].tolist()
    assert sorted(rows + matching.false_positives.tolist()) == list(range(len(found)))
    assert sorted(truths + matching.false_negatives.tolist()) == list(range(len(truth)))
    free = set(range(len(truth)))
    for i, (y, x) in enumerate(found):
        near = [(math.hypot(y - truth[j][0], x - truth[j][1]), j) for j in free]
        near = [one for one in near if one[0] * MPP <= 5.0]
        assert (i in rows) == bool(near)
        if near:
            taken = truths[rows.index(i)]
            assert math.hypot(y - truth[taken][0], x - truth[taken][1]) == min(near)[0]
            free.discard(taken)


def test_measures_by_hand() -> None:
    counts = Counts(6, 2, 4)
    assert (counts.precision, counts.recall) == (0.75, 0.6)
    assert counts.f == pytest.approx(2 * 0.75 * 0.6 / (0.75 + 0.6))
    assert counts + Counts(1, 2, 3) == Counts(7, 4, 7)
    assert math.isnan(Counts(0, 0, 3).precision)
    assert Counts(0, 0, 3).f == 0.0
    assert math.isnan(Counts(0, 3, 0).recall)
    assert math.isnan(Counts().f)


def test_fields_without_mitoses_count() -> None:
    results = [
        field([(10, 10, 0.9), (50, 50, 0.8)], [(12, 10), (90, 90)], "a"),
        field([(30, 30, 0.7)], [], "empty, one false"),
        field([], [], "empty"),
    ]
    got = evaluate(results, 5.0)
    assert got.counts == Counts(1, 2, 1)
    assert got.per_field["field"].tolist() == ["a", "empty, one false", "empty"]
    assert got.per_field["mitoses"].tolist() == [2, 0, 0]
    assert got.per_field["fp"].tolist() == [1, 1, 0]
    assert (got.counts.precision, got.counts.recall, got.counts.f) == (1 / 3, 0.5, 0.4)
    assert got.radius_um == 5.0
    assert evaluate([], 5.0).counts == Counts()
    assert list(evaluate([], 5.0).per_field.columns) == list(got.per_field.columns)


def test_curve_by_hand() -> None:
    results = [
        field([(10, 10, 0.9), (50, 50, 0.8), (90, 90, 0.6)], [(10, 10), (90, 90)]),
        field([(20, 20, 0.8), (60, 60, 0.3)], [(60, 60), (5, 90)]),
    ]
    curve = pr_curve(results, 5.0)
    assert curve["threshold"].tolist() == [0.9, 0.8, 0.6, 0.3]
    assert curve[["tp", "fp", "fn"]].to_numpy().tolist() == [[1, 0, 3], [1, 2, 3], [2, 2, 2], [3, 2, 1]]
    assert curve["precision"].tolist() == [1, 1 / 3, 0.5, 0.6]
    assert curve["recall"].tolist() == [0.25, 0.25, 0.5, 0.75]
    assert average_precision(curve) == pytest.approx(0.25 * 1 + 0 + 0.25 * 0.5 + 0.25 * 0.6)
    assert pr_curve([], 5.0).empty
    assert average_precision(pr_curve([field([], [(1, 1)])], 5.0)) == 0.0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(points, points), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_each_row_of_the_curve_is_an_evaluation_at_that_threshold(
    fields: list[tuple[list[tuple[int, int]], list[tuple[int, int]]]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    results = [field([(y, x, float(rng.integers(1, 9)) / 10) for y, x in found], truth) for found, truth in fields]
    for row in pr_curve(results, 5.0).itertuples():
        total = Counts()
        for r in results:
            above = r.detections[r.detections["score"] >= row.threshold]
            total = total + match(above, r.truth_yx, 5.0, MPP).counts
        assert (total.tp, total.fp, total.fn) == (row.tp, row.fp, row.fn)


def test_bootstrap() -> None:
    same = [Counts(3, 1, 1)] * 8
    assert bootstrap_interval(same) == {"precision": (0.75, 0.75), "recall": (0.75, 0.75), "f": (0.75, 0.75)}
    rng = np.random.default_rng(1)
    fields = [Counts(int(t), int(f), int(m)) for t, f, m in rng.integers(0, 6, (30, 3))]
    total = sum(fields, Counts())
    found = bootstrap_interval(fields, seed=3)
    assert found == bootstrap_interval(fields, seed=3) != bootstrap_interval(fields, seed=4)
    for name, (low, high) in found.items():
        assert low < getattr(total, name) < high
        narrow = bootstrap_interval(fields, seed=3, level=0.5)[name]
        assert low < narrow[0] < narrow[1] < high
    # Draws of fields with replacement, one by one.
    slow = []
    again = np.random.default_rng(3)
    for draw in again.integers(30, size=(2000, 30)):
        slow.append(sum((fields[i] for i in draw), Counts()).f)
    assert found["f"] == pytest.approx(tuple(np.percentile(slow, [2.5, 97.5])))


def test_bootstrap_where_a_measure_is_undefined() -> None:
    # Precision is undefined in draws without any detection: those are left out.
    found = bootstrap_interval([Counts(1, 0, 0), Counts(0, 0, 1)])
    assert found["precision"] == (1.0, 1.0)
    assert found["recall"] == (0.0, 1.0)
    assert all(math.isnan(end) for ends in bootstrap_interval([]).values() for end in ends)
    assert math.isnan(bootstrap_interval([Counts(0, 0, 1)])["precision"][0])
