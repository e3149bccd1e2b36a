"""Jobs of the Agreement step: they hold all they need and never touch the window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ...annotations.store import Journal
from ...cases.adjudicate import adjudicated, settle, verdicts
from ...cases.agreement import write_agreement
from ...cases.agreement_plots import agreement_plots, as_png
from ...cases.case import Case, CaseField, case_names, read_case, read_fields
from ...cases.readings import Readings, case_readings, compare
from ...cases.report import open_same
from ...fields.field import Field
from ...jobs import Job, Progress
from ...measures.readers import ReaderAgreement

PLOT_DPI = 88


@dataclass(frozen=True, eq=False)
class Gathered:
    """What there is to compare.

    Attributes
    ----------
    names : list of str
        Of all cases.
    case : Case
        The one that is looked at; a lone field has the name of none.
    readings : Readings
        Of its fields.
    """

    names: list[str]
    case: Case
    readings: Readings


@dataclass(frozen=True, eq=False)
class Compared:
    """An agreement with its verdicts, and its plots as pictures by name."""

    agreement: ReaderAgreement
    plots: dict[str, bytes]


@dataclass(frozen=True)
class Dispute:
    """A disputed figure: its row, its field and place (y, x), and the ids of what the readers marked."""

    row: int
    field: CaseField
    place_px: tuple[float, float]
    figures: tuple[str, ...]


def gathering(
    journal: Journal, name: str, digest: str, detections: Mapping[str, Mapping[str, pd.DataFrame]]
) -> Job[Gathered]:
    """Read who said what of the fields of a case; of one field, where no case is named.

    Parameters
    ----------
    journal : Journal
    name : str
        Of the case, or empty.
    digest : str
        Of the field that is taken then.
    detections : mapping of str to mapping of str to DataFrame
        Detector -> digest of a field -> what it detects there.
    """
    yield Progress(0, 1, "reading the journal")
    names = case_names(journal)
    case = read_case(journal, name) if name in names else Case("", *read_fields(journal, [digest]))
    readings = case_readings(journal, case.fields)
    for detector, tables in detections.items():
        if any(field.digest in tables for field in case.fields):
            readings = readings.with_detector(detector, tables)
    return Gathered(names, case, readings)


def comparing(journal: Journal, readings: Readings, names: Sequence[str], radius_um: float) -> Job[Compared]:
    """Work out how far some of them agree, and draw it."""
    yield Progress(0, 2, "comparing")
    agreement = adjudicated(compare(readings, names, radius_um), verdicts(journal, readings.fields))
    yield Progress(1, 2, "drawing")
    plots = {name: as_png(plot, PLOT_DPI) for name, plot in agreement_plots(agreement).items()}
    return Compared(agreement, plots)


def settling(journal: Journal, dispute: Dispute, label: str, who: str) -> Job[tuple[Dispute, str, str]]:
    """Put a verdict on record."""
    yield Progress(0, 1, "writing the verdict")
    settle(journal, dispute.field, dispute.place_px, dispute.figures, label, who)
    return dispute, label, who


def opening(field: CaseField) -> Job[Field]:
    """The pixels of a field that is not open."""
    yield Progress(0, 1, f"opening {field.name}")
    return open_same(field)


def saving(folder: Path, agreement: ReaderAgreement) -> Job[list[Path]]:
    """Write tables and plots."""
    yield Progress(0, 1, "writing")
    return write_agreement(folder, agreement)
