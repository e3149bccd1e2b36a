"""Stages of a long job that several processes may share, and that goes on after a kill."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ..files import write_whole
from ..jobs import Job, Progress, retold

_LOOK_AGAIN_S = 20.0


@dataclass(frozen=True)
class Stage:
    """One part of a queue.

    Attributes
    ----------
    name : str
        Also that of the folder in which it keeps its lock and its mark of completion.
    target : str
        What it is to reach, such as a number of steps; a stage that reached another target is done again, and
        goes on from its checkpoint.
    run : callable
        Makes the job; called only when all of `after` are done.
    after : tuple of str
        Stages that have to be done before.
    """

    name: str
    target: str
    run: Callable[[], Job[None]]
    after: tuple[str, ...] = ()


def run_stages(stages: Sequence[Stage], folder: Path) -> Job[list[str]]:
    """Work through the stages in order; those that another living process works on are left to it.

    Returns
    -------
    list of str
        Names of the stages that this process completed.

    Raises
    ------
    MitosisError
        Whatever a stage raises; what it did so far stays.
    """
    completed: list[str] = []
    while True:
        left = [stage for stage in stages if not _done(stage, folder)]
        if not left:
            return completed
        waiting = {stage.name for stage in left}
        for stage in left:
            if waiting.intersection(stage.after):
                continue
            with _claimed(folder / stage.name) as ours:
                if not ours or _done(stage, folder):
                    continue
                number = len(stages) - len(left) + 1
                yield from retold(stage.run(), _saying(f"{stage.name} ({number} of {len(stages)})"))
                _mark(stage, folder)
                completed.append(stage.name)
                break
        else:
            yield Progress(len(stages) - len(left), len(stages), "waiting for another process")
            time.sleep(_LOOK_AGAIN_S)


def _saying(name: str) -> Callable[[Progress], Progress]:
    def tell(progress: Progress) -> Progress:
        seconds = progress.metrics.get("seconds_a_step") if progress.metrics else None
        rest = f", {seconds * (progress.total - progress.done) / 60:.0f} min left" if seconds else ""
        return replace(progress, message=f"{name}: {progress.message}{rest}")

    return tell


def _done(stage: Stage, folder: Path) -> bool:
    try:
        mark = json.loads((folder / stage.name / "done.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(mark.get("target") == stage.target)


def _mark(stage: Stage, folder: Path) -> None:
    write_whole(folder / stage.name / "done.json", json.dumps({"target": stage.target}))


@contextmanager
def _claimed(place: Path) -> Iterator[bool]:
    """Whether the stage is ours; a lock that a dead process left is taken over."""
    place.mkdir(parents=True, exist_ok=True)
    lock = place / "lock"
    if lock.exists() and not _alive(lock):
        lock.unlink(missing_ok=True)
    try:
        with lock.open("x", encoding="utf-8") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        yield False
        return
    try:
        yield True
    finally:
        lock.unlink(missing_ok=True)


def _alive(lock: Path) -> bool:
    """Whether the process that holds the lock still runs on this machine."""
    try:
        os.kill(int(lock.read_text(encoding="utf-8")), 0)
    except (OSError, ValueError):
        return False
    return True
