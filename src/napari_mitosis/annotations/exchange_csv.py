"""Annotations as CSV: a line for each figure, its columns named in the first line."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import pandas as pd

from ..datasets.rows import read_table
from ..tables import plain_cell, safe_cell
from .rows import (
    EXCHANGE_COLUMNS,
    FieldFacts,
    Strict,
    exchange_frame,
    known_id,
    known_label,
    place_number,
    records,
    stated_number,
    torn_lines,
)


def write(figures: pd.DataFrame, facts: FieldFacts) -> str:
    """The figures as CSV; the field itself is known by the file's name only."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(EXCHANGE_COLUMNS)
    for row in records(figures):
        writer.writerow([cell(row[name]) for name in EXCHANGE_COLUMNS])
    return text.getvalue()


def read(path: Path, facts: FieldFacts, checks: Strict) -> pd.DataFrame:
    """Read such a file; y_px and x_px are enough, what has no label is a mitosis.

    Raises
    ------
    DatasetError
        Naming the line and what is wrong in it.
    """
    rows = []
    for line, cells in read_table(path, ("y_px", "x_px"), torn_lines(checks)):
        where = f"{path}, line {line}"
        with checks.row():
            rows.append(
                {
                    **{name: plain_cell(cells.get(name, "")) for name in ("phase", "reader", "source", "time")},
                    "figure": known_id(cells.get("figure", "")),
                    "y_px": place_number(cells["y_px"], where),
                    "x_px": place_number(cells["x_px"], where),
                    "label": known_label(cells.get("label") or "mitosis", where),
                    "score": stated_number(cells.get("score", ""), where),
                }
            )
    return exchange_frame(rows)


def cell(value: object) -> str:
    """A value as a cell: NaN is empty, and no text is a formula."""
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(float(value))
    return safe_cell(str(value))
