"""The journal: every action of every reader, added and never changed, on disk when `Journal.append` returns."""

from __future__ import annotations

import getpass
import os
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import platformdirs

from ..errors import JournalError, brief
from ..fields.field import Field
from ..names import path_text
from .actions import ACTION_COLUMNS, Action, timestamp, utc_now
from .forks import closed_in_forks
from .spill import damaged, left_behind, spill_folder

if TYPE_CHECKING:
    import pandas as pd

    from .database import Database

T = TypeVar("T")

FIELD_COLUMNS: tuple[str, ...] = ("digest", "name", "path", "mpp", "height_px", "width_px")

_WAIT_S = 0.5
_ANSWER_S = 1.0
_FIELD_S = 3.0
_LONG_S = 60.0


def default_journal() -> str | Path:
    """Where the journal is: ``NAPARI_MITOSIS_JOURNAL`` (file or URL), else a file in the user's data folder."""
    given = os.environ.get("NAPARI_MITOSIS_JOURNAL")
    if given:
        return given if "://" in given else Path(given)
    return Path(platformdirs.user_data_dir("napari-mitosis", appauthor=False)) / "journal.sqlite"


def default_reader() -> str:
    """Name of the reader: ``NAPARI_MITOSIS_READER``, else the account's."""
    given = os.environ.get("NAPARI_MITOSIS_READER", "").strip()
    if given:
        return given
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # an account without a name
        return "reader"


