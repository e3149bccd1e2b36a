"""One open connection to a journal's database. Loaded when a journal is first opened: SQLAlchemy takes its time."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from ..errors import JournalCut, JournalError
from .actions import timestamp, utc_now
from .schema import ACTIONS, FIELDS, GUARDS, SCHEMA_VERSION, VERSION, create_tables
from .statements import bring_up_to_date
from .written_over import Witness

TROUBLE = (SQLAlchemyError, sqlite3.Error, OSError, UnicodeError)
"""What a database raises when it cannot be used; the last where a damaged file holds bytes that are no text."""

_LOG = "-wal"
_LOCK_KEY = 0x6D69746F
_CONNECT_S = 2
_STATEMENT_S = 30
_OPEN_WAIT_S = 0.5
_OPEN_S = 5.0
_WAL_S = 1.0

_SQLITE_TROUBLE = {
    "SQLITE_FULL": "the disk is full",
    "SQLITE_READONLY": "it may only be read; allow writing, or choose another place for the journal",
    "SQLITE_BUSY": "another program is holding it",
    "SQLITE_LOCKED": "another program is holding it",
    "SQLITE_IOERR": "the disk reports an error",
    "SQLITE_CANTOPEN": "it cannot be opened here; does the folder exist, and may you write into it?",
    "SQLITE_NOTADB": "this file is no journal",
    "SQLITE_CORRUPT": "the file is damaged; put back a copy of it, and keep the damaged one",
}


class Database:
    """An open, checked journal database, SQLite or PostgreSQL. Not for several threads at a time.

    Parameters
    ----------
    where : Path or str
        A file for SQLite; a URL for PostgreSQL.
    create : bool
        Whether to start an empty journal where there is none.

    Raises
    ------
    JournalError
        When it cannot be opened, may not be written, is no journal, or was written by a newer version. A file that is
        no journal is left as it is.
    """

    def __init__(self, where: Path | str, create: bool = True) -> None:
        self.where = where
        self.name = shown(where)
        self._file = where if isinstance(where, Path) else None
        self._waits_ms = -1
        try:
            if self._file is not None:
                _check_file(self._file, create)
            self._engine = _engine(where)
            self._connection = self._engine.connect()
        except (*TROUBLE, ImportError) as error:
            raise explained(error, where, "cannot be opened") from error
        try:
            with self.within(_OPEN_S):  # a server may stop answering between two questions
                self.wait(_OPEN_WAIT_S)
                self._check(create)
                self._prepare()
        except TROUBLE as error:
            self.close()
            raise explained(error, where, "cannot be opened") from error
        except BaseException:
            self.close()
            raise
        self._identity = self._seen()
        self._bytes, self._log = self._size(), self._seen(_LOG)
        self._witness = None if self._file is None else Witness(self._file)
        self._cut_short = False

    @property
    def _sqlite(self) -> bool:
        return self._file is not None

    def wait(self, seconds: float) -> None:
        """How long a transaction waits for another program's."""
        milliseconds = max(1, round(seconds * 1000))
        if milliseconds != self._waits_ms:
            setting = "PRAGMA busy_timeout =" if self._sqlite else "SET lock_timeout ="
            self._connection.exec_driver_sql(f"{setting} {milliseconds}")
            self._waits_ms = milliseconds

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One transaction, on disk when the block is left; nothing of it when the block raises."""
        with self._transaction("BEGIN IMMEDIATE" if self._sqlite else "BEGIN") as connection:
            if not self._sqlite:  # one writer at a time, so that rows become visible in the order of their numbers
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})")
            yield connection

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A consistent view: all queries of the block see the same rows."""
        begin = "BEGIN" if self._sqlite else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        with self._transaction(begin) as connection:
            yield connection

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[sa.Connection]:
        connection = self._connection
        connection.exec_driver_sql(begin)
        try:
            yield connection
            connection.exec_driver_sql("COMMIT")
        except BaseException:
            with contextlib.suppress(SQLAlchemyError, sqlite3.Error):  # some errors have rolled back already
                connection.exec_driver_sql("ROLLBACK")
            raise

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Give up on a server that does not answer: the connection is cut, and whoever waits for it gets an error.

        The server's own time limits do not help when it is the server that hangs. An open file needs none.
        """
        if self._sqlite:
            yield
            return
        timer = threading.Timer(seconds, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _cut(self) -> None:
        """Shut the connection's socket, from another thread; the connection itself stays its owner's."""
        with contextlib.suppress(Exception):  # it ended by itself in this moment
            handle = self._connection.connection.driver_connection.fileno()  # type: ignore[union-attr]
            with socket.fromfd(handle, socket.AF_INET, socket.SOCK_STREAM) as twin:
                twin.shutdown(socket.SHUT_RDWR)

    def lost(self) -> bool:
        """Whether the file was deleted, moved or replaced while open: what is written now would vanish with it."""
        return self._sqlite and self._seen() != self._identity

    def check_cut(self) -> None:
        """See whether the file was cut short or written over, or its log is another one; no journal does so by itself.

        What was in it is gone, and more would be destroyed by going on: from then on every call raises. The file is
        not opened for this: closing it would drop this program's locks on it.

        Raises
        ------
        JournalCut
        """
        size, log = self._size(), self._seen(_LOG)
        shorter = size is not None and self._bytes is not None and size < self._bytes
        removed = self._log is not None and log != self._log and not self.broken()
        over = self._witness is not None and not self._cut_short and self._witness.contradicted()
        self._cut_short = self._cut_short or shorter or removed or over
        if self._cut_short:
            raise JournalCut(
                f"Another program has cut the journal {self.name} short, written over it, or removed its log ({_LOG}), "
                "while it was open; what it held may be gone. Put back a copy of it, and start this program again."
            )
        self._bytes, self._log = size, log

    @property
    def may_close(self) -> bool:
        """Whether its file holds all that it holds: else closing it would lose that."""
        return not self._cut_short and not self.lost()

    def _size(self) -> int | None:
        try:
            return None if self._file is None else os.stat(self._file).st_size
        except OSError:
            return None

    def broken(self) -> bool:
        """Whether the connection can only be thrown away."""
        return bool(self._connection.closed or self._connection.invalidated)

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(SQLAlchemyError, sqlite3.Error):
            self._connection.close()
        with contextlib.suppress(SQLAlchemyError, sqlite3.Error):
            self._engine.dispose()

    def integrity(self) -> list[str]:
        """What is wrong with the database itself: its file, and the guards of its rows; empty when all is well."""
        kind = "sqlite" if self._sqlite else "postgresql"
        there = (
            "SELECT name FROM sqlite_master WHERE type = 'trigger'" if self._sqlite else "SELECT tgname FROM pg_trigger"
        )
        triggers = {str(name) for (name,) in self._connection.exec_driver_sql(there)}
        troubles = [
            f"The guard {guard} is gone: actions may have been changed or deleted."
            for guard in GUARDS[kind]
            if guard not in triggers
        ]
        if self._sqlite:
            rows = [str(row[0]) for row in self._connection.exec_driver_sql("PRAGMA integrity_check")]
            troubles += [] if rows == ["ok"] else rows
        return troubles

    def _seen(self, suffix: str = "") -> tuple[int, int] | None:
        """What tells the file, or one beside it, from another of its name; None where there is none."""
        if self._file is None:
            return None
        try:
            status = os.stat(f"{os.fspath(self._file)}{suffix}")
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _check(self, create: bool) -> None:
        """Refuse what is no journal or too new before anything is changed; start an empty one."""
        if not self._tables():
            if not create:
                raise JournalError(f"{self.name} is no journal: it holds nothing.")
            with self.write() as connection:
                if not self._tables():  # another process may have been quicker
                    create_tables(connection, timestamp(utc_now()))
        if VERSION.name not in self._tables():
            raise JournalError(f"{self.name} is no journal of annotations, but another database. Choose another file.")
        missing = {ACTIONS.name, FIELDS.name} - self._tables()
        if missing:
            raise JournalError(
                f"The journal {self.name} is damaged: its table {sorted(missing)[0]} is missing. "
                "Put back a copy of it, and keep the damaged one."
            )
        version = self._version()
        if isinstance(version, int) and 0 < version < SCHEMA_VERSION:
            with self.write() as connection:
                version = self._version()
                if version < SCHEMA_VERSION:  # another process may have been quicker
                    bring_up_to_date(connection, version, timestamp(utc_now()))
            version = self._version()
        for table in (ACTIONS, FIELDS):  # a column that is missing or of another name is told now, not at a click
            self._connection.execute(sa.select(*table.c).limit(0))
        if not isinstance(version, int) or not 0 < version <= SCHEMA_VERSION:
            raise JournalError(
                f"The journal {self.name} was written by a newer version of this program (its layout is {version}, "
                f"known is {SCHEMA_VERSION}). It was left as it is: update napari-mitosis, or choose another journal."
            )

    def _version(self) -> Any:
        return self._connection.execute(sa.select(sa.func.max(VERSION.c.version))).scalar()

    def _tables(self) -> set[str]:
        if self._sqlite:
            rows = self._connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")
            return {str(name) for (name,) in rows}
        ours = {VERSION.name, ACTIONS.name, FIELDS.name}
        return {name for name in sa.inspect(self._connection).get_table_names() if name in ours}

    def _prepare(self) -> None:
        if not self._sqlite:
            self._connection.exec_driver_sql("SET synchronous_commit TO on")
            return
        _set_wal(self._connection)
        self._connection.exec_driver_sql("PRAGMA synchronous = FULL")  # in WAL mode: on the disk before COMMIT returns
        self._connection.exec_driver_sql("PRAGMA fullfsync = ON")  # macOS: not only as far as the disk's own cache
        try:
            with self.write():
                pass
        except DBAPIError as error:
            if _sqlite_name(error) not in ("SQLITE_BUSY", "SQLITE_LOCKED"):  # held for a moment: no reason to refuse
                raise


def _check_file(file: Path, create: bool) -> None:
    """Refuse what SQLite would wait for, for ever, and an emptied file whose rest it would throw away."""
    try:
        status = file.stat()
    except FileNotFoundError:
        if create:
            return
        raise JournalError(f"There is no journal at {file}.") from None
    if not stat.S_ISREG(status.st_mode):
        raise JournalError(f"The journal {file} cannot be opened: it is no file.")
    rest = file.with_name(f"{file.name}{_LOG}")
    if status.st_size == 0 and rest.is_file() and rest.stat().st_size > 0:
        raise JournalError(
            f"The journal {file} was emptied by another program. Put back a copy of it; or move it and {rest.name} "
            "away, to begin a new one."
        )


def explained(error: BaseException, where: Path | str, what: str) -> JournalError:
    """An error as a sentence for a reader."""
    return JournalError(f"The journal {shown(where)} {what}: {_reason(error)}.")


def shown(where: Path | str) -> str:
    """A journal's place for a person: never with the password."""
    if isinstance(where, Path):
        return str(where)
    try:
        return sa.make_url(where).render_as_string(hide_password=True)
    except ArgumentError:
        return "at this URL"


