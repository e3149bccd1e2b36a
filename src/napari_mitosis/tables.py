"""The columns of the tables that pass between the parts, and their units."""

from __future__ import annotations

import numpy as np
import pandas as pd

DETECTION_COLUMNS: tuple[str, ...] = ("y_px", "x_px", "y_um", "x_um", "score", "area_um2")
"""Centroid in field pixels and in um from the centre of pixel (0, 0), score in [0, 1], area of the blob."""

ANNOTATION_COLUMNS: tuple[str, ...] = ("y_px", "x_px", "label", "confidence")
"""Centre in field pixels, one of `LABELS`, and how sure the readers were, in [0, 1]."""

LABELS: tuple[str, ...] = ("mitosis", "mimic", "unsure")


_RUN = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is a formula to a spreadsheet."""


def to_cell(value: object) -> str:
    """A value as a cell of a CSV file: NaN is empty, and a text that a spreadsheet would run is quoted."""
    if isinstance(value, float):
        return "" if np.isnan(value) else repr(float(value))
    text = str(value)
    return f"'{text}" if text.startswith((*_RUN, "'")) else text


def from_cell(text: str) -> str:
    """The text of a cell as `to_cell` wrote it."""
    return text[1:] if text[:1] == "'" and text[1:].startswith((*_RUN, "'")) else text


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
