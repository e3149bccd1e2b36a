"""Annotations as a database of SlideRunner: spots with a class by each person, in the tables that it makes.

Its coordinates are those of MIDOG's boxes, which were made of such databases: pixel (0, 0) has its centre at 0, 0.
"""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import DatasetError
from .rows import FieldFacts, Strict, exchange_frame, known_id, known_label, place_number, records, stated_number

_NOTES = ("phase", "source", "time")
_CLASSES = {"mitosis": "Mitotic figure", "mimic": "Mitotic figure look-alike", "unsure": "unsure"}
_SPOT, _AREA, _CIRCLE = 1, 2, 5
_COLOURS = {"mitosis": "#009E73", "mimic": "#D55E00", "unsure": "#F0E442"}

_TABLES = """
CREATE TABLE Annotations_label (uid INTEGER PRIMARY KEY AUTOINCREMENT UNIQUE, person INTEGER, class INTEGER,
  exact_id INTEGER, annoId INTEGER);
CREATE TABLE Annotations_coordinates (uid INTEGER PRIMARY KEY AUTOINCREMENT UNIQUE, coordinateX INTEGER,
  coordinateY INTEGER, coordinateZ INTEGER DEFAULT 0, slide INTEGER, annoId INTEGER, orderIdx INTEGER);
CREATE TABLE Annotations (uid INTEGER PRIMARY KEY AUTOINCREMENT UNIQUE, slide INTEGER, guid TEXT,
  lastModified REAL DEFAULT 0, deleted INTEGER DEFAULT 0, type INTEGER, agreedClass INTEGER, description TEXT,
  clickable INTEGER DEFAULT 1);
CREATE TABLE Classes (uid INTEGER PRIMARY KEY AUTOINCREMENT UNIQUE, name TEXT, clickable INTEGER DEFAULT 1,
  color TEXT);
CREATE TABLE Persons (uid INTEGER PRIMARY KEY AUTOINCREMENT UNIQUE, name TEXT, isExactUser INTEGER DEFAULT 0);
CREATE TABLE Slides (uid INTEGER PRIMARY KEY AUTOINCREMENT UNIQUE, filename TEXT, width INTEGER, height INTEGER,
  directory TEXT, uuid TEXT, exactImageID TEXT);
CREATE TABLE Log (uid INTEGER PRIMARY KEY AUTOINCREMENT, dateTime FLOAT, labelId INTEGER);
PRAGMA user_version = 1;
"""


def write(figures: pd.DataFrame, facts: FieldFacts) -> bytes:
    """A database with one slide."""
    rows = records(figures)
    classes = {label: number for number, label in enumerate(_CLASSES, start=1)}
    people = {name: number for number, name in enumerate(dict.fromkeys(row["reader"] for row in rows), start=1)}
    height, width = facts.shape
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.executescript(_TABLES)
        database.executemany(
            "INSERT INTO Classes (uid, name, color) VALUES (?, ?, ?)",
            [(classes[label], name, _COLOURS[label]) for label, name in _CLASSES.items()],
        )
        database.executemany(
            "INSERT INTO Persons (uid, name) VALUES (?, ?)", [(uid, name) for name, uid in people.items()]
        )
        database.execute(
            "INSERT INTO Slides (uid, filename, width, height, directory) VALUES (1, ?, ?, ?, '')",
            (facts.file_name, width, height),
        )
        for uid, row in enumerate(rows, start=1):
            _insert(database, uid, row, classes[row["label"]], people[row["reader"]])
        database.commit()
        return database.serialize()


