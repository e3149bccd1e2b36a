"""Jobs of the Report step: they hold all they need and never touch the window."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from qtpy.QtGui import QColor, QImage

from ...annotations.exchange import FieldFacts, Strict, export_annotations, read_annotations
from ...annotations.store import Journal
from ...cases.case import Case, CaseField, add_to_case, case_names, read_case, read_fields
from ...cases.count import Counted
from ...cases.live import Waiting
from ...cases.places import Place, case_hotspot
from ...cases.report import ReportOptions, report, write_page
from ...errors import MitosisError
from ...fields.field import Field, lazy_field
from ...jobs import Job, Progress
from ...measures.hotspot import Shape
from ...measures.tissue import cell_px, tissue_cells
from ...names import text_path
from ..open.thumbnails import SIDE_PX, thumbnail_job


@dataclass(frozen=True, eq=False)
class Found:
    """Cases of the journal, and the fields of one of them."""

    names: list[str]
    case: Case | None


def finding(journal: Journal, name: str) -> Job[Found]:
    """Read the names of all cases, and the fields of one."""
    yield Progress(0, 1, "reading the case")
    names = case_names(journal)
    return Found(names, read_case(journal, name) if name in names else None)


def adding(journal: Journal, name: str, fields: Sequence[Field], reader: str) -> Job[Found]:
    """Put fields into a case, and read it."""
    yield Progress(0, 1, "adding to the case")
    add_to_case(journal, name, fields, reader)
    return (yield from finding(journal, name.strip()))


def seeking(fields: Sequence[Counted], area_mm2: float, shape: Shape) -> Job[Place | None]:
    """Find the hotspot."""
    yield Progress(0, 1, "looking for the hotspot")
    return case_hotspot(fields, area_mm2, shape)


def masking(field: Field) -> Job[tuple[NDArray[np.bool_], int]]:
    """Find the tissue of a field: its cells, and their side in pixels."""
    mpp = field.require_mpp("The tissue mask")
    yield Progress(0, 1, "finding the tissue")
    return tissue_cells(field.read, field.shape, mpp), cell_px(mpp)


def reporting(
    journal: Journal, case: Case, options: ReportOptions, waiting: Mapping[str, Waiting], path: Path | None
) -> Job[str]:
    """Make the page of a case with what waits in its open fields, and write it where a path is given."""
    page = yield from report(journal, case, datetime.now(UTC), options, waiting)
    if path is not None:
        write_page(path, page)
    return page


def lone_case(journal: Journal, digest: str, name: str) -> Case:
    """One field as a case of its own, for a report of it."""
    fields, seq = read_fields(journal, [digest])
    return Case(name, fields, seq)


def importing(path: Path, facts: FieldFacts, checks: Strict) -> Job[tuple[Path, pd.DataFrame, Strict]]:
    """Read the figures of a file, to be added to a field."""
    yield Progress(0, 1, f"reading {path.name}")
    return path, read_annotations(path, facts, None, checks), checks


def picturing(field: CaseField) -> Job[tuple[str, QImage]]:
    """A thumbnail of a field of a case, from its file; grey where that is not there."""
    image = QImage(SIDE_PX, SIDE_PX, QImage.Format.Format_RGB888)
    image.fill(QColor("#6b7280"))
    if field.path:
        with contextlib.suppress(MitosisError, OSError):
            opened = lazy_field(text_path(field.path), field.mpp)
            image = (yield from thumbnail_job(field.digest, opened, opened.levels[-1]))[2]
    return field.digest, image


def exporting(path: Path, figures: pd.DataFrame, facts: FieldFacts, name: str) -> Job[tuple[Path, int, int]]:
    """Write figures in a format; the file, how many were written and how many left out."""
    yield Progress(0, 1, f"writing {path.name}")
    left_out = export_annotations(path, figures, facts, name)
    return path, len(figures) - left_out, left_out
