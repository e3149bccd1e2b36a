"""Scores become probabilities: monotone, never certain, and right on data that took no part."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mitosis.decision.decide import Rule
from napari_mitosis.measures.calibrate import (
    RELIABILITY_COLUMNS,
    Calibration,
    cross_fitted,
    expected_calibration_error,
    fit_calibration,
    reliability_table,
    uncut,
)

labelled = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


def draw(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose true probability is their cube: overconfident, as networks are."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0, 1, n)
    return scores, rng.uniform(0, 1, n) < scores**3


@settings(deadline=None, max_examples=60)
@given(labelled)
def test_any_data_give_a_monotone_map_that_is_never_certain(data: list[tuple[float, bool]]) -> None:
    scores, hits = zip(*data, strict=True)
    found = fit_calibration(scores, hits)
    probability = found.apply(np.linspace(0, 1, 201))
    assert (np.diff(probability) >= -1e-12).all()
    assert 0 < probability.min() <= probability.max() < 1
    assert found.knots[0][0] == 0
    assert found.knots[-1][0] == 1
    assert Calibration(tuple(map(tuple, json.loads(json.dumps(found.knots))))) == found


def test_the_order_of_the_data_does_not_matter() -> None:
    scores, hits = draw(100, 3)
    order = np.random.default_rng(0).permutation(100)
    assert fit_calibration(scores, hits) == fit_calibration(scores[order], hits[order])


def test_it_finds_the_true_map() -> None:
    scores, hits = draw(4000, 0)
    at = np.linspace(0.05, 0.95, 50)
    assert np.abs(fit_calibration(scores, hits).apply(at) - at**3).max() < 0.08
    fresh, truth = draw(4000, 1)
    assert expected_calibration_error(fresh, truth) > 0.2
    assert expected_calibration_error(fit_calibration(scores, hits).apply(fresh), truth) < 0.03


def test_few_data_are_not_taken_at_their_word() -> None:
    """Three hits above two misses are no reason to be sure."""
    found = fit_calibration([0.2, 0.3, 0.7, 0.8, 0.9], [False, False, True, True, True])
    assert found.apply(1.0) < 0.97
    assert found.apply(0.0) > 0.03
    assert found.apply(0.9) > found.apply(0.1) + 0.3


def test_scores_that_tell_nothing_give_the_share_of_hits() -> None:
    hits = np.arange(400) % 4 == 0
    found = fit_calibration(np.random.default_rng(0).uniform(0, 1, 400), hits)
    assert np.abs(found.apply([0.3, 0.5, 0.7]) - 0.25).max() < 0.12


def test_without_knots_the_score_is_taken_as_it_is() -> None:
    scores = np.array([[0.0, 0.3], [0.7, 1.0]])
    np.testing.assert_array_equal(Calibration().apply(scores), scores)


@pytest.mark.parametrize(
    ("knots", "text"),
    [
        (((0.5, 0.2), (0.4, 0.3)), "rise"),
        (((0.4, 0.3), (0.5, 0.2)), "fall"),
        (((0.4, 0.3), (0.4, 0.3)), "rise"),
        (((0.0, -0.1), (1.0, 0.9)), "in \\[0, 1\\]"),
        (((0.0, float("nan")),), "in \\[0, 1\\]"),
    ],
)
def test_knots_that_are_no_map_are_refused(knots: tuple[tuple[float, float], ...], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Calibration(knots)


def test_what_cannot_be_fitted_is_told() -> None:
    with pytest.raises(ValueError, match="candidates"):
        fit_calibration([], [])
    with pytest.raises(ValueError, match="candidates"):
        fit_calibration([0.5], [True, False])
    with pytest.raises(ValueError, match="scores"):
        fit_calibration([1.5], [True])
    alone = pd.DataFrame({"fold": "S-0", "field": "a", "score": [0.5, 0.6], "hit": [True, False]})
    with pytest.raises(ValueError, match="candidates"):
        cross_fitted(alone)


def test_a_reliability_table_counts_by_hand() -> None:
    table = reliability_table([0.05, 0.07, 0.95, 1.0, 0.91, 0.5], [False, True, True, True, False, True], 10)
    assert tuple(table.columns) == RELIABILITY_COLUMNS
    assert table["count"].tolist() == [2, 1, 3]
    assert table["low"].tolist() == [0.0, 0.5, 0.9]
    np.testing.assert_allclose(table["predicted"], [0.06, 0.5, (0.95 + 1 + 0.91) / 3])
    np.testing.assert_allclose(table["observed"], [0.5, 1, 2 / 3])
    # Wilson, 2 of 3: (p + z2/2n -+ z sqrt(p(1-p)/n + z2/4n2)) / (1 + z2/n) with z = 1.96.
    np.testing.assert_allclose(table[["observed_low", "observed_high"]].iloc[2], [0.2077, 0.9385], atol=1e-4)
    error = (2 * abs(0.06 - 0.5) + 0.5 + 3 * abs(2.86 / 3 - 2 / 3)) / 6
    expected = expected_calibration_error([0.05, 0.07, 0.95, 1.0, 0.91, 0.5], [0, 1, 1, 1, 0, 1], 10)
    assert expected == pytest.approx(error)
    assert reliability_table([], []).empty
    assert np.isnan(expected_calibration_error([], []))
    with pytest.raises(ValueError, match="probabilities"):
        reliability_table([1.2], [True])


def test_a_field_never_sees_its_own_calibration() -> None:
    """Whatever the labels of a field are, its probabilities stay, in either protocol; those of others move."""
    scores, hits = draw(300, 5)
    fields = np.tile(np.repeat(["a", "b", "c"], 50), 2)
    folds = np.where(np.arange(300) < 150, "S-", "N-").astype(object) + fields
    table = pd.DataFrame({"fold": folds, "field": fields, "score": scores, "hit": hits})
    before = cross_fitted(table)
    after = cross_fitted(table.assign(hit=np.where(fields == "a", ~hits, hits)))
    np.testing.assert_array_equal(before[fields == "a"], after[fields == "a"])
    assert np.abs(before - after)[fields != "a"].max() > 0.05


def test_uncut_rules_keep_all_but_the_score() -> None:
    blobs = uncut(Rule(threshold=0.4, min_score=0.6, min_area_um2=20))
    assert blobs == Rule(threshold=0.4, min_score=0.0, min_area_um2=20)
    peaks = uncut(Rule(method="peaks", threshold=0.4, min_score=0.0))
    assert peaks.threshold < 0.05
