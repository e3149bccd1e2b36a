"""The number of mitoses among candidates that wait, against enumeration; what each can change, against doing it."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mitosis.measures.chances import count_probabilities, outlook
from napari_mitosis.measures.grade import CONVENTIONS

quick = settings(deadline=None, max_examples=25)
chance = st.one_of(st.sampled_from([0.0, 1.0, 0.5, 1e-12, 1 - 1e-12]), st.floats(0, 1))


def enumerated(p: np.ndarray) -> np.ndarray:
    """Probability of each number of successes, outcome by outcome."""
    found = np.zeros(len(p) + 1)
    for outcome in product((0, 1), repeat=len(p)):
        found[sum(outcome)] += np.prod(np.where(outcome, p, 1 - p))
    return found


@quick
@given(st.lists(chance, max_size=9), st.one_of(st.none(), st.integers(0, 12)))
def test_counts_against_enumeration(values: list[float], most: int | None) -> None:
    p = np.array(values)
    wanted = enumerated(p)[: None if most is None else most + 1]
    np.testing.assert_allclose(count_probabilities(p, most), wanted, atol=1e-14)


@quick
@given(st.lists(chance, max_size=9), st.integers(0, 30), st.floats(0.05, 5), st.sampled_from(sorted(CONVENTIONS)))
def test_scores_and_changes_against_enumeration(values: list[float], count: int, area_mm2: float, name: str) -> None:
    p, convention = np.array(values), CONVENTIONS[name]
    got = outlook(count, area_mm2, p, convention)

    def mean_score(chances: np.ndarray) -> float:
        return sum(q * convention.score(count + n, area_mm2).score for n, q in enumerate(enumerated(chances)))

    by_score = np.zeros(3)
    for n, q in enumerate(enumerated(p)):
        by_score[convention.score(count + n, area_mm2).score - 1] += q
    np.testing.assert_allclose(got.probability, by_score, atol=1e-12)
    assert got.expected == pytest.approx(mean_score(p))
    for i, chance_i in enumerate(p):
        yes, no = (mean_score(np.where(np.arange(len(p)) == i, word, p)) for word in (1.0, 0.0))
        moved = chance_i * abs(yes - mean_score(p)) + (1 - chance_i) * abs(mean_score(p) - no)
        assert got.change[i] == pytest.approx(moved, abs=1e-12)
    assert got.settled == (convention.score(count + len(p), area_mm2).score == got.score)


def test_ten_thousand_candidates_against_the_normal_law_and_a_binomial() -> None:
    from scipy.stats import binom

    np.testing.assert_allclose(
        count_probabilities(np.full(5000, 0.3))[1400:1600], binom.pmf(np.arange(1400, 1600), 5000, 0.3), atol=1e-12
    )
    p = np.random.default_rng(0).random(10_000)
    got = count_probabilities(p)
    assert got.sum() == pytest.approx(1, abs=1e-9)
    assert got @ np.arange(len(got)) == pytest.approx(p.sum(), rel=1e-9)


def test_one_candidate_away_matters_and_the_others_are_settled() -> None:
    got = outlook(9, 2.74, [0.5, 0.01], CONVENTIONS["nottingham"])
    assert (got.score, got.lowest, got.highest, got.settled) == (1, 1, 2, False)
    assert got.change[0] > got.change[1] > 0
    done = outlook(12, 2.74, [0.5, 0.9], CONVENTIONS["nottingham"])
    assert done.settled
    assert done.probability.tolist() == [0.0, 1.0, 0.0]
    assert not done.change.any()


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="probabilities"):
        count_probabilities([0.5, np.nan])
