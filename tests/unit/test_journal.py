"""The journal's file: what is confirmed is on disk, nothing is changed, and trouble is told in a sentence."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from napari_mitosis.annotations.actions import Action, new_id
from napari_mitosis.annotations.store import Journal, default_journal, default_reader
from napari_mitosis.errors import JournalError
from napari_mitosis.fields.field import Field

FIELD = "f" * 64


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def add(figure: str = "", **values: object) -> Action:
    place = {"y_px": 1.5, "x_px": 2.5, "label": "mitosis", "time": "2026-01-01T00:00:00.000001+00:00"}
    return Action(new_id(), "add", FIELD, figure or new_id(), **{**place, "reader": "ann", **values})


def test_what_was_appended_is_there_after_reopening(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "journal.sqlite"
    full = add(phase="metaphase", score=0.25, mpp=0.2455, source="segmitos@1.0.0", model="m", rule='{"a":1}')
    odd = add(reader="Žofie\n'; --", y_px=-0.5, x_px=1 / 3)
    journal = Journal(file)
    journal.append(full)
    journal.append(odd)
    journal.close()
    assert Journal(f"sqlite:///{file}", create=False).actions() == [full, odd]


def test_one_field_and_what_came_after_a_number(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite")
    first, second, third = add(), Action(new_id(), "complete", "0" * 64), add()
    journal.append(first, second, third)
    assert journal.actions(FIELD) == [first, third]
    (one, _), (two, _), (three, _) = journal.rows()
    assert one < two < three == journal.last()
    assert journal.actions(after=one) == [second, third]
    assert journal.actions(FIELD, after=three) == []


def test_an_action_written_again_is_stored_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite")
    first, second = add(), add()
    journal.append(first)
    journal.append(first, second)
    assert journal.actions() == [first, second]


def test_several_actions_are_written_all_or_none(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite")
    with sqlite3.connect(tmp_path / "j.sqlite") as raw:
        raw.execute(
            "CREATE TRIGGER stop BEFORE INSERT ON mitosis_actions WHEN NEW.reader = 'stop' "
            "BEGIN SELECT RAISE(ABORT, 'stopped here'); END"
        )
    with pytest.raises(JournalError, match="stopped here"):
        journal.append(add(), add(), add(reader="stop"))
    assert journal.actions() == []
    journal.append(add())
    assert len(journal.actions()) == 1


@pytest.mark.parametrize("change", ["UPDATE mitosis_actions SET reader = 'eve'", "DELETE FROM mitosis_actions"])
def test_the_database_itself_refuses_to_change_an_action(tmp_path: Path, change: str) -> None:
    journal = Journal(tmp_path / "j.sqlite")
    action = add()
    journal.append(action)
    raw = sqlite3.connect(tmp_path / "j.sqlite")
    with pytest.raises(sqlite3.IntegrityError, match="only ever added to"):
        raw.execute(change)
    raw.close()
    assert journal.actions() == [action]


def test_written_through_to_the_disk(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite")
    assert journal._database is not None  # the setting belongs to the connection: nobody else can see it
    settings = [
        journal._database._connection.exec_driver_sql(f"PRAGMA {name}").scalar()
        for name in ("journal_mode", "synchronous")
    ]
    assert settings == ["wal", 2]  # 2 = FULL


def test_history_of_a_figure(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite")
    first, other = add("a" * 32), add("b" * 32)
    label = Action(new_id(), "relabel", FIELD, "a" * 32, label="mimic", batch=other.id)
    undo = Action(new_id(), "undo", FIELD, target=other.id)
    unrelated = Action(new_id(), "undo", FIELD, target=new_id())
    journal.append(first, other, label, undo, unrelated)
    assert journal.history("a" * 32) == [first, label, undo]


def test_fields_are_remembered_with_their_newest_path(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite")
    field = Field.from_array(np.zeros((4, 6, 3), np.uint8), None, "first")
    journal.remember(field)
    journal.remember(Field.from_array(np.zeros((4, 6, 3), np.uint8), 0.25, "second", tmp_path / "s.png"))
    (row,) = journal.fields().to_dict("records")
    assert row == {
        **{"digest": field.digest, "name": "second", "path": str(tmp_path / "s.png"), "mpp": 0.25},
        **{"height_px": 4, "width_px": 6},
    }


def test_no_field_gives_an_empty_table_of_the_same_kind(tmp_path: Path) -> None:
    frame = Journal(tmp_path / "j.sqlite").fields()
    assert len(frame) == 0
    assert frame["mpp"].dtype == np.float64


def test_other_files_are_refused_and_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "text.sqlite"
    text.write_text("a table of figures, " * 200)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as raw:
        raw.execute("CREATE TABLE patients (name TEXT)")
    before = [path.read_bytes() for path in (text, other)]
    with pytest.raises(JournalError, match="is no journal"):
        Journal(text)
    with pytest.raises(JournalError, match="no journal of annotations"):
        Journal(other)
    with pytest.raises(JournalError, match="cannot be opened"):
        Journal(tmp_path)
    assert [path.read_bytes() for path in (text, other)] == before


def test_a_newer_journal_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "j.sqlite"
    Journal(file).close()
    with sqlite3.connect(file) as raw:
        raw.execute("INSERT INTO mitosis_journal VALUES (3, 'later')")
    raw.close()
    before = file.read_bytes()
    with pytest.raises(JournalError, match="newer version"):
        Journal(file)
    assert file.read_bytes() == before


def test_an_absent_journal_is_not_made_when_it_is_only_to_be_read(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="no journal at"):
        Journal(tmp_path / "j.sqlite", create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "j.sqlite"
    journal = Journal(file)
    journal.append(*(add() for _ in range(2000)))
    journal.close()
    data = bytearray(file.read_bytes())
    half = len(data) // 2 // 4096 * 4096
    data[half : half + 200_000] = bytes(200_000)
    file.write_bytes(bytes(data))
    assert Journal(file).check()
    with pytest.raises(JournalError, match="damaged"):
        Journal(file).actions()


def test_a_sound_journal_passes_the_check(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite")
    journal.append(add())
    assert journal.check() == []


@pytest.mark.parametrize("where", ["mysql://host/db", "postgresql:///?a=b&port=x", "http://somewhere"])
def test_other_urls_are_refused(where: str) -> None:
    with pytest.raises(JournalError):
        Journal(where)


def test_a_password_is_never_shown() -> None:
    with pytest.raises(JournalError, match="server does not answer") as caught:
        Journal("postgresql://ann:secret@127.0.0.1:1/db")
    assert "secret" not in str(caught.value)
    assert "secret" not in Journal("postgresql://ann:secret@127.0.0.1:1/db", later=True).name


AS_NOBODY = """
import os, sys
from napari_mitosis.annotations.store import Journal
from napari_mitosis.errors import JournalError
Journal(sys.argv[1]).close()  # everything is imported: nobody may not read every interpreter
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
for where in sys.argv[2:]:
    try:
        Journal(where)
    except JournalError as error:
        print(error)
    else:
        print("opened")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_where_nothing_may_be_written_it_says_so(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    file = tmp_path / "j.sqlite"
    Journal(file).close()
    for path, mode in ((file, 0o444), (tmp_path, 0o555)):
        path.chmod(mode)
    opened = [path for path in tmp_path.parents if not path.stat().st_mode & 0o005]
    modes = [path.stat().st_mode for path in opened]
    try:
        for path in opened:
            path.chmod(path.stat().st_mode | 0o005)
        places = [elsewhere / "warm.sqlite", file, tmp_path / "new.sqlite", tmp_path / "a" / "b"]
        command = [sys.executable, "-c", AS_NOBODY, *map(str, places)]
        environment = {**os.environ, "XDG_STATE_HOME": "/nowhere"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    finally:
        for path, mode in zip(opened, modes, strict=True):
            path.chmod(mode)
        tmp_path.chmod(0o755)
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done.stderr
    assert "may only be read" in lines[0]
    assert "cannot be opened" in lines[1]
    assert "folder cannot be made" in lines[2]


def test_a_deleted_file_is_put_back_with_all_it_held(tmp_path: Path) -> None:
    file = tmp_path / "sub" / "j.sqlite"
    journal = Journal(file)
    first, second = add(), add()
    journal.append(first)
    for path in file.parent.iterdir():
        path.unlink()
    file.parent.rmdir()
    journal.append(second)
    journal.close()
    assert Journal(file, create=False).actions() == [first, second]


def test_a_deleted_file_is_put_back_though_the_files_beside_it_stayed(tmp_path: Path) -> None:
    file = tmp_path / "j.sqlite"
    journal = Journal(file)
    actions = [add() for _ in range(300)]
    for action in actions[:200]:
        journal.append(action)
    assert (tmp_path / "j.sqlite-wal").stat().st_size > 0
    file.unlink()
    for action in actions[200:]:
        journal.append(action)
    assert journal.actions() == actions
    journal.close()
    again = Journal(file, create=False)
    assert again.actions() == actions
    assert again.check() == []


def test_a_deleted_file_whose_place_is_gone_waits_in_memory(tmp_path: Path) -> None:
    file = tmp_path / "disk" / "j.sqlite"
    journal = Journal(file)
    first, second = add(), add()
    journal.append(first)
    (tmp_path / "disk").rename(tmp_path / "away")
    (tmp_path / "disk").write_text("no folder")
    for _ in range(2):
        with pytest.raises(JournalError, match="folder cannot be made"):
            journal.append(second)
    (tmp_path / "disk").unlink()
    journal.append(second)
    assert journal.actions() == [first, second]


def test_a_disk_that_was_away_is_used_again_once_it_is_back(tmp_path: Path) -> None:
    file = tmp_path / "j.sqlite"
    journal = Journal(file)
    first, second = add(), add()
    journal.append(first)
    assert journal._database is not None
    journal._database._connection.close()  # nothing can be read through it any more, as of a disk that is gone
    copy = file.read_bytes()
    file.unlink()
    for _ in range(2):
        with pytest.raises(JournalError, match="was deleted while open"):
            journal.append(second)
    assert not file.exists()  # no empty journal in its place
    file.write_bytes(copy)
    journal.append(second)
    assert journal.actions() == [first, second]


def test_a_replaced_file_gets_what_the_old_one_held(tmp_path: Path) -> None:
    file = tmp_path / "j.sqlite"
    journal = Journal(file)
    mine, theirs, later = add(), add(), add()
    journal.append(mine)
    with Journal(tmp_path / "copy.sqlite") as other:
        other.append(theirs)
    for path in tmp_path.glob("j.sqlite*"):
        path.unlink()
    os.replace(tmp_path / "copy.sqlite", file)
    journal.append(later)
    assert journal.actions() == [theirs, mine, later]


def test_opened_later_it_works_once_the_place_is_there(tmp_path: Path) -> None:
    (tmp_path / "disk").write_text("not a folder yet")
    journal = Journal(tmp_path / "disk" / "j.sqlite", later=True)
    action = add()
    with pytest.raises(JournalError, match="cannot be"):
        journal.append(action)
    (tmp_path / "disk").unlink()
    journal.append(action)
    assert journal.actions() == [action]


def write_many(file: Path, reader: str, count: int) -> None:
    journal = Journal(file)
    for _ in range(count):
        journal.append(add(reader=reader), wait_s=10)
    journal.close()


def test_two_processes_and_two_threads_write_one_new_file(tmp_path: Path) -> None:
    file = tmp_path / "j.sqlite"
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=write_many, args=(file, f"p{number}", 40)) for number in range(2)]
    for worker in workers:
        worker.start()
    journal = Journal(file)
    threads = [
        threading.Thread(target=lambda name=name: [journal.append(add(reader=name), wait_s=10) for _ in range(40)])
        for name in ("t0", "t1")
    ]
    for thread in threads:
        thread.start()
    for one in (*threads, *workers):
        one.join()
    assert all(worker.exitcode == 0 for worker in workers)
    readers = [action.reader for action in journal.actions()]
    assert {name: readers.count(name) for name in set(readers)} == {"p0": 40, "p1": 40, "t0": 40, "t1": 40}


def test_after_closing_nothing_is_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.sqlite")
    journal.close()
    with pytest.raises(JournalError, match="was closed"):
        journal.append(add())


def test_defaults_can_be_set_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_MITOSIS_JOURNAL", "postgresql://host/db")
    assert default_journal() == "postgresql://host/db"
    monkeypatch.setenv("NAPARI_MITOSIS_JOURNAL", "j.sqlite")
    assert default_journal() == Path("j.sqlite")
    monkeypatch.delenv("NAPARI_MITOSIS_JOURNAL")
    assert Path(default_journal()).name == "journal.sqlite"
    monkeypatch.setenv("NAPARI_MITOSIS_READER", "  Dr. Ann ")
    assert default_reader() == "Dr. Ann"
    monkeypatch.delenv("NAPARI_MITOSIS_READER")
    assert default_reader()


def test_sqlalchemy_is_loaded_only_when_a_journal_is_opened() -> None:
    code = "import sys, napari_mitosis.annotations.notebook as n; print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
