"""The program is killed at any moment: every action whose call had returned is in the journal, once.

Run as a script this is the program that is killed: one process imports everything, then forks a child for each kill,
so that 200 of them take seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from napari_mitosis.annotations.exchange import import_annotations
from napari_mitosis.annotations.notebook import Change, Notebook
from napari_mitosis.annotations.replay import replay
from napari_mitosis.annotations.snapshot import Snapshot, take_snapshot
from napari_mitosis.annotations.store import Journal
from napari_mitosis.fields.field import Field

KILLS = 200
IMPORTED = 40
NEW_FILE_EVERY = 10
WHILE_OPENING_EVERY = 7
LONGEST_S = 0.12
MOST_BEFORE = 6  # actions that are awaited, so that a busy machine kills children at work, too
BETWEEN_S = 0.02
READY = b"ready\n"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows")
def test_200_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    command = [sys.executable, __file__, str(tmp_path), str(KILLS)]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=280)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    sys.stdout.write(f"{found} {time.monotonic() - began:.1f} s\n")
    assert found["killed"] == KILLS
    assert found["confirmed"] > 2 * KILLS  # they were killed at work, not before it
    assert found["import"] > 5
    assert found["snapshot"] > 5
    assert {"add", "move", "relabel", "delete", "accept", "reject", "undo", "redo", "complete"} <= set(found)


def work(folder: Path, journal: Path, pipe: int, seed: int) -> None:
    """What a reader does, at random, until the end; each confirmed action is told through the pipe."""
    rng = random.Random(seed)
    field = Field.from_array(np.zeros((200, 200, 3), np.uint8), 0.25, "killed")
    book = Notebook(Journal(journal), field, "ann")
    told: list[Change] = []
    book.changed.connect(told.append)
    os.write(pipe, READY)
    while True:
        figures = list(book.figures["figure"])
        figure = rng.choice(figures) if figures else ""
        y, x = rng.uniform(0, 199), rng.uniform(0, 199)
        kind = rng.choice(
            ["add", "add", "accept", "reject", "move", "relabel", "delete", "undo", "redo", "complete"]
            + ["import", "snapshot"] * (rng.random() < 0.5)
        )
        told.clear()
        if kind == "add":
            book.add(y, x)
        elif kind in ("accept", "reject"):
            getattr(book, kind)(y, x, source="segmitos@1.0.0", score=0.5)
        elif kind == "move" and figure:
            book.move(figure, y, x)
        elif kind == "relabel" and figure:
            book.relabel(figure, "mimic")
        elif kind == "delete" and figure:
            book.delete(figure)
        elif kind in ("undo", "redo"):
            getattr(book, kind)()
        elif kind == "complete":
            book.set_complete(not book.complete)
        elif kind == "import":
            rows = "".join(f"{rng.uniform(0, 199)},{rng.uniform(0, 199)}\n" for _ in range(IMPORTED))
            (folder / "in.csv").write_text("y_px,x_px\n" + rows)
            import_annotations(book, folder / "in.csv", "somewhere")
        elif kind == "snapshot":
            take_snapshot(book.journal).save(folder / "snapshot.json")
            os.write(pipe, b"snapshot -\n")
        assert not book.pending
        for change in told:
            assert change.action is not None
            kind = "import" if kind == "import" else change.action.kind
            os.write(pipe, f"{kind} {change.action.id}\n".encode())


def kill_one(folder: Path, journal: Path, number: int) -> list[tuple[str, str]]:
    """Start a child, kill it some time later; what it had confirmed."""
    rng = random.Random(number)
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        try:
            work(folder, journal, theirs, number)
        finally:
            os._exit(1)
    os.close(theirs)
    opening = number % NEW_FILE_EVERY == 0 or number % WHILE_OPENING_EVERY == 0
    pipe = os.fdopen(ours)
    lines = [] if opening else [pipe.readline() for _ in range(1 + rng.randint(0, MOST_BEFORE))]
    time.sleep(rng.uniform(0, LONGEST_S if opening else BETWEEN_S))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"kill {number}: the child had ended by itself, {status}"
    with pipe:
        told = [line.split() for line in (*lines, *pipe.readlines())]
    return [(kind, action) for kind, action in (words for words in told if len(words) == 2)]


def verify(journal: Path, before: set[str], confirmed: list[tuple[str, str]]) -> set[str]:
    """The journal opens, is sound, and holds what was confirmed and at most one more; its ids are returned."""
    with contextlib.closing(sqlite3.connect(journal)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with Journal(journal) as opened:
        actions = opened.actions()
    ids = [action.id for action in actions]
    assert len(set(ids)) == len(ids)
    assert before <= set(ids)
    units = Counter(action.unit for action in actions)
    sure = {action for kind, action in confirmed if kind != "snapshot"}
    assert sure <= set(ids), f"lost: {sure - set(ids)}"
    for action in actions:
        assert not action.batch or units[action.batch] == IMPORTED, "a part of an import"
    extra = {action.unit for action in actions if action.id not in before} - sure
    assert len(extra) <= 1, f"more than one that was not confirmed: {extra}"
    state = replay(actions)
    assert len(state.figures) <= len(ids)
    return set(ids)


def main(folder: Path, kills: int) -> None:
    found: Counter[str] = Counter()
    known: set[str] = set()
    for number in range(kills):
        journal = folder / f"{number // NEW_FILE_EVERY}.sqlite"
        if number % NEW_FILE_EVERY == 0:
            known = set()
        confirmed = kill_one(folder, journal, number)
        before, known = known, verify(journal, known, confirmed)
        if (folder / "snapshot.json").exists():
            Snapshot.load(folder / "snapshot.json")
        found.update(kind for kind, _ in confirmed)
        found["killed"] += 1
        found["confirmed"] += len(confirmed)
        found["rows"] += len(known - before)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    with Journal(Path(sys.argv[1]) / "warm.sqlite") as warm:  # imports what is imported late
        Notebook(warm, Field.from_array(np.zeros((9, 9, 3), np.uint8), 0.25), "ann").add(1, 1)
        take_snapshot(warm)
    main(Path(sys.argv[1]), int(sys.argv[2]))
