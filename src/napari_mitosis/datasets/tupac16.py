"""AMIDA13 and TUPAC16 (whose cases 1 to 23 are AMIDA13). Both give coordinates as row,col."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import DatasetError
from ..tables import annotations_frame
from .rows import existing_folder, number, read_rows
from .sample import Sample, check_inside, sample_field

TUPAC16_MPP = 0.25
"""um/px of AMIDA13 and TUPAC16, 40x."""

_NUMBER = re.compile(r"\d+$")


def read_tupac16(folder: Path | str, dataset: str = "tupac16") -> list[Sample]:
    """Read TUPAC16 fields; centres only.

    Parameters
    ----------
    folder : path-like
        As published: ``01/01.tif`` (case/field) with ``01/01.csv``, lines of row,col, in the same folder
        or in a parallel tree below `folder` (images and ground truth come as separate archives). A field
        without a CSV file has no mitosis.
    dataset : str
        Name for the samples.

    Raises
    ------
    DatasetError
        Naming the file and line, or when `folder` holds no such image or no CSV file at all.
    FieldError
        Naming the image.
    """
    root = existing_folder(folder)
    images = sorted(path for path in root.rglob("*.tif*") if is_tupac16_image(path))
    if not images:
        raise DatasetError(f"{root}: no TUPAC16 or AMIDA13 field found (01/01.tif with 01/01.csv)")
    tables: dict[tuple[str, str], Path] = {}
    for table in sorted(root.rglob("*.csv")):
        key = (table.parent.name, table.stem)
        if key in tables:
            raise DatasetError(f"{table}: {tables[key]} annotates the same field")
        tables[key] = table
    if not tables:
        raise DatasetError(f"{root}: no annotations found (01/01.csv); unpack the ground truth there too")
    return [_read(image, tables.get((image.parent.name, image.stem)), dataset) for image in images]


def read_amida13(folder: Path | str) -> list[Sample]:
    """Read AMIDA13 fields; the format is that of `read_tupac16`."""
    return read_tupac16(folder, "amida13")


def is_tupac16_image(path: Path) -> bool:
    """Tell whether a path looks like ``01/01.tif``."""
    named = bool(_NUMBER.fullmatch(path.stem) and _NUMBER.fullmatch(path.parent.name))
    return named and path.suffix.lower() in (".tif", ".tiff")


def _read(image: Path, table: Path | None, dataset: str) -> Sample:
    case = image.parent.name
    field = sample_field(image, TUPAC16_MPP).renamed(f"{case}_{image.stem}")
    if table is None:
        return Sample(field, annotations_frame([], []), None, case, dataset)
    rows, columns = [], []
    for line, cells in read_rows(table):
        if len(cells) != 2:
            raise DatasetError(f"{table}, line {line}: expected row,col")
        rows.append(number(cells[0], table, line))
        columns.append(number(cells[1], table, line))
    frame = check_inside(annotations_frame(rows, columns), field, table)
    return Sample(field, frame, None, case, dataset)
