"""The count of open fields, and of the case that they belong to, brought up to date with every decision. No Qt."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..annotations.replay import Marks
from ..errors import MitosisError
from ..fields.field import Field
from ..measures.calibrate import Calibration
from ..measures.grade import NOTTINGHAM, Convention
from ..review.judge import link
from ..session import Result
from .areas import Area
from .case import CaseField
from .count import Counted, Tally, figure_arrays, places_of, tally


@dataclass(frozen=True, eq=False)
class Waiting:
    """Candidates of a field that wait to be judged.

    Attributes
    ----------
    rows : ndarray of int64, shape (n,)
        Rows of the detections.
    yx_px : ndarray of float64, shape (n, 2)
    probability : ndarray of float64, shape (n,)
        Calibrated where the model was calibrated, else the score.
    """

    rows: NDArray[np.int64]
    yx_px: NDArray[np.float64]
    probability: NDArray[np.float64]


NOTHING_WAITS = Waiting(np.empty(0, dtype=np.int64), np.empty((0, 2)), np.empty(0))


def waiting(detections: pd.DataFrame, calibration: Calibration, figures: pd.DataFrame, mpp: float | None) -> Waiting:
    """The detections that are no figure on record yet.

    Parameters
    ----------
    detections : DataFrame
        With `tables.DETECTION_COLUMNS`.
    calibration : Calibration
        Of the model.
    figures : DataFrame
        `Notebook.figures`.
    mpp : float or None
        um/px of the field.
    """
    if mpp is None or detections.empty:
        return NOTHING_WAITS
    places = places_of(detections)
    linked = link(places, places_of(figures), mpp)
    rows = np.flatnonzero(linked < 0).astype(np.int64)
    scores = detections["score"].to_numpy(dtype=np.float64)[rows]
    probability = calibration.apply(scores)
    return Waiting(rows, places[rows], probability)


class LiveCount:
    """What the open fields and the rest of a case add up to.

    Attributes
    ----------
    convention : Convention
        Of the score.
    """

    def __init__(self) -> None:
        self.convention: Convention = NOTTINGHAM
        self._open: dict[Hashable, Counted] = {}
        self._digests: dict[Hashable, str] = {}
        self._areas: dict[Hashable, tuple[str, Area]] = {}
        self._closed: dict[str, Counted] = {}

    def set_open(
        self, key: Hashable, field: Field, figures: pd.DataFrame, marks: Marks, result: Result | None
    ) -> Waiting:
        """An open field as it is now; the candidates that wait in it."""
        pending = NOTHING_WAITS
        if result is not None:
            pending = waiting(result.detections, Calibration(result.card.calibration), figures, field.mpp)
        places, labels = figure_arrays(figures)
        area = self._area(key, marks.area)
        self._open[key] = Counted(
            field.name, field.shape, field.mpp, area, places, labels, pending.yx_px, pending.probability
        )
        self._digests[key] = field.digest
        return pending

    def _area(self, key: Hashable, text: str) -> Area:
        """The area of a text, read once."""
        known = self._areas.get(key)
        if known is None or known[0] != text:
            try:
                known = (text, Area.parse(text))
            except MitosisError:  # written by a newer version: the whole field, rather than nothing
                known = (text, Area())
            self._areas[key] = known
        return known[1]

    def forget(self, key: Hashable) -> None:
        """A field is not open any more."""
        for table in (self._open, self._digests, self._areas):
            table.pop(key, None)

    def set_case(self, fields: Iterable[CaseField]) -> None:
        """The fields of the case as the journal has them; those that are open are counted as they are open."""
        self._closed = {field.digest: Counted.of(field) for field in fields}

    def waiting(self) -> dict[str, Waiting]:
        """What waits in the open fields, by the digest of the field."""
        return {
            self._digests[key]: Waiting(
                np.arange(len(field_counts.pending)), field_counts.pending_yx_px, field_counts.pending
            )
            for key, field_counts in self._open.items()
        }

    def digest(self, key: Hashable) -> str:
        """Digest of an open field."""
        return self._digests[key]

    def of(self, key: Hashable) -> Counted | None:
        """One open field; None where it is not known yet."""
        return self._open.get(key)

    def counted(self, key: Hashable | None, whole_case: bool) -> list[Counted]:
        """One open field, or all fields of the case."""
        if not whole_case:
            return [self._open[key]] if key is not None and key in self._open else []
        by_digest = {self._digests[field_key]: counted for field_key, counted in self._open.items()}
        return [by_digest.get(digest, counted) for digest, counted in self._closed.items()]

    def tally(self, key: Hashable | None, whole_case: bool) -> Tally:
        """The count of one open field, or of the case."""
        return tally(self.counted(key, whole_case), self.convention)

    def changes(self, key: Hashable, whole_case: bool) -> NDArray[np.float64]:
        """By how much judging each candidate that waits in an open field can move the score; see `Outlook.change`.

        Parameters
        ----------
        key : hashable
            The open field.
        whole_case : bool
            Whether it is the score of the case, not of the field alone.
        """
        counted = self.counted(key, whole_case)
        expected = tally(counted, self.convention).outlook
        if expected is None or key not in self._open:
            return np.empty(0)
        before = 0
        for field_counts in counted:
            if field_counts is self._open[key]:
                return expected.change[before : before + len(field_counts.pending)]
            before += len(field_counts.pending)
        return np.empty(0)
