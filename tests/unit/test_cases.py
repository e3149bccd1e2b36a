"""Cases in the journal, the areas that count, and the number that comes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.store import Journal
from napari_mitosis.cases.areas import Area
from napari_mitosis.cases.case import add_to_case, case_names, cases_of, read_case
from napari_mitosis.cases.count import Counted, in_words, tally
from napari_mitosis.errors import JournalError, MitosisError
from napari_mitosis.fields.field import Field
from napari_mitosis.measures.grade import NOTTINGHAM, WHO


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def field(number: int, mpp: float | None = 0.25, side: int = 60) -> Field:
    return Field.from_array(np.full((side, side, 3), number, np.uint8), mpp, f"f{number}")


def counted(figures: int, mpp: float | None = 0.25, pending: int = 0, side: int = 2000) -> Counted:
    rng = np.random.default_rng(figures)
    labels = np.array(["mitosis"] * figures, dtype=object)
    places = rng.uniform(0, side - 1, (figures + pending, 2))
    return Counted("f", (side, side), mpp, Area(), places[:figures], labels, places[figures:], np.full(pending, 0.4))


def test_a_case_is_kept_in_the_journal_with_undo(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite")
    first, second, third = (field(number) for number in (1, 2, 3))
    assert len(add_to_case(journal, " Case Ä ", [first, second], "ann")) == 2
    assert add_to_case(journal, "Case Ä", [first], "ann") == []  # nothing is noted twice
    add_to_case(journal, "other", [third], "ann")
    assert case_names(journal) == ["Case Ä", "other"]
    book = Notebook(journal, second, "ann")
    assert book.marks.case == "Case Ä"
    book.add(5, 6)
    book.note("leave")
    assert second.digest not in cases_of(journal)
    book.undo()
    book.note("join", "other")  # from one case into another
    book.undo()
    case = read_case(Journal(tmp_path / "j.sqlite"), "Case Ä")
    assert [one.name for one in case.fields] == ["f1", "f2"]
    assert [one.state for one in case.fields] == ["open", "judged"]
    assert case.fields[1].figures["y_px"].tolist() == [5.0]
    with pytest.raises(JournalError, match="no case 'x' in the journal; there are: Case Ä, other"):
        read_case(journal, "x")
    for name in ("", "a\nb", "x" * 201):
        with pytest.raises(JournalError, match="name of 1 to"):
            add_to_case(journal, name, [first], "ann")


def test_an_area_is_kept_in_the_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite")
    book = Notebook(journal, field(1), "ann")
    area = Area.outline([[-0.5, -0.5], [-0.5, 30], [29.5, 30]])
    add_to_case(journal, "c", [field(1)], "ann")
    book.refresh()
    book.note("area", area.text())
    kept = read_case(journal, "c").fields[0].area
    assert kept.text() == area.text()
    book.undo()
    assert read_case(journal, "c").fields[0].area.kind == "whole"


@settings(deadline=None, max_examples=40)
@given(st.integers(3, 12), st.integers(0, 10_000))
def test_size_of_an_outline_against_counting_points(corners: int, seed: int) -> None:
    """A star-shaped outline that reaches beyond the field, against a fine grid."""
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
    radius = rng.uniform(20, 90, corners)
    star = np.column_stack([50 + radius * np.sin(angle), 60 + radius * np.cos(angle)])
    try:
        area = Area.outline(star)
    except MitosisError:
        return
    fine = (np.mgrid[0:400, 0:480].reshape(2, -1).T + 0.5) / 4 - 0.5
    share = area.holds(fine, (100, 120)).mean()
    assert area.mm2((100, 120), 1000.0) / (100 * 120) == pytest.approx(share, abs=0.004)
    assert Area.parse(area.text()).mm2((100, 120), 1.0) == pytest.approx(area.mm2((100, 120), 1.0), abs=3e-6)


def test_areas_that_are_none() -> None:
    with pytest.raises(MitosisError, match="crosses itself"):
        Area.outline([[0, 0], [10, 10], [0, 10], [10, 0]])
    with pytest.raises(MitosisError, match="corners"):
        Area.outline([[0, 0], [1, 1]])
    for text in ("{", '{"kind":"moon"}', '{"kind":"tissue","cells":"!","shape":[1,1],"side_px":1}', "[]"):
        with pytest.raises(MitosisError, match="area"):
            Area.parse(text)


def test_tissue_counts_what_stands_in_it() -> None:
    cells = np.array([[True, False], [True, True]])
    area = Area.parse(Area.tissue(cells, 10).text())
    assert area.holds([[0, 0], [0, 9.4], [0, 9.6], [14, 12], [15, 0]], (15, 13)).tolist() == [1, 1, 0, 1, 0]
    assert area.mm2((15, 13), 1000.0) == pytest.approx(10 * 10 + 5 * 10 + 5 * 3)


def test_several_fields_are_counted_together() -> None:
    got = tally([counted(4), counted(6, pending=3)], NOTTINGHAM)
    assert got.area_mm2 == pytest.approx(2 * 0.25)
    assert (got.accepted, got.pending) == (10, 3)
    assert got.density is not None
    assert got.density.per_mm2 == pytest.approx(20)
    assert got.score is not None
    assert got.score.score == 3
    assert in_words(got) == "Score 3 whatever you decide now. 7 fewer: score 2."


def test_what_can_still_change_is_said() -> None:
    text = in_words(tally([counted(3, pending=2, side=4000)], WHO))
    assert text == "Score 1 so far. Once all is judged: 1: 36 %, 2: 64 %. 1 more figure: score 2."


def test_without_um_per_px_there_is_a_count_and_a_reason() -> None:
    got = tally([counted(2), counted(3, mpp=None)], NOTTINGHAM)
    assert (got.accepted, got.density, got.score) == (5, None, None)
    assert "um/px of f is not known" in in_words(got)
    assert "nothing is counted" in in_words(tally([], NOTTINGHAM))


def test_only_centroids_within_the_area_count_and_doubles_are_flagged() -> None:
    places = np.array([[10.0, 10.0], [10.0, 50.0], [90.0, 90.0], [10.0, 70.0]])
    labels = np.array(["mitosis", "mitosis", "mitosis", "mimic"], dtype=object)
    area = Area.outline([[0, 0], [0, 80], [80, 80], [80, 0]])
    one = Counted(
        "f", (100, 100), 0.25, area, places, labels, np.array([[85.0, 10.0], [5.0, 5.0]]), np.array([0.5, 0.5])
    )
    got = tally([one], NOTTINGHAM)
    assert (got.accepted, got.outside, got.rejected, got.pending) == (2, 1, 1, 1)
    assert got.doubles == (("f", 0, 1, 10.0),)
