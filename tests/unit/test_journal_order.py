"""One order of actions, however and whenever they reach the journal; nothing is called kept that is not on disk."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_mitosis.annotations import spill as spill_module
from napari_mitosis.annotations.actions import Action, new_id
from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.replay import replay
from napari_mitosis.annotations.schema import SCHEMA_VERSION
from napari_mitosis.annotations.spill import DAMAGED, Spill, left_behind, spill_folder
from napari_mitosis.annotations.store import Journal
from napari_mitosis.annotations.written_over import Witness, _address
from napari_mitosis.errors import JournalError
from napari_mitosis.fields.field import Field

PLACE = {"y_px": 1.0, "x_px": 1.0, "label": "mitosis"}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setattr(spill_module.platformdirs, "user_state_dir", lambda *_, **__: str(folder))
    return spill_folder()


@pytest.fixture
def field() -> Field:
    return Field.from_array(np.full((200, 300, 3), 200, np.uint8), 0.25, "one")


def held(file: Path) -> sqlite3.Connection:
    """Another program that is writing into the journal."""
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    return holder


@pytest.mark.parametrize("seed", range(6))
def test_what_is_spilled_in_pieces_comes_back_in_its_order(tmp_path: Path, field: Field, seed: int) -> None:
    """Another process takes each file while the journal is held, and the names of files are random."""
    file, rng = tmp_path / "j.sqlite", random.Random(seed)
    book = Notebook(Journal(file), field, "ann")
    first = book.add(1, 1)
    holder = held(file)
    figure = book.add(2, 2)
    steps = [("undo", ()), ("relabel", (first, "mimic")), ("undo", ()), ("redo", ()), ("delete", (first,))]
    for step, arguments in steps:
        left_behind(book.journal.url, spill_folder())  # renames what is there; what follows goes to a new file
        getattr(book, step)(*arguments)
    expected = book.figures
    assert figure not in set(expected["figure"])
    del book
    for path in spill_folder().iterdir():
        path.rename(path.with_name(f"{path.name[:17]}{rng.random()}.jsonl"))
    holder.close()
    again = Notebook(Journal(file), field, "ann")
    pd.testing.assert_frame_equal(again.figures, expected)
    assert list(spill_folder().iterdir()) == []
    assert again.undo() is not None  # the deletion
    assert list(again.figures["label"]) == ["mimic"]


def test_every_order_of_arrival_gives_the_same_state(field: Field, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite")
    ann, bob = Notebook(journal, field, "ann"), Notebook(Journal(tmp_path / "j.sqlite"), field, "bob")
    figure = ann.add(1, 1)
    bob.refresh()
    bob.relabel(figure, "mimic")
    ann.refresh()
    ann.delete(figure)
    bob.refresh()
    ann.undo()
    actions = journal.actions(field.digest)
    expected = replay(actions).figures
    assert [one.label for one in expected] == ["mimic"]
    for number, arrival in enumerate(itertools.permutations(actions)):
        other = Journal(tmp_path / f"{number}.sqlite")
        for action in arrival:
            other.append(action)
        assert replay(other.actions(field.digest)).figures == expected
        other.close()


def test_a_clock_that_goes_backwards_changes_no_order(tmp_path: Path, field: Field) -> None:
    moments = (datetime(2030, 1, 1, tzinfo=UTC) - timedelta(days=day) for day in itertools.count())
    book = Notebook(Journal(tmp_path / "j.sqlite"), field, "ann", lambda: next(moments))
    figure = book.add(1, 1)
    book.relabel(figure, "mimic")
    book.delete(figure)
    book.undo()
    again = Notebook(Journal(tmp_path / "j.sqlite"), field, "ann")
    assert list(again.figures["label"]) == ["mimic"]
    again.undo()
    assert list(again.figures["label"]) == ["mitosis"]


def test_a_journal_of_the_first_layout_is_brought_up_to_date(tmp_path: Path, field: Field) -> None:
    file = tmp_path / "j.sqlite"
    book = Notebook(Journal(file), field, "ann")
    figure = book.add(1, 1)
    book.relabel(figure, "mimic")
    book.journal.close()
    with sqlite3.connect(file) as raw:
        raw.execute("DROP TRIGGER mitosis_actions_no_update")
        for column in ("tick", "writer"):
            raw.execute(f"ALTER TABLE mitosis_actions DROP COLUMN {column}")
        raw.execute(
            "CREATE TRIGGER mitosis_actions_no_update BEFORE UPDATE ON mitosis_actions "
            "BEGIN SELECT RAISE(ABORT, ''); END"
        )
        raw.execute("UPDATE mitosis_journal SET version = 1")
    again = Notebook(Journal(file), field, "ann")
    assert list(again.figures["label"]) == ["mimic"]
    again.relabel(figure, "unsure")
    assert list(Notebook(Journal(file), field, "bob").figures["label"]) == ["unsure"]
    assert Journal(file).check() == []
    with sqlite3.connect(file) as raw:
        assert raw.execute("SELECT max(version) FROM mitosis_journal").fetchone() == (SCHEMA_VERSION,)


def test_kept_is_said_only_of_what_is_on_disk_and_a_torn_line_takes_nothing_with_it(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk takes half a line, then has room again."""
    actions = [Action(new_id(), "add", "f" * 64, new_id(), **PLACE) for _ in range(4)]
    spill, full = Spill("here", state), [True]
    real = os.fsync

    def fsync(handle: int) -> None:
        if full[0]:
            os.ftruncate(handle, 30)
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(spill_module.os, "fsync", fsync)
    assert not spill.keep(actions[:2])
    assert spill.failed
    full[0] = False
    assert spill.keep(actions[:3])
    assert spill.keep(actions[3:])
    kept = left_behind("here", state)
    assert {action.id for one in kept for action in one.actions} == {action.id for action in actions}
    assert all(one.whole for one in kept)


