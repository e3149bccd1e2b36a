"""Actions that the journal does not take just now, kept in a file elsewhere until it does.

Nothing is lost then when the program ends while the journal's disk is full or its server gone. Each notebook
writes files of its own; whoever opens that journal next writes the actions to it. Writing one twice does no harm:
the journal stores each action once. Nor does the order of files and lines matter: the order of actions is in them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from pydantic import TypeAdapter, ValidationError

from .actions import Action, new_id

DAMAGED = ".damaged"
"""Suffix of a file that held more than could be read: it is kept, for a person to look at."""

_ACTIONS = TypeAdapter(list[Action])
_MARK = 16  # hex digits of a line's hash
_TAKERS = 10  # so often may others take the file in a row, each within the moment in which a line is written


def spill_folder() -> Path:
    """Where such files lie: in the user's state folder."""
    return Path(platformdirs.user_state_dir("napari-mitosis", appauthor=False)) / "unwritten"


class Spill:
    """Files of actions; each line holds actions that belong together, with a hash in front.

    Parameters
    ----------
    journal : str
        The journal that they are meant for, as `Journal.url`.
    folder : Path
        Where a file is made, once there is something to keep.
    """

    def __init__(self, journal: str, folder: Path) -> None:
        self._key = _key(journal)
        self._folder = folder
        self._paths: list[Path] = []
        self._fresh = True

    @property
    def path(self) -> Path:
        """The file that is written to."""
        return self._paths[-1] if self._paths else self._folder

    def keep(self, actions: Sequence[Action]) -> bool:
        """Add actions; whether they are on disk now, all of them.

        After a failure nobody can tell what of a file is on disk: the next call begins another, and has to be given
        everything that waits.
        """
        if self._fresh:
            self._paths.append(self._folder / f"{self._key}-{new_id()}.jsonl")
        self._fresh = True
        body = _ACTIONS.dump_json(list(actions))
        line = _hash(body) + b" " + body + b"\n"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._fresh = not any(self._add(line) for _ in range(_TAKERS))
        except OSError:
            return False
        return not self._fresh

    def _add(self, line: bytes) -> bool:
        """Write a line; False when the file was taken meanwhile: its taker may have read it before the line came."""
        with self.path.open("ab") as file:
            first = file.tell() == 0
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
            if first:
                _sync_folder(self._folder)
            try:
                return os.path.samestat(os.fstat(file.fileno()), os.stat(self.path))
            except FileNotFoundError:
                return False

    @property
    def failed(self) -> bool:
        """Whether what was kept before has to be kept again."""
        return self._fresh

    def drop(self) -> None:
        """Delete the files: their actions are in the journal."""
        for path in self._paths:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        self._paths, self._fresh = [], True


@dataclass(frozen=True)
class LeftBehind:
    """A file that waits for a journal.

    Attributes
    ----------
    path : Path
    actions : list of Action
    whole : bool
        False: a line that had been confirmed cannot be read any more.
    """

    path: Path
    actions: list[Action]
    whole: bool

    def done(self) -> None:
        """Its actions are in the journal: delete it, unless there was more in it."""
        with contextlib.suppress(OSError):
            if self.whole:
                self.path.unlink()
            else:
                self.path.rename(self.path.with_suffix(DAMAGED))


def left_behind(journal: str, folder: Path) -> list[LeftBehind]:
    """The files that wait for a journal.

    Each is given another name first, so that a notebook that is still at work starts a new one and loses nothing
    when the caller deletes this one.
    """
    files = []
    for path in sorted(folder.glob(f"{_key(journal)}-*.jsonl")) if folder.is_dir() else []:
        with contextlib.suppress(OSError):  # another process took it
            files.append(_read(path.rename(folder / f"{_key(journal)}-{new_id()}.jsonl")))
    return files


def damaged(journal: str, folder: Path) -> list[Path]:
    """Files of which a part could not be read."""
    return sorted(folder.glob(f"{_key(journal)}-*{DAMAGED}")) if folder.is_dir() else []


def _read(path: Path) -> LeftBehind:
    *lines, _ = path.read_bytes().split(b"\n")
    actions: list[Action] = []
    whole = True
    for line in lines:
        mark, _, body = line.partition(b" ")
        try:
            if mark != _hash(body):
                raise ValueError("its hash does not fit")
            actions += _ACTIONS.validate_json(body)
        except (ValueError, ValidationError):
            whole = False
    # What follows the last line's end was never confirmed: the program was killed, or the disk full.
    return LeftBehind(path, actions, whole)


def _hash(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:_MARK].encode()


def _key(journal: str) -> str:
    return hashlib.sha256(journal.encode("utf-8", "backslashreplace")).hexdigest()[:16]


def _sync_folder(folder: Path) -> None:
    """A new file's name is on disk, too; Windows sees to that itself."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
