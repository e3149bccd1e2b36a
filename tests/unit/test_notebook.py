"""A field's annotations as a reader changes them: everything is kept, everything can be undone."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_mitosis.annotations.frames import FIGURE_COLUMNS, figures_frame
from napari_mitosis.annotations.notebook import Change, Notebook
from napari_mitosis.annotations.replay import replay
from napari_mitosis.annotations.store import Journal
from napari_mitosis.decision.decide import Rule
from napari_mitosis.errors import MitosisError
from napari_mitosis.fields.field import Field
from napari_mitosis.tables import check_annotations


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def field() -> Field:
    return Field.from_array(np.full((200, 300, 3), 200, np.uint8), 0.25, "one")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def open_book(file: Path, field: Field, reader: str = "ann") -> Notebook:
    return Notebook(Journal(file), field, reader)


def test_every_action_carries_its_context(file: Path, field: Field) -> None:
    moment = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)
    book = Notebook(Journal(file), field, "ann", clock=lambda: moment + timedelta(hours=0))
    book.set_context("segmitos@1.0.0", Rule(threshold=0.4))
    figure = book.accept(10.5, 20.25, source="segmitos@1.0.0", score=0.75)
    (action,) = Journal(file).actions()
    assert (action.kind, action.figure, action.field, action.reader) == ("accept", figure, field.digest, "ann")
    assert (action.y_px, action.x_px, action.label, action.score, action.mpp) == (10.5, 20.25, "mitosis", 0.75, 0.25)
    assert (action.source, action.model) == ("segmitos@1.0.0", "segmitos@1.0.0")
    assert action.time == "2026-03-01T12:00:00.000005+00:00"
    assert '"threshold":0.4' in action.rule
    assert '"max_area_um2":null' in action.rule


def test_figures_table(file: Path, field: Field) -> None:
    book = open_book(file, field)
    assert list(book.figures.columns) == list(FIGURE_COLUMNS)
    assert len(book.figures) == 0
    a = book.add(10, 20, phase="anaphase")
    b = book.reject(30, 40, source="segmitos@1.0.0", score=0.9)
    c = book.accept(50, 60, source="segmitos@1.0.0", score=0.6, label="unsure")
    book.move(a, 11, 21)
    frame = book.figures
    assert list(frame["figure"]) == [a, b, c]
    assert list(frame["label"]) == ["mitosis", "mimic", "unsure"]
    assert list(frame["kind"]) == ["move", "reject", "accept"]
    assert list(frame["phase"]) == ["anaphase", "", ""]
    assert (frame["y_px"][0], frame["x_px"][0]) == (11.0, 21.0)
    assert math.isnan(frame["score"][0])
    assert isinstance(frame.index, pd.RangeIndex)
    frame["label"] = "spoilt"  # a copy
    assert "spoilt" not in set(book.figures["label"])
    assert list(check_annotations(book.annotations())["confidence"]) == [1.0, 1.0, 1.0]


def test_each_change_is_told_after_it_is_written(file: Path, field: Field) -> None:
    book = open_book(file, field)
    told: list[tuple[str, tuple[str, ...], int]] = []

    def note(change: Change) -> None:
        assert change.action is not None
        told.append((change.action.kind, change.figures, len(Journal(file).actions())))

    book.changed.connect(note)
    figure = book.add(1, 2)
    book.relabel(figure, "mimic")
    book.set_complete(True)
    book.undo()
    book.undo()
    book.redo()
    assert told == [
        ("add", (figure,), 1),
        ("relabel", (figure,), 2),
        ("complete", (), 3),
        ("undo", (), 4),
        ("undo", (figure,), 5),
        ("redo", (figure,), 6),
    ]


def test_undo_goes_on_after_a_restart_back_to_nothing(file: Path, field: Field) -> None:
    book = open_book(file, field)
    states = [(book.figures.drop(columns=["time", "kind"]), book.complete)]
    figure = book.add(1, 2)

    def note() -> None:
        states.append((book.figures.drop(columns=["time", "kind"]), book.complete))

    note()
    for step in (
        lambda: book.move(figure, 3, 4),
        lambda: book.relabel(figure, "unsure", "atypical"),
        lambda: book.set_complete(True),
        lambda: book.delete(figure),
        lambda: book.accept(9, 9, source="segmitos@1.0.0", score=0.5),
        lambda: book.add_all(pd.DataFrame({"y_px": [1.0, 2.0], "x_px": [3.0, 4.0], "label": "mimic"})),
    ):
        step()
        note()
    for complete in reversed(states[:-1]):
        book.journal.close()
        book = open_book(file, field)  # a restart before each
        assert book.undo() is not None
        pd.testing.assert_frame_equal(book.figures.drop(columns=["time", "kind"]), complete[0])
        assert book.complete == complete[1]
    assert not book.can_undo
    assert book.undo() is None
    for complete in states[1:]:
        book.journal.close()
        book = open_book(file, field)
        assert book.redo() is not None
        pd.testing.assert_frame_equal(book.figures.drop(columns=["time", "kind"]), complete[0])
        assert book.complete == complete[1]
    assert not book.can_redo
    assert book.redo() is None


def test_what_is_undone_can_be_named_beforehand(file: Path, field: Field) -> None:
    book = open_book(file, field)
    assert book.next_undo is None
    figure = book.add(1, 2)
    book.delete(figure)
    assert book.next_undo is not None
    assert book.next_undo.kind == "delete"
    book.undo()
    assert book.next_redo is not None
    assert book.next_redo.kind == "delete"
    book.add(5, 5)
    assert not book.can_redo


def test_history_names_everybody_and_every_undo(file: Path, field: Field) -> None:
    ann, bob = open_book(file, field, "ann"), open_book(file, field, "bob")
    figure = ann.add(1, 2)
    ann.add(7, 7)
    bob.refresh()
    bob.relabel(figure, "mimic")
    bob.undo()
    ann.refresh()
    kinds = [(action.reader, action.kind) for action in ann.history(figure)]
    assert kinds == [("ann", "add"), ("bob", "relabel"), ("bob", "undo")]
    assert ann.history(figure) == ann.journal.history(figure)


def test_a_second_reader_sees_and_never_undoes_the_first(file: Path, field: Field) -> None:
    ann, bob = open_book(file, field, "ann"), open_book(file, field, "bob")
    mine = ann.add(1, 2)
    assert bob.figures.empty
    told: list[Change] = []
    bob.changed.connect(told.append)
    bob.refresh()
    bob.refresh()
    assert [(change.action, change.figures) for change in told] == [(None, (mine,))]
    assert not bob.can_undo
    assert bob.undo() is None
    bob.move(mine, 5, 5)
    ann.undo()  # ann's marking is taken back; what bob did to it has nothing to be done to
    bob.refresh()
    assert ann.figures.empty
    assert bob.figures.empty
    ann.redo()
    assert list(ann.figures["y_px"]) == [5.0]


def test_moving_what_another_deleted_is_refused_by_name(file: Path, field: Field) -> None:
    ann, bob = open_book(file, field, "ann"), open_book(file, field, "bob")
    figure = ann.add(1, 2)
    bob.refresh()
    bob.delete(figure)
    ann.move(figure, 9, 9)  # ann does not know yet: written, and without effect
    assert ann.figures.empty
    with pytest.raises(MitosisError, match="deleted by bob"):
        ann.move(figure, 9, 9)
    with pytest.raises(MitosisError, match="not there"):
        ann.delete("0" * 32)
    bob.undo()
    assert list(bob.figures["y_px"]) == [9.0]


def test_somebody_elses_actions_arrive_with_my_next_one(file: Path, field: Field) -> None:
    ann, bob = open_book(file, field, "ann"), open_book(file, field, "bob")
    first = ann.add(1, 2)
    told: list[Change] = []
    bob.changed.connect(told.append)
    second = bob.add(3, 4)
    assert list(bob.figures["figure"]) == [first, second]
    assert set(told[0].figures) == {first, second}


def test_one_reader_in_two_windows_has_one_history(file: Path, field: Field) -> None:
    left, right = open_book(file, field), open_book(file, field)
    first = left.add(1, 2)
    right.refresh()
    right.undo()
    left.refresh()
    assert left.figures.empty
    assert left.can_redo
    left.redo()
    assert list(left.figures["figure"]) == [first]


def test_fields_do_not_mix(file: Path, field: Field) -> None:
    journal = Journal(file)
    other = Field.from_array(np.zeros((10, 10, 3), np.uint8), None, "other")
    one, two = Notebook(journal, field, "ann"), Notebook(journal, other, "ann")
    one.add(1, 2)
    assert two.figures.empty
    assert not two.can_undo
    two.add(3, 4)
    assert list(journal.fields()["name"]) == ["one", "other"]
    assert one.undo() is not None
    assert len(two.figures) == 1


def test_only_annotated_fields_are_remembered(file: Path, field: Field) -> None:
    book = open_book(file, field)
    assert book.journal.fields().empty
    book.add(1, 2)
    assert list(book.journal.fields()["digest"]) == [field.digest]


def test_near_is_measured_in_micrometres(file: Path, field: Field) -> None:
    book = open_book(file, field)
    assert book.near(0, 0) is None
    a, b = book.add(100, 100), book.add(100, 110)
    assert book.near(100, 104) == a
    assert book.near(100, 106) == b
    assert book.near(100, 80) == a  # 20 px of 0.25 um
    assert book.near(100, 79.9) is None
    assert book.near(100, 79.9, radius_um=6) == a
    book.set_field(field.with_mpp(0.5))
    assert book.near(100, 89.9) is None
    book.set_field(field.with_mpp(None))
    assert book.near(100, 81) == a


def test_another_um_px_is_noted_from_then_on_and_other_pixels_are_refused(file: Path, field: Field) -> None:
    book = open_book(file, field)
    book.add(1, 2)
    book.set_field(field.with_mpp(0.5))
    book.add(3, 4)
    assert [action.mpp for action in book.journal.actions()] == [0.25, 0.5]
    assert list(book.journal.fields()["mpp"]) == [0.5]
    with pytest.raises(ValueError, match="other pixels"):
        book.set_field(Field.from_array(np.zeros((10, 10, 3), np.uint8)))


def test_no_phase_may_be_none_or_empty(file: Path, field: Field) -> None:
    book = open_book(file, field)
    figure = book.add(1, 2, "mitosis", "")
    book.relabel(figure, "mitosis", "prophase")
    book.relabel(figure, "mitosis", "")
    assert [action.phase for action in book.history(figure)] == [None, "prophase", None]
    assert book.knows(figure)
    assert not book.knows("0" * 32)


def test_complete_is_a_state_not_a_count(file: Path, field: Field) -> None:
    book = open_book(file, field)
    book.set_complete(False)
    assert book.journal.actions() == []
    book.set_complete(True)
    book.set_complete(True)
    assert [action.kind for action in book.journal.actions()] == ["complete"]
    book.set_complete(False)
    assert not book.complete
    book.undo()
    assert book.complete


def test_several_are_deleted_in_one_step(file: Path, field: Field) -> None:
    book = open_book(file, field)
    figures = [book.add(n, n) for n in range(4)]
    with pytest.raises(MitosisError):
        book.delete_all([figures[0], "0" * 32])
    assert len(book.figures) == 4
    book.delete_all(figures[:3])
    assert list(book.figures["figure"]) == figures[3:]
    book.undo()
    assert list(book.figures["figure"]) == figures
    book.redo()
    assert list(book.figures["figure"]) == figures[3:]


@pytest.mark.parametrize(
    ("label", "phase", "y_px", "score"),
    [
        ("cell", None, 1.0, None),
        ("mitosis", "early", 1.0, None),
        ("mimic", None, math.nan, None),
        ("mitosis", None, 1.0, 1.5),
    ],
)
def test_what_cannot_be_meant_changes_nothing(
    file: Path, field: Field, label: str, phase: str | None, y_px: float, score: float | None
) -> None:
    book = open_book(file, field)
    with pytest.raises(ValueError, match="an action of kind"):
        book.add(y_px, 2, label, phase, score=score)
    assert book.figures.empty
    assert book.pending == 0
    assert book.journal.actions() == []


def test_the_table_that_follows_is_the_one_made_anew(file: Path, field: Field) -> None:
    book, rng = open_book(file, field), np.random.default_rng(0)
    for _ in range(120):
        there = list(book.figures["figure"])  # asked each time: so there is a table that has to follow
        figure = str(rng.choice(there)) if there else ""
        kind = str(rng.choice(["add", "add", "many", "move", "relabel", "delete", "undo", "redo"]))
        if kind == "add":
            book.add(rng.uniform(0, 199), 3, score=rng.choice([0.5, math.nan]))
        elif kind == "many":
            book.add_all(pd.DataFrame({"y_px": [1.0, 2.0], "x_px": [1.0, 2.0]}))
        elif kind in ("undo", "redo"):
            getattr(book, kind)()
        elif figure and kind == "move":
            book.move(figure, rng.uniform(0, 199), 7)
        elif figure and kind == "relabel":
            book.relabel(figure, "mitosis", "anaphase")
        elif figure:
            book.delete(figure)
        pd.testing.assert_frame_equal(book.figures, figures_frame(replay(book.journal.actions()).figures))


def test_a_table_of_figures_belongs_to_whoever_asked(file: Path, field: Field) -> None:
    book = open_book(file, field)
    figure = book.add(10, 20)
    first = book.figures
    first.loc[0, "label"] = "spoilt"
    first["y_px"] = 0.0
    second = book.figures
    assert (second["label"].iloc[0], second["y_px"].iloc[0]) == ("mitosis", 10.0)
    book.relabel(figure, "mimic")
    book.move(figure, 30, 20)
    assert (second["label"].iloc[0], second["y_px"].iloc[0]) == ("mitosis", 10.0)
    assert (book.figures["label"].iloc[0], book.figures["y_px"].iloc[0]) == ("mimic", 30.0)