def test_a_confirmed_line_that_was_changed_is_told_and_kept(tmp_path: Path, field: Field, state: Path) -> None:
    file = tmp_path / "j.sqlite"
    journal = Journal(file)
    spill = Spill(journal.url, state)
    assert spill.keep([Action(new_id(), "add", field.digest, new_id(), **PLACE)])
    assert spill.keep([Action(new_id(), "add", field.digest, new_id(), **PLACE)])
    content = spill.path.read_bytes()
    spill.path.write_bytes(content.replace(b'"mitosis"', b'"mimosis"', 1))
    again = Journal(file)
    assert len(again.actions()) == 1
    (kept,) = state.glob(f"*{DAMAGED}")
    assert any(str(kept) in sentence for sentence in again.check())


@pytest.mark.parametrize("size", [0, 5000])
def test_a_journal_that_is_cut_short_while_open_is_noticed_and_nothing_of_the_field_is_lost(
    tmp_path: Path, field: Field, size: int
) -> None:
    file = tmp_path / "j.sqlite"
    before = Notebook(Journal(file), field, "ann")
    before.add(1, 1)
    before.journal.close()
    (tmp_path / "copy.sqlite").write_bytes(file.read_bytes())
    book = Notebook(Journal(file), field, "ann")
    book.add(2, 2)
    os.truncate(file, size)
    book.add(3, 3)
    assert "cut the journal" in book.warning
    assert "kept in" in book.warning
    assert book.pending == 3
    assert any("cut the journal" in sentence for sentence in book.journal.check())
    expected = book.figures
    book.journal.close()
    for path in tmp_path.glob("j.sqlite*"):
        path.unlink()
    (tmp_path / "copy.sqlite").rename(file)
    assert_same(Notebook(Journal(file), field, "ann").figures, expected)


