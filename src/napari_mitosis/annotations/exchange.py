"""Annotations to and from other programs: QuPath, ASAP, ImageScope, SlideRunner, napari, DICOM, the contests.

A file holds the figures of one field. What a format keeps of `EXCHANGE_COLUMNS`, its `Format` says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from ..errors import DatasetError
from ..files import replacing
from ..tables import LABELS
from . import (
    exchange_csv,
    exchange_dicom,
    exchange_geojson,
    exchange_midog,
    exchange_points,
    exchange_sliderunner,
    exchange_xml,
)
from .actions import new_id
from .exchange_checks import checked
from .notebook import Notebook
from .rows import EXCHANGE_COLUMNS, FieldFacts, Lenient, Strict, exchange_frame, records

MOST_BYTES = 200 * 2**20
_HEAD = 4096


@dataclass(frozen=True)
class Format:
    """One file format.

    Attributes
    ----------
    suffix : str
        Of its files.
    write : callable
        (figures, facts of the field) -> text or bytes.
    read : callable
        (file, facts of the field, what becomes of bad rows) -> figures, as `rows.exchange_frame` makes them.
    title : str
        For a person.
    keeps : frozenset of str
        What it has room for, of `rows.EXCHANGE_COLUMNS`; place and label always.
    labels : frozenset of str
        Figures that it has room for.
    needs_mpp : bool
        Whether it measures in mm.
    """

    suffix: str
    write: Callable[[pd.DataFrame, FieldFacts], str | bytes]
    read: Callable[[Path, FieldFacts, Strict], pd.DataFrame]
    title: str
    keeps: frozenset[str] = frozenset(EXCHANGE_COLUMNS)
    labels: frozenset[str] = frozenset(LABELS)
    needs_mpp: bool = False


_PLACE = frozenset({"y_px", "x_px", "label"})
_ONLY_MITOSES = frozenset({"mitosis"})

FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "csv": Format(".csv", exchange_csv.write, exchange_csv.read, "CSV"),
        "geojson": Format(".geojson", exchange_geojson.write, exchange_geojson.read, "GeoJSON (QuPath)"),
        "midog": Format(".json", exchange_midog.write, exchange_midog.read, "MIDOG JSON"),
        "coco": Format(".json", exchange_midog.write_coco, exchange_midog.read, "COCO JSON"),
        "answer": Format(
            ".json",
            exchange_points.write_answer,
            exchange_points.read_answer,
            "answer to a MIDOG challenge (mm)",
            _PLACE | {"score"},
            needs_mpp=True,
        ),
        "napari": Format(".csv", exchange_points.write_napari, exchange_points.read_napari, "napari points CSV"),
        "icpr2014": Format(
            ".csv",
            exchange_points.write_icpr2014,
            exchange_points.read_icpr2014,
            "ICPR 2014 CSV (x, y, confidence)",
            _PLACE | {"score"},
            _ONLY_MITOSES,
        ),
        "tupac16": Format(
            ".csv",
            exchange_points.write_tupac16,
            exchange_points.read_tupac16,
            "TUPAC16 and AMIDA13 CSV (row, col)",
            _PLACE,
            _ONLY_MITOSES,
        ),
        "asap": Format(".xml", exchange_xml.write_asap, exchange_xml.read_asap, "ASAP XML"),
        "imagescope": Format(
            ".xml", exchange_xml.write_imagescope, exchange_xml.read_imagescope, "Aperio ImageScope XML"
        ),
        "sliderunner": Format(".sqlite", exchange_sliderunner.write, exchange_sliderunner.read, "SlideRunner database"),
        "dicom": Format(
            ".dcm", exchange_dicom.write, exchange_dicom.read, "DICOM bulk annotations", _PLACE | {"score"}
        ),
    }
)
"""Every format by name; a new one added here is tested like the others."""


@dataclass(frozen=True)
class Imported:
    """What came of an import.

    Attributes
    ----------
    added : list of str
        Ids of the new figures.
    skipped : int
        Figures of the file that were there already.
    """

    added: list[str]
    skipped: int


def format_of(path: Path, name: str | None = None) -> Format:
    """The format of a file, by name or by its suffix.

    Raises
    ------
    DatasetError
        When there is no such format.
    """
    return FORMATS[name_of(path, name)]


def name_of(path: Path, name: str | None = None) -> str:
    """Name of the format of a file: the one that is given, else by its suffix, and its beginning where it is there.

    Raises
    ------
    DatasetError
        When there is no such format.
    """
    if name is not None:
        if name not in FORMATS:
            raise DatasetError(f"There is no format '{name}'; there are {', '.join(FORMATS)}.")
        return name
    suffix = {".db": ".sqlite", ".dicom": ".dcm"}.get(path.suffix.lower(), path.suffix.lower())
    fitting = [known for known, chosen in FORMATS.items() if chosen.suffix == suffix]
    if not fitting:
        suffixes = ", ".join(sorted({chosen.suffix for chosen in FORMATS.values()}))
        raise DatasetError(f"{path.name}: annotations are in files of {suffixes}; or name the format.")
    return _by_beginning(path) or fitting[0]


def _by_beginning(path: Path) -> str:
    """Which of several formats of one suffix a file is, by its first lines; nothing where they do not tell."""
    suffix = path.suffix.lower()
    if suffix not in (".xml", ".csv", ".json"):
        return ""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            head = file.read(_HEAD)
    except OSError:
        return ""
    if suffix == ".xml":
        return next(exchange_xml.roots(head), "")
    if suffix == ".json":
        return "answer" if '"points"' in head and '"images"' not in head else ""
    first = head.split("\n", 1)[0].lower()
    if "axis-0" in first:
        return "napari"
    if "y_px" in first or any(letter.isalpha() for letter in first):
        return ""
    return {1: "tupac16", 2: "icpr2014"}.get(first.count(","), "")


def export_annotations(path: Path, figures: pd.DataFrame, facts: FieldFacts, name: str | None = None) -> int:
    """Write the figures of one field; an earlier file stays as it was when that fails.

    Returns
    -------
    int
        How many figures the format has no room for, such as mimics in a list of mitoses; they were left out.

    Parameters
    ----------
    path : Path
        The file; its suffix tells the format where `name` does not.
    figures : DataFrame
        As `Notebook.figures` gives them; y_px, x_px and label are enough.
    facts : FieldFacts
        Of the field.
    name : str, optional
        One of `FORMATS`.

    Raises
    ------
    DatasetError
        When there is no such format or the file cannot be written.
    """
    chosen = format_of(path, name)
    table = exchange_frame(figures)
    fits = table["label"].isin(chosen.labels)
    content = chosen.write(table[fits].reset_index(drop=True), facts)
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        with replacing(path) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise DatasetError(f"{path}: it cannot be written ({error.strerror}).") from error
    return int((~fits).sum())


def read_annotations(
    path: Path, facts: FieldFacts, name: str | None = None, checks: Strict | None = None
) -> pd.DataFrame:
    """Read the figures of one field from a file.

    Parameters
    ----------
    path : Path
    facts : FieldFacts
        Of the field.
    name : str, optional
        One of `FORMATS`; by the file itself by default.
    checks : Strict, optional
        What becomes of rows that cannot be used. By default the first one refuses the file; with `rows.Lenient` they
        are left out and counted.

    Returns
    -------
    DataFrame
        With `EXCHANGE_COLUMNS`; what the file does not say is empty, or NaN for the score.

    Raises
    ------
    DatasetError
        Naming the file, what is wrong and where: not the format, an unknown label or phase, a figure outside of the
        field, two figures of one id.
    """
    try:
        if path.is_file() and path.stat().st_size > MOST_BYTES:
            raise DatasetError(
                f"{path}: a file of more than {MOST_BYTES // 2**20} MB is no list of one field's figures."
            )
        frame = format_of(path, name).read(path, facts, checks or Strict())
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise DatasetError(f"{path}: it cannot be read ({error}).") from error
    return checked(frame, path, facts, checks or Strict())


def import_annotations(
    notebook: Notebook, path: Path, dataset: str = "", name: str | None = None, checks: Strict | None = None
) -> Imported:
    """Add the figures of a file to a field: `read_annotations`, then `add_read`.

    Raises
    ------
    DatasetError
        As `read_annotations` does. Nothing is added then.
    """
    return add_read(notebook, read_annotations(path, FieldFacts.of(notebook.field), name, checks), dataset or path.stem)


def add_read(notebook: Notebook, frame: pd.DataFrame, dataset: str) -> Imported:
    """Add figures that were read to a field, in one transaction and undone in one step.

    Their source is ``dataset NAME``. Figures that were imported from the same data set before, and are still there,
    are left out.

    Parameters
    ----------
    notebook : Notebook
        Of the field.
    frame : DataFrame
        Of `read_annotations`.
    dataset : str
        Name of the data set.
    """
    ids = []
    seen: dict[str, int] = {}
    for row in records(frame):
        given = str(row["figure"])
        if not given:
            key = f"{dataset}\n{notebook.field.digest}\n{row['y_px']!r}\n{row['x_px']!r}\n{row['label']}"
            seen[key] = seen.get(key, 0) + 1
            given = hashlib.sha256(f"{key}\n{seen[key]}".encode()).hexdigest()[:32]
        ids.append(given)
    fresh = frame.assign(figure=ids)
    there = fresh["figure"].map(lambda figure: notebook.figure(figure) is not None).astype(bool)
    fresh = fresh[~there]
    # An id that the journal knows, of a figure that was deleted: what comes back is another figure.
    fresh = fresh.assign(figure=[new_id() if notebook.knows(figure) else figure for figure in fresh["figure"]])
    return Imported(notebook.add_all(fresh, source=f"dataset {dataset}"), int(there.sum()))


__all__ = [
    "EXCHANGE_COLUMNS",
    "FORMATS",
    "FieldFacts",
    "Format",
    "Imported",
    "Lenient",
    "Strict",
    "add_read",
    "export_annotations",
    "format_of",
    "import_annotations",
    "name_of",
    "read_annotations",
]
