"""Decisions against a plain scikit-image reference, to the last bit of score and area."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import label, regionprops

from napari_mitosis.decision import blobs as blobs_module
from napari_mitosis.decision.blobs import Blobs, measure
from napari_mitosis.decision.decide import Decider, Rule, decide
from napari_mitosis.decision.evidence import Evidence
from napari_mitosis.tables import check_detections

NAMES = ("one", "two", "three")


def reference(evidence: Evidence, rule: Rule) -> NDArray[np.float64]:
    """The same decision, written down step by step as the paper has it: slow, and nothing remembered."""
    shares = dict(rule.weights) or dict.fromkeys(evidence.maps, 1.0)
    total = sum(shares.values())
    fused = np.zeros(next(iter(evidence.maps.values())).shape, dtype=np.float32)
    for name, share in shares.items():
        fused = fused + evidence.maps[name].astype(np.float32) * np.float32(share / total)
    cell_um = evidence.stride * evidence.mpp
    smooth = np.clip(fused, 0, 1)
    if rule.smoothing_um > 0:
        smooth = np.clip(ndimage.gaussian_filter(smooth, rule.smoothing_um / cell_um, mode="nearest"), 0, 1)
    if rule.threshold != "otsu":
        threshold = rule.threshold
    elif smooth.min() == smooth.max():
        threshold = 1.0
    else:
        threshold = max(float(threshold_otsu(smooth)), rule.floor)
    exact = smooth.astype(np.float64)
    rows = []
    for region in regionprops(label(exact > threshold, connectivity=2), intensity_image=exact):
        area_um2, score = region.area * cell_um**2, float(region.intensity_mean)
        if area_um2 > rule.min_area_um2 and area_um2 <= rule.max_area_um2 and score > rule.min_score:
            y_px, x_px = (np.array(region.centroid_weighted) + 0.5) * evidence.stride - 0.5
            rows.append((y_px, x_px, y_px * evidence.mpp, x_px * evidence.mpp, score, area_um2))
    # Rounded for the order only: two blobs in one line are in one line, whichever way the centroid is summed up.
    rows.sort(key=lambda row: (-row[4], round(row[0], 6), round(row[1], 6)))
    kept: list[tuple[float, ...]] = []
    for row in rows:
        if all(math.hypot(row[2] - one[2], row[3] - one[3]) >= rule.min_distance_um for one in kept):
            kept.append(row)
    return np.array(kept, dtype=np.float64).reshape(-1, 6)


def same(found: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
    assert found.shape == expected.shape
    assert np.array_equal(found[:, 4:], expected[:, 4:])
    np.testing.assert_allclose(found[:, :4], expected[:, :4], atol=1e-7, rtol=0)


@st.composite
def score_maps(draw: st.DrawFn) -> NDArray[np.float16]:
    """Noise, plateaus of few values, smooth hills, thin lines: what connects and what ties."""
    h, w = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    kind = draw(st.sampled_from(["noise", "plateaus", "hills", "sparse", "flat"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    score = rng.random((h, w))
    if kind == "plateaus":
        score = np.round(score * 4) / 4 if rng.random() < 0.5 else np.round(score * 10) / 10
    elif kind == "hills":
        score = ndimage.gaussian_filter(score, 2, mode="wrap")
        score = (score - score.min()) / max(float(np.ptp(score)), 1e-9)
    elif kind == "sparse":
        score = np.where(score > 0.85, rng.random((h, w)), 0)
    elif kind == "flat":
        score = np.full((h, w), rng.choice([0.0, 0.25, 0.3, 1.0]))
    return score.astype(np.float16)


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    first = draw(score_maps())
    maps = {NAMES[0]: first}
    for name in NAMES[1 : draw(st.integers(1, 3))]:
        maps[name] = np.roll(first, draw(st.integers(-3, 3)), axis=draw(st.integers(0, 1)))
    stride = draw(st.sampled_from([1.0, 2.0, 4.0, 3.7]))
    mpp = draw(st.sampled_from([0.25, 0.2456, 0.5]))
    shape = (math.ceil(first.shape[0] * stride), math.ceil(first.shape[1] * stride))
    return Evidence(maps, stride, shape, mpp, "test@1", "digest")


@st.composite
def rules(draw: st.DrawFn, evidence: Evidence) -> Rule:
    values = np.unique(np.concatenate([m.ravel() for m in evidence.maps.values()])).astype(float)
    # Values of the map itself and round numbers: thresholds that cells are equal to, or nearly.
    level = st.one_of(
        st.sampled_from(values.tolist()),
        st.sampled_from([0.0, 0.05, 0.1, 0.2, 0.25, 0.3, 0.5, 0.7, 0.9, 1.0]),
        st.floats(0, 1),
    )
    cell_um = evidence.stride * evidence.mpp
    low = draw(st.sampled_from([0.0, 1.0, 3.0, 10.0])) * cell_um**2
    weights: tuple[tuple[str, float], ...] = ()
    if draw(st.booleans()):
        # Sums of such shares are exact, so that the reference may add them up in its own order.
        weights = tuple((name, draw(st.sampled_from([0.5, 1.0, 2.0]))) for name in evidence.maps)
    return Rule(
        smoothing_um=draw(st.sampled_from([0.0, 0.0, 0.3, 1.0, 2.5])) * cell_um,
        threshold=draw(st.one_of(st.just("otsu"), level)),
        floor=min(draw(level), 0.99),
        min_area_um2=low,
        max_area_um2=draw(st.sampled_from([math.inf, low, low + 6 * cell_um**2])),
        min_score=draw(level),
        min_distance_um=draw(st.sampled_from([0.0, 1.9, 4.1, 12.3])) * cell_um,
        weights=weights,
    )


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_decide_is_the_reference(data: st.DataObject) -> None:
    evidence = data.draw(evidences())
    rule = data.draw(rules(evidence))
    found = check_detections(decide(evidence, rule))
    same(found.to_numpy(), reference(evidence, rule))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_decider_forgets_nothing_and_remembers_nothing_wrong(data: st.DataObject) -> None:
    """A long way through rules, each changed in one or two places, gives what a fresh start gives, to the bit."""
    evidence = data.draw(evidences())
    decider = Decider(evidence)
    rule = data.draw(rules(evidence))
    for _ in range(data.draw(st.integers(3, 15))):
        other = data.draw(rules(evidence))
        names = data.draw(
            st.lists(st.sampled_from(["smoothing_um", "threshold", "floor", "min_score", "min_distance_um", "weights"]))
        )
        rule = replace(rule, **{name: getattr(other, name) for name in names})
        assert decider.decide(rule).equals(decide(evidence, rule))
        assert decider.threshold(rule) == Decider(evidence).threshold(rule)
        loose = replace(rule, min_area_um2=0, max_area_um2=math.inf, min_score=0, min_distance_um=0)
        assert decider.candidates(rule).equals(decide(evidence, loose))
        same(decider.decide(rule).to_numpy(), reference(evidence, rule))


@settings(max_examples=60, deadline=None)
@given(score_maps(), st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_links_and_labels_agree_at_every_threshold(score: NDArray[np.float16], thresholds: list[float]) -> None:
    exact = score.astype(np.float32)
    blobs = Blobs(exact)
    values = np.unique(exact).astype(float)
    for threshold in [*thresholds, *values[:: 1 + len(values) // 25]]:
        linked, labelled = blobs.above(threshold), measure(exact.astype(np.float64) > threshold, exact)
        assert np.array_equal(
            np.sort(linked.view("f8,f8,f8,f8"), axis=0), np.sort(labelled.view("f8,f8,f8,f8"), axis=0)
        )


@pytest.mark.parametrize("many", [0, 50, 10**9])
def test_how_many_cells_are_linked_changes_nothing(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dense maps take another way: the limit is set so that each way is taken."""
    rng = np.random.default_rng(5)
    score = ndimage.gaussian_filter(rng.random((60, 70)), 1.5)
    score = ((score - score.min()) / np.ptp(score)).astype(np.float16)
    evidence = Evidence({"one": score}, 4.0, (240, 280), 0.25, "test@1", "digest")
    monkeypatch.setattr(blobs_module, "_MANY", many)
    decider = Decider(evidence)
    for threshold in np.linspace(0, 1, 41):
        rule = Rule(threshold=float(threshold), min_area_um2=2, min_score=0, smoothing_um=0.3)
        same(decider.decide(rule).to_numpy(), reference(evidence, rule))


