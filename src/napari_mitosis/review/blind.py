"""Blind first: the reader marks before anything of the detector is shown; then both are compared. No Qt."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from psygnal import Signal

from ..errors import MitosisError
from ..measures.evaluate import Counts, match
from ..tables import write_table

RADIUS_UM = 7.5
"""A mark and a detection within so much of each other are the same figure (the radius of AMIDA13 and MIDOG)."""

OUTCOMES: tuple[str, ...] = ("both", "only reader", "only detector", "neither")
"""What can become of a place: marked and detected, one of the two, or a candidate that neither calls a mitosis."""

REPORT_COLUMNS: tuple[str, ...] = ("y_px", "x_px", "outcome", "score", "figure", "label", "distance_um")


@dataclass(frozen=True, eq=False)
class BlindReading:
    """A blind reading of one field.

    Attributes
    ----------
    reader : str
    started, revealed : str
        UTC, ISO 8601; `revealed` is empty while the reader is still blind.
    marked : DataFrame or None
        `Notebook.figures` as they stood when the detections were revealed, without those from before the start: what
        the reader found alone. None while the reader is still blind.
    before : frozenset of str
        Ids of the figures that were there at the start: they are no part of the reading.
    """

    reader: str
    started: str
    before: frozenset[str] = frozenset()
    revealed: str = ""
    marked: pd.DataFrame | None = None

    @property
    def blind(self) -> bool:
        """Whether nothing was revealed yet."""
        return not self.revealed


class BlindReadings:
    """The blind readings of the open fields. Whoever shows what a detector found asks `blind` first.

    Attributes
    ----------
    changed : Signal(key)
        A reading of this field was started, revealed or forgotten.
    """

    changed = Signal(object)

    def __init__(self) -> None:
        self._readings: dict[Hashable, BlindReading] = {}

    def __getitem__(self, key: Hashable) -> BlindReading:
        return self._readings[key]

    def __contains__(self, key: object) -> bool:
        return key in self._readings

    def get(self, key: Hashable) -> BlindReading | None:
        """The reading of a field, revealed or not; None where there is none."""
        return self._readings.get(key)

    def blind(self, key: Hashable) -> bool:
        """Whether detections and candidates of this field must not be shown now."""
        reading = self._readings.get(key)
        return reading is not None and reading.blind

    @property
    def active(self) -> frozenset[Hashable]:
        """The fields that are read blind now. What shows several fields at once (a comparison, a list) asks this."""
        return frozenset(key for key, reading in self._readings.items() if reading.blind)

    def start(self, key: Hashable, reader: str, time: str, figures: pd.DataFrame) -> BlindReading:
        """Begin: from now on nothing of the detector is shown.

        Parameters
        ----------
        key : hashable
            The open field.
        reader : str
        time : str
            UTC, ISO 8601.
        figures : DataFrame
            `Notebook.figures` at this moment.

        Raises
        ------
        MitosisError
            If a blind reading of this field is under way.
        """
        if self.blind(key):
            raise MitosisError("A blind reading of this field is under way; reveal it first.")
        reading = BlindReading(reader, time, frozenset(figures["figure"]))
        self._readings[key] = reading
        self.changed.emit(key)
        return reading

    def reveal(self, key: Hashable, time: str, figures: pd.DataFrame) -> BlindReading:
        """End the blind part: what was marked until now is what the reader found alone.

        Raises
        ------
        MitosisError
            If no blind reading of this field is under way.
        """
        reading = self._readings.get(key)
        if reading is None or not reading.blind:
            raise MitosisError("No blind reading of this field is under way.")
        marked = figures[~figures["figure"].isin(reading.before)].reset_index(drop=True)
        revealed = BlindReading(reading.reader, reading.started, reading.before, time, marked)
        self._readings[key] = revealed
        self.changed.emit(key)
        return revealed

    def forget(self, key: Hashable) -> None:
        """Drop the reading of a field, such as one that was closed. What was marked stays in the journal."""
        if self._readings.pop(key, None) is not None:
            self.changed.emit(key)


@dataclass(frozen=True, eq=False)
class Agreement:
    """How reader and detector agree on the mitoses of one field.

    Attributes
    ----------
    places : DataFrame
        `REPORT_COLUMNS`, one row for each place: where (the reader's mark, if there is one), what became of it (one of
        `OUTCOMES`), the detector's score (NaN: no candidate), id and label of the reader's figure (or empty), and how
        far apart both are. Disagreements first, the surest first.
    counts : Counts
        Detections against the reader's mitoses. None is the truth: read precision as the share of the detections that
        the reader marked, recall as the share of the marks that were detected.
    kappa : float
        Cohen's kappa over all places, candidates that neither calls a mitosis among them; NaN where it is not
        defined, because one of the two says the same of all places.
    radius_um : float
    """

    places: pd.DataFrame
    counts: Counts
    kappa: float
    radius_um: float = field(default=RADIUS_UM)

    @property
    def disagreements(self) -> pd.DataFrame:
        """Places that one of the two calls a mitosis."""
        only = self.places["outcome"].isin(["only reader", "only detector"])
        return self.places[only].reset_index(drop=True)

    def save(self, path: Path, **about: str) -> None:
        """Write the places as CSV, with the measures and `about` (such as the field's name) in every row.

        Raises
        ------
        MitosisError
            If the file cannot be written.
        """
        counts = self.counts
        measures = {"precision": counts.precision, "recall": counts.recall, "f": counts.f, "kappa": self.kappa}
        try:
            write_table(path, self.places.assign(radius_um=self.radius_um, **measures, **about))
        except OSError as error:
            raise MitosisError(
                f"{path} cannot be written: {error.strerror or error}. Choose another folder."
            ) from error


def agreement(
    figures: pd.DataFrame,
    detections: pd.DataFrame,
    candidates: pd.DataFrame,
    mpp: float,
    radius_um: float = RADIUS_UM,
) -> Agreement:
    """Compare what a reader marked with what a detector found.

    Parameters
    ----------
    figures : DataFrame
        The reader's: columns figure, y_px, x_px, label. Only mitoses count as marks.
    detections, candidates : DataFrame
        Of a `Result`: with y_px, x_px, score. Candidates that no mark and no detection is near are places that both
        call no mitosis.
    mpp : float
        um/px.
    radius_um : float

    Raises
    ------
    ValueError
        If radius or `mpp` is not positive.
    """
    marks = figures[figures["label"] == "mitosis"].reset_index(drop=True)
    truth = marks[["y_px", "x_px"]].to_numpy(dtype=np.float64)
    listed = detections.reset_index(drop=True)
    matching = match(listed, truth, radius_um, mpp)
    rows: list[dict[str, Any]] = []
    for at, mark in matching.pairs:
        rows.append(_place(marks.iloc[mark], "both", listed.iloc[at], mpp))
    # A weak candidate under a mark that is no detection: the detector saw it, and its rule left it out.
    rest = _beyond(candidates, listed, 0.0, mpp)
    missed = marks.iloc[matching.false_negatives].reset_index(drop=True)
    weak = match(rest, missed[["y_px", "x_px"]].to_numpy(dtype=np.float64), radius_um, mpp)
    under = {int(mark): int(at) for at, mark in weak.pairs}
    for number in range(len(missed)):
        candidate = rest.iloc[under[number]] if number in under else None
        rows.append(_place(missed.iloc[number], "only reader", candidate, mpp))
    for at in matching.false_positives:
        rows.append(_place(None, "only detector", listed.iloc[at], mpp))
    neither = rest.drop(index=rest.index[sorted(under.values())])
    neither = _beyond(_beyond(neither, marks, radius_um, mpp), listed, radius_um, mpp)
    rows += [_place(None, "neither", neither.iloc[at], mpp) for at in range(len(neither))]
    rank = {outcome: at for at, outcome in enumerate(("only detector", "only reader", "both", "neither"))}
    places = pd.DataFrame(rows, columns=list(REPORT_COLUMNS))
    places = places.assign(_rank=places["outcome"].map(rank)).sort_values(
        ["_rank", "score", "y_px", "x_px"], ascending=[True, False, True, True], ignore_index=True
    )
    places = places.drop(columns="_rank")
    return Agreement(places, matching.counts, cohens_kappa(places["outcome"]), radius_um)


def cohens_kappa(outcomes: pd.Series) -> float:
    """Cohen's kappa of two who say yes or no of each place, from `OUTCOMES`; NaN where it is not defined."""
    both, reader, detector, neither = (int((outcomes == outcome).sum()) for outcome in OUTCOMES)
    total = both + reader + detector + neither
    if not total:
        return float("nan")
    agreed = (both + neither) / total
    yes = (both + reader) / total, (both + detector) / total
    chance = yes[0] * yes[1] + (1 - yes[0]) * (1 - yes[1])
    # One of the two says the same of all places: nothing is left that could agree beyond chance.
    if min(yes) == 0 or max(yes) == 1:
        return float("nan")
    return (agreed - chance) / (1 - chance)


def _place(mark: Any, outcome: str, candidate: Any, mpp: float) -> dict[str, Any]:
    where = candidate if mark is None else mark
    apart = np.nan
    if mark is not None and candidate is not None:
        apart = float(np.hypot(mark["y_px"] - candidate["y_px"], mark["x_px"] - candidate["x_px"])) * mpp
    return {
        "y_px": float(where["y_px"]),
        "x_px": float(where["x_px"]),
        "outcome": outcome,
        "score": np.nan if candidate is None else float(candidate["score"]),
        "figure": "" if mark is None else str(mark["figure"]),
        "label": "" if mark is None else str(mark["label"]),
        "distance_um": apart,
    }


def _beyond(frame: pd.DataFrame, others: pd.DataFrame, radius_um: float, mpp: float) -> pd.DataFrame:
    """Rows further than a radius from all `others`."""
    frame = frame.reset_index(drop=True)
    if frame.empty or others.empty:
        return frame
    here, there = (table[["y_px", "x_px"]].to_numpy(dtype=np.float64) for table in (frame, others))
    nearest = np.hypot(*(here[:, None] - there[None]).transpose(2, 0, 1)).min(axis=1) * mpp
    far: pd.DataFrame = frame[nearest > radius_um].reset_index(drop=True)
    return far
