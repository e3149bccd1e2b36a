"""Folders of fine-tunings: each keeps its plan, its progress and what came of it, so that it can be continued."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from ..errors import MitosisError
from ..jobs import Progress
from .lock import is_running
from .process import LOG_FILE, PROGRESS_FILE

DISMISSED_FILE = "dismissed"
TAIL_BYTES = 4000


def runs_folder() -> Path:
    """Where a user's fine-tunings are kept."""
    return Path(platformdirs.user_data_dir("napari-mitosis", appauthor=False)) / "finetune"


def new_folder(name: str, place: Path | None = None) -> Path:
    """Make an empty folder for a fine-tuning, named by the time and `name`.

    Raises
    ------
    MitosisError
        If it cannot be made.
    """
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{re.sub('[^A-Za-z0-9.+-]+', '-', name).strip('-')}"
    for number in range(100):
        folder = (place or runs_folder()) / (stem if number == 0 else f"{stem}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise MitosisError(f"A fine-tuning cannot be kept in {folder.parent}: {error.strerror or error}") from error
        return folder
    raise MitosisError(f"A fine-tuning cannot be kept in {place or runs_folder()}: its names are taken.")


@dataclass(frozen=True)
class Run:
    """A fine-tuning in its folder.

    Attributes
    ----------
    folder : Path
    parent, version : str
        ``detector@version`` to start from, and the version that the child gets.
    minutes : float
        Time budget.
    fields : int
        How many take part.
    finished : bool
        There is an outcome.
    running : bool
        A process works on it, be it this viewer's or another's.
    dismissed : bool
        The reader does not want to be asked whether to go on with it.
    """

    folder: Path
    parent: str
    version: str
    minutes: float
    fields: int
    finished: bool
    running: bool
    dismissed: bool


def list_runs(place: Path | None = None) -> list[Run]:
    """Every fine-tuning that has a plan, oldest first."""
    place = place or runs_folder()
    folders = sorted(place.iterdir()) if place.is_dir() else []
    return [run for folder in folders if (run := read_run(folder)) is not None]


def unfinished(runs: Iterable[Run]) -> list[Run]:
    """Those of these fine-tunings that can be continued."""
    return [run for run in runs if not (run.finished or run.running or run.dismissed)]


def dismiss(folder: Path) -> None:
    """Do not offer to go on with this fine-tuning any more; its folder stays.

    Raises
    ------
    MitosisError
        If that cannot be noted.
    """
    try:
        (folder / DISMISSED_FILE).touch()
    except OSError as error:
        raise MitosisError(f"{folder} cannot be written: {error.strerror or error}") from error


def read_run(folder: Path) -> Run | None:
    """The fine-tuning in a folder; None where there is no plan of one."""
    try:
        plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        return Run(
            folder=folder,
            parent=str(plan["parent"]),
            version=str(plan["version"]),
            minutes=float(plan["minutes"]),
            fields=len(plan["fields"]),
            finished=(folder / "outcome.json").is_file(),
            running=is_running(folder),
            dismissed=(folder / DISMISSED_FILE).is_file(),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None


def read_progress(folder: Path) -> list[Progress]:
    """What was told of a fine-tuning so far, over all its starts; half a last line is left out.

    Some ten thousand lines at the most, tens of milliseconds: not for the thread of a window.
    """
    try:
        lines = (folder / PROGRESS_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [progress for event in _events(lines) if (progress := progress_of(event)) is not None]


def _events(lines: Iterable[str]) -> list[dict[str, Any]]:
    return [event for line in lines if (event := event_of(line)) is not None]


def event_of(line: str) -> dict[str, Any] | None:
    """The event that a line tells, or None where it is no line of a trainer."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and "event" in event else None


def progress_of(event: dict[str, Any]) -> Progress | None:
    """The progress that an event tells, or None where it tells something else."""
    if event.get("event") != "progress":
        return None
    try:
        metrics = {str(name): float(value) for name, value in event["metrics"].items()}
        return Progress(int(event["done"]), int(event["total"]), str(event["message"]), metrics)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        return None


def log_tail(folder: Path, lines: int = 12) -> str:
    """The last lines of a fine-tuning's log."""
    try:
        with (folder / LOG_FILE).open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
