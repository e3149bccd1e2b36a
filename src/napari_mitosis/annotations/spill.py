"""Actions that the journal does not take just now, kept in a file elsewhere until it does.

Nothing is lost then when the program ends while the journal's disk is full or its server gone. Each notebook
writes a file of its own; whoever opens that journal next writes the actions to it. Writing one twice does no harm:
the journal stores each action once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

import platformdirs

from .actions import Action, new_id


def spill_folder() -> Path:
    """Where such files lie: in the user's state folder."""
    return Path(platformdirs.user_state_dir("napari-mitosis", appauthor=False)) / "unwritten"


class Spill:
    """A file of actions, one JSON object a line.

    Parameters
    ----------
    journal : str
        The journal that they are meant for, as `Journal.url`.
    folder : Path
        Where the file is made, once there is something to keep.
    """

    def __init__(self, journal: str, folder: Path) -> None:
        self.path = folder / f"{_key(journal)}-{new_id()}.jsonl"

    def keep(self, actions: Iterable[Action]) -> bool:
        """Add actions to the file; whether they are on disk now."""
        text = "".join(json.dumps(action.row(), ensure_ascii=False) + "\n" for action in actions)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            return False
        return True

    def drop(self) -> None:
        """Delete the file: its actions are in the journal."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


def left_behind(journal: str, folder: Path) -> list[tuple[Path, list[Action]]]:
    """The files that wait for a journal, each with its actions.

    Each is given another name first, so that a notebook that is still at work starts a new one and loses nothing
    when the caller deletes this one.
    """
    found = []
    for path in sorted(folder.glob(f"{_key(journal)}-*.jsonl")) if folder.is_dir() else []:
        with contextlib.suppress(OSError):  # another process took it
            taken = path.rename(Spill(journal, folder).path)
            found.append((taken, _read(taken)))
    return found


def _read(path: Path) -> list[Action]:
    actions = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        with contextlib.suppress(ValueError, TypeError):  # the last line of a program that was killed
            actions.append(Action(**json.loads(line)))
    return actions


def _key(journal: str) -> str:
    return hashlib.sha256(journal.encode()).hexdigest()[:16]
