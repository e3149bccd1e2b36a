"""What is said to a journal's database: rows in, rows out, and the older layout brought up to date."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ..errors import JournalError
from .actions import ACTION_COLUMNS, Action
from .schema import ACTIONS, FIELDS, SCHEMA_VERSION, VERSION

_CHUNK = 5000

# Rows of the first layout have no tick: they stand in the order in which they were written.
_TICK = sa.case((ACTIONS.c.tick == 0, ACTIONS.c.seq), else_=ACTIONS.c.tick).label("tick")
_COLUMNS = tuple(_TICK if name == "tick" else ACTIONS.c[name] for name in ("seq", *ACTION_COLUMNS))


def insert_actions(connection: sa.Connection, rows: Iterable[dict[str, Any]]) -> None:
    """Add actions; one whose id is there already is left out, and one without a tick gets the next of its field."""
    rows = list(rows)
    next_ticks: dict[str, int] = {}
    for row in rows:
        if row["tick"] == 0:
            field = row["field"]
            if field not in next_ticks:
                newest = connection.execute(sa.select(sa.func.max(_TICK)).where(ACTIONS.c.field == field)).scalar()
                next_ticks[field] = (newest or 0) + 1
            row["tick"] = next_ticks[field]
            next_ticks[field] += 1
    statement = _dialect(connection).insert(ACTIONS).on_conflict_do_nothing(index_elements=["id"])
    for start in range(0, len(rows), _CHUNK):
        connection.execute(statement, rows[start : start + _CHUNK])


def put_fields(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Note fields; the newest note of each counts."""
    if rows:
        statement = _dialect(connection).insert(FIELDS)
        newer = {column.name: statement.excluded[column.name] for column in FIELDS.c if column.name != "digest"}
        connection.execute(statement.on_conflict_do_update(index_elements=["digest"], set_=newer), list(rows))


def select_actions(*conditions: sa.ColumnElement[bool], as_written: bool = False) -> sa.Select[Any]:
    """Actions in the order of their field, or in the order in which they were written."""
    order = (ACTIONS.c.seq,) if as_written else (_TICK, ACTIONS.c.time, ACTIONS.c.writer, ACTIONS.c.seq)
    return sa.select(*_COLUMNS).where(*conditions).order_by(*order)


def action_of(row: Any) -> tuple[int, Action]:
    """Number in the journal, and the action, of a row.

    Raises
    ------
    JournalError
        If the row is none of an action.
    """
    values = dict(row._mapping)
    number = int(values.pop("seq"))
    try:
        return number, Action(**values)
    except (ValueError, TypeError) as error:
        raise JournalError(f"Row {number} of the journal is damaged: {error}.") from error


def bring_up_to_date(connection: sa.Connection, version: int, now: str) -> None:
    """Change the layout of an older journal to the present one, within a transaction."""
    if version < 2:
        connection.exec_driver_sql("ALTER TABLE mitosis_actions ADD COLUMN tick BIGINT NOT NULL DEFAULT 0")
        connection.exec_driver_sql("ALTER TABLE mitosis_actions ADD COLUMN writer TEXT NOT NULL DEFAULT ''")
    connection.execute(VERSION.insert().values(version=SCHEMA_VERSION, created=now))


def _dialect(connection: sa.Connection) -> Any:
    return postgresql if connection.dialect.name == "postgresql" else sqlite