def _insert(database: sqlite3.Connection, uid: int, row: dict[str, Any], label: int, person: int) -> None:
    notes = {name: row[name] for name in _NOTES if row[name]}
    if not math.isnan(row["score"]):
        notes["score"] = float(row["score"])
    text = json.dumps(notes, ensure_ascii=False) if notes else ""
    database.execute(
        "INSERT INTO Annotations (uid, slide, guid, type, agreedClass, description) VALUES (?, 1, ?, ?, ?, ?)",
        (uid, row["figure"], _SPOT, label, text),
    )
    database.execute(
        "INSERT INTO Annotations_coordinates (coordinateX, coordinateY, coordinateZ, slide, annoId, orderIdx) "
        "VALUES (?, ?, 0, 1, ?, 1)",
        (float(row["x_px"]), float(row["y_px"]), uid),
    )
    database.execute("INSERT INTO Annotations_label (person, class, annoId) VALUES (?, ?, ?)", (person, label, uid))


def read(path: Path, facts: FieldFacts, checks: Strict) -> pd.DataFrame:
    """Read spots, and boxes and circles by their centre, of this field's slide: that of its file name, or the only one.

    The class is the one on which all people agreed, else the first person's.

    Raises
    ------
    DatasetError
        When it is no such database, names no such slide or holds a class that is unknown.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: there is no such file.")
    try:
        with tempfile.TemporaryDirectory() as folder:
            # A copy: opening may write beside the file, or lock it under SlideRunner's hands.
            copy = Path(folder) / "copy.sqlite"
            copy.write_bytes(path.read_bytes())
            with contextlib.closing(sqlite3.connect(copy)) as database:
                return _rows(database, path, facts, checks)
    except (sqlite3.Error, OverflowError) as error:
        raise DatasetError(f"{path}: it is no database of SlideRunner ({error}).") from error


def _rows(database: sqlite3.Connection, path: Path, facts: FieldFacts, checks: Strict) -> pd.DataFrame:
    slide = _slide(database, path, facts)
    query = """
        SELECT a.uid, a.guid, a.type, a.description, c.name, p.name,
          (SELECT avg(coordinateX) FROM Annotations_coordinates k WHERE k.annoId = a.uid),
          (SELECT avg(coordinateY) FROM Annotations_coordinates k WHERE k.annoId = a.uid)
        FROM Annotations a
        LEFT JOIN Annotations_label l ON l.uid = (SELECT min(uid) FROM Annotations_label m WHERE m.annoId = a.uid)
        LEFT JOIN Classes c ON c.uid = CASE WHEN a.agreedClass > 0 THEN a.agreedClass ELSE l.class END
        LEFT JOIN Persons p ON p.uid = l.person
        WHERE a.slide = ? AND coalesce(a.deleted, 0) = 0 AND a.type IN (?, ?, ?) ORDER BY a.uid
    """
    rows = []
    for uid, guid, _, description, label, person, x, y in database.execute(query, (slide, _SPOT, _AREA, _CIRCLE)):
        where = f"{path}, annotation {uid}"
        notes = _notes(description)
        with checks.row():
            rows.append(
                {
                    **{name: str(notes.get(name, "")) for name in _NOTES},
                    "reader": str(person or ""),
                    "figure": known_id(guid or ""),
                    "y_px": place_number(y, where),
                    "x_px": place_number(x, where),
                    "label": known_label(str(label or ""), where),
                    "score": stated_number(notes.get("score"), where),
                }
            )
    return exchange_frame(rows)


def _slide(database: sqlite3.Connection, path: Path, facts: FieldFacts) -> int:
    slides = database.execute("SELECT uid, filename FROM Slides").fetchall()
    stem = Path(facts.file_name).stem
    fitting = [uid for uid, name in slides if Path(str(name).replace("\\", "/")).stem == stem]
    chosen = fitting if len(fitting) == 1 else [uid for uid, _ in slides]
    if len(chosen) != 1:
        raise DatasetError(f"{path}: none of its {len(slides)} slides is named '{facts.file_name}'.")
    return int(chosen[0])


def _notes(description: object) -> dict[str, Any]:
    try:
        notes = json.loads(description) if isinstance(description, str) and description.startswith("{") else {}
    except ValueError:
        return {}
    return notes if isinstance(notes, dict) else {}
