"""Figures as tables."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from ..tables import annotations_frame
from .replay import Figure

FIGURE_COLUMNS: tuple[str, ...] = (
    *("figure", "y_px", "x_px", "label", "phase", "source", "score"),
    *("reader", "time", "kind"),
)


def figures_frame(figures: list[Figure]) -> pd.DataFrame:
    """A table of figures with `FIGURE_COLUMNS`."""
    rows = [
        (
            *(f.id, f.y_px, f.x_px, f.label, f.phase, f.source, math.nan if f.score is None else f.score),
            *(f.reader, f.time, f.kind),
        )
        for f in figures
    ]
    frame = pd.DataFrame(rows, columns=list(FIGURE_COLUMNS))
    return frame.astype({"y_px": "float64", "x_px": "float64", "score": "float64"})


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