def _engine(where: Path | str) -> sa.Engine:
    options: dict[str, Any] = {"poolclass": NullPool, "isolation_level": "AUTOCOMMIT"}  # transactions are begun here
    if isinstance(where, Path):
        file = where

        def connect() -> sqlite3.Connection:
            return sqlite3.connect(file, timeout=_OPEN_WAIT_S, isolation_level=None, check_same_thread=False)

        return sa.create_engine("sqlite://", creator=connect, **options)
    url = sa.make_url(where)
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise JournalError(f"A journal is a file, or a PostgreSQL URL (postgresql://...), not {shown(where)}.")
    settings = {
        "connect_timeout": _CONNECT_S,
        "tcp_user_timeout": _CONNECT_S * 1000,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 2,
        "application_name": "napari-mitosis",
        "options": f"-c statement_timeout={_STATEMENT_S * 1000}",
    }
    return sa.create_engine(url.set(drivername="postgresql+psycopg"), connect_args=settings, **options)


def _set_wal(connection: sa.Connection) -> None:
    """Readers and one writer at a time; switching needs a moment alone with the file."""
    deadline = time.monotonic() + _WAL_S
    while True:
        try:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
            return
        except DBAPIError as error:
            if _sqlite_name(error) not in ("SQLITE_BUSY", "SQLITE_LOCKED") or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _sqlite_name(error: BaseException) -> str:
    """Primary name of an SQLite error, such as SQLITE_BUSY of SQLITE_BUSY_SNAPSHOT."""
    original = error.orig if isinstance(error, DBAPIError) else error
    return "_".join(str(getattr(original, "sqlite_errorname", "")).split("_")[:2])


def _reason(error: BaseException) -> str:
    if isinstance(error, ImportError):
        return "PostgreSQL needs the package psycopg; install 'napari-mitosis[postgres]'"
    known = _SQLITE_TROUBLE.get(_sqlite_name(error))
    if known:
        return known
    original = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if type(original).__name__ in ("LockNotAvailable", "QueryCanceled"):
        return "another program is holding it"
    if _sqlite_name(error) or isinstance(original, sqlite3.Error | UnicodeError):
        return f"the file is damaged ({_first_line(original)}); put back a copy of it, and keep the damaged one"
    if isinstance(error, DBAPIError) and "OperationalError" in type(error).__name__:
        return f"the server does not answer ({_first_line(original)})"
    return _first_line(original)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).rstrip(".")
