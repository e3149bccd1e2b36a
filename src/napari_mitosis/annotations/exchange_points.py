"""Annotations as plain lists of points: napari's CSV, those of ICPR 2014 and TUPAC16, and answers to MIDOG."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from ..datasets.rows import read_rows, read_table
from ..errors import DatasetError
from ..tables import plain_cell
from .exchange_csv import cell
from .rows import (
    NO_PLACE,
    TORN,
    BadRow,
    FieldFacts,
    Strict,
    exchange_frame,
    known_id,
    known_label,
    place_number,
    read_text,
    records,
    stated_number,
    torn_lines,
)

_NOTES = ("figure", "label", "phase", "reader", "source", "score", "time")
_ANSWERS = {"mitosis": "mitotic figure", "mimic": "non-mitotic figure", "unsure": "unsure"}


def write_napari(figures: pd.DataFrame, facts: FieldFacts) -> str:
    """Points as napari writes them: index, axes, and a column for each property."""
    rows = [
        [at, repr(float(row["y_px"])), repr(float(row["x_px"])), *(cell(row[name]) for name in _NOTES)]
        for at, row in enumerate(records(figures))
    ]
    return _lines([["index", "axis-0", "axis-1", *_NOTES], *rows])


def read_napari(path: Path, facts: FieldFacts, checks: Strict) -> pd.DataFrame:
    """Read points that napari wrote; without a column ``label`` all are mitoses.

    Raises
    ------
    DatasetError
        Naming the line and what is wrong in it.
    """
    rows = []
    for line, cells in read_table(path, ("axis-0", "axis-1"), torn_lines(checks)):
        where = f"{path}, line {line}"
        if "axis-2" in cells:
            raise DatasetError(f"{path}: its points have more than two axes.")
        texts = {name: plain_cell(cells.get(name, "")) for name in _NOTES}
        with checks.row():
            rows.append(
                {
                    **texts,
                    "figure": known_id(texts["figure"]),
                    "y_px": place_number(cells["axis-0"], where),
                    "x_px": place_number(cells["axis-1"], where),
                    "label": known_label(texts["label"] or "mitosis", where),
                    "score": stated_number(texts["score"], where),
                }
            )
    return exchange_frame(rows)


def write_icpr2014(figures: pd.DataFrame, facts: FieldFacts) -> str:
    """x, y and confidence of each mitosis, as in ``A03_00Aa_mitosis.csv``."""
    return _lines(
        [[_place(row["x_px"]), _place(row["y_px"]), "1" if math.isnan(row["score"]) else repr(float(row["score"]))]
         for row in records(figures)]
    )  # fmt: skip


def read_icpr2014(path: Path, facts: FieldFacts, checks: Strict) -> pd.DataFrame:
    """Read such a file; all of it are mitoses, or mimics where its name ends with ``_not_mitosis``.

    Raises
    ------
    DatasetError
        Naming the line and what is wrong in it.
    """
    label = "mimic" if path.stem.endswith("_not_mitosis") else "mitosis"
    rows = []
    for _, cells in _numbers(path, (2, 3), "x,y,confidence", checks):
        rows.append({"y_px": cells[1], "x_px": cells[0], "label": label, "score": cells[2] if len(cells) > 2 else 1.0})
    return exchange_frame(rows)


def write_tupac16(figures: pd.DataFrame, facts: FieldFacts) -> str:
    """Row and column of each mitosis, as in ``01/01.csv`` of AMIDA13 and TUPAC16."""
    return _lines([[_place(row["y_px"]), _place(row["x_px"])] for row in records(figures)])


def read_tupac16(path: Path, facts: FieldFacts, checks: Strict) -> pd.DataFrame:
    """Read such a file.

    Raises
    ------
    DatasetError
        Naming the line and what is wrong in it.
    """
    lines = _numbers(path, (2,), "row,col", checks)
    return exchange_frame([{"y_px": y, "x_px": x, "label": "mitosis"} for _, (y, x) in lines])


def write_answer(figures: pd.DataFrame, facts: FieldFacts) -> str:
    """Points in mm, as the MIDOG challenges take the answer of an algorithm.

    Raises
    ------
    DatasetError
        When um/px is not known.
    """
    mm = _mm_per_px(facts)
    points = []
    for row in records(figures):
        point: dict[str, Any] = {"name": _ANSWERS[row["label"]]}
        point["point"] = [float(row["x_px"]) * mm, float(row["y_px"]) * mm, 0.0]
        if not math.isnan(row["score"]):
            point["probability"] = float(row["score"])
        points.append(point)
    version = {"major": 1, "minor": 0}
    content = {"name": "Points of interest", "type": "Multiple points", "points": points, "version": version}
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def read_answer(path: Path, facts: FieldFacts, checks: Strict) -> pd.DataFrame:
    """Read such an answer.

    Raises
    ------
    DatasetError
        Naming the point and what is wrong with it, or when um/px is not known.
    """
    try:
        content = json.loads(read_text(path))
        points = content["points"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DatasetError(f"{path}: it is no answer to MIDOG; it needs a list of points.") from error
    if not isinstance(points, list) or not all(isinstance(point, dict) for point in points):
        raise DatasetError(f"{path}: its points are no list of points.")
    mm = _mm_per_px(facts)
    rows = []
    for number, point in enumerate(points, start=1):
        where, place = f"{path}, point {number}", point.get("point")
        with checks.row():
            if not isinstance(place, list) or len(place) not in (2, 3):
                raise BadRow(f"{where}: its place is not x, y and z.", NO_PLACE)
            rows.append(
                {
                    "y_px": place_number(place[1], where) / mm,
                    "x_px": place_number(place[0], where) / mm,
                    "label": known_label(str(point.get("name", "")), where),
                    "score": stated_number(point.get("probability"), where),
                }
            )
    return exchange_frame(rows)


def _mm_per_px(facts: FieldFacts) -> float:
    if not facts.mpp:
        raise DatasetError(f"An answer to MIDOG is in mm, and um/px of {facts.name} is not known. Give it first.")
    return facts.mpp / 1000


def _numbers(path: Path, counts: tuple[int, ...], what: str, checks: Strict) -> list[tuple[int, list[float]]]:
    """Lines of numbers without a header."""
    rows = []
    for line, cells in read_rows(path):
        where = f"{path}, line {line}"
        with checks.row():
            if len(cells) not in counts:
                raise BadRow(f"{where}: {len(cells)} cells, not {what}.", TORN)
            rows.append((line, [place_number(cell, where) for cell in cells]))
    return rows


def _place(value: float) -> str:
    """A coordinate: without decimals where it has none, as the contests publish them."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _lines(rows: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
