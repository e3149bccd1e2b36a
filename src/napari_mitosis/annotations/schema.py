"""The tables of the journal, for SQLite and PostgreSQL alike. Loaded when a journal is first opened."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Connection, Float, Index, Integer, MetaData, String, Table, Text

from .actions import ACTION_COLUMNS

SCHEMA_VERSION = 2

_NUMBERS = frozenset({"y_px", "x_px", "score", "mpp"})
_OPTIONAL = _NUMBERS | {"label", "phase"}

METADATA = MetaData()

VERSION = Table(
    "mitosis_journal",
    METADATA,
    Column("version", Integer, nullable=False, unique=True),
    Column("created", String(40), nullable=False),
)

ACTIONS = Table(
    "mitosis_actions",
    METADATA,
    # SQLite counts up by itself in INTEGER columns only; the order of the journal is the order of seq.
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    *(
        Column(
            name,
            Float(53) if name in _NUMBERS else BigInteger if name == "tick" else Text,
            nullable=name in _OPTIONAL,
            unique=name == "id" or None,
        )
        for name in ACTION_COLUMNS
    ),
    sqlite_autoincrement=True,
)
Index("mitosis_actions_of_field", ACTIONS.c.field, ACTIONS.c.seq)
Index("mitosis_actions_of_figure", ACTIONS.c.figure, ACTIONS.c.seq)
Index("mitosis_actions_of_target", ACTIONS.c.target)

FIELDS = Table(
    "mitosis_fields",
    METADATA,
    Column("digest", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("mpp", Float(53)),
    Column("height_px", Integer, nullable=False),
    Column("width_px", Integer, nullable=False),
    Column("time", Text, nullable=False),
)

_ONLY_ADDED = "the journal is only ever added to"

_SQLITE_GUARDS = tuple(
    f"CREATE TRIGGER mitosis_actions_no_{verb} BEFORE {verb.upper()} ON mitosis_actions "
    f"BEGIN SELECT RAISE(ABORT, '{_ONLY_ADDED}'); END"
    for verb in ("update", "delete")
)

GUARDS = {
    "sqlite": ("mitosis_actions_no_update", "mitosis_actions_no_delete"),
    "postgresql": ("mitosis_actions_guard",),
}
"""Names of the triggers by which each kind of database refuses to change or delete an action."""

_POSTGRES_GUARDS = (
    "CREATE FUNCTION mitosis_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{_ONLY_ADDED}'; END $$",
    "CREATE TRIGGER mitosis_actions_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON mitosis_actions "
    "FOR EACH STATEMENT EXECUTE FUNCTION mitosis_refuse()",
)


def create_tables(connection: Connection, now: str) -> None:
    """Create the empty journal, with the database's own guard against changing or deleting actions."""
    METADATA.create_all(connection, checkfirst=False)
    guards = _POSTGRES_GUARDS if connection.dialect.name == "postgresql" else _SQLITE_GUARDS
    for statement in guards:
        connection.exec_driver_sql(statement)
    connection.execute(VERSION.insert().values(version=SCHEMA_VERSION, created=now))
