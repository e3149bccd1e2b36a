"""Tables of several detectors put together: every detection once, nobody twice in a figure, whatever the order."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mitosis.measures.agreement import PLACE_COLUMNS, agree, group, pairwise_agreement

MPP = 0.25


def table(*rows: tuple[float, float, float]) -> pd.DataFrame:
    """Detections from (y_um, x_um, probability)."""
    y, x, probability = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    columns = {"y_px": y / MPP, "x_px": x / MPP, "y_um": y, "x_um": x, "probability": probability}
    return pd.DataFrame(columns)


# A loaded machine is slow, and no property is.
quick = settings(deadline=None, max_examples=60)


# Distinct probabilities, so that each detection can be told from the others.
@st.composite
def some_tables(draw: st.DrawFn) -> dict[str, pd.DataFrame]:
    counts = draw(st.lists(st.integers(0, 7), min_size=1, max_size=5))
    total = sum(counts)
    places = draw(
        st.lists(st.tuples(st.floats(0, 25, width=32), st.floats(0, 25, width=32)), min_size=total, max_size=total)
    )
    ranks = draw(st.permutations(range(total)))
    rows = [(y, x, (rank + 1) / (total + 1)) for (y, x), rank in zip(places, ranks, strict=True)]
    tables = {}
    for number, count in enumerate(counts):
        tables[f"d{number}"] = table(*rows[:count])
        rows = rows[count:]
    return tables


@quick
@given(some_tables(), st.floats(0, 12))
def test_every_detection_is_in_one_figure_near_its_surest(tables: dict[str, pd.DataFrame], radius: float) -> None:
    figures = agree(tables, radius)
    assert tuple(figures.columns) == (*PLACE_COLUMNS, *tables, "found_by", "of")
    for name, own in tables.items():
        np.testing.assert_array_equal(np.sort(figures[name].dropna()), np.sort(own["probability"]))
        places = own.set_index("probability")[["y_um", "x_um"]]
        for _, figure in figures.dropna(subset=[name]).iterrows():
            y, x = places.loc[figure[name]]
            assert np.hypot(y - figure["y_um"], x - figure["x_um"]) <= radius
    assert (figures["found_by"] == figures[list(tables)].notna().sum(axis=1)).all()
    assert (figures["of"] == len(tables)).all()


@quick
@given(some_tables(), st.floats(0, 12), st.randoms(use_true_random=False))
def test_the_order_of_tables_and_rows_does_not_matter(tables, radius, random) -> None:  # type: ignore[no-untyped-def]
    names = random.sample(list(tables), len(tables))
    shuffled = {name: tables[name].sample(frac=1, random_state=random.randrange(1000)) for name in names}
    figures = agree(tables, radius)
    pd.testing.assert_frame_equal(figures, agree(shuffled, radius)[list(figures.columns)])


@quick
@given(some_tables(), st.floats(0, 12))
def test_two_figures_of_the_same_radius_could_not_be_one(tables: dict[str, pd.DataFrame], radius: float) -> None:
    """What a surer figure could have taken it has taken: it only leaves out detectors that have none left near it."""
    figures = agree(tables, radius)
    found = figures[list(tables)].to_numpy()
    places = figures[["y_um", "x_um"]].to_numpy()
    best = np.nanmax(found, axis=1) if len(found) else np.zeros(0)
    for i, j in permutations(range(len(figures)), 2):
        if best[i] > best[j] and np.hypot(*(places[i] - places[j])) <= radius:
            assert np.isfinite(found[i, found[j] == best[j]]).all()


def test_equal_detections_are_settled_by_place_and_name() -> None:
    tables = {"b": table((0, 0, 0.5), (0, 4, 0.5)), "a": table((0, 2, 0.5))}
    one, other = agree(tables), agree(dict(reversed(tables.items())))
    pd.testing.assert_frame_equal(one, other[list(one.columns)])
    assert one["found_by"].tolist() == [2, 1]


def test_a_chain_is_cut_at_the_radius() -> None:
    """Five detections 4 um apart in a row are not one figure of 16 um."""
    chain = {f"d{i}": table((0, 4.0 * i, 0.9 - 0.1 * abs(i - 2))) for i in range(5)}
    figures = agree(chain, 6.0)
    assert figures["found_by"].tolist() == [3, 1, 1]
    assert figures["x_um"].tolist()[0] == 8.0


def test_the_nearest_of_two_is_taken_and_each_only_once() -> None:
    figures = agree({"a": table((0, 0, 0.9), (0, 8, 0.8)), "b": table((0, 5, 0.7), (0, 1, 0.2))}, 6.0)
    assert figures[["a", "b"]].to_numpy().tolist() == [[0.9, 0.2], [0.8, 0.7]]


def test_without_detections_there_is_an_empty_table() -> None:
    figures = agree({"a": table(), "b": table()})
    assert figures.empty
    assert figures.columns.tolist() == [*PLACE_COLUMNS, "a", "b", "found_by", "of"]
    assert agree({}).empty
    assert group({}) == []


def test_what_cannot_be_meant_is_told() -> None:
    with pytest.raises(ValueError, match="radius"):
        agree({"a": table()}, -1.0)
    with pytest.raises(ValueError, match="'probability'"):
        agree({"a": table().drop(columns="probability")})
    with pytest.raises(ValueError, match="called 'of'"):
        agree({"of": table()})


def test_pairs_agree_by_hand() -> None:
    three = table((0, 0, 0.9), (0, 30, 0.8), (0, 60, 0.7))
    two = table((0, 2, 0.9), (0, 90, 0.8))
    pairs = pairwise_agreement({"three": three, "two": two, "none": table()})
    assert pairs.loc["three", "two"] == pairs.loc["two", "three"] == pytest.approx(2 * 1 / 5)
    assert pairs.loc["three", "three"] == 1
    assert pairs.loc["three", "none"] == 0
    assert np.isnan(pairs.loc["none", "none"])
