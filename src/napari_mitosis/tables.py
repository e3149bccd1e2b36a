"""The columns of the tables that pass between the parts, and their units."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from .names import printable

DETECTION_COLUMNS: tuple[str, ...] = ("y_px", "x_px", "y_um", "x_um", "score", "area_um2")
"""Centroid in field pixels and in um from the centre of pixel (0, 0), score in [0, 1], area of the blob."""

ANNOTATION_COLUMNS: tuple[str, ...] = ("y_px", "x_px", "label", "confidence")
"""Centre in field pixels, one of `LABELS`, and how sure the readers were, in [0, 1]."""

LABELS: tuple[str, ...] = ("mitosis", "mimic", "unsure")


def empty_detections() -> pd.DataFrame:
    """Return a detections frame without rows."""
    return pd.DataFrame({name: np.empty(0, dtype=np.float64) for name in DETECTION_COLUMNS})


def empty_annotations() -> pd.DataFrame:
    """Return an annotations frame without rows."""
    return annotations_frame([], [], "mitosis")


def annotations_frame(y_px: object, x_px: object, label: object = "mitosis", confidence: object = 1.0) -> pd.DataFrame:
    """Build a checked annotations frame from columns.

    Parameters
    ----------
    y_px, x_px : array-like of float, shape (n,)
        Centres in pixels of the full-resolution field; pixel (i, j) has its centre at (i, j).
    label : str or array-like of str, shape (n,)
        ``mitosis``, ``mimic`` or ``unsure``, for all or for each.
    confidence : float or array-like of float, shape (n,)
        In [0, 1], for all or for each.

    Returns
    -------
    DataFrame
        With `ANNOTATION_COLUMNS`, a RangeIndex, in the order given.

    Raises
    ------
    ValueError
        When a column holds what it must not.
    """
    ys = np.asarray(y_px, dtype=np.float64).reshape(-1)
    count = len(ys)
    labels = [label] * count if isinstance(label, str) else list(np.asarray(label, dtype=object))
    frame = pd.DataFrame(
        {
            "y_px": ys,
            "x_px": np.asarray(x_px, dtype=np.float64).reshape(-1),
            "label": pd.Series(labels, dtype=object),
            "confidence": np.broadcast_to(np.asarray(confidence, dtype=np.float64), (count,)).copy(),
        }
    )
    return check_annotations(frame)


def check_detections(frame: pd.DataFrame) -> pd.DataFrame:
    """Check a detections frame and return it.

    Raises
    ------
    ValueError
        Naming the column that is missing, not float64, not finite or out of range, or when the rows are
        not sorted by falling score under a RangeIndex.
    """
    _require_columns(frame, DETECTION_COLUMNS, "detections")
    for name in DETECTION_COLUMNS:
        _require_finite(frame, name, "detections")
    _require_range(frame, "score", 0.0, 1.0, "detections")
    _require_range(frame, "area_um2", 0.0, np.inf, "detections")
    if not isinstance(frame.index, pd.RangeIndex) or frame.index.start != 0 or frame.index.step != 1:
        raise ValueError("detections: the index must be a RangeIndex from 0")
    if not frame["score"].is_monotonic_decreasing:
        raise ValueError("detections: column 'score' must be sorted, best first")
    return frame


def check_annotations(frame: pd.DataFrame) -> pd.DataFrame:
    """Check an annotations frame and return it.

    Raises
    ------
    ValueError
        Naming the column that is missing, not finite, out of range or has an unknown label.
    """
    _require_columns(frame, ANNOTATION_COLUMNS, "annotations")
    for name in ("y_px", "x_px", "confidence"):
        _require_finite(frame, name, "annotations")
    _require_range(frame, "confidence", 0.0, 1.0, "annotations")
    unknown = sorted({str(label) for label in frame["label"]} - set(LABELS))
    if unknown:
        raise ValueError(f"annotations: column 'label' holds {unknown}, not one of {list(LABELS)}")
    return frame


def _require_columns(frame: pd.DataFrame, names: tuple[str, ...], what: str) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise ValueError(f"{what}: column '{missing[0]}' is missing")


def _require_finite(frame: pd.DataFrame, name: str, what: str) -> None:
    if frame[name].dtype != np.float64:
        raise ValueError(f"{what}: column '{name}' is {frame[name].dtype}, not float64")
    if not np.isfinite(frame[name].to_numpy()).all():
        raise ValueError(f"{what}: column '{name}' holds a value that is not finite")


def _require_range(frame: pd.DataFrame, name: str, low: float, high: float, what: str) -> None:
    values = frame[name].to_numpy()
    if len(values) and (values.min() < low or values.max() > high):
        raise ValueError(f"{what}: column '{name}' holds a value outside [{low:g}, {high:g}]")


_FORMULA = ("=", "+", "-", "@", "\t")


def safe_cell(text: str) -> str:
    """A text as a spreadsheet shows it and does not run it: an apostrophe stands before what it takes for a formula.

    A carriage return, at which some readers begin a new line, is written as ``\\r``.
    """
    text = text.replace("\r", "\\r")
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA) else text


def plain_cell(text: str) -> str:
    """The text that `safe_cell` wrote."""
    return text[1:] if text.startswith("'") and text[1:].lstrip("'").startswith(_FORMULA) else text


def table_text(frame: pd.DataFrame, *, header: bool = True, index_label: str | None = None) -> str:
    """A table as CSV in which no cell is a formula, and nothing is that UTF-8 cannot write.

    Parameters
    ----------
    frame : DataFrame
    header : bool
        Whether the names of the columns come first.
    index_label : str, optional
        Name of the column of its index; without it the index is left out.
    """
    if index_label is not None:
        frame = frame.rename_axis(index_label).reset_index()
    safe = frame.rename(columns=lambda name: safe_cell(printable(str(name))))
    for position, kind in enumerate(frame.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            cells = [safe_cell(printable(cell)) if isinstance(cell, str) else cell for cell in frame.iloc[:, position]]
            safe.isetitem(position, cells)
    text: str = safe.to_csv(index=False, header=header, lineterminator="\n")
    return text


def write_table(path: Path, frame: pd.DataFrame, *, append: bool = False, index_label: str | None = None) -> None:
    """Write `table_text` to a file, or add its rows to what is there.

    Raises
    ------
    OSError
        When it cannot be written.
    """
    with path.open("a" if append else "w", encoding="utf-8", newline="") as file:
        file.write(table_text(frame, header=not append, index_label=index_label))


def load_table(path: Path, texts: Sequence[str] = ()) -> pd.DataFrame:
    """Read what `write_table` wrote.

    Parameters
    ----------
    path : Path
    texts : sequence of str
        Columns that hold text, whatever it looks like.

    Raises
    ------
    OSError, ValueError
        When it cannot be read, or is no table.
    """
    frame = pd.read_csv(path, dtype=dict.fromkeys(texts, str), keep_default_na=True)
    for name in texts:
        if name in frame.columns:
            frame[name] = [plain_cell(cell) if isinstance(cell, str) else cell for cell in frame[name]]
    return frame
