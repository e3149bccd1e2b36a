"""The journal cannot be written for a while: the review goes on, a warning shows, nothing is lost and nothing twice."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_mitosis.annotations.actions import Action, new_id
from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.spill import Spill, left_behind, spill_folder
from napari_mitosis.annotations.store import Journal
from napari_mitosis.fields.field import Field


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    if spill_folder().is_relative_to(folder):
        return spill_folder()
    pytest.skip("the state folder of this system cannot be set from outside")


@pytest.fixture
def field() -> Field:
    return Field.from_array(np.full((200, 300, 3), 200, np.uint8), 0.25, "one")


def listen(book: Notebook) -> list[str]:
    told: list[str] = []
    book.trouble.connect(told.append)
    return told


class Holder:
    """Another program that holds the journal's write lock."""

    def __init__(self, file: Path) -> None:
        self.connection = sqlite3.connect(file, isolation_level=None)
        self.connection.execute("BEGIN IMMEDIATE")

    def release(self) -> None:
        self.connection.execute("ROLLBACK")
        self.connection.close()


def until_rested(book: Notebook) -> None:
    end = time.monotonic() + 20
    while book.pending and time.monotonic() < end:
        book.retry()
        time.sleep(0.05)


def test_a_journal_held_by_another_program_does_not_hold_the_reader(tmp_path: Path, field: Field, state: Path) -> None:
    file = tmp_path / "j.sqlite"
    book = Notebook(Journal(file), field, "ann")
    first = book.add(1, 1)
    told = listen(book)
    holder = Holder(file)
    began = time.perf_counter()
    second = book.add(2, 2)
    once = time.perf_counter() - began
    book.move(second, 3, 3)
    book.undo()
    book.set_complete(True)
    book.retry()
    assert once < 1.0
    assert time.perf_counter() - began < once + 0.5  # after a long wait, no other soon
    assert book.pending == 4
    assert list(book.figures["figure"]) == [first, second]
    assert list(book.figures["y_px"]) == [1.0, 2.0]
    assert book.complete
    assert [action.kind for action in book.history(second)] == ["add", "move", "undo"]
    assert "held" in told[0] or "holding" in told[0]
    assert "1 action is kept" in told[0]
    assert "4 actions are kept" in told[-1]
    assert len(list(state.glob("*.jsonl"))) == 1
    holder.release()
    until_rested(book)
    assert told[-1] == ""
    assert book.warning == ""
    assert [action.kind for action in Journal(file).actions()] == ["add", "add", "move", "undo", "complete"]
    assert list(state.glob("*.jsonl")) == []


def test_the_next_action_writes_what_waits_before_itself(tmp_path: Path, field: Field) -> None:
    file = tmp_path / "j.sqlite"
    (tmp_path / "gone").mkdir()
    book = Notebook(Journal(file), field, "ann")
    book.add(0, 0)
    with sqlite3.connect(file) as raw:
        raw.execute(
            "CREATE TRIGGER full BEFORE INSERT ON mitosis_actions BEGIN SELECT RAISE(ABORT, 'no room in here'); END"
        )
    told = listen(book)
    book.add(1, 1)
    book.add(2, 2)
    assert "no room in here" in told[-1]
    with sqlite3.connect(file) as raw:
        raw.execute("DROP TRIGGER full")
    time.sleep(0.3)
    book.add(3, 3)
    assert book.pending == 0
    assert told[-1] == ""
    assert [action.y_px for action in Journal(file).actions()] == [0.0, 1.0, 2.0, 3.0]


def test_what_waited_when_the_program_ended_is_written_when_the_journal_is_next_opened(
    tmp_path: Path, field: Field, state: Path
) -> None:
    file = tmp_path / "j.sqlite"
    book = Notebook(Journal(file), field, "ann")
    holder = Holder(file)
    book.add_all(pd.DataFrame({"y_px": [1.0, 2.0], "x_px": [1.0, 2.0]}))
    figure = book.add(3, 3, phase="telophase")
    book.relabel(figure, "unsure")
    figures = book.figures
    del book  # no goodbye
    holder.release()
    again = Notebook(Journal(file), field, "ann")
    pd.testing.assert_frame_equal(again.figures, figures)
    assert list(state.glob("*.jsonl")) == []
    assert again.undo() is not None
    assert len(Journal(file).actions()) == 5


