"""Density and mitotic scores against published tables and figures worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from napari_mitosis.measures.grade import (
    CONVENTIONS,
    NEUROENDOCRINE,
    field_diameter_mm,
    field_table,
    mitotic_density,
    nottingham_score,
    poisson_interval,
    who_score,
)

# Field diameter in mm; highest count of score 1 and lowest of score 3 in 10 fields of it, as published.
NOTTINGHAM = (
    "0.40 4 10, 0.41 4 10, 0.42 5 11, 0.43 5 11, 0.44 5 12, 0.45 5 12, 0.46 6 13, 0.47 6 13, 0.48 6 14, 0.49 6 14, "
    "0.50 7 15, 0.51 7 15, 0.52 7 16, 0.53 8 17, 0.54 8 17, 0.55 8 18, 0.56 8 18, 0.57 9 19, 0.58 9 20, 0.59 9 20, "
    "0.60 10 21, 0.61 10 22, 0.62 11 23, 0.63 11 23, 0.64 11 24, 0.65 12 25, 0.66 12 25, 0.67 12 26, 0.68 13 27, "
    "0.69 13 28"
)


@pytest.mark.parametrize("row", NOTTINGHAM.split(", "))
def test_nottingham_table(row: str) -> None:
    diameter_mm, score_1_to, score_3_from = row.split()
    area_mm2 = 10 * math.pi * (float(diameter_mm) / 2) ** 2
    last_of_1, first_of_3 = int(score_1_to), int(score_3_from)
    scores = [nottingham_score(count, area_mm2).score for count in range(40)]
    assert scores == [1 if n <= last_of_1 else 3 if n >= first_of_3 else 2 for n in range(40)]


def test_the_table_is_made_of_the_same_rows() -> None:
    rows = [f"{diameter:.2f} {last_of_1} {first_of_3}" for diameter, last_of_1, first_of_3 in field_table()]
    assert rows == NOTTINGHAM.split(", ")
    assert field_diameter_mm(2.74) == pytest.approx(0.59, abs=0.001)


def test_more_than_twenty_is_not_twenty() -> None:
    assert [NEUROENDOCRINE.score(n, 2.0).score for n in (0, 1, 2, 20, 21)] == [1, 1, 2, 2, 3]
    assert [NEUROENDOCRINE.score(n, 10.0).score for n in (9, 10, 100, 101)] == [1, 2, 2, 3]


@given(st.sampled_from(sorted(CONVENTIONS)), st.integers(0, 300), st.floats(1e-3, 50), st.floats(1.0, 3.0))
def test_more_mitoses_never_lower_and_more_area_never_higher(name: str, n: int, area_mm2: float, more: float) -> None:
    convention = CONVENTIONS[name]
    score = convention.score(n, area_mm2).score
    assert convention.score(n + 1, area_mm2).score >= score
    assert convention.score(n, area_mm2 * more).score <= score


def test_limit_that_falls_on_a_whole_number() -> None:
    # 0.274 mm2 is a tenth of the reference: 1 and 2 mitoses, not 2 and 3 for the sake of a rounding error.
    assert [nottingham_score(n, 0.274).score for n in range(4)] == [1, 2, 3, 3]
    assert [nottingham_score(n, 3 * 0.274).score for n in (2, 3, 5, 6)] == [1, 2, 2, 3]
    # 10 * (37 * 0.274) / 2.74 comes out as 37.00000000000001.
    assert [nottingham_score(n, 37 * 0.274).score for n in (36, 37, 73, 74)] == [1, 2, 2, 3]


def test_distance_to_the_other_scores() -> None:
    middle = nottingham_score(12, 2.74)
    assert (middle.score, middle.limits) == (2, (10, 20))
    assert (middle.to_higher, middle.to_lower) == (8, 3)
    low, high = nottingham_score(0, 2.74), nottingham_score(25, 2.74)
    assert (low.score, low.to_higher, low.to_lower) == (1, 10, None)
    assert (high.score, high.to_higher, high.to_lower) == (3, None, 6)


@given(st.integers(0, 200), st.floats(1e-3, 50))
def test_distances_lead_to_another_score(count: int, area_mm2: float) -> None:
    for score_of in (nottingham_score, who_score):
        got = score_of(count, area_mm2)
        if got.to_higher is None:
            assert got.score == 3
        else:
            assert score_of(count + got.to_higher, area_mm2).score > got.score
            assert score_of(count + got.to_higher - 1, area_mm2).score == got.score
        if got.to_lower is None:
            assert got.score == 1
        else:
            assert score_of(count - got.to_lower, area_mm2).score < got.score
            assert score_of(count - got.to_lower + 1, area_mm2).score == got.score


def test_who() -> None:
    assert [who_score(n, 1.0).score for n in (0, 3, 4, 7, 8, 30)] == [1, 1, 2, 2, 3, 3]
    # 2.37 mm2: 9 are 3.8 per mm2, 10 are 4.2; 18 are 7.6, 19 are 8.02.
    assert [who_score(n, 2.37).score for n in (9, 10, 18, 19)] == [1, 2, 2, 3]


def test_nothing_found_in_a_tiny_area_is_score_1() -> None:
    assert nottingham_score(0, 1e-12).score == 1
    assert who_score(0, 1e-12).score == 1


@pytest.mark.parametrize(
    ("count", "low", "high"),
    # Garwood's table, as in every textbook of Poisson limits.
    [(0, 0.0, 3.6889), (1, 0.0253, 5.5716), (2, 0.2422, 7.2247), (5, 1.6235, 11.6683), (10, 4.7954, 18.3904)],
)
def test_poisson_interval(count: int, low: float, high: float) -> None:
    assert poisson_interval(count) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 500), st.floats(0.5, 0.999))
def test_interval_is_where_the_tails_are(count: int, level: float) -> None:
    low, high = poisson_interval(count, level)
    assert poisson.sf(count - 1, low) == pytest.approx((1 - level) / 2, rel=1e-6)
    assert poisson.cdf(count, high) == pytest.approx((1 - level) / 2, rel=1e-6)


def test_density() -> None:
    density = mitotic_density(10, 2.0)
    assert (density.count, density.area_mm2, density.per_mm2) == (10, 2.0, 5.0)
    assert (density.low, density.high) == pytest.approx((2.3977, 9.1952), abs=5e-5)


@pytest.mark.parametrize("area", [0.0, -1.0, math.nan, math.inf])
def test_area_must_be_positive(area: float) -> None:
    for function in (mitotic_density, nottingham_score, who_score):
        with pytest.raises(ValueError, match="area_mm2"):
            function(3, area)


@pytest.mark.parametrize("count", [-1, 2.5])
def test_count_must_be_a_count(count: float) -> None:
    for function in (mitotic_density, nottingham_score, who_score):
        with pytest.raises(ValueError, match="count"):
            function(count, 1.0)  # type: ignore[arg-type]


def test_level_must_be_a_share() -> None:
    with pytest.raises(ValueError, match="level"):
        poisson_interval(3, 1.0)
