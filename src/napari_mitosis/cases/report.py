"""The report of a case: one self-contained, printable page. The same journal gives the same page but for its time."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..annotations.snapshot import take_snapshot
from ..annotations.store import Journal
from ..errors import FieldError, JournalError, MitosisError, brief
from ..fields.field import Field, lazy_field
from ..fields.resolution import sidecar_mpp
from ..files import write_whole
from ..jobs import Job, Progress
from ..measures.grade import NOTTINGHAM, Convention, field_diameter_mm
from ..measures.hotspot import HPF_10_MM2, Shape
from ..names import text_path
from .case import Case, CaseField
from .count import Counted, Tally, in_words, tally
from .live import NOTHING_WAITS, Waiting
from .pending import pending_of_case
from .pictures import overlay, thumbnail
from .places import Place, case_hotspot

LEAST_MM2 = 2.0
"""Conventions ask for ten fields of view, which even the smallest microscopes make about so large."""

MOST_PENDING = 30
"""Of the candidates that wait, as many as a page shows."""

SOFTWARE = f"napari-mitosis {__version__}"


@dataclass(frozen=True)
class ReportOptions:
    """What a report is to show.

    Attributes
    ----------
    convention : Convention
    hotspot_mm2 : float
        Area of the hotspot; 0 = none.
    hotspot_shape : {"circle", "rectangle"}
    template : Path or None
        A laboratory's own jinja2 template; the package's where none is given.
    pending : bool
        Whether detectors are to look for candidates that nobody judged, where these are not given.
    model : str
        The one that looks; by default the version under which each field was annotated, by its rule.
    """

    convention: Convention = NOTTINGHAM
    hotspot_mm2: float = HPF_10_MM2
    hotspot_shape: Shape = "circle"
    template: Path | None = None
    pending: bool = False
    model: str = ""


def report(
    journal: Journal,
    case: Case,
    printed: datetime,
    options: ReportOptions | None = None,
    waiting: Mapping[str, Waiting] | None = None,
) -> Job[str]:
    """A job that makes the page.

    Fields whose pixels are not where the journal says, or are others now, are counted and named, without pictures.

    Parameters
    ----------
    journal : Journal
        For the hash of the snapshot.
    case : Case
    printed : datetime
        The time of printing.
    options : ReportOptions, optional
    waiting : mapping of str to Waiting, optional
        Candidates that nobody judged, by the digest of the field. Where none are given and the options ask for them,
        the detectors of the case look again.

    Returns
    -------
    str
        HTML.

    Raises
    ------
    MitosisError
        When a template cannot be read or used.
    """
    options = options or ReportOptions()
    yield Progress(0, len(case.fields) + 1, "opening the fields")
    opened: dict[str, Field] = {}
    warnings: list[str] = []
    for done, case_field in enumerate(case.fields):
        yield Progress(done, len(case.fields) + 1, case_field.name)
        try:
            opened[case_field.digest] = open_same(case_field)
        except MitosisError as error:
            warnings.append(f"{case_field.name} is counted, but not shown: {error}")
    if waiting is None and options.pending:
        waiting = (yield from pending_of_case(case.fields, opened, options.model))[0]
    content = page_content(journal, case, opened, options, waiting)
    content |= {"printed": printed.strftime("%Y-%m-%d %H:%M:%S %Z").strip()}
    content["warnings"] = [*warnings, *content["warnings"]]
    yield Progress(len(case.fields), len(case.fields) + 1, "making the page")
    return rendered(content, options.template)


def open_same(case_field: CaseField) -> Field:
    """The pixels of a field of a case, and no others.

    Raises
    ------
    MitosisError
        When they are not found or have changed.
    """
    if not case_field.path:
        raise MitosisError("its pixels came from no file.")
    try:
        field = lazy_field(text_path(case_field.path), case_field.mpp).loaded()
    except FieldError as error:
        raise MitosisError(f"{error.reason}.") from error
    if field.digest != case_field.digest:
        raise MitosisError("the file holds other pixels now.")
    return field


def page_content(
    journal: Journal,
    case: Case,
    opened: Mapping[str, Field],
    options: ReportOptions,
    waiting: Mapping[str, Waiting] | None = None,
) -> dict[str, Any]:
    """Everything that a template may show, by name, but for the time of printing."""
    known = [(waiting or {}).get(case_field.digest, NOTHING_WAITS) for case_field in case.fields]
    counted = [
        Counted.of(case_field, figures_of.yx_px, figures_of.probability)
        for case_field, figures_of in zip(case.fields, known, strict=True)
    ]
    total = tally(counted, options.convention)
    place = case_hotspot(counted, options.hotspot_mm2, options.hotspot_shape)
    inside = [
        case_field.area.holds(figures_of.yx_px, case_field.shape) & (figures_of.labels == "mitosis")
        for case_field, figures_of in _pairs(case, counted)
    ]
    starts = np.cumsum([1, *(int(rows.sum()) for rows in inside)])
    figures: list[dict[str, Any]] = []
    fields = []
    for at, (case_field, figures_of) in enumerate(_pairs(case, counted)):
        mitoses = case_field.figures[inside[at]]
        numbers = list(range(int(starts[at]), int(starts[at + 1])))
        field = opened.get(case_field.digest)
        figures += _figure_rows(case_field, mitoses, numbers, field)
        hotspot = place.corners_px if place is not None and place.field == at else None
        picture = "" if field is None else overlay(field, mitoses, numbers, figures_of.area.corners_px, hotspot)
        fields.append(_field_row(case_field, len(mitoses), picture))
    sha256 = take_snapshot(journal, [case_field.digest for case_field in case.fields]).sha256
    return {
        "case": case.name,
        "fields": fields,
        "figures": figures,
        "sha256": sha256,
        "software": SOFTWARE,
        "convention": options.convention.title,
        "convention_source": options.convention.source,
        "hotspot": hotspot_words(place, options, counted),
        "pending": _pending_rows(counted, total),
        "pending_words": _pending_words(total, waiting is not None),
        **_numbers(total),
    }


def _pairs(case: Case, counted: Sequence[Counted]) -> list[tuple[CaseField, Counted]]:
    return list(zip(case.fields, counted, strict=True))


def _numbers(total: Tally) -> dict[str, Any]:
    """The count in words and figures."""
    density, score = total.density, total.score
    warnings = [
        f"{name}: two of the counted figures stand {apart:.0f} um apart; are they one mitosis?"
        for name, _, _, apart in total.doubles
    ]
    if total.area_mm2 and total.area_mm2 < LEAST_MM2:
        warnings.append(
            f"Only {total.area_mm2:.3f} mm² were counted, less than ten fields (2 mm²): the score says little."
        )
    diameter = field_diameter_mm(total.area_mm2) if total.area_mm2 else 0.0
    return {
        "accepted": total.accepted,
        "area": f"{total.area_mm2:.3f}" if total.area_mm2 else "",
        "density": f"{density.per_mm2:.2f}" if density else "",
        "interval": f"{density.low:.2f} to {density.high:.2f} (Poisson)" if density else "",
        "score": score.score if score else 0,
        "limits": _limits(score.limits) if score else "",
        "words": in_words(total),
        "per_10_hpf": f"The area is that of 10 fields of {diameter:.2f} mm diameter." if diameter else "",
        "judged": f"Judged in the areas that count: {total.accepted} mitoses, {total.rejected} mimics, "
        f"{total.unsure} unsure (not counted). Mitoses outside of them: {total.outside} (not counted).",
        "warnings": warnings,
    }


def _pending_words(total: Tally, looked: bool) -> str:
    """What waits to be judged; that nobody looked for it, where that is so."""
    if not looked:
        return "Candidates that nobody judged were not looked for."
    expected = float(total.outlook.expected) if total.outlook is not None else 0.0
    more = f" The mean score to expect once all are judged is {expected:.2f}." if total.pending and expected else ""
    return f"Candidates of the detector that wait to be judged in the areas that count: {total.pending}.{more}"


def _pending_rows(counted: Sequence[Counted], total: Tally) -> list[dict[str, Any]]:
    """The candidates that wait, what can change the score first, then the likeliest; no more than a page of them."""
    change = (
        total.outlook.change
        if total.outlook is not None
        else np.zeros(sum(len(field_counts.pending) for field_counts in counted))
    )
    chances = np.concatenate([field_counts.pending for field_counts in counted]) if counted else np.empty(0)
    places = [(field_counts.name, y, x) for field_counts in counted for y, x in field_counts.pending_yx_px]
    inside = [field_counts.area.holds(field_counts.pending_yx_px, field_counts.shape) for field_counts in counted]
    within = np.concatenate(inside) if counted else np.empty(0, dtype=bool)
    order = [row for row in np.lexsort((-chances, -change)) if within[row]][:MOST_PENDING]
    return [
        {
            "field": places[row][0],
            "y": f"{places[row][1]:.0f}",
            "x": f"{places[row][2]:.0f}",
            "probability": f"{chances[row]:.2f}",
            "change": f"{change[row]:.3f}" if change[row] > 0 else "cannot change it",
        }
        for row in order
    ]


def _limits(limits: Sequence[int]) -> str:
    parts = [f"score 1 up to {limits[0] - 1}"]
    parts += [f"score {at} from {limit}" for at, limit in enumerate(limits, start=2)]
    return ", ".join(parts)


def _field_row(case_field: CaseField, count: int, picture: str) -> dict[str, Any]:
    area = {"whole": "whole field", "outline": "outline", "tissue": "tissue only"}[case_field.area.kind]
    return {
        "name": case_field.name,
        "digest": case_field.digest,
        "state": case_field.state,
        "count": count,
        "mm2": f"{case_field.area.mm2(case_field.shape, case_field.mpp):.3f}" if case_field.mpp else "?",
        "area": area,
        "mpp": f"{case_field.mpp:.4g}, {mpp_origin(case_field)}" if case_field.mpp else "not known",
        "model": case_field.model or "none",
        "rule": _rule_words(case_field.rule),
        "picture": picture,
    }


def mpp_origin(case_field: CaseField) -> str:
    """Where the um/px of a field comes from: its sidecar, its file, or a reader."""
    path = text_path(case_field.path) if case_field.path else None
    if path is not None and path.exists():
        with contextlib.suppress(MitosisError, ValueError):
            if sidecar_mpp(path) == case_field.mpp:
                return "file beside it"
            if lazy_field(path).mpp == case_field.mpp:
                return "its file"
    return "given by the reader"


def _rule_words(text: str) -> str:
    try:
        values = json.loads(text) if text else {}
    except ValueError:
        return ""
    return ", ".join(f"{name} {_short(value)}" for name, value in sorted(values.items()) if value not in (None, [], {}))


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _figure_rows(
    case_field: CaseField, mitoses: Any, numbers: Sequence[int], field: Field | None
) -> list[dict[str, Any]]:
    rows = []
    for number, row in zip(numbers, mitoses.to_dict("records"), strict=True):
        score = row["score"]
        rows.append(
            {
                "number": number,
                "field": case_field.name,
                "x": f"{row['x_px']:.0f}",
                "y": f"{row['y_px']:.0f}",
                "phase": row["phase"],
                "source": "by hand" if row["source"] == "reader" else row["source"],
                "score": "" if score != score else f"{score:.2f}",
                "reader": row["reader"],
                "time": _minutes(row["time"]),
                "picture": "" if field is None else thumbnail(field, row["y_px"], row["x_px"]),
            }
        )
    return rows


def _minutes(time: str) -> str:
    try:
        return f"{datetime.fromisoformat(time):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return ""


def hotspot_words(place: Place | None, options: ReportOptions, counted: Sequence[Counted]) -> str:
    """The hotspot in a sentence; nothing where none was asked for."""
    if options.hotspot_mm2 <= 0:
        return ""
    size = f"{options.hotspot_mm2:g} mm² ({'4:3 rectangle' if options.hotspot_shape == 'rectangle' else 'circle'})"
    if place is None:
        return f"Hotspot: no field has room for {size}; the fields are counted together."
    score = options.convention.score(place.count, options.hotspot_mm2)
    density = place.count / options.hotspot_mm2
    return (
        f"Hotspot of {size}: {place.count} {'mitosis' if place.count == 1 else 'mitoses'}, {density:.2f} per mm², "
        f"score {score.score}; centre x {place.x_px:.0f}, y {place.y_px:.0f} px in {counted[place.field].name}."
    )


def rendered(content: Mapping[str, Any], template: Path | None = None) -> str:
    """The page.

    Raises
    ------
    MitosisError
        When the template cannot be read, is none, or asks for something that there is not.
    """
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    # A template is somebody's file: it may show what it is given, and reach nothing else.
    environment = SandboxedEnvironment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    try:
        text = template_text() if template is None else template.read_text(encoding="utf-8")
        return environment.from_string(text).render(content)
    except (OSError, UnicodeDecodeError) as error:
        raise MitosisError(f"The template cannot be read ({brief(error)}).") from error
    except Exception as error:  # a template can fail in any way, as a program can
        raise MitosisError(f"The template cannot be used: {brief(error)}.") from error


def template_text() -> str:
    """The package's own template, for a laboratory to start from."""
    return (files("napari_mitosis.cases") / "templates" / "report.html").read_text(encoding="utf-8")


def write_page(path: Path, page: str) -> None:
    """Write a page; a reader of the file never sees half of it.

    Raises
    ------
    JournalError
        When it cannot be written; an earlier one stays as it was.
    """
    try:
        write_whole(path, page)
    except OSError as error:
        raise JournalError(f"{path}: the report cannot be written ({error.strerror}).") from error
