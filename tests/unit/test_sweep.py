"""The rule that is chosen on validation fields."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from napari_mitosis.decision.decide import Rule, decide
from napari_mitosis.decision.evidence import Evidence
from napari_mitosis.measures.evaluate import Counts, FieldResult, evaluate, match
from napari_mitosis.measures.sweep import Grid, choose_rule, count_grid, grid_for
from napari_mitosis.models.mssn import SUB_MODELS, join_maps

SMALL = Grid(
    smoothing_um=(0.5, 1.0),
    threshold=("otsu", 0.3),
    min_distance_um=(0.0, 8.0),
    min_area_um2=(5.0, 15.0, 25.0),
    min_score=(0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
)
RADIUS_UM = 7.5


def swept(fields: list[tuple[Evidence, NDArray[np.float64]]], grid: Grid) -> tuple[Rule, pd.DataFrame]:
    """The rule that these fields choose."""
    counts = [count_grid(evidence, truth, Rule(), RADIUS_UM, grid) for evidence, truth in fields]
    return choose_rule(counts, sum(len(truth) for _, truth in fields), Rule(), grid)


def field(seed: int, side: int = 120, mitoses: int = 6, mimics: int = 8) -> tuple[Evidence, NDArray[np.float64]]:
    """Mitoses are large and mostly high, mimics small or low; map cells of 1 um."""
    rng = np.random.default_rng(seed)
    score = rng.random((side, side)) * 0.1
    ys, xs = np.mgrid[:side, :side]
    step = 20
    places = [(step // 2 + step * (i // 6), step // 2 + step * (i % 6)) for i in rng.permutation(36)]
    truth = []
    for i, (y, x) in enumerate(places[: mitoses + mimics]):
        mitosis = i < mitoses
        height = rng.uniform(0.65, 1.0) if mitosis else rng.uniform(0.3, 0.75)
        size = rng.uniform(2.5, 3.5) if mitosis else rng.uniform(1.2, 3.0)
        score = np.maximum(score, height * np.exp(-((ys - y) ** 2 + (xs - x) ** 2) / (2 * size**2)))
        if mitosis:
            truth.append(((y + 0.5) * 4 - 0.5, (x + 0.5) * 4 - 0.5))
    evidence = Evidence({"score": score.astype(np.float16)}, 4.0, (4 * side, 4 * side), 0.25, "test@1", "digest")
    return evidence, np.array(truth, dtype=np.float64).reshape(-1, 2)


def measured(fields: list[tuple[Evidence, NDArray[np.float64]]], rule: Rule) -> Counts:
    results = [FieldResult("f", "s", decide(e, rule), truth, e.mpp) for e, truth in fields]
    return evaluate(results, RADIUS_UM, samples=10).counts


def test_counts_are_those_of_each_rule_by_itself() -> None:
    base = Rule(max_area_um2=200)
    for seed, mitoses in ((0, 6), (1, 0)):
        evidence, truth = field(seed, mitoses=mitoses)
        counts = count_grid(evidence, truth, base, RADIUS_UM, SMALL)
        assert counts.shape == (*SMALL.shape, 2)
        for index in product(*(range(n) for n in SMALL.shape)):
            rule = SMALL.rule(base, index)
            assert rule.max_area_um2 == 200
            one = match(decide(evidence, rule), truth, RADIUS_UM, evidence.mpp).counts
            assert counts[index].tolist() == [one.tp, one.fp], rule
        assert counts.sum() > 0


def test_the_chosen_rule_is_good_and_its_figures_are_true() -> None:
    fields = [field(seed) for seed in range(6)] + [field(9, mitoses=0)]
    rule, table = swept(fields, SMALL)
    chosen = table.iloc[0]
    counts = measured(fields, rule)
    assert (chosen["precision"], chosen["recall"], chosen["f"]) == pytest.approx(
        (counts.precision, counts.recall, counts.f)
    )
    every = [SMALL.rule(Rule(), index) for index in product(*(range(n) for n in SMALL.shape))]
    best = max(measured(fields, one).f for one in every[:: len(every) // 40])
    assert counts.f > best - 0.05
    assert counts.f > 0.8
    assert table["plateau_f"].is_monotonic_decreasing
    again, same = swept(fields, SMALL)
    assert again == rule
    pd.testing.assert_frame_equal(table, same)


def test_a_plateau_beats_a_lonely_peak() -> None:
    grid = replace(SMALL, smoothing_um=(0.5,), threshold=("otsu",), min_distance_um=(6.0,))
    grid = replace(grid, min_area_um2=(5.0, 10.0, 15.0, 20.0), min_score=tuple(np.linspace(0.1, 0.9, 17).round(3)))
    tp, fp = np.zeros(grid.shape, dtype=np.int64), np.full(grid.shape, 10)
    tp[...] = 3
    tp[0, 0, 0, :, 9:14] = 8  # a plateau five scores wide, with its middle at score 0.65
    tp[0, 0, 0, 1, 2] = 10  # luck
    rule, table = choose_rule([np.stack([tp, fp], axis=-1)], 10, Rule(), grid)
    assert rule.min_score == 0.65
    assert table.iloc[0]["f"] == pytest.approx(16 / 28)


def test_of_equal_rules_the_one_in_the_middle() -> None:
    grid = replace(SMALL, min_area_um2=(5.0, 10.0, 15.0), min_score=tuple(np.linspace(0.1, 0.9, 9).round(3)))
    counts = np.zeros((*grid.shape, 2), dtype=np.int64)
    counts[..., 0] = 4
    rule, table = choose_rule([counts], 4, Rule(), grid)
    assert (rule.min_area_um2, rule.min_score) == (10.0, 0.5)
    # What has no middle is the first of the grid.
    assert (rule.smoothing_um, rule.threshold, rule.min_distance_um) == (0.5, "otsu", 0.0)
    assert (table["plateau_f"] > 1 - 1e-9).all()


def test_the_edge_of_the_grid_is_no_better_place() -> None:
    """A narrow hill beside the edge: F beyond the edge is unknown, not as good as at it."""
    grid = replace(SMALL, smoothing_um=(0.5,), threshold=("otsu",), min_distance_um=(6.0,), min_area_um2=(5.0,))
    tp, fp = np.array([24, 24, 8, 0, 0, 0]), np.array([62, 9, 0, 0, 0, 0])
    rule, table = choose_rule([np.stack([tp, fp], axis=-1).reshape(*grid.shape, 2)], 24, Rule(), grid)
    assert rule.min_score == 0.4
    assert table.iloc[0]["f"] == pytest.approx(48 / 57)


def test_fields_without_mitoses_are_heard() -> None:
    """Mimics in fields without mitoses lift the score threshold."""
    with_mitoses = [field(seed, mimics=0) for seed in range(4)]
    without = [field(seed, mitoses=0, mimics=12) for seed in range(20, 28)]
    grid = replace(SMALL, min_area_um2=(5.0,), smoothing_um=(0.5,))
    easy, _ = swept(with_mitoses, grid)
    hard, _ = swept([*with_mitoses, *without], grid)
    assert hard.min_score > easy.min_score


def test_nothing_to_choose_on() -> None:
    with pytest.raises(ValueError, match="fields with mitoses"):
        swept([], SMALL)
    with pytest.raises(ValueError, match="fields with mitoses"):
        swept([field(1, mitoses=0)], SMALL)


def test_a_figure_that_one_sub_model_named_reaches_the_decision() -> None:
    """Any one suffices (Ma et al., III-A): where the mean of the four is next to nothing the second stage decides."""
    maps = {name: np.zeros((64, 64), dtype=np.float32) for name in SUB_MODELS}
    named = [(12, 12, 4), (12, 44, 4), (44, 12, 1), (44, 44, 1)]  # the last two by s72 alone
    for y, x, count in named:
        for name in SUB_MODELS[:count]:
            maps[name][y, x] = 0.9
    found = join_maps(maps)
    lone = found["fired"] == 1
    assert lone.sum() == 2
    assert (found.loc[lone, "stage1"] < 0.05).all()
    places = (found[["y", "x"]].to_numpy() + 0.5) * 8 - 0.5
    # One figure of either kind is a mitosis, and the second stage knows which.
    mitosis = found["x"].to_numpy() < 30
    frame = pd.DataFrame({"y_px": places[:, 0], "x_px": places[:, 1], "height_px": 40.0, "width_px": 40.0,
                          "stage1": found["stage1"], "similarity": np.where(mitosis, 0.9, 0.1)})  # fmt: skip
    evidence = Evidence({}, 1.0, (512, 512), 0.25, "mssn@1", "digest", frame, ("stage1", "similarity"))
    truth = places[mitosis]
    grid = grid_for(evidence, Rule())
    rule, _ = choose_rule([count_grid(evidence, truth, Rule(), RADIUS_UM, grid)], len(truth), Rule(), grid)
    assert measured([(evidence, truth)], rule) == Counts(2, 0, 0)