def assert_same(figures: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(figures, expected)


@pytest.mark.parametrize("how", ["an older copy", "zeros", "a damaged page", "another journal"])
def test_a_journal_that_is_written_over_at_the_same_size_is_noticed(tmp_path: Path, field: Field, how: str) -> None:
    file = tmp_path / "j.sqlite"
    for path in (file, tmp_path / "other.sqlite"):
        with Journal(path) as journal:
            Notebook(journal, field, "ann").add_all(pd.DataFrame({"y_px": np.arange(40.0), "x_px": 1.0}))
    older, other = file.read_bytes(), (tmp_path / "other.sqlite").read_bytes()
    book = Notebook(Journal(file), field, "ann")
    for x in (2, 3):  # honest changes of the file alarm nobody
        book.add(1, x)
        with contextlib.closing(sqlite3.connect(file)) as raw:
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert book.warning == ""
    pages = {
        "an older copy": older,
        "zeros": bytes(len(older)),
        "a damaged page": older[:8192] + bytes(4096) + older[12288:],
        "another journal": other,
    }
    assert len(pages[how]) == file.stat().st_size
    with file.open("r+b") as open_file:
        open_file.write(pages[how])
    book.add(1, 4)
    assert "written over it" in book.warning
    assert "43 actions are kept in" in book.warning
    (kept,) = left_behind(str(file), spill_folder())
    assert [(action.y_px, action.x_px) for action in kept.actions][-3:] == [(1, 2), (1, 3), (1, 4)]
    assert any("written over it" in words for words in book.journal.check())


def test_an_emptied_journal_is_not_taken_for_a_new_one(tmp_path: Path, field: Field) -> None:
    file = tmp_path / "j.sqlite"
    Notebook(Journal(file), field, "ann").add(1, 1)
    wal = tmp_path / "j.sqlite-wal"
    file.write_bytes(b"")
    wal.write_bytes(b"x" * 100)
    with pytest.raises(JournalError, match="was emptied"):
        Journal(file)
    assert wal.stat().st_size == 100


DAMAGE = {
    "its fields are gone": ("DROP TABLE mitosis_fields", "table mitosis_fields is missing"),
    "its actions are gone": ("DROP TABLE mitosis_actions", "table mitosis_actions is missing"),
    "a column has another name": ("ALTER TABLE mitosis_fields RENAME COLUMN mpp TO um", "mpp"),
    "a version that is text": ("UPDATE mitosis_journal SET version = 'two'", "newer version|damaged"),
}


@pytest.mark.parametrize(("statement", "words"), DAMAGE.values(), ids=DAMAGE.keys())
def test_a_journal_without_its_tables_is_not_called_sound(tmp_path: Path, statement: str, words: str) -> None:
    file = tmp_path / "j.sqlite"
    Journal(file).close()
    with sqlite3.connect(file) as raw:
        raw.execute(statement)
    with pytest.raises(JournalError, match=words) as caught:
        Journal(file)
    assert "server" not in str(caught.value)


@pytest.mark.parametrize("column", ["y_px", "score", "mpp", "tick"])
def test_text_where_a_number_belongs_is_told(tmp_path: Path, field: Field, column: str) -> None:
    file = tmp_path / "j.sqlite"
    Notebook(Journal(file), field, "ann").add(1, 1)
    with sqlite3.connect(file) as raw:
        raw.execute("DROP TRIGGER mitosis_actions_no_update")
        raw.execute(f"UPDATE mitosis_actions SET {column} = 'abc'")
    found = Journal(file).check()
    assert any("Row 1 of the journal is damaged" in sentence for sentence in found)


def test_a_lost_guard_is_told(tmp_path: Path) -> None:
    file = tmp_path / "j.sqlite"
    Journal(file).close()
    with sqlite3.connect(file) as raw:
        raw.execute("DROP TRIGGER mitosis_actions_no_delete")
    assert any("no_delete is gone" in sentence for sentence in Journal(file).check())


def test_a_pipe_in_the_place_of_a_journal_does_not_hang(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(JournalError, match="no file"):
        Journal(tmp_path / "pipe")


@pytest.mark.parametrize("name", [os.fsdecode(b"f\xff.tif"), "a\0b", "\ud800"])
def test_names_that_cannot_be_written_do_not_stop_a_notebook(tmp_path: Path, name: str) -> None:
    pixels = np.full((20, 30, 3), 200, np.uint8)
    place = None if "\0" in name or "\ud800" in name else tmp_path / name
    field = Field.from_array(pixels, 0.25, name, place)
    book = Notebook(Journal(tmp_path / "j.sqlite"), field, name)
    book.add(1, 1, source=name)
    book.set_context(name, None)
    book.accept(2, 2, source=f"{name}@1", score=0.5)
    assert book.pending == 0
    assert book.warning == ""
    assert len(Notebook(Journal(tmp_path / "j.sqlite"), field, name).figures) == 2
    assert book.undo() is not None
    if place is not None:
        from napari_mitosis.names import text_path

        (row,) = book.journal.fields().to_dict("records")
        assert text_path(row["path"]) == place


@pytest.mark.parametrize(
    "values",
    [{"source": "\ud800"}, {"reader": "a\0b"}, {"y_px": "1"}, {"mpp": float("inf")}, {"tick": -1}, {"time": None}],
)
def test_an_action_that_cannot_be_written_cannot_be(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="an action of kind 'add'"):
        Action(new_id(), "add", "f" * 64, new_id(), **{**PLACE, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a b?c#d%20.sqlite", "Žofie.sqlite", "caf\udce9.sqlite"])
def test_a_journal_of_any_name_is_looked_at_when_its_file_changes(tmp_path: Path, field: Field, name: str) -> None:
    try:
        (tmp_path / name).touch()
    except (OSError, UnicodeError):
        pytest.skip("this system has no such names")
    (tmp_path / name).unlink()
    book = Notebook(Journal(tmp_path / name), field, "ann")
    book.add(1, 1)
    witness = Witness(tmp_path / name)
    os.utime(tmp_path / name, (1, 1))
    assert not witness.contradicted()
    assert witness._rows == 1  # it has looked: there is one action
    assert _address(Path(tmp_path / "x")).startswith("file:///")
