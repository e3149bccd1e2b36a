"""Figures as tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..tables import annotations_frame
from .replay import FieldState, Figure

FIGURE_COLUMNS: tuple[str, ...] = (
    *("figure", "y_px", "x_px", "label", "phase", "source", "score"),
    *("reader", "time", "kind"),
)
_NUMBERS = frozenset({"y_px", "x_px", "score"})

MOST_FOLLOWED = 50
"""Of figures that change at once, a table of more is made anew."""


def figures_frame(figures: list[Figure]) -> pd.DataFrame:
    """A table of figures with `FIGURE_COLUMNS`."""
    return _framed(_columns(figures))


def _columns(figures: list[Figure]) -> dict[str, NDArray[Any]]:
    """A column for each of `FIGURE_COLUMNS`."""
    values = zip(*map(_row, figures), strict=True) if figures else ([] for _ in FIGURE_COLUMNS)
    return {
        name: np.array(column, dtype=np.float64 if name in _NUMBERS else object)
        for name, column in zip(FIGURE_COLUMNS, values, strict=True)
    }


def _framed(columns: Mapping[str, NDArray[Any]]) -> pd.DataFrame:
    """Columns as a table. Texts are objects whatever they are: pandas' own strings take ten times as long to make."""
    return pd.DataFrame({name: pd.Series(column, dtype=column.dtype) for name, column in columns.items()}, copy=False)


def _row(f: Figure) -> tuple[Any, ...]:
    score = math.nan if f.score is None else f.score
    return f.id, f.y_px, f.x_px, f.label, f.phase, f.source, score, f.reader, f.time, f.kind


class FiguresTable:
    """`figures_frame` of a field that changes: what one action changes takes the time of its figures, not of all."""

    def __init__(self) -> None:
        self._columns: dict[str, NDArray[Any]] | None = None
        self._rows: dict[str, int] = {}
        self._frame: pd.DataFrame | None = None

    def of(self, state: FieldState) -> pd.DataFrame:
        """The table; it belongs to the caller."""
        if self._columns is None:
            self._columns = _columns(state.figures)
            self._rows = {str(figure): row for row, figure in enumerate(self._columns["figure"])}
        if self._frame is None:  # several ask after each action: making it takes longer than copying it
            self._frame = _framed({name: column.copy() for name, column in self._columns.items()})
        return self._frame.copy()

    def forget(self) -> None:
        """Anything may have changed."""
        self._columns = self._frame = None

    def follow(self, state: FieldState, touched: Iterable[str]) -> None:
        """These figures changed, appeared or went."""
        touched, self._frame = tuple(dict.fromkeys(touched)), None
        if self._columns is None or len(touched) > MOST_FOLLOWED:
            self._columns = None
            return
        for figure in touched:
            now, row = state.figure(figure), self._rows.get(figure)
            if now is None and row is None:
                continue
            if now is None or (row is None and not state.is_newest(figure)):
                self._columns = None  # rows below move
                return
            new = row is None
            row = self._rows.setdefault(figure, len(self._rows))
            for (name, column), value in zip(self._columns.items(), _row(now), strict=True):
                if new:
                    self._columns[name] = np.append(column, np.array([value], dtype=column.dtype))
                else:
                    column[row] = value


def annotations_of(figures: list[Figure]) -> pd.DataFrame:
    """Figures as annotations, with `tables.ANNOTATION_COLUMNS`."""
    ys, xs = [f.y_px for f in figures], [f.x_px for f in figures]
    confidences = [f.score if f.score is not None and f.source.startswith("dataset ") else 1.0 for f in figures]
    return annotations_frame(ys, xs, [f.label for f in figures], np.array(confidences, dtype=np.float64))


def given_text(value: Any) -> str | None:
    """A text of a table's cell; None for an empty one and for what is no text."""
    return value if isinstance(value, str) and value else None


def given_number(value: Any) -> float | None:
    """A number of a table's cell; None for none and NaN."""
    return None if value is None or math.isnan(value) else float(value)
