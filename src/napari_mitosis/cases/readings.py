"""What each reader said of the figures of a case, read off the journal, and how far readers and detectors agree."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ..annotations.actions import ABOUT_FIGURE, LABELS_IT, MAKES_FIGURE, MARKS, Action
from ..annotations.replay import replay
from ..annotations.store import Journal
from ..errors import MitosisError
from ..measures.readers import READER_COLUMNS, ReaderAgreement, reader_agreement
from .case import CaseField

ADJUDICATION = "adjudication"
"""Source of a verdict: it is nobody's reading."""

_READING = ABOUT_FIGURE | MARKS
"""Who did any of this to a field has looked at it."""

MARK_COLUMNS: tuple[str, ...] = (*READER_COLUMNS, "figure")
"""Of a reader's marks; the figure is its id in the journal, or empty."""


@dataclass(frozen=True, eq=False)
class Readings:
    """What readers, data sets and detectors said of the same fields.

    Attributes
    ----------
    marks : dict of str to DataFrame
        For each of them `MARK_COLUMNS`; the field is its name in `fields`.
    read : dict of str to frozenset of str
        For each the fields that it read at all.
    fields : dict of str to CaseField
        By a name that no two share.
    """

    marks: dict[str, pd.DataFrame]
    read: dict[str, frozenset[str]]
    fields: dict[str, CaseField]

    def shared(self, names: Collection[str]) -> list[str]:
        """The fields that all of these read."""
        return [field for field in self.fields if all(field in self.read[name] for name in names)]

    def with_detector(self, name: str, detections: Mapping[str, pd.DataFrame]) -> Readings:
        """With a detector as one more reader: all that it detects are mitoses to it.

        Parameters
        ----------
        name : str
            Of the detector.
        detections : mapping of str to DataFrame
            Digest of a field -> `tables.DETECTION_COLUMNS`.
        """
        rows, seen = [], set()
        for label, field in self.fields.items():
            if field.digest in detections and field.mpp is not None:
                seen.add(label)
                for y, x in detections[field.digest][["y_px", "x_px"]].to_numpy(dtype=float):
                    rows.append(_mark(label, field.mpp, float(y), float(x), "mitosis", "", ""))
        return Readings({**self.marks, name: _frame(rows)}, {**self.read, name: frozenset(seen)}, self.fields)


def case_readings(journal: Journal, fields: Sequence[CaseField]) -> Readings:
    """Everybody's words on fields of a journal.

    A reader's word on a figure is what they themselves said of it last: who corrected another's figure has a word on
    it, who left it alone has none. What was imported is the word of its data set. Verdicts are no words.

    Parameters
    ----------
    journal : Journal
    fields : sequence of CaseField
        Those without um/px are left out: distances are in um.

    Raises
    ------
    JournalError
        When the journal cannot be read.
    """
    named = {label: field for label, field in labelled(fields).items() if field.mpp is not None}
    rows: dict[str, list[tuple[object, ...]]] = {}
    read: dict[str, set[str]] = {}
    for label, field in named.items():
        actions = [action for action in journal.actions(field.digest) if action.source != ADJUDICATION]
        for action in actions:
            if action.kind in _READING:
                read.setdefault(giver(action), set()).add(label)
        state, mpp = replay(actions), float(field.mpp or 1.0)
        for figure in state.known_figures:
            place, words = words_on(state.about(figure))
            for name, (word, phase) in words.items():
                rows.setdefault(name, []).append(_mark(label, mpp, *place, word, phase, figure))
    names = sorted(read)
    return Readings(
        {name: _frame(rows.get(name, [])) for name in names}, {name: frozenset(read[name]) for name in names}, named
    )


def words_on(actions: Iterable[Action]) -> tuple[tuple[float, float], dict[str, tuple[str, str]]]:
    """Who says what of one figure, out of the actions about it that count, oldest first.

    Returns
    -------
    place : tuple of float
        y and x in pixels, where it stands last.
    words : dict of str to (str, str)
        Label and phase by who said so; nobody, where the figure was never made.
    """
    words: dict[str, tuple[str, str]] = {}
    place: tuple[float, float] | None = None
    for action in actions:
        if place is None and action.kind not in MAKES_FIGURE:
            continue
        if action.y_px is not None and action.x_px is not None:
            place = action.y_px, action.x_px
        if action.kind in LABELS_IT:
            words[giver(action)] = str(action.label), action.phase or ""
        elif action.kind == "delete":
            words.pop(giver(action), None)
    return place or (0.0, 0.0), words


def giver(action: Action) -> str:
    """Whose word an action is: its reader's, or its data set's."""
    return action.source if action.source.startswith("dataset ") else action.reader or "unnamed"


def labelled(fields: Sequence[CaseField]) -> dict[str, CaseField]:
    """Fields by name; with the beginning of the digest where two have the same."""
    names = [field.name for field in fields]
    return {f.name if names.count(f.name) == 1 else f"{f.name} {f.digest[:8]}": f for f in fields}


def compare(readings: Readings, names: Sequence[str], radius_um: float) -> ReaderAgreement:
    """How far some of them agree on the fields that all of them read.

    Raises
    ------
    MitosisError
        When there are fewer than two, or no field was read by all.
    """
    if len(names) < 2:
        raise MitosisError("Agreement needs two readers or more, or a reader and a detector.")
    fields = readings.shared(names)
    if not fields:
        raise MitosisError(f"No field of known um/px was read by all of {', '.join(names)}.")
    tables = {name: readings.marks[name].loc[lambda t: t["field"].isin(fields)] for name in names}
    return reader_agreement(tables, fields, radius_um)


def _mark(label: str, mpp: float, y: float, x: float, word: str, phase: str, figure: str) -> tuple[object, ...]:
    return label, y, x, (y + 0.5) * mpp, (x + 0.5) * mpp, word, phase, figure


def _frame(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(MARK_COLUMNS))
    return frame.astype(dict.fromkeys(("y_px", "x_px", "y_um", "x_um"), "float64"))
