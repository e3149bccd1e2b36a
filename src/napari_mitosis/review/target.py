"""What the reader looks at. Crosshair, thumbnail, heading and keys all read this one thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

CANDIDATES, SECOND, FIGURE = "candidates", "second look", "figure"
"""Where a target comes from: the queue, what the rule leaves out, or a figure on record that is neither."""


@dataclass(frozen=True)
class Target:
    """One place of a field with all that is known of it.

    Attributes
    ----------
    y_px, x_px : float
        In pixels of the field.
    origin : str
        `CANDIDATES`, `SECOND` or `FIGURE`.
    number, of : int
        Place in the list that it comes from, from 1, and how long that is; 0 where it is in none.
    kept : bool
        Whether the rule keeps it.
    score, area_um2, disagreement : float or None
        What the detector says of it; None where none does.
    state : str
        One of `judge.STATES`.
    figure, phase, reader : str
        On record of it, or empty.
    """

    y_px: float
    x_px: float
    origin: str
    number: int = 0
    of: int = 0
    kept: bool = False
    score: float | None = None
    area_um2: float | None = None
    disagreement: float | None = None
    state: str = ""
    figure: str = ""
    phase: str = ""
    reader: str = ""

    @property
    def place(self) -> tuple[float, float]:
        """(y, x) in pixels of the field."""
        return self.y_px, self.x_px

    @classmethod
    def of_row(cls, row: pd.Series[Any], note: pd.Series[Any], origin: str, number: int, of: int) -> Target:
        """The target that is a row of a queue's frame, with its notes."""

        def number_in(name: str) -> float | None:
            value = float(row[name])
            return None if value != value else value

        return cls(
            y_px=float(row["y_px"]),
            x_px=float(row["x_px"]),
            origin=origin,
            number=number,
            of=of,
            kept=bool(row["kept"]),
            score=number_in("score"),
            area_um2=number_in("area_um2"),
            disagreement=number_in("disagreement"),
            **{str(name): str(value) for name, value in note.items()},
        )
