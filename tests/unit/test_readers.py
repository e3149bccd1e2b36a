"""Agreement of readers, by hand and against published examples."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_mitosis.measures.readers import (
    READER_COLUMNS,
    bland_altman,
    cohen_kappa,
    consensus,
    fleiss_kappa,
    icc,
    pair_table,
    phase_confusion,
    reader_agreement,
    union_of,
)

MPP = 0.25


def reader(*marks: tuple[str, float, float, str, str]) -> pd.DataFrame:
    """Marks from (field, y_um, x_um, label, phase)."""
    rows = [(field, y / MPP, x / MPP, y, x, label, phase) for field, y, x, label, phase in marks]
    return pd.DataFrame(rows, columns=list(READER_COLUMNS))


A = reader(("f", 0, 0, "mitosis", "metaphase"), ("f", 50, 0, "mitosis", "anaphase"), ("g", 0, 0, "mimic", ""))
B = reader(("f", 0, 6, "mitosis", "metaphase"), ("f", 50, 1, "mitosis", "telophase"), ("g", 9, 9, "mitosis", ""))
C = reader(("f", 0, 3, "mimic", ""), ("f", 50, 0, "mitosis", "telophase"))


def test_figures_of_all_readers_and_their_words() -> None:
    union = union_of({"a": A, "b": B, "c": C}, 7.5)
    assert union[["field", "a", "b", "c"]].to_numpy().tolist() == [
        ["f", "mitosis", "mitosis", "mimic"],
        ["f", "mitosis", "mitosis", "mitosis"],
        ["g", "mimic", "not marked", "not marked"],
        ["g", "not marked", "mitosis", "not marked"],
    ]
    voted = consensus(union, ["a", "b", "c"])
    assert voted["consensus"].tolist() == ["mitosis", "mitosis", "not mitosis", "not mitosis"]
    even = consensus(union, ["a", "c"])
    assert even["consensus"].tolist() == ["tie", "mitosis", "not mitosis", "not mitosis"]
    confusion = phase_confusion(union, "a", "b")
    assert confusion.loc["anaphase", "telophase"] == 1
    assert confusion.loc["metaphase", "metaphase"] == 1


def test_pairs_depend_on_the_radius() -> None:
    pairs = pair_table({"a": A, "b": B}).set_index("radius_um")
    assert pairs.loc[5.0, ["both", "only_first", "only_second"]].tolist() == [1, 1, 2]
    assert pairs.loc[7.5, ["both", "only_first", "only_second"]].tolist() == [2, 0, 1]
    assert pairs.loc[7.5, "f"] == pytest.approx(4 / 5)


def test_cohen_and_fleiss_against_published_examples() -> None:
    # 50 cases, 20 both yes, 15 both no, 5 and 10 disputed: 0.4. (Cohen's formula worked in many textbooks.)
    first = [1] * 20 + [1] * 5 + [0] * 10 + [0] * 15
    second = [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15
    assert cohen_kappa(first, second) == pytest.approx(0.4)
    # Fleiss 1971 as in textbooks: 10 subjects, 14 raters, 5 categories, kappa 0.210.
    counts = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    words = [np.repeat(np.arange(5), row) for row in counts]
    assert fleiss_kappa(words) == pytest.approx(0.210, abs=5e-4)
    assert np.isnan(cohen_kappa([1, 1], [1, 1]))
    assert np.isnan(fleiss_kappa(np.empty((0, 3))))


def test_icc_against_shrout_and_fleiss() -> None:
    judged = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    got = icc(judged)
    assert [round(got[name], 2) for name in ("ICC(1,1)", "ICC(2,1)", "ICC(3,1)")] == [0.17, 0.29, 0.71]
    assert all(np.isnan(value) for value in icc([[1, 2]]).values())


def test_bland_altman_by_hand() -> None:
    got = bland_altman([1, 4, 6], [0, 5, 3])
    assert (got.bias, got.difference, got.mean) == (1.0, (1.0, -1.0, 3.0), (0.5, 4.5, 4.5))
    assert (got.low, got.high) == pytest.approx((1 - 1.96 * 2, 1 + 1.96 * 2))


def test_all_of_it_together() -> None:
    got = reader_agreement({"a": A, "b": B, "c": C}, ["f", "g", "h"])
    assert got.counts.to_numpy().tolist() == [[2, 2, 1], [0, 1, 0], [0, 0, 0]]
    assert len(got.disputed) == 2
    assert set(got.fleiss) == {5.0, 7.5, 8.0}
    with pytest.raises(ValueError, match="two readers"):
        reader_agreement({"a": A}, ["f"])