class Journal:
    """An append-only journal in an SQLite file (the default) or in a PostgreSQL database.

    Several processes may use one journal at the same time. One object may be used from several threads.
    When its file is deleted or moved while open, it is put back with all that it held; when the server was
    gone, the next call connects again.

    Parameters
    ----------
    where : path-like or str
        A file, ``sqlite:///file`` or ``postgresql://user@host/database``. An absent file is made, with its folder.
    create : bool
        False: an absent journal is an error.
    later : bool
        True: do not raise when it cannot be opened now; every call tries again, and raises as long as it cannot.

    Raises
    ------
    JournalError
        When it cannot be opened, may not be written, is no journal, or was written by a newer version.
    """

    def __init__(self, where: str | Path, *, create: bool = True, later: bool = False) -> None:
        self._where = _place(where)
        self._create = create
        self._lock = threading.RLock()
        self._database: Database | None = None
        self._closed = False
        self._rescued: tuple[list[dict[str, Any]], list[dict[str, Any]]] | None = None
        self.generation = 0
        closed_in_forks(self)
        try:
            with self._lock:
                self._ready()
        except JournalError:
            if not later:
                raise

    @property
    def name(self) -> str:
        """Its place, for a person; without a password."""
        from .database import shown

        return shown(self._where)

    @property
    def url(self) -> str:
        """What opens it again, in another process, too."""
        return str(self._where)

    def append(self, *actions: Action, wait_s: float = _WAIT_S) -> None:
        """Write actions in one transaction: all are on disk when this returns, or none when it raises.

        An action whose id is there already is not written again: after a failure of unknown outcome, append again.

        Parameters
        ----------
        *actions : Action
        wait_s : float
            How long to wait for another program that is writing.

        Raises
        ------
        JournalError
            When it cannot be written; the message says why.
        """
        if not actions:
            return

        def write(database: Database) -> None:
            from .statements import insert_actions

            with database.write() as connection:
                insert_actions(connection, (action.row() for action in actions))
            database.check_cut()  # what was written into a file that is gone is not stored

        self._do(write, "cannot be written", wait_s, wait_s + _ANSWER_S)

    def actions(self, field: str | None = None, after: int = 0) -> list[Action]:
        """The actions: of one field in their order, of all fields as they came in.

        Parameters
        ----------
        field : str, optional
            Digest of a field: only its actions.
        after : int
            Only actions with a higher number in the journal.

        Raises
        ------
        JournalError
            When it cannot be read.
        """
        return [action for _, action in self.rows(field, after)]

    def rows(
        self, field: str | None = None, after: int = 0, kinds: Collection[str] | None = None
    ) -> list[tuple[int, Action]]:
        """Like `actions`, each with its number in the journal; only some kinds where `kinds` names them."""

        def read(database: Database) -> list[tuple[int, Action]]:
            from .schema import ACTIONS
            from .statements import action_of, select_actions

            wanted = [ACTIONS.c.seq > after, *([] if field is None else [ACTIONS.c.field == field])]
            wanted += [] if kinds is None else [ACTIONS.c.kind.in_(sorted(kinds))]
            with database.read() as connection:
                return [action_of(row) for row in connection.execute(select_actions(*wanted, as_written=field is None))]

        return self._do(read, "cannot be read", limit_s=_LONG_S if field is None else _FIELD_S)

    def history(self, figure: str) -> list[Action]:
        """Everything that was ever done to one figure, oldest first, with what was undone and redone."""

        def read(database: Database) -> list[Action]:
            import sqlalchemy as sa

            from .schema import ACTIONS
            from .statements import action_of, select_actions

            mine = ACTIONS.c.figure == figure
            targets = sa.union(sa.select(ACTIONS.c.id).where(mine), sa.select(ACTIONS.c.batch).where(mine))
            about = ACTIONS.c.target.in_(targets) & (ACTIONS.c.target != "")
            ours = sa.select(ACTIONS.c.seq).where(mine).union(sa.select(ACTIONS.c.seq).where(about))
            with database.read() as connection:
                return [action_of(row)[1] for row in connection.execute(select_actions(ACTIONS.c.seq.in_(ours)))]

        return self._do(read, "cannot be read")

    def last(self) -> int:
        """Number of the newest action; 0 in an empty journal."""

        def read(database: Database) -> int:
            import sqlalchemy as sa

            from .schema import ACTIONS

            with database.read() as connection:
                return connection.execute(sa.select(sa.func.max(ACTIONS.c.seq))).scalar() or 0

        return self._do(read, "cannot be read")

    def remember(self, field: Field) -> None:
        """Note where the pixels of a field are found, its name and its um/px; the newest note counts.

        Raises
        ------
        JournalError
            When it cannot be written.
        """
        height_px, width_px = field.shape
        path = "" if field.path is None else path_text(Path(field.path).absolute())
        row: dict[str, Any] = {"digest": field.digest, "name": field.name, "path": path, "mpp": field.mpp}
        row |= {"height_px": height_px, "width_px": width_px, "time": timestamp(utc_now())}

        def write(database: Database) -> None:
            from .statements import put_fields

            with database.write() as connection:
                put_fields(connection, [row])

        self._do(write, "cannot be written", limit_s=_WAIT_S + _ANSWER_S)

    def fields(self) -> pd.DataFrame:
        """The remembered fields, in the order in which they were last opened.

        Returns
        -------
        DataFrame
            Columns `FIELD_COLUMNS`; an empty path where the pixels came from no file (`names.text_path` reads the
            others), NaN where um/px is unknown.
        """

        def read(database: Database) -> pd.DataFrame:
            import pandas as pd
            import sqlalchemy as sa

            from .schema import FIELDS

            query = sa.select(*(FIELDS.c[name] for name in FIELD_COLUMNS)).order_by(FIELDS.c.time, FIELDS.c.digest)
            with database.read() as connection:
                frame = pd.DataFrame([tuple(row) for row in connection.execute(query)], columns=list(FIELD_COLUMNS))
            try:
                return frame.astype({"mpp": "float64", "height_px": "int64", "width_px": "int64"})
            except (ValueError, TypeError, OverflowError) as error:
                raise JournalError(f"The fields of the journal {self.name} are damaged: {brief(error)}.") from error

        return self._do(read, "cannot be read")

    def check(self) -> list[str]:
        """Look for damage in the database and in the actions; a sentence for each finding, none when all is well."""
        try:
            troubles = self._do(lambda database: database.integrity(), "cannot be read")
            self.rows()
            self.fields()
        except JournalError as error:
            return [str(error)]
        files = damaged(self.url, spill_folder())
        return troubles + [f"Actions that were kept elsewhere cannot all be read: {file}." for file in files]

    def close(self) -> None:
        """Close it for good. Everything is on disk already."""
        with self._lock:
            self._closed = True
            if self._database is not None:
                self._database.close()
                self._database = None

    def rest(self, wait_s: float) -> Callable[[], None] | None:
        """Close it until it is used again, and hold off whoever wants to; what ends that is returned.

        None after `wait_s` in which it was in use. A file that is gone or cut short stays open: it yields to nobody
        else what it held.
        """
        if not self._lock.acquire(timeout=wait_s):
            return None
        database = self._database
        if database is not None and database.may_close:
            database.close()
            self._database = None
        return self._lock.release

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _do(self, work: Callable[[Database], T], what: str, wait_s: float = _WAIT_S, limit_s: float = _LONG_S) -> T:
        """Do something with the database; a server that has not answered after `limit_s` is given up."""
        from .database import TROUBLE, explained

        with self._lock:
            again, began = self._database is not None, time.monotonic()
            while True:
                try:
                    database = self._ready()
                except TROUBLE as error:
                    raise explained(error, self._where, "was deleted while open and cannot be put back") from error
                try:
                    with database.within(limit_s):
                        database.wait(wait_s)
                        return work(database)
                except TROUBLE as error:
                    broken = database.broken()
                    if broken:
                        database.close()
                        self._database = None
                    if not (broken and again) or time.monotonic() - began > _ANSWER_S:
                        raise explained(error, self._where, what) from error
                    again = False  # a connection that was idle for long: a new one may do, and nothing is stored twice

    def _ready(self) -> Database:
        """The open database: opened now, or put back where its file has gone."""
        from .database import Database

        if self._closed:
            raise JournalError(f"The journal {self.name} was closed.")
        if self._database is not None and self._database.lost():
            self._rescue(self._database)
        elif self._database is not None:
            self._database.check_cut()
        if self._database is None:
            if isinstance(self._where, Path) and self._create:
                _make_folder(self._where.parent, self.name)
            database = Database(self._where, self._create or self._rescued is not None)
            try:
                self._put_back(database)
            except BaseException:
                database.close()
                raise
            self._database = database
            self.generation += 1
            self._recover(database)
        return self._database

    def _recover(self, database: Database) -> None:
        """Write the actions that a program could not write before it ended."""
        from .database import TROUBLE
        from .statements import insert_actions

        for kept in left_behind(self.url, spill_folder()):
            try:
                with database.write() as connection:
                    insert_actions(connection, (action.row() for action in kept.actions))
                kept.done()
            except TROUBLE:
                continue  # the file stays, for the next time

    def _rescue(self, old: Database) -> None:
        """Take all out of a file that has vanished: it still yields to whom had it open."""
        import sqlalchemy as sa

        from .database import TROUBLE
        from .schema import FIELDS
        from .statements import select_actions

        try:
            with old.read() as connection:
                actions = [dict(row) for row in connection.execute(select_actions(as_written=True)).mappings()]
                actions = [{name: row[name] for name in ACTION_COLUMNS} for row in actions]
                fields = [dict(row) for row in connection.execute(sa.select(FIELDS)).mappings()]
            self._rescued = (actions, fields)
        except TROUBLE:
            # A disk that was unplugged yields nothing; once it is back, all that was confirmed lies on it.
            if not Path(self._where).exists():
                raise
        # Before another file is opened in its place: both would share the files beside them.
        old.close()
        self._database = None

    def _put_back(self, database: Database) -> None:
        """Write what was taken out of a vanished file to the one in its place, which may be a new one."""
        if self._rescued is not None:
            from .statements import insert_actions, put_fields

            actions, fields = self._rescued
            with database.write() as connection:
                insert_actions(connection, actions)
                put_fields(connection, fields)
            self._rescued = None


def _place(where: str | Path) -> Path | str:
    if isinstance(where, Path):
        return where.absolute()
    if where.startswith("sqlite:///"):
        return Path(where.removeprefix("sqlite:///")).absolute()
    return where if "://" in where else Path(where).absolute()


def _make_folder(folder: Path, name: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JournalError(
            f"The journal {name} cannot be opened: its folder cannot be made ({error.strerror})."
        ) from error
