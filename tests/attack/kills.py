"""Random writers are killed, held up, filled up and set back in time; what they were told is kept has to be there.

Run as a script, this is the process that forks the writers: it imports everything once, and a kill costs milliseconds.
A reader alone is held against a model of undo that knows nothing of the journal: a list of states, and a place in it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.replay import replay
from napari_mitosis.annotations.store import Journal
from napari_mitosis.fields.field import Field

from .worker import Tally

TROUBLES = ("none", "none", "held", "full", "clock")
NEW_FILE_EVERY = 8
WHILE_OPENING_EVERY = 6
READY_S = 5.0
MOST_LINES = 14
BETWEEN_S, HELD_S = 0.03, 0.5
"""Then a moment more; where the journal is held, an action waits half a second before it is kept elsewhere."""
State = tuple[tuple[float, float, str], ...]


class Model:
    """What one reader alone sees: every state so far, and where in them undo and redo have led."""

    def __init__(self, state: State) -> None:
        self.states: list[State] = [state]
        self.at = 0

    @property
    def now(self) -> State:
        return self.states[self.at]

    def do(self, state: State) -> None:
        self.states[self.at + 1 :] = [state]
        self.at += 1

    def turn(self, step: int) -> None:
        self.at = min(max(0, self.at + step), len(self.states) - 1)


def seen(book: Notebook) -> State:
    """The figures of a notebook as the model writes them."""
    rows = book.figures.sort_values(["y_px", "x_px"])
    return tuple(zip(rows["y_px"], rows["x_px"], rows["label"], strict=True))


def field() -> Field:
    """The field that all writers share."""
    return Field.from_array(np.zeros((200, 200, 3), np.uint8), 0.25, "killed")


def write(file: Path, pipe: int, seed: str, reader: str, trouble: str) -> None:
    """A reader at work until the end; tells what will be next, and that it is kept."""
    rng = random.Random(seed)
    if trouble == "full":
        _limit(file, rng)
    start = datetime(2030, 1, 1, tzinfo=UTC)
    backwards = (start - timedelta(seconds=number * rng.random()) for number in itertools.count())
    clock = {"clock": (lambda: next(backwards))} if trouble == "clock" else {}
    book = Notebook(Journal(file, later=True), field(), reader, **clock)  # type: ignore[arg-type]
    model = Model(seen(book))
    while True:
        figures = book.figures
        figures = figures[figures["reader"] == reader]
        kind = rng.choice(("add", "add", "add", "move", "relabel", "delete", "undo", "undo", "redo"))
        place = (round(rng.uniform(0, 199), 6), round(rng.uniform(0, 199), 6))
        row = figures.sample(1, random_state=rng.randrange(2**31)).iloc[0] if len(figures) else None
        if kind in ("move", "relabel", "delete") and row is None:
            continue
        if (kind == "undo" and model.at == 0) or (kind == "redo" and model.at == len(model.states) - 1):
            continue
        _plan(model, kind, place, row)
        _tell(pipe, "next", model.now, place if kind in ("add", "move") else None)
        if kind == "add":
            book.add(*place)
        elif kind == "move":
            book.move(row["figure"], *place)  # type: ignore[index]
        elif kind == "relabel":
            book.relabel(row["figure"], _other(row["label"]))  # type: ignore[index]
        elif kind == "delete":
            book.delete(row["figure"])  # type: ignore[index]
        else:
            getattr(book, kind)()
        if not book.pending or "kept in memory" not in book.warning:
            _tell(pipe, "kept", model.now, None)


def _plan(model: Model, kind: str, place: tuple[float, float], row: Any) -> None:
    if kind in ("undo", "redo"):
        return model.turn(-1 if kind == "undo" else 1)
    state = set(model.now)
    if row is not None and kind != "add":
        state.discard((row["y_px"], row["x_px"], row["label"]))
    if kind in ("add", "move"):
        state.add((*place, "mitosis" if kind == "add" else row["label"]))
    elif kind == "relabel":
        state.add((row["y_px"], row["x_px"], _other(row["label"])))
    return model.do(tuple(sorted(state)))


def _other(label: str) -> str:
    return "mimic" if label == "mitosis" else "mitosis"


def _tell(pipe: int, what: str, state: State, place: Any) -> None:
    os.write(pipe, (json.dumps([what, state, place]) + "\n").encode())


def _limit(file: Path, rng: random.Random) -> None:
    """No file may grow beyond a little more than the journal's size, as on a disk that fills up."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = max((path.stat().st_size for path in file.parent.glob(f"{file.name}*")), default=0)
    most = rng.choice((2_000, max(4096, size) + rng.randint(0, 40_000)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def one_round(folder: Path, file: Path, number: int, seed: int) -> tuple[int, list[str]]:
    """Some writers at once, killed at any moment; how many actions were kept, and what was wrong."""
    rng = random.Random(f"{seed} {number}")
    trouble = rng.choice(TROUBLES)
    readers = [f"r{name}" for name in range(rng.choice((1, 1, 2, 3)))]
    before = seen(Notebook(Journal(file), field(), "before")) if file.exists() else ()
    writers = [_start(file, f"{seed} {number} {name}", name, trouble) for name in readers]
    if number % WHILE_OPENING_EVERY:
        select.select([pipe for _, pipe in writers], [], [], READY_S)
    holder = sqlite3.connect(file, isolation_level=None) if trouble == "held" else None
    if holder is not None:
        time.sleep(rng.uniform(0, 0.03))
        with contextlib.suppress(sqlite3.OperationalError):
            holder.execute("BEGIN IMMEDIATE")
    # By what the first has told, not by time alone, so that a busy machine kills writers at work, too.
    first = writers[0][1]
    lines = [first.readline() for _ in range(rng.randint(0, MOST_LINES))] if number % WHILE_OPENING_EVERY else []
    time.sleep(rng.uniform(0, HELD_S if trouble == "held" else BETWEEN_S))
    told = [_kill(child, pipe, lines if pipe is first else []) for child, pipe in writers]
    if holder is not None:
        holder.close()
    return sum(what == "kept" for lines in told for what, _, _ in lines), _check(file, before, told)


def _check(file: Path, before: State, told: list[list[Any]]) -> list[str]:
    wrong = []
    book = Notebook(Journal(file), field(), "after")
    actions = book.journal.actions(book.field.digest)
    if len({action.id for action in actions}) != len(actions):
        wrong.append("an action is stored twice")
    if tuple(replay(reversed(actions)).figures) != tuple(replay(actions).figures):
        wrong.append("the order of rows matters")
    places = {(action.y_px, action.x_px) for action in actions}
    for lines in told:
        planned = None
        for what, _, place in lines:
            if what == "next":
                planned = place
            elif planned is not None and tuple(planned) not in places:
                wrong.append(f"{planned} was kept and is not there")
    if len(told) == 1:  # alone: the state is that of the last action that was kept, or of the one that was under way
        states = [before, *(_state(state) for what, state, _ in told[0] if what == "kept")][-1:]
        last = max((at for at, (what, _, _) in enumerate(told[0]) if what == "kept"), default=-1)
        states += [_state(state) for what, state, _ in told[0][last + 1 :]]
        if seen(book) not in states:
            wrong.append(f"{len(seen(book))} figures, which is no state that was kept or under way")
    wrong += book.journal.check()
    book.journal.close()
    return wrong


def _state(rows: Any) -> State:
    return tuple((y, x, label) for y, x, label in rows)


def _start(file: Path, seed: str, reader: str, trouble: str) -> tuple[int, Any]:
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        try:
            write(file, theirs, seed, reader, trouble)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.write(theirs, (json.dumps(["raised", repr(error), None]) + "\n").encode())
        finally:
            os._exit(1)
    os.close(theirs)
    return child, os.fdopen(ours)


def _kill(child: int, pipe: Any, before: list[str]) -> list[Any]:
    """End a writer; what it told, `before` and since."""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with pipe:
        lines = [json.loads(line) for line in (*before, *pipe) if line.endswith("\n")]
    raised = [words for what, words, _ in lines if what == "raised"]
    assert not raised, raised
    return lines


def main(folder: Path, rounds: int, seed: int) -> None:
    """All rounds; prints the tally as JSON."""
    tally, kept, file = Tally(), 0, folder / "0.sqlite"
    Notebook(Journal(folder / "warm.sqlite"), field(), "warm").add(1, 1)
    for number in range(rounds):
        if number % NEW_FILE_EVERY == 0:
            file = folder / f"{number}.sqlite"
        began = time.monotonic()
        try:
            count, wrong = one_round(folder, file, number, seed)
        except Exception as error:
            count, wrong = 0, [f"{type(error).__name__}: {error}"]
        kept += count
        tally.tried += 1
        tally.longest_s = max(tally.longest_s, time.monotonic() - began)
        tally.wrong += [f"kills {seed} {number}: {'; '.join(wrong)[:300]}"] if wrong else []
    tally.ends["actions kept"] = kept
    sys.stdout.write(json.dumps({**vars(tally), "ends": dict(tally.ends)}))


def attack_kills(rounds: int, seed: int = 0) -> Tally:
    """Run the rounds in a process that forks, with a folder and a state of its own."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "XDG_STATE_HOME": str(Path(folder) / "state")}
        command = [sys.executable, "-W", "ignore", "-m", "tests.attack.kills", folder, str(rounds), str(seed)]
        root = Path(__file__).parents[2]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root)
    assert done.returncode == 0, done.stderr[-2000:]
    content = json.loads(done.stdout)
    return Tally(**{**content, "ends": Counter(content["ends"])})


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
