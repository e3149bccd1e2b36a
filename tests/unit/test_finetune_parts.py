"""Units, material, the choice of a rule and the gate: what a fine-tuning is put together from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mitosis.datasets.sample import Sample
from napari_mitosis.decision.decide import Rule, decide
from napari_mitosis.decision.evidence import Evidence
from napari_mitosis.fields.field import Field
from napari_mitosis.finetune.child_rule import choose, count_unit, grid_about
from napari_mitosis.finetune.folds import folds, quarters, whole, within
from napari_mitosis.finetune.follow_up import follow_up
from napari_mitosis.finetune.gate import Judged, judge
from napari_mitosis.finetune.held_out import false_weight
from napari_mitosis.finetune.material import Known, Material, annotated, distilled, without
from napari_mitosis.finetune.tune import judged_batch
from napari_mitosis.tables import annotations_frame
from napari_mitosis.training.augment import plain
from napari_mitosis.training.stain import Colour

MPP = 0.25
SHAPE = (256, 320)
RULE = Rule(smoothing_um=0.0, threshold=0.3, min_area_um2=5.0, min_score=0.3)


def blobs(places: dict[tuple[int, int], float], shape: tuple[int, int] = SHAPE) -> Evidence:
    """A score map with a square of 24 px at each place (y, x), multiples of 4, of the given score."""
    scores = np.zeros((shape[0] // 4, shape[1] // 4), dtype=np.float16)
    for (y, x), score in places.items():
        scores[y // 4 - 3 : y // 4 + 3, x // 4 - 3 : x // 4 + 3] = score
    return Evidence({"score": scores}, 4.0, shape, MPP, "drawn@1", "0")


def sample(mitoses: list[tuple[int, int]], mimics: list[tuple[int, int]] = []) -> Sample:  # noqa: B006
    pixels = np.random.default_rng(0).integers(0, 255, (*SHAPE, 3), dtype=np.uint8)
    points = np.array([*mitoses, *mimics], dtype=float).reshape(-1, 2)
    labels = ["mitosis"] * len(mitoses) + ["mimic"] * len(mimics)
    return Sample(Field.from_array(pixels, MPP, "drawn"), annotations_frame(points[:, 0], points[:, 1], labels))


# Units


@given(st.integers(3, 400), st.integers(3, 400), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_every_point_lies_in_one_quarter_and_in_the_whole(h, w, seed):
    points = np.random.default_rng(seed).uniform((-0.5, -0.5), (h - 0.5, w - 0.5), (50, 2))
    assert (sum(u.holds(points).astype(int) for u in quarters(0, (h, w))) == 1).all()
    assert whole(0, (h, w)).holds(points).all()


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 11])
def test_each_field_is_left_out_once(count):
    made = folds([SHAPE] * count)
    if count == 1:
        points = np.random.default_rng(0).uniform(0, SHAPE, (99, 2))
        assert (made[0][0].holds(points) != made[1][0].holds(points)).all()
    else:
        assert sorted(u.field for held in made for u in held) == list(range(count))
    assert len(made) == (2 if count == 1 else min(3, count))


def test_fields_of_a_patient_are_left_out_together():
    made = folds([SHAPE] * 6, ["Ann", "Bob", "Ann", "", "Bob", "Cid"])
    assert [[u.field for u in held] for held in made] == [[0, 2, 5], [1, 4], [3]]
    assert folds([SHAPE] * 6, ["Ann", "", "Ann", "Ann", "Ann", "Ann"]) == folds([SHAPE] * 6)


def test_evidence_within_a_unit_is_empty_elsewhere():
    evidence = blobs({(60, 60): 0.9, (60, 260): 0.8})
    left = within(evidence, folds([SHAPE])[0][0])
    assert decide(left, RULE)["x_px"].round().tolist() == decide(evidence, RULE)["x_px"].round().tolist()[:1]
    assert evidence.maps["score"][15, 65] > 0  # the original is as it was


# Material


def test_an_unannotated_nucleus_is_no_negative_unless_the_field_is_complete():
    evidence = blobs({(60, 60): 0.9, (180, 240): 0.7})
    reader = sample([(60, 60)])
    complete = annotated(reader, True, evidence, RULE)
    assert complete.unknown is None
    np.testing.assert_allclose(complete.places_yx, [[177.5, 237.5]], atol=4)
    partly = annotated(reader, False, evidence, RULE)
    assert partly.unknown is not None
    assert partly.unknown[180, 240]
    assert not len(partly.places_yx)
    assert not partly.unknown[120, 150]  # silent tissue is background


def test_what_the_reader_called_a_mimic_is_known_to_be_background():
    known = annotated(sample([], [(180, 240)]), False, blobs({(180, 240): 0.9}), RULE)
    assert known.unknown is not None
    assert not known.unknown[180, 240]


def test_tissue_teaches_what_its_parent_is_sure_of():
    known = distilled(sample([]), blobs({(60, 60): 0.95, (180, 240): 0.4}), RULE)
    assert known.sample.centroids_yx().round(-1).tolist() == [[60, 60]]
    assert known.unknown is not None
    assert known.unknown[180, 240]


def test_a_part_that_is_left_out_teaches_nothing():
    known = annotated(sample([(60, 60), (180, 240)], [(60, 240)]), True, blobs({(200, 100): 0.5}), RULE)
    half = without(known, [(-1.0, 160.0, 257.0, 321.0)])
    assert half.sample.centroids_yx().tolist() == [[60, 60]]
    assert not len(half.sample.centroids_yx("mimic"))
    assert half.unknown is not None
    assert half.unknown[:, 160:].all()
    assert not half.unknown[:, :160].any()
    assert len(half.places_yx) == 1


def test_a_batch_has_the_shares_that_were_asked_for():
    known = annotated(sample([(60, 60)], [(180, 240)]), True, blobs({}), RULE)
    tissue = distilled(sample([]), blobs({(120, 120): 0.95}), RULE)
    rng = np.random.default_rng(0)
    windows = Material([known], [tissue], 96, (0.25, 0.25, 0.0, 0.5)).draw(rng, 16)
    assert len(windows) == 16
    assert all(((w.mitoses_yx > -48) & (w.mitoses_yx < 144)).all(axis=1).any() for w in windows[:4])
    alone = Material([known], [], 96, (0.25, 0.25, 0.0, 0.5)).draw(rng, 16)
    assert len(alone) == 16


# The choice of a rule


def test_a_threshold_that_drifted_is_put_right():
    # The child scores everything lower: the parent's rule would see nothing.
    truth = np.array([[60.0, 60.0], [180.0, 240.0], [60.0, 240.0]])
    evidence = blobs({(60, 60): 0.28, (180, 240): 0.26, (60, 240): 0.27, (200, 60): 0.12})
    grid = grid_about(evidence, RULE)
    counts = {1.0: [count_unit(evidence, truth, whole(0, SHAPE), RULE)] * 5}
    choice = choose(counts, 15, RULE, grid)
    found = decide(evidence, choice.rule)
    assert len(found) == 3
    assert len(decide(evidence, RULE)) == 0
    assert choice.f == pytest.approx(1.0)


def test_few_figures_leave_the_rule_near_its_parents_and_none_leave_it():
    evidence = blobs({(60, 60): 0.9})
    truth = np.array([[60.0, 60.0]])
    grid = grid_about(evidence, RULE)
    counts = {0.0: [count_unit(evidence, truth, whole(0, SHAPE), RULE)]}
    one = choose(counts, 1, RULE, grid)
    assert abs(one.rule.min_score - RULE.min_score) <= 0.1
    assert one.rule.threshold == RULE.threshold
    assert choose(counts, 0, RULE, grid).rule == RULE


def test_of_children_that_are_equal_the_parent_is_taken():
    evidence = blobs({(60, 60): 0.9})
    count = [count_unit(evidence, np.array([[60.0, 60.0]]), whole(0, SHAPE), RULE)]
    assert choose({0.0: count, 0.5: count, 1.0: count}, 1, RULE, grid_about(evidence, RULE)).blend == 0.0


def test_smoothing_and_weights_are_never_changed():
    rule = replace(RULE, smoothing_um=1.3, weights=(("score", 1.0),), min_distance_um=8.5)
    evidence = blobs({(60, 60): 0.9})
    counts = {1.0: [count_unit(evidence, np.array([[60.0, 60.0]]), whole(0, SHAPE), rule)]}
    chosen = choose(counts, 1, rule, grid_about(evidence, rule)).rule
    assert (chosen.smoothing_um, chosen.weights, chosen.min_distance_um) == (1.3, rule.weights, 8.5)


def test_new_figures_are_seen_in_the_old_stain_and_old_ones_in_the_new():
    def stained(red: float, green: float, blue: float) -> Known:
        pixels = np.random.default_rng(0).normal((red, green, blue), 15, (*SHAPE, 3)).clip(1, 254).astype(np.uint8)
        figures = annotations_frame([120.0], [160.0], "mitosis")
        return Known(Sample(Field.from_array(pixels, MPP, "stained"), figures), None, np.empty((0, 2)))

    new, old = stained(220, 150, 190), stained(120, 90, 170)
    how = replace(plain(64), colour=Colour(stain=0.0, offset=0.0, transfer=1.0))
    material, rng = Material([new], [old], 96, (0.5, 0.0, 0.0, 0.5)), np.random.default_rng(0)
    bank = material.stains()
    assert bank is not None
    crops = judged_batch(material.draw(rng, 64), rng, how.in_stains_of(bank))[0]
    red = crops[:, 0].mean(dim=(1, 2)).numpy()
    for of, start, end in ((red[:32], 220, 120), (red[32:], 120, 220)):
        share = (of - start) / (end - start)  # of the way to the other stain
        assert share.min() < 0.15
        assert share.max() > 0.6
    assert Material([new], [], 96, (0.5, 0.0, 0.0, 0.5)).stains() is None  # one slide has nothing to lend


# The gate


def detections(points: list[tuple[float, float]]) -> pd.DataFrame:
    y, x = np.array(points, dtype=float).reshape(-1, 2).T
    return pd.DataFrame({"y_px": y, "x_px": x, "score": np.linspace(0.9, 0.5, len(points))})


TRUTH = [(40.0 * i + 20, 50.0 * j + 20) for i in range(5) for j in range(2)]


def judged(parent: list[tuple[float, float]], child: list[tuple[float, float]], fields: int = 3, truth=TRUTH):
    return judge(
        [
            Judged(i, SHAPE, MPP, np.array(truth).reshape(-1, 2), detections(parent), detections(child))
            for i in range(fields)
        ]
    )


def test_a_child_that_finds_more_is_offered_and_the_difference_is_shown():
    verdict = judged(TRUTH[:5], TRUTH)
    assert verdict.offered
    assert verdict.difference == pytest.approx(1 - 2 / 3)
    assert verdict.low > 0
    assert (len(verdict.found), len(verdict.lost), len(verdict.new_false)) == (15, 0, 0)
    assert (verdict.mitoses, verdict.fields) == (30, 3)
    assert "for the patient that it learned from only" in verdict.reason


def test_it_is_offered_for_others_only_where_two_patients_new_to_it_were_judged():
    def fields(patients: list[str], child: list[tuple[float, float]] = TRUTH) -> list[Judged]:
        tables = detections(TRUTH[:5]), detections(child), None
        return [Judged(i, SHAPE, MPP, np.array(TRUTH), *tables, patient) for i, patient in enumerate(patients)]

    one = judge(fields(["Ann", "Ann", ""]))
    assert (one.offered, one.for_others, len(one.patients)) == (True, False, 1)
    assert "for the patient that it learned from only" in one.reason
    two = judge(fields(["Ann", "Ann", "Bob"]))
    assert (two.offered, two.for_others) == (True, True)
    assert "judged on 2 patients that it did not learn from" in two.reason
    # It gains on two patients, and loses most of the mitoses of the third.
    third = Judged(3, SHAPE, MPP, np.array(TRUTH), detections(TRUTH[:5]), detections(TRUTH[:3]), None, "Cid")
    mixed = judge([*fields(["Ann", "Ann", "Bob"]), third])
    assert mixed.patients == pytest.approx((6 / 13 - 2 / 3, 1 / 3, 1 / 3))
    assert "1 of them is worse" in mixed.reason
    # Without a mitosis nothing is known of a patient.
    empty = Judged(3, SHAPE, MPP, np.empty((0, 2)), detections([]), detections([]), None, "Dan")
    assert not judge([*fields(["Ann", "Ann"]), empty]).for_others


def test_a_child_that_is_worse_is_not_offered():
    verdict = judged(TRUTH, [*TRUTH[:7], (230.0, 300.0)])
    assert not verdict.offered
    assert "worse" in verdict.reason
    assert len(verdict.lost) == 9
    assert [(s.field, s.y_px, s.x_px) for s in verdict.new_false] == [(i, 230.0, 300.0) for i in range(3)]


@pytest.mark.parametrize(("fields", "truth"), [(1, TRUTH), (3, TRUTH[:2]), (3, [])])
def test_too_little_evidence_is_said(fields, truth):
    verdict = judged([], list(truth), fields, truth)
    assert not verdict.offered
    assert verdict.reason.startswith("Too little evidence")


def test_a_gain_that_hangs_on_one_place_is_not_offered():
    # Better by one figure in one field, worse by one in another: the mean is a little above 0.
    fields = [
        Judged(0, SHAPE, MPP, np.array(TRUTH), detections(TRUTH[:4]), detections(TRUTH)),
        Judged(1, SHAPE, MPP, np.array(TRUTH), detections(TRUTH), detections(TRUTH[:5])),
    ]
    verdict = judge(fields)
    assert 0 < verdict.difference < 0.1
    assert not verdict.offered
    assert verdict.low < 0 < verdict.high


def test_a_child_that_learned_to_say_no_is_not_offered():
    false = [(100.0 + 12 * i, 300.0) for i in range(12)]
    verdict = judged([*TRUTH, *false], TRUTH[:7])  # precision .45 -> 1, recall 1 -> .7, F .62 -> .82
    assert verdict.difference > 0.15
    assert not verdict.offered
    assert "learned to say no" in verdict.reason
    assert "It loses 9 of the mitoses" in verdict.reason


def test_fields_with_many_false_detections_are_weighed_as_the_slide_is():
    assert false_weight([40.0, 60.0], [10.0, 15.0]) == pytest.approx(0.25)
    assert false_weight([40.0, 60.0], [10.0]) == 1.0  # one field is no slide
    assert false_weight([10.0, 10.0], [40.0, 60.0]) == 1.0
    assert false_weight([50.0], [0.0, 0.0]) == 0.1
    fields = [
        Judged(i, SHAPE, MPP, np.array(TRUTH), detections([*TRUTH[:6], *[(230.0, 150.0 + 20 * j) for j in range(8)]]),
               detections(TRUTH[:6]))
        for i in range(3)
    ]  # fmt: skip
    plain, weighed = judge(fields), judge(fields, false_weight=0.25)
    assert weighed.parent.precision == pytest.approx(6 / (6 + 0.25 * 8))
    assert weighed.difference < plain.difference
    assert "counted 0.25 times" in weighed.reason
    assert len(weighed.dropped_false) == len(plain.dropped_false) == 24


def test_versions_that_decide_alike_are_not_offered():
    verdict = judged(TRUTH[:6], TRUTH[:6])
    assert (verdict.offered, verdict.difference) == (False, 0.0)
    assert "nothing is gained" in verdict.reason


def test_a_rule_that_fits_only_what_it_was_chosen_on_is_worth_half():
    fields = [
        Judged(i, SHAPE, MPP, np.array(TRUTH), detections(TRUTH[:5]), detections(TRUTH), detections(TRUTH[:2]))
        for i in range(3)
    ]
    verdict = judge(fields)
    # 10 + 2 of 20 found, nothing false, against 10 of 20 by the parent.
    assert (verdict.child.precision, verdict.child.recall) == (1.0, pytest.approx(0.6))
    assert (verdict.parent.precision, verdict.parent.recall) == (1.0, pytest.approx(0.5))
    assert verdict.mitoses == 30
    assert len(verdict.found) == 15
    worse = judge([replace(field, crossed=detections([])) for field in fields])
    assert worse.difference == pytest.approx(0.0)
    assert not worse.offered


# After it was adopted


def test_a_version_that_is_worse_on_what_came_later_says_so_and_how_to_go_back():
    def fields(parent, child, count=3):
        return [Judged(i, SHAPE, MPP, np.array(TRUTH), detections(parent), detections(child)) for i in range(count)]

    worse = follow_up("segmitos@1.0.0+tuned.1", "segmitos@1.0.0", fields(TRUTH, TRUTH[:5]))
    assert worse.contradicted
    assert "models back segmitos" in worse.reason
    assert "loses 15 of the mitoses" in worse.reason
    better = follow_up("a@2", "a@1", fields(TRUTH[:5], TRUTH))
    assert not better.contradicted
    assert "holds up" in better.reason
    few = follow_up("a@2", "a@1", fields(TRUTH, [], 1))
    assert (few.contradicted, few.verdict) == (False, None)
    assert few.reason.startswith("Too little evidence")
