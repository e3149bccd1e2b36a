"""The journal on a real PostgreSQL server, started for these tests alone."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg
import pytest

from napari_mitosis.annotations.actions import Action, new_id
from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.snapshot import take_snapshot
from napari_mitosis.annotations.store import Journal
from napari_mitosis.errors import JournalError
from napari_mitosis.fields.field import Field

FIELD = "f" * 64


class Server:
    """A private server: its own folder, reached through a socket in it, nothing on the network."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs = programs
        self.folder = folder
        self.account: dict[str, str] = {}
        if os.name == "posix" and os.getuid() == 0:  # the server refuses to run as root
            self.account = {"user": _account()}
            shutil.chown(folder, user=self.account["user"])
        self._run("initdb", "-D", str(folder / "data"), "-U", "reader", "-A", "trust", "-E", "UTF8", "--no-sync")

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses= -c fsync=off -c shared_buffers=16MB"  # quick, for tests
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-m", "immediate", "stop")

    def url(self, database: str) -> str:
        return f"postgresql://reader@/{database}?host={self.folder}"

    def connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(host=str(self.folder), user="reader", dbname=database, autocommit=True)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), *arguments]
        # Not a pipe: the server would inherit it and keep it open.
        with (Path(self.folder.parent) / f"{self.folder.name}.log").open("a") as log:
            subprocess.run(command, check=True, stdout=log, stderr=log, cwd=self.folder, **self.account)  # type: ignore[call-overload]


def _account() -> str:
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _programs() -> Path | None:
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("initdb")
    places += [Path(found).parent] if found else []
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed here (Debian: postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # short: a socket's path may have 107 characters
    server = Server(programs, folder)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)
    (folder.parent / f"{folder.name}.log").unlink()


@pytest.fixture
def url(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    name = f"journal_{new_id()[:8]}"
    with server.connect("postgres") as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.url(name)


@pytest.fixture
def field() -> Field:
    return Field.from_array(np.full((200, 300, 3), 200, np.uint8), 0.25, "one")


def add(**values: object) -> Action:
    place = {"y_px": 1.5, "x_px": 2.5, "label": "mitosis"}
    return Action(new_id(), "add", FIELD, new_id(), **{**place, "reader": "ann", **values})


def database(url: str) -> str:
    return url.split("/")[3].split("?")[0]


def test_everything_comes_back_and_nothing_is_stored_twice(url: str) -> None:
    full = add(phase="metaphase", score=1 / 3, mpp=0.2455, source="segmitos@1.0.0", rule='{"a":1}', reader="Žofie ' %s")
    journal = Journal(url)
    journal.append(full)
    batch = [add(), add(), full]
    journal.append(*batch)
    journal.close()
    again = Journal(url)
    assert again.actions() == [full, *batch[:2]]
    assert again.actions(FIELD, after=again.rows()[0][0]) == batch[:2]
    assert again.history(full.figure) == [full]
    assert again.check() == []


@pytest.mark.parametrize(
    "change", ["UPDATE mitosis_actions SET reader = 'eve'", "DELETE FROM mitosis_actions", "TRUNCATE mitosis_actions"]
)
def test_the_server_itself_refuses_to_change_an_action(server: Server, url: str, change: str) -> None:
    journal = Journal(url)
    action = add()
    journal.append(action)
    with server.connect(database(url)) as connection, pytest.raises(psycopg.errors.RaiseException, match="added to"):
        connection.execute(change)
    assert journal.actions() == [action]


def test_a_newer_journal_is_refused(server: Server, url: str) -> None:
    Journal(url).close()
    with server.connect(database(url)) as connection:
        connection.execute("INSERT INTO mitosis_journal VALUES (3, 'later')")
    with pytest.raises(JournalError, match="newer version"):
        Journal(url)


def test_an_absent_database_is_told(server: Server) -> None:
    with pytest.raises(JournalError, match="nowhere"):
        Journal(server.url("nowhere"))


def write_many(url: str, reader: str, count: int) -> None:
    with Journal(url) as journal:
        for _ in range(count):
            journal.append(add(reader=reader), wait_s=10)


def test_readers_write_at_once_and_who_follows_misses_no_row(url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=write_many, args=(url, f"p{number}", 60)) for number in range(3)]
    for worker in workers:  # all start with an empty database: one of them makes the tables
        worker.start()
    journal, last, seen = Journal(url), 0, []
    end = time.monotonic() + 60
    while len(seen) < 180 and time.monotonic() < end:
        rows = journal.rows(FIELD, last)
        seen += [action.reader for _, action in rows]
        last = rows[-1][0] if rows else last
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert {name: seen.count(name) for name in set(seen)} == {"p0": 60, "p1": 60, "p2": 60}


