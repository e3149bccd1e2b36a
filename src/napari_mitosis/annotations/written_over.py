"""Whether another program wrote over a journal's file while it was open, which size and name do not tell."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

_WAIT_S = 0.05
_ANOTHER_FILE = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR")  # the last where a table is not there
_SAMPLE = 64


class Witness:
    """Remembers what was in a journal's file, and looks again whenever something has written to it.

    The program's own connection would not notice: it has pages of the file in memory. So each look is by a connection
    of its own. Journals are only added to: rows that were there once are there, or the file is another one.

    Parameters
    ----------
    file : Path
        An SQLite journal that is open in this process.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stamp: tuple[int, int] | None = None
        self._rows = 0
        self._marks: dict[int, str] = {}  # ids of some rows, the newest among them, by their numbers
        self.contradicted()

    def contradicted(self) -> bool:
        """Whether what was there is not there any more; looks only where the file has changed since."""
        try:
            status = os.stat(self._file)
        except OSError:
            return False  # gone: told elsewhere
        stamp = (status.st_size, status.st_mtime_ns)
        if stamp == self._stamp:
            return False
        try:
            sound = self._look(first=self._stamp is None)
        except UnicodeError:
            return self._stamp is not None
        except sqlite3.DatabaseError as error:
            # Held by another program, or on a disk that stutters, it is looked at the next time.
            name = str(getattr(error, "sqlite_errorname", ""))
            return self._stamp is not None and name.startswith(_ANOTHER_FILE)
        self._stamp = stamp if sound else self._stamp
        return not sound

    def _look(self, first: bool) -> bool:
        """Whether the file is sound and holds what it held; if so, what it holds now is remembered."""
        with contextlib.closing(
            sqlite3.connect(_address(self._file), _WAIT_S, isolation_level=None, uri=True)
        ) as connection:
            connection.execute("BEGIN")
            sound = first or connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
            newest = max(self._marks, default=0)
            old = connection.execute("SELECT count(*) FROM mitosis_actions WHERE seq <= ?", (newest,)).fetchone()[0]
            if not sound or old != self._rows or _marks(connection, list(self._marks)) != self._marks:
                return False
            self._rows, top = connection.execute(
                "SELECT count(*), coalesce(max(seq), 0) FROM mitosis_actions"
            ).fetchone()
            self._marks = _marks(connection, [top - round(top * part / _SAMPLE) for part in range(_SAMPLE)])
        return True


def _address(file: Path) -> str:
    """A file as SQLite's URI, which makes none where there is none; of a share its name is part of the path."""
    place = file.as_posix()
    return f"file://{'' if place.startswith('/') else '/'}{quote(os.fsencode(place), safe='/:')}?mode=ro"


def _marks(connection: sqlite3.Connection, numbers: list[int]) -> dict[int, str]:
    """The ids of some rows, by their numbers."""
    query = f"SELECT seq, id FROM mitosis_actions WHERE seq IN ({','.join('?' * len(numbers))})"
    return {int(number): str(mark) for number, mark in connection.execute(query, numbers)}
