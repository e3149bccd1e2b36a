"""Decisions worked out by hand: what a blob is, where it is, what stays, and what a bad map gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from napari_mitosis.decision.decide import Decider, Rule, decide, decide_per_tile, threshold_per_tile
from napari_mitosis.decision.evidence import Evidence
from napari_mitosis.tables import DETECTION_COLUMNS, check_detections

# Nothing but the threshold decides, and the map is taken as it is.
PLAIN = Rule(smoothing_um=0, threshold=0.25, min_area_um2=0, min_score=0, min_distance_um=0)


def evidence_of(*maps: Any, stride: float = 1, mpp: float = 1.0, names: Sequence[str] = ("a", "b", "c")) -> Evidence:
    """Evidence with one map cell for each value; cells of 1 um unless told."""
    arrays = [np.asarray(m, dtype=np.float16) for m in maps]
    h, w = arrays[0].shape
    shape = (math.ceil(h * stride), math.ceil(w * stride))
    return Evidence(dict(zip(names, arrays, strict=False)), stride, shape, mpp, "test@1", "digest")


def blob_map(shape: tuple[int, int], *blobs: tuple[slice, slice, float]) -> np.ndarray:
    score = np.zeros(shape, dtype=np.float16)
    for ys, xs, value in blobs:
        score[ys, xs] = value
    return score


def test_one_blob_by_hand() -> None:
    score = np.zeros((6, 8))
    score[2, 3], score[2, 4], score[3, 3] = 0.5, 1.0, 0.75
    found = decide(evidence_of(score, stride=4, mpp=0.25), PLAIN)
    # Sum 2.25; y = (2 * 1.5 + 3 * .75) / 2.25 = 2 1/3; x = (3 * 1.25 + 4 * 1) / 2.25 = 3 4/9.
    y_px, x_px = (7 / 3 + 0.5) * 4 - 0.5, (31 / 9 + 0.5) * 4 - 0.5
    assert list(found.columns) == list(DETECTION_COLUMNS)
    expected = [y_px, x_px, y_px * 0.25, x_px * 0.25, 0.75, 3.0]
    assert found.to_numpy()[0].tolist() == pytest.approx(expected, abs=1e-12)
    assert len(found) == 1


@pytest.mark.parametrize("smoothing_um", [0.0, 0.5, 0.8, 1.3, 2.0])
@pytest.mark.parametrize("side", [3, 4])
def test_smoothing_does_not_shift(smoothing_um: float, side: int) -> None:
    score = blob_map((41, 41), (slice(20, 20 + side), slice(10, 10 + side), 1.0))
    rule = replace(PLAIN, smoothing_um=smoothing_um, threshold=0.05)
    found = decide(evidence_of(score), rule)
    centre = np.array([20, 10]) + (side - 1) / 2
    assert found[["y_px", "x_px"]].to_numpy()[0] == pytest.approx(centre, abs=1e-5)


def test_smoothing_is_in_micrometres_of_tissue() -> None:
    score = np.zeros((31, 31))
    score[15, 15] = 1
    at = {}
    for stride, mpp in ((1, 1.0), (4, 0.25), (4, 0.5)):
        at[stride, mpp] = Decider(evidence_of(score, stride=stride, mpp=mpp)).smoothed(replace(PLAIN, smoothing_um=2.0))
    assert np.array_equal(at[1, 1.0], at[4, 0.25])
    # Cells of 2 um: sigma is one cell, and the peak of a Gaussian of one cell is 1 / (2 pi) within a percent.
    assert at[4, 0.5][15, 15] == pytest.approx(1 / (2 * math.pi), rel=0.01)


def test_diagonal_neighbours_are_one_blob_and_row_ends_are_not() -> None:
    diagonal = np.zeros((6, 6))
    diagonal[[1, 2, 3], [1, 2, 1]] = 0.5
    assert decide(evidence_of(diagonal), PLAIN)["area_um2"].tolist() == [3.0]
    wrapped = np.zeros((5, 5))
    wrapped[1, 4] = wrapped[2, 0] = wrapped[3, 0] = 0.5
    assert sorted(decide(evidence_of(wrapped), PLAIN)["area_um2"]) == [1.0, 2.0]


def test_every_bound_is_on_the_side_that_is_documented() -> None:
    score = blob_map((9, 9), (slice(1, 3), slice(1, 3), 0.5))  # 4 um2 of 0.5
    evidence = evidence_of(score)

    def count(**changes: Any) -> int:
        return len(decide(evidence, replace(PLAIN, **changes)))

    assert (count(threshold=0.499), count(threshold=0.5)) == (1, 0)
    assert (count(min_area_um2=3.99), count(min_area_um2=4.0)) == (1, 0)
    assert (count(max_area_um2=4.0), count(max_area_um2=3.99)) == (1, 0)
    assert (count(min_score=0.49), count(min_score=0.5)) == (1, 0)


def test_min_distance_goes_best_first() -> None:
    # In a row, 5 um apart: the best beats its neighbour, so the neighbour beats nobody.
    score = np.zeros((5, 30))
    score[2, [5, 10, 15, 25]] = 0.5, 0.75, 1.0, 0.625
    found = decide(evidence_of(score), replace(PLAIN, min_distance_um=6.0))
    assert found["x_px"].tolist() == [15, 25, 5]
    # Exactly at the distance both stay.
    assert len(decide(evidence_of(score), replace(PLAIN, min_distance_um=5.0))) == 4
    assert decide(evidence_of(score), replace(PLAIN, min_distance_um=5.001))["x_px"].tolist() == [15, 25, 5]


def test_a_blob_that_was_filtered_out_suppresses_nobody() -> None:
    score = np.zeros((5, 20))
    score[2, 5], score[2, 8:11] = 1.0, 0.5
    rule = replace(PLAIN, min_distance_um=10.0, min_area_um2=2.0)
    assert decide(evidence_of(score), rule)["area_um2"].tolist() == [3.0]


def test_order_is_score_then_y_then_x() -> None:
    score = np.zeros((9, 9))
    score[[7, 1, 1, 4], [1, 7, 1, 4]] = 0.5, 0.5, 0.5, 0.75
    found = decide(evidence_of(score), PLAIN)
    assert found[["y_px", "x_px"]].to_numpy().tolist() == [[4, 4], [1, 1], [1, 7], [7, 1]]


def test_fusion_weights() -> None:
    a, b = blob_map((9, 9), (slice(2, 4), slice(2, 4), 1.0)), blob_map((9, 9), (slice(6, 8), slice(6, 8), 1.0))
    evidence = evidence_of(a, b)
    assert decide(evidence, PLAIN)["score"].tolist() == [0.5, 0.5]
    found = decide(evidence, replace(PLAIN, threshold=0.2, weights=(("a", 1), ("b", 3))))
    assert found["score"].tolist() == [0.75, 0.25]
    assert decide(evidence, replace(PLAIN, weights=(("b", 2),)))["y_px"].tolist() == [6.5]
    with pytest.raises(ValueError, match="no score map 'z'; there are: a, b"):
        decide(evidence, replace(PLAIN, weights=(("z", 1),)))


def test_a_fused_score_stays_a_probability() -> None:
    ones = np.zeros((12, 12))
    ones[3:9, 3:9] = 1
    # Shares of 2:4:1 and 3:5:1 add up to more than 1 in float32.
    for shares, smoothing_um in product(((2, 4, 1), (3, 5, 1), (1, 1, 1)), (0.0, 0.7)):
        rule = replace(PLAIN, smoothing_um=smoothing_um, weights=tuple(zip("abc", shares, strict=True)))
        check_detections(decide(evidence_of(ones, ones, ones), rule))
        assert Decider(evidence_of(ones, ones, ones)).smoothed(rule).max() <= 1


def test_otsu_splits_the_whole_field_and_keeps_to_its_floor() -> None:
    score = blob_map((40, 40), (slice(10, 15), slice(10, 15), 0.875), (slice(30, 33), slice(30, 33), 0.75))
    score[score == 0] = 0.3
    decider, rule = Decider(evidence_of(score)), replace(PLAIN, threshold="otsu", floor=0.2)
    assert 0.3 < decider.threshold(rule) < 0.75
    assert len(decider.decide(rule)) == 2
    assert decider.threshold(replace(rule, floor=0.8)) == 0.8
    assert decider.decide(replace(rule, floor=0.8))["area_um2"].tolist() == [25.0]
    assert decider.threshold(replace(rule, threshold=0.3)) == 0.3


def test_noise_without_mitosis_gives_nothing() -> None:
    noise = np.random.default_rng(3).uniform(0.0, 0.15, (200, 200))
    evidence = evidence_of(noise, stride=4, mpp=0.25)
    loose = Rule(floor=0.0, min_score=0.0, min_area_um2=0.0)
    assert len(decide(evidence, loose)) > 50  # what Otsu makes of noise
    assert decide(evidence, replace(loose, floor=Rule().floor)).empty
    assert decide(evidence, Rule()).empty


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(0, 0), (0, 7), (1, 1), (1, 5), (2, 2), (64, 64)])
def test_flat_maps_give_nothing(shape: tuple[int, int], value: float) -> None:
    evidence = evidence_of(np.full(shape, value))
    for smoothing_um in (0.0, 0.5, 3.0):
        rule = Rule(smoothing_um=smoothing_um, min_area_um2=0, min_score=0, floor=0)
        found = check_detections(decide(evidence, rule))
        assert found.empty
        assert Decider(evidence).candidates(rule).empty


def test_blobs_at_borders_and_corners() -> None:
    score = np.zeros((12, 12))
    score[0, 0] = score[11, 11] = score[0, 11] = score[5, 0] = score[6, 11] = 0.5
    found = decide(evidence_of(score, stride=4, mpp=0.25), PLAIN)
    assert len(found) == 5
    assert found["y_px"].iloc[0] == 1.5  # the centre of pixels 0 to 3
    assert found["y_px"].max() == 45.5
    assert len(decide(evidence_of(score), replace(PLAIN, smoothing_um=0.5, threshold=0.1))) == 5


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.1, 1.5])
def test_a_map_of_no_probabilities_is_refused(bad: float) -> None:
    score = np.zeros((4, 4))
    score[1, 1] = bad
    with pytest.raises(ValueError, match="'b' of test@1 holds values that are no probabilities"):
        decide(evidence_of(np.zeros((4, 4)), score), Rule())


def test_no_map_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="no score map"):
        decide(Evidence({}, 4, (8, 8), 0.25, "test@1", "digest"), Rule())


def test_a_caller_cannot_change_what_is_remembered() -> None:
    score = blob_map((20, 20), (slice(3, 6), slice(3, 6), 0.5), (slice(12, 15), slice(12, 15), 0.75))
    decider = Decider(evidence_of(score))
    before = decider.decide(PLAIN)
    for mine in (decider.candidates(PLAIN), decider.decide(PLAIN)):
        mine.loc[:, "score"] = 0.0
    assert decider.decide(PLAIN).equals(before)
    with pytest.raises(ValueError, match="read-only"):
        decider.smoothed(PLAIN)[0, 0] = 1


def test_what_is_remembered_is_that_of_the_rule() -> None:
    """Back and forth between two smoothings, two fusions and two thresholds, each in turn."""
    score = blob_map((24, 24), (slice(3, 8), slice(3, 8), 0.5), (slice(12, 15), slice(12, 18), 0.875))
    other = blob_map((24, 24), (slice(16, 22), slice(4, 10), 0.75), (slice(12, 15), slice(12, 18), 0.5))
    evidence = evidence_of(score, other)
    decider = Decider(evidence)
    first = replace(PLAIN, threshold="otsu", floor=0.0)
    changes: list[dict[str, Any]] = [{"smoothing_um": 2.0}, {"weights": (("b", 1),)}, {"threshold": 0.6}]
    for change in changes:
        for rule in (first, replace(first, **change), first):
            fresh = Decider(evidence)
            assert decider.threshold(rule) == fresh.threshold(rule), change
            assert np.array_equal(decider.smoothed(rule), fresh.smoothed(rule)), change
            assert decider.decide(rule).equals(fresh.decide(rule)), change
        assert not decider.decide(first).equals(decider.decide(replace(first, **change)))


def test_otsu_per_tile_differs_where_a_tile_has_no_mitosis() -> None:
    rng = np.random.default_rng(0)
    score = rng.uniform(0.0, 0.1, (64, 64)).astype(np.float32)
    score[10:16, 10:16] = 0.9
    thresholds = threshold_per_tile(score, 32)
    assert thresholds.shape == score.shape
    assert len(np.unique(thresholds)) == 4
    assert thresholds[0, 0] > 0.1 > thresholds[40, 40]
    assert threshold_per_tile(score, 32, floor=0.2).min() == 0.2
    evidence = evidence_of(score, stride=4, mpp=0.25)
    loose = replace(PLAIN, threshold="otsu", floor=0.0)
    assert len(decide(evidence, loose)) == 1
    assert len(decide_per_tile(evidence, loose, 128)) > 20
    assert len(decide_per_tile(evidence, replace(loose, floor=0.2), 128)) == 1
    # One tile is the whole field.
    assert decide_per_tile(evidence, loose, 256).equals(decide(evidence, loose))
    with pytest.raises(ValueError, match="tile_cells"):
        threshold_per_tile(score, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("smoothing_um", -0.1),
        ("smoothing_um", math.nan),
        ("smoothing_um", math.inf),
        ("smoothing_um", "1"),
        ("threshold", 1.1),
        ("threshold", -0.1),
        ("threshold", "Otsu"),
        ("threshold", None),
        ("threshold", True),
        ("floor", 1.0),
        ("floor", -0.1),
        ("floor", math.nan),
        ("min_area_um2", -1),
        ("min_area_um2", math.inf),
        ("max_area_um2", 5.0),
        ("max_area_um2", math.nan),
        ("min_score", 1.1),
        ("min_score", math.nan),
        ("min_distance_um", -1),
        ("weights", (("a", -1),)),
        ("weights", (("a", math.nan),)),
        ("weights", (("a", 0), ("b", 0))),
        ("weights", (("a", 1), ("a", 2))),
    ],
)
def test_a_rule_names_its_bad_field(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        Rule(**{name: value})


def test_rules_are_plain_and_comparable() -> None:
    rule = Rule(threshold=np.float32(0.5), min_area_um2=np.int64(7), weights=[["a", 1]])  # type: ignore[arg-type]
    assert rule == Rule(threshold=0.5, min_area_um2=7.0, weights=(("a", 1.0),))
    assert {type(rule.threshold), type(rule.min_area_um2)} == {float}
    assert hash(rule) == hash(Rule(threshold=0.5, min_area_um2=7, weights=(("a", 1.0),)))
