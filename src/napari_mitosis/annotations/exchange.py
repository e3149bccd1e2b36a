"""Annotations to and from other programs: CSV, GeoJSON that QuPath opens, JSON of boxes as MIDOG has it.

A file holds the figures of one field. Every format keeps what `EXCHANGE_COLUMNS` names.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from ..errors import DatasetError
from ..tables import LABELS
from . import exchange_csv, exchange_geojson, exchange_midog
from .actions import PHASES, new_id
from .notebook import Notebook
from .rows import EXCHANGE_COLUMNS, FieldFacts, exchange_frame, records


@dataclass(frozen=True)
class Format:
    """One file format.

    Attributes
    ----------
    suffix : str
        Of its files.
    write : callable
        (figures, facts of the field) -> text.
    read : callable
        (file, facts of the field) -> figures, as `rows.exchange_frame` makes them.
    """

    suffix: str
    write: Callable[[pd.DataFrame, FieldFacts], str]
    read: Callable[[Path, FieldFacts], pd.DataFrame]


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "csv": Format(".csv", exchange_csv.write, exchange_csv.read),
        "geojson": Format(".geojson", exchange_geojson.write, exchange_geojson.read),
        "midog": Format(".json", exchange_midog.write, exchange_midog.read),
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
    if name is not None:
        if name not in FORMATS:
            raise DatasetError(f"There is no format '{name}'; there are {', '.join(FORMATS)}.")
        return FORMATS[name]
    for known in FORMATS.values():
        if path.suffix.lower() == known.suffix:
            return known
    raise DatasetError(f"{path.name}: annotations are .csv, .geojson (QuPath) or .json (MIDOG).")


def export_annotations(path: Path, figures: pd.DataFrame, facts: FieldFacts, name: str | None = None) -> None:
    """Write the figures of one field; an earlier file stays as it was when that fails.

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
    text = format_of(path, name).write(exchange_frame(figures), facts)
    partial = path.with_name(f"{path.name}.{new_id()[:8]}.partial")
    try:
        partial.write_text(text, encoding="utf-8", newline="")
        os.replace(partial, path)
    except OSError as error:
        raise DatasetError(f"{path}: it cannot be written ({error.strerror}).") from error
    finally:
        partial.unlink(missing_ok=True)


def read_annotations(path: Path, facts: FieldFacts, name: str | None = None) -> pd.DataFrame:
    """Read the figures of one field from a file.

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
        frame = format_of(path, name).read(path, facts)
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise DatasetError(f"{path}: it cannot be read ({error}).") from error
    _check(frame, path, facts)
    return frame


def import_annotations(notebook: Notebook, path: Path, dataset: str = "", name: str | None = None) -> Imported:
    """Add the figures of a file to a field, in one transaction and undone in one step.

    Their source is ``dataset NAME``. Figures that were imported from the same data set before, and are still there,
    are left out.

    Parameters
    ----------
    notebook : Notebook
        Of the field.
    path : Path
    dataset : str
        Name of the data set; the file's by default.
    name : str, optional
        One of `FORMATS`; by the file's suffix by default.

    Raises
    ------
    DatasetError
        As `read_annotations` does. Nothing is added then.
    """
    frame = read_annotations(path, FieldFacts.of(notebook.field), name)
    dataset = dataset or path.stem
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


def _check(frame: pd.DataFrame, path: Path, facts: FieldFacts) -> None:
    height, width = facts.shape
    for position, row in enumerate(records(frame), start=1):
        where = f"{path}, figure {position}"
        y_px, x_px, label, phase, score = (row[name] for name in ("y_px", "x_px", "label", "phase", "score"))
        if label not in LABELS:
            raise DatasetError(f"{where}: the label '{label}' is none of {', '.join(LABELS)}.")
        if phase and phase not in PHASES:
            raise DatasetError(f"{where}: the phase '{phase}' is none of {', '.join(PHASES)}.")
        if not (-0.5 <= y_px <= height - 0.5 and -0.5 <= x_px <= width - 0.5):
            raise DatasetError(
                f"{where}: y {y_px:g}, x {x_px:g} lies outside of {facts.name}, {height} x {width} px. "
                "Does the file belong to another field, or to other pixels of it?"
            )
        if score < 0 or score > 1:
            raise DatasetError(f"{where}: the score {score:g} is not between 0 and 1.")
    ids = frame["figure"][frame["figure"] != ""]
    if ids.duplicated().any():
        raise DatasetError(f"{path}: the figure {ids[ids.duplicated()].iloc[0]} stands there twice.")


__all__ = [
    "EXCHANGE_COLUMNS",
    "FORMATS",
    "FieldFacts",
    "Format",
    "Imported",
    "export_annotations",
    "format_of",
    "import_annotations",
    "read_annotations",
]
