"""One fine-tuning in one folder at a time, whoever starts it: a window, the command line, a script."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ..errors import MitosisError

LOCK_FILE = "running.lock"


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep other processes from running the same fine-tuning; the lock ends with this process, however it ends.

    Raises
    ------
    MitosisError
        If it is running already, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = sqlite3.connect(folder / LOCK_FILE, timeout=2, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise MitosisError(f"The fine-tuning in {folder.name} cannot be locked: {error}") from error
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        lock.close()
        if "locked" not in str(error):
            raise MitosisError(f"The fine-tuning in {folder.name} cannot be locked: {error}") from error
        raise MitosisError("This fine-tuning is running already, in another window.") from error
    try:
        yield
    finally:
        lock.close()


def is_running(folder: Path) -> bool:
    """Whether a process works on the fine-tuning in this folder."""
    path = folder / LOCK_FILE
    if not path.is_file():
        return False
    lock = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        return True
    except sqlite3.DatabaseError:  # what lies there is no lock
        return False
    finally:
        lock.close()
    return False
