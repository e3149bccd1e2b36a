"""One slider: more sensitive never shows fewer figures, whatever the evidence and the rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mitosis.decision.decide import Decider, Rule, decide
from napari_mitosis.decision.evidence import CANDIDATE_COLUMNS, Evidence
from napari_mitosis.tables import check_detections

SENSITIVITIES = (0.0, 0.2, 0.4, 0.5, 0.55, 0.6, 0.7, 0.83, 0.9, 1.0)


def hills(seed: int, count: int = 25, side: int = 64) -> np.ndarray:
    """Hills of all heights on a restless ground, many of them close together."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    score = rng.random((side, side)) * rng.choice([0.02, 0.3])
    for _ in range(count):
        cy, cx, width = *rng.uniform(0, side, 2), rng.uniform(0.8, 3)
        score = np.maximum(score, rng.random() * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * width**2)))
    return score.astype(np.float16)


def seen(seed: int, kind: str) -> Evidence:
    score = hills(seed)
    if kind == "maps":
        return Evidence({"score": score}, 4.0, (256, 256), 0.25, "drawn@1", "digest")
    rng = np.random.default_rng(seed)
    values = np.column_stack([rng.uniform(0, 255, (60, 2)), rng.uniform(5, 40, (60, 2)), rng.random((60, 2))])
    table = pd.DataFrame(values, columns=[*CANDIDATE_COLUMNS, "first", "second"])
    return Evidence({}, 1.0, (256, 256), 0.25, "drawn@1", "digest", candidates=table, scores=("first", "second"))


rules = st.builds(
    Rule,
    smoothing_um=st.sampled_from([0.0, 1.0]),
    threshold=st.sampled_from(["otsu", 0.0, 0.2, 0.5]),
    min_area_um2=st.sampled_from([0.0, 5.0, 30.0]),
    max_area_um2=st.sampled_from([80.0, float("inf")]),
    min_score=st.sampled_from([0.0, 0.275, 0.6]),
    min_distance_um=st.sampled_from([0.0, 6.0]),
)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1000), kind=st.sampled_from(["maps", "candidates"]), rule=rules,
    method=st.sampled_from(["blobs", "peaks"]),
)  # fmt: skip
def test_more_sensitive_never_shows_fewer(seed: int, kind: str, rule: Rule, method: str) -> None:
    evidence, rule = seen(seed, kind), replace(rule, method=method)
    decider = Decider(evidence)
    before: set[tuple[float, ...]] = set()
    order = np.random.default_rng(seed).permutation(len(SENSITIVITIES))
    for i in order:  # whatever is remembered
        decider.decide(replace(rule, sensitivity=SENSITIVITIES[i]))
    for sensitivity in SENSITIVITIES:
        at = replace(rule, sensitivity=sensitivity)
        table = decider.decide(at)
        check_detections(table[list(table.columns[:6])])
        pd.testing.assert_frame_equal(table, decide(evidence, at))
        figures = {tuple(row) for row in table.to_numpy()}
        assert before <= figures, sensitivity
        assert len(figures) == len(table), "none twice"
        candidates, kept = decider.candidates(at), decider.kept(at)
        pd.testing.assert_frame_equal(candidates[kept].reset_index(drop=True), table)
        before = figures
    pd.testing.assert_frame_equal(decide(evidence, replace(rule, sensitivity=0.5)), decide(evidence, rule))
    assert decide(evidence, replace(rule, sensitivity=0.0)).empty


def test_figures_that_merge_stay_apart() -> None:
    """Two hills on one ridge: a lower threshold makes one of them, sensitivity never does, and finds the third."""
    y, x = np.mgrid[:48, :64]
    score = np.zeros((48, 64))
    for cy, cx, height in ((12, 14, 0.9), (12, 30, 0.8), (36, 50, 0.2)):
        score = np.maximum(score, height * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 2.5**2)))
    score[11:14, 14:31] = np.maximum(score[11:14, 14:31], 0.15)
    evidence = Evidence({"score": score.astype(np.float16)}, 4.0, (192, 256), 0.25, "drawn@1", "digest")
    rule = Rule(smoothing_um=0.0, threshold=0.3, min_score=0.25, min_area_um2=5.0)
    assert len(decide(evidence, rule)) == 2
    assert len(decide(evidence, replace(rule, threshold=0.08, min_score=0.0))) == 2, "the ridge and the third hill"
    most = decide(evidence, replace(rule, sensitivity=1.0))
    assert len(most) == 3
    pd.testing.assert_frame_equal(most.iloc[:2], decide(evidence, rule))


@pytest.mark.parametrize(("kind", "least"), [("maps", 0.3), ("candidates", 0.0)])
def test_below_the_least_score_a_slider_would_be_dead(kind: str, least: float) -> None:
    decider = Decider(seen(3, kind))
    rule = Rule(smoothing_um=0.0, threshold=0.3, min_score=0.0, min_area_um2=0.0, min_distance_um=0.0)
    assert decider.least_score(rule) == least
    everything = decider.decide(rule)
    assert len(decider.decide(replace(rule, min_score=least))) == len(everything) > 0
    assert len(decider.decide(replace(rule, min_score=float(everything["score"].median())))) < len(everything)
