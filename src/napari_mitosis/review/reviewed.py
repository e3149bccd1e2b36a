"""The count as its reader left it: what became of each detection, and what the reader found beside them. No Qt."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import pandas as pd
from psygnal import Signal

from ..session import Session
from .blind import BlindReadings
from .judge import link, places_of

BY_HAND = "reader"
"""Source of the figures that a reader marked, and no detector found."""


@dataclass(frozen=True)
class ReviewedCount:
    """What is on record of one field, set against what was detected in it.

    Attributes
    ----------
    detected : int
        Detections of the rule on screen; 0 where nothing was detected.
    accepted, rejected, unsure : int
        How many of these were judged a mitosis, a mimic, or neither for sure.
    below : int
        Mitoses on record that a detector had proposed and the rule leaves out, such as those of a second look.
    by_hand : int
        Mitoses on record that a person marked, and no detection is near.
    """

    detected: int = 0
    accepted: int = 0
    rejected: int = 0
    unsure: int = 0
    below: int = 0
    by_hand: int = 0

    @property
    def judged(self) -> int:
        """How many detections were judged."""
        return self.accepted + self.rejected + self.unsure

    @property
    def pending(self) -> int:
        """How many detections wait to be judged."""
        return self.detected - self.judged

    @property
    def mitoses(self) -> int:
        """The reviewed mitotic count: every mitosis on record. What is pending or unsure is not in it."""
        return self.accepted + self.below + self.by_hand

    @property
    def complete(self) -> bool:
        """Whether every detection was judged."""
        return self.pending == 0


def reviewed_count(detections: pd.DataFrame | None, figures: pd.DataFrame, mpp: float) -> ReviewedCount:
    """Set the figures on record against the detections.

    Parameters
    ----------
    detections : DataFrame or None
        Of a `Result`: y_px, x_px. None: nothing was detected.
    figures : DataFrame
        `Notebook.figures`: y_px, x_px, label, source.
    mpp : float
        um/px of the field.
    """
    linked = link(places_of(detections) if detections is not None else [], places_of(figures), mpp)
    labels = figures["label"].to_numpy(dtype=object)
    said = [str(labels[row]) for row in linked if row >= 0]
    beside = labels == "mitosis"
    beside[linked[linked >= 0]] = False
    by_hand = int((figures["source"].to_numpy()[beside] == BY_HAND).sum())
    return ReviewedCount(
        detected=len(linked),
        accepted=said.count("mitosis"),
        rejected=said.count("mimic"),
        unsure=said.count("unsure"),
        below=int(beside.sum()) - by_hand,
        by_hand=by_hand,
    )


class ReviewedCounts:
    """The reviewed counts of the open fields; each is counted when it is asked for.

    Parameters
    ----------
    session : Session
    blind : BlindReadings
        Of a field that is read blind there is no count.

    Attributes
    ----------
    changed : Signal(key)
        The count of this field may be another one now.
    """

    changed = Signal(object)

    def __init__(self, session: Session, blind: BlindReadings) -> None:
        self._session = session
        self._blind = blind
        self._figures: dict[Hashable, pd.DataFrame] = {}
        self._known: dict[Hashable, ReviewedCount] = {}
        session.result_changed.connect(self._outdated)
        session.field_changed.connect(self._outdated)
        session.closed.connect(self._closed)
        blind.changed.connect(self._outdated)

    def of(self, key: Hashable) -> ReviewedCount | None:
        """The count of an open field; None while it is read blind, its journal is opened, or um/px is unknown."""
        if key not in self._session or key not in self._figures or self._blind.blind(key):
            return None
        state = self._session[key]
        if state.field.mpp is None:
            return None
        if key not in self._known:
            detections = state.result.detections if state.result is not None else None
            self._known[key] = reviewed_count(detections, self._figures[key], state.field.mpp)
        return self._known[key]

    def set_figures(self, key: Hashable, figures: pd.DataFrame | None) -> None:
        """The figures on record of a field are these now; None: its notebook is not open (yet)."""
        if figures is not None:
            self._figures[key] = figures
        elif self._figures.pop(key, None) is None:
            return
        self._outdated(key)

    def _outdated(self, key: Hashable) -> None:
        self._known.pop(key, None)
        self.changed.emit(key)

    def _closed(self, key: Hashable) -> None:
        self._figures.pop(key, None)
        self._known.pop(key, None)

    def stop(self) -> None:
        """Follow nothing any more."""
        self._session.result_changed.disconnect(self._outdated)
        self._session.field_changed.disconnect(self._outdated)
        self._session.closed.disconnect(self._closed)
        self._blind.changed.disconnect(self._outdated)
