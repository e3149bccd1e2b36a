"""What figures of a file must be: of a known label and phase, sure between 0 and 1, within the field, there once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import DatasetError
from ..tables import LABELS
from .actions import PHASES
from .rows import FieldFacts, Lenient, Strict

MOST_FIGURES = 1_000_000
OUTSIDE, TWICE = "outside of the field", "that stand there twice"


def checked(frame: pd.DataFrame, path: Path, facts: FieldFacts, checks: Strict) -> pd.DataFrame:
    """The figures that can be used: all of them, or those that are left where some may be left out.

    Raises
    ------
    DatasetError
        When one cannot be used; where some may be left out, when there are far too many or all lie elsewhere.
    """
    if len(frame) > MOST_FIGURES:
        raise DatasetError(f"{path}: {len(frame):,} figures are more than any field holds ({MOST_FIGURES:,}).")
    if isinstance(checks, Lenient):
        return _usable(frame, path, facts, checks)
    for name, good, _, what in _values(frame):
        if not good.all():
            row = int(np.argmin(good))
            raise DatasetError(f"{path}, figure {row + 1}: the {name} '{str(frame[name].iloc[row])[:40]}' {what}.")
    inside = within(_places(frame), facts.shape)
    if not inside.all():
        raise _elsewhere(frame, inside, path, facts)
    ids = frame["figure"][frame["figure"] != ""]
    if ids.duplicated().any():
        raise DatasetError(f"{path}: the figure {ids[ids.duplicated()].iloc[0]} stands there twice.")
    return frame


def _usable(frame: pd.DataFrame, path: Path, facts: FieldFacts, checks: Lenient) -> pd.DataFrame:
    inside = within(_places(frame), facts.shape)
    if len(frame) and not inside.any():  # not some bad rows: another field, or axes that are swapped
        raise _elsewhere(frame, inside, path, facts)
    # The same id, or the same word on the same place.
    again = frame["figure"].where(frame["figure"] != "").dropna().duplicated().reindex(frame.index, fill_value=False)
    same = again.to_numpy(dtype=bool) | frame.duplicated(["y_px", "x_px", "label"]).to_numpy(dtype=bool)
    kept = np.ones(len(frame), dtype=bool)
    for good, kind in (*((good, kind) for _, good, kind, _ in _values(frame)), (inside, OUTSIDE), (~same, TWICE)):
        if (kept & ~good).any():
            checks.dropped[kind] += int((kept & ~good).sum())
        kept &= good
    return frame[kept].reset_index(drop=True)


def _values(frame: pd.DataFrame) -> list[tuple[str, NDArray[np.bool_], str, str]]:
    """Column, which values are good, what a bad one is counted as, and what is said of it."""
    labels, phases = frame["label"].isin(LABELS), frame["phase"].isin(["", *PHASES])
    scores = ~((frame["score"] < 0) | (frame["score"] > 1))
    return [
        ("label", labels.to_numpy(dtype=bool), "of an unknown label", f"is none of {', '.join(LABELS)}"),
        ("phase", phases.to_numpy(dtype=bool), "of an unknown phase", f"is none of {', '.join(PHASES)}"),
        ("score", scores.to_numpy(dtype=bool), "with a score beyond 0 and 1", "is not between 0 and 1"),
    ]


def _places(frame: pd.DataFrame) -> NDArray[np.float64]:
    return frame[["y_px", "x_px"]].to_numpy(dtype=np.float64)


def _elsewhere(frame: pd.DataFrame, inside: NDArray[np.bool_], path: Path, facts: FieldFacts) -> DatasetError:
    """What to say of figures outside of the field."""
    yx_px, (height, width) = _places(frame), facts.shape
    row = int(np.argmin(inside))
    swapped = within(yx_px[:, ::-1], facts.shape).all()
    hint = "Are x and y swapped?" if swapped else "Does the file belong to another field, or to other pixels of it?"
    return DatasetError(
        f"{path}, figure {row + 1}: y {yx_px[row, 0]:g}, x {yx_px[row, 1]:g} lies outside of {facts.name}, "
        f"{height} x {width} px; so do {int((~inside).sum())} of its {len(inside)} figures. {hint}"
    )


def within(yx_px: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Which places lie in a field of this shape."""
    # A format that counts in mm loses the last digit of a place at the very edge.
    return np.asarray(((yx_px >= -0.5 - 1e-6) & (yx_px <= np.array(shape) - 0.5 + 1e-6)).all(axis=1))