def test_another_journal_does_not_take_them_and_a_torn_line_spoils_nothing(tmp_path: Path, state: Path) -> None:
    place = {"y_px": 1.0, "x_px": 1.0, "label": "mitosis"}
    actions = [Action(new_id(), "add", "f" * 64, new_id(), reader="line\u2028\nbreak", **place) for _ in range(3)]
    spill = Spill("here", state)
    assert spill.keep(actions[:1])
    assert spill.keep(actions[1:])
    text = spill.path.read_text(encoding="utf-8")
    spill.path.write_text(text[:-40], encoding="utf-8")
    assert left_behind("elsewhere", state) == []
    (kept,) = left_behind("here", state)
    assert kept.actions == actions[:1]  # the two others belong together, and the line of both is torn
    assert kept.path != spill.path
    assert kept.whole  # what was torn had not been confirmed


def test_a_file_that_is_taken_while_a_line_is_written_takes_no_line_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program opens the journal between the opening of the file and the writing of the line."""
    opened, found = Path.open, []

    def opened_then_taken(path: Path, *arguments: object, **options: object) -> object:
        file = opened(path, *arguments, **options)  # type: ignore[call-overload]
        monkeypatch.undo()
        found.extend(take())
        return file

    def take() -> list[Action]:
        files = left_behind("here", tmp_path)
        for file in files:
            file.done()
        return [action for file in files for action in file.actions]

    action = Action(new_id(), "complete", "digest")
    monkeypatch.setattr(Path, "open", opened_then_taken)
    assert Spill("here", tmp_path).keep([action])
    assert action in [*found, *take()]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork on Windows")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_a_journal_is_open_loses_nothing(tmp_path: Path, field: Field) -> None:
    """The child works on, the parent closes its journal; what the child was told is on disk is there."""
    file = tmp_path / "j.sqlite"
    ours = Notebook(Journal(file), field, "ann")
    ours.add(1, 1)

    def work(tell: Callable[[str], None], asked: Callable[[], None]) -> None:
        book = Notebook(Journal(file), field, "bob")
        tell("open")
        asked()
        book.add(2, 2)
        tell("in memory" if book.pending else "kept")

    with killed_child(work) as (told, ask):
        assert told() == "open"
        ours.journal.close()
        ask()
        assert told() == "kept"
    assert set(Notebook(Journal(file), field, "ann").figures["reader"]) == {"ann", "bob"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows deletes no open file")
def test_a_log_that_another_program_removes_is_noticed(tmp_path: Path, field: Field, state: Path) -> None:
    file = tmp_path / "j.sqlite"

    def work(tell: Callable[[str], None], asked: Callable[[], None]) -> None:
        book = Notebook(Journal(file), field, "ann")
        book.add(1, 1)
        (tmp_path / "j.sqlite-wal").unlink()
        (tmp_path / "j.sqlite-shm").unlink()
        book.add(2, 2)
        tell(book.warning)

    with killed_child(work) as (told, _):
        warning = told()
    assert "removed its log" in warning
    assert "2 actions are kept in" in warning
    assert len(Notebook(Journal(file), field, "ann").figures) == 2


@contextlib.contextmanager
def killed_child(
    work: Callable[[Callable[[str], None], Callable[[], None]], None],
) -> Iterator[tuple[Callable[[], str], Callable[[], None]]]:
    """Another process at work, which ends without closing anything; the two speak through pipes."""
    up, down = os.pipe(), os.pipe()

    def tell(text: str) -> None:
        os.write(up[1], f"{text}\n".encode())

    def ask() -> None:
        os.write(down[1], b"!")

    def asked() -> None:
        os.read(down[0], 1)

    child = os.fork()
    if child == 0:
        try:
            work(tell, asked)
        except BaseException as error:
            tell(repr(error))
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(up[1])
    with os.fdopen(up[0]) as lines:
        yield lambda: lines.readline().strip(), ask
    os.waitpid(child, 0)
    for pipe in down:
        os.close(pipe)


def test_a_journal_that_opens_later_gets_what_was_done_before(tmp_path: Path, field: Field) -> None:
    (tmp_path / "disk").write_text("a file where a folder should be")
    file = tmp_path / "disk" / "j.sqlite"
    book = Notebook(Journal(file, later=True), field, "ann")
    assert "cannot be opened" in book.warning
    told = listen(book)
    book.add(1, 1)
    assert "kept" in told[-1]
    (tmp_path / "other").mkdir()
    before = Journal(tmp_path / "other" / "j.sqlite")
    Notebook(before, field, "ann").add(9, 9)
    before.close()
    (tmp_path / "disk").unlink()
    (tmp_path / "other").rename(tmp_path / "disk")  # the disk comes back, with a journal of earlier work
    until_rested(book)
    assert told[-1] == ""
    assert list(book.figures["y_px"]) == [1.0, 9.0]  # in the order in which they were done
    assert len(Journal(file).actions()) == 2


def test_a_file_deleted_under_us_comes_back(tmp_path: Path, field: Field) -> None:
    file = tmp_path / "data" / "j.sqlite"
    book = Notebook(Journal(file), field, "ann")
    first = book.add(1, 1)
    shutil.rmtree(file.parent)
    second = book.add(2, 2)
    assert book.pending == 0
    assert list(Notebook(Journal(file), field, "ann").figures["figure"]) == [first, second]
    shutil.rmtree(file.parent)
    file.parent.write_text("no folder any more")
    told = listen(book)
    third = book.add(3, 3)
    assert "folder cannot be made" in told[-1]
    file.parent.unlink()
    until_rested(book)
    assert list(Notebook(Journal(file), field, "ann").figures["figure"]) == [first, second, third]
    assert told[-1] == ""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB, where we may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if sys.platform != "linux" or os.getuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount a small disk (Linux)")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("this machine lets nobody mount a disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_loses_nothing(small_disk: Path, field: Field, state: Path) -> None:
    file = small_disk / "j.sqlite"
    book = Notebook(Journal(file), field, "ann")
    book.add(0, 0)
    told = listen(book)
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(bytes(2**21))
    count = 0
    while not book.pending and count < 2000:  # the rest of the WAL file is used first
        count += 1
        book.add(count % 200, 1)
    assert book.pending
    book.relabel(book.figures["figure"][0], "mimic")
    book.undo()
    assert "disk is full" in told[0]
    pending = book.pending
    book.retry()
    assert book.pending == pending
    filler.unlink()
    until_rested(book)
    assert told[-1] == ""
    actions = Journal(file).actions()
    assert len(actions) == count + 3
    assert len({action.id for action in actions}) == count + 3
    assert actions[-1].kind == "undo"
    pd.testing.assert_frame_equal(Notebook(Journal(file), field, "ann").figures, book.figures)


LIMITED = """
import resource, signal, sys
import numpy as np
from pathlib import Path
from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.store import Journal
from napari_mitosis.fields.field import Field
file = Path(sys.argv[1])
book = Notebook(Journal(file), Field.from_array(np.zeros((9, 9, 3), np.uint8), 0.25), "ann")
told = []
book.trouble.connect(told.append)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
book.add(1, 1)
size = Path(f"{file}-wal").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5000, resource.RLIM_INFINITY))
for _ in range(20):
    book.add(1, 1)
assert book.pending and told and told[-1], (book.pending, told)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
import time
end = time.monotonic() + 20
while book.pending and time.monotonic() < end:
    book.retry()
    time.sleep(0.05)
assert told[-1] == "", told
print(told[0])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_file_that_may_not_grow_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "j.sqlite"
    done = subprocess.run([sys.executable, "-c", LIMITED, str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "disk" in done.stdout
    actions = Journal(file).actions()
    assert len({action.id for action in actions}) == len(actions) == 21