def test_a_cell_of_a_rounded_threshold_is_above_it_by_every_way() -> None:
    """float32(0.05) is more than 0.05; 0.05 is a level that cells are collected from."""
    score = np.zeros((8, 8), dtype=np.float32)
    score[2, 2], score[5, 5] = np.float32(0.05), np.float32(0.3)
    assert float(score[2, 2]) > 0.05
    blobs = Blobs(score)
    assert len(blobs.above(0.05)) == 2
    assert len(blobs.above(0.049)) == 2
    assert len(blobs.above(float(score[2, 2]))) == 1
    assert len(measure(score.astype(np.float64) > 0.05, score)) == 2


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_turning_the_field_turns_the_detections(data: st.DataObject) -> None:
    score = data.draw(score_maps())
    h, w = score.shape
    upright = Evidence({"one": score}, 2.0, (2 * h, 2 * w), 0.5, "test@1", "digest")
    turned = replace(upright, maps={"one": score[::-1, ::-1].copy()})
    rule = Rule(smoothing_um=0, threshold=0.5, min_area_um2=0, min_score=0, min_distance_um=0)
    there, back = decide(upright, rule), decide(turned, rule)
    back = back.assign(y_px=2 * h - 1 - back["y_px"], x_px=2 * w - 1 - back["x_px"])
    columns = ["score", "area_um2", "y_px", "x_px"]
    order = [frame[columns].round(6).sort_values(columns).to_numpy() for frame in (there, back)]
    np.testing.assert_allclose(order[0], order[1], atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_stricter_filters_give_a_part(data: st.DataObject) -> None:
    evidence = data.draw(evidences())
    rule = replace(data.draw(rules(evidence)), min_distance_um=0.0, max_area_um2=math.inf)
    stricter = replace(rule, min_score=min(1.0, rule.min_score + 0.1), min_area_um2=rule.min_area_um2 + 1)
    rows = {tuple(row) for row in decide(evidence, rule).to_numpy().tolist()}
    assert {tuple(row) for row in decide(evidence, stricter).to_numpy().tolist()} <= rows


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_distances_hold_and_whoever_went_was_near_a_better_one(data: st.DataObject) -> None:
    evidence = data.draw(evidences())
    rule = data.draw(rules(evidence))
    kept = decide(evidence, rule)
    every = decide(evidence, replace(rule, min_distance_um=0.0))
    points = kept[["y_um", "x_um"]].to_numpy()
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    assert (apart[~np.eye(len(points), dtype=bool)] >= rule.min_distance_um).all()
    gone = every[~every.apply(tuple, axis=1).isin(kept.apply(tuple, axis=1))] if len(every) else every
    for _, row in gone.iterrows():
        near = np.hypot(points[:, 0] - row["y_um"], points[:, 1] - row["x_um"]) < rule.min_distance_um
        assert (near & (kept["score"].to_numpy() >= row["score"])).any()