def test_two_readers_share_a_field(url: str, field: Field) -> None:
    ann, bob = Notebook(Journal(url), field, "ann"), Notebook(Journal(url), field, "bob")
    figure = ann.add(10, 20)
    bob.reject(50, 60, source="segmitos@1.0.0", score=0.75)
    bob.relabel(figure, "mimic")
    ann.refresh()
    pd.testing.assert_frame_equal(ann.figures, bob.figures)
    ann.undo()
    bob.refresh()
    assert list(bob.figures["label"]) == ["mimic"]
    assert bob.undo() is not None
    ann.redo()
    assert list(ann.figures["label"]) == ["mitosis", "mimic"]
    snapshot = take_snapshot(ann.journal)
    assert [figure.label for figure in snapshot.fields[0].figures] == ["mitosis", "mimic"]


def test_a_dropped_connection_is_made_anew_unnoticed(server: Server, url: str, field: Field) -> None:
    book = Notebook(Journal(url), field, "ann")
    book.add(1, 1)
    told: list[str] = []
    book.trouble.connect(told.append)
    with server.connect(database(url)) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'napari-mitosis'"
        )
    book.add(2, 2)
    assert told == []
    assert len(Journal(url).actions()) == 2


def test_a_server_that_is_gone_for_a_while_loses_nothing(server: Server, url: str, field: Field) -> None:
    book = Notebook(Journal(url), field, "ann")
    first = book.add(1, 1)
    told: list[str] = []
    book.trouble.connect(told.append)
    server.stop()
    try:
        second = book.add(2, 2)
        book.relabel(first, "unsure")
        book.undo()
        assert book.pending == 3
        assert "does not answer" in told[-1]
        book.retry()
        assert book.pending == 3
    finally:
        server.start()
    end = time.monotonic() + 20
    while book.pending and time.monotonic() < end:
        book.retry()
        time.sleep(0.05)
    assert told[-1] == ""
    assert [action.kind for action in Journal(url).actions()] == ["add", "add", "relabel", "undo"]
    assert list(Notebook(Journal(url), field, "ann").figures["figure"]) == [first, second]


def test_a_server_that_hangs_does_not_hold_the_reader(server: Server, url: str, field: Field) -> None:
    book = Notebook(Journal(url), field, "ann")
    book.add(1, 1)
    with server.connect(database(url)) as connection:
        query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'napari-mitosis' AND datname = %s"
        pids = [pid for (pid,) in connection.execute(query, [database(url)])]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        began = time.perf_counter()
        book.add(2, 2)
        book.add(3, 3)
        assert time.perf_counter() - began < 3.0
        assert book.pending == 2
        assert "does not answer" in book.warning
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    end = time.monotonic() + 20
    while book.pending and time.monotonic() < end:
        book.retry()
        time.sleep(0.05)
    assert [action.y_px for action in Journal(url).actions()] == [1.0, 2.0, 3.0]


def test_a_writer_that_does_not_end_does_not_hold_the_reader(server: Server, url: str, field: Field) -> None:
    book = Notebook(Journal(url), field, "ann")
    book.add(1, 1)
    holder = server.connect(database(url))
    with holder.transaction():
        holder.execute("LOCK TABLE mitosis_actions IN EXCLUSIVE MODE")
        began = time.perf_counter()
        book.add(2, 2)
        assert time.perf_counter() - began < 1.5
        assert book.pending == 1
        assert "another program" in book.warning
    holder.close()
    end = time.monotonic() + 20
    while book.pending and time.monotonic() < end:
        book.retry()
        time.sleep(0.05)
    assert len(Journal(url).actions()) == 2
