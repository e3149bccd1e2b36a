"""Reading annotation files so that an error names the file and the line."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import DatasetError


def read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number from 1, stripped cells) of the lines of a CSV file that are not blank.

    Raises
    ------
    DatasetError
        When the file is missing or is not text.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            for cells in reader:
                stripped = [cell.strip() for cell in cells]
                if any(stripped):
                    yield reader.line_num, stripped
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: there is no such file") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: it cannot be read as CSV ({error})") from error


def read_table(
    path: Path, required: tuple[str, ...], torn: Callable[[str], None] | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, cells by lower-case column name) of a CSV file with a header.

    Parameters
    ----------
    path : Path
    required : tuple of str
        Columns that must be there.
    torn : callable, optional
        Told of each line with another number of cells, which is left out then.

    Raises
    ------
    DatasetError
        When the file is missing, a required column is absent or a line has another number of cells.
    """
    header: list[str] | None = None
    for line, cells in read_rows(path):
        if header is None:
            header = [cell.lower() for cell in cells]
            missing = [name for name in required if name not in header]
            if missing:
                raise DatasetError(f"{path}, line {line}: the header has no column '{missing[0]}'")
            continue
        if len(cells) != len(header):
            told = f"{path}, line {line}: {len(cells)} cells, but the header has {len(header)}"
            if torn is None:
                raise DatasetError(told)
            torn(told)
            continue
        yield line, dict(zip(header, cells, strict=True))
    if header is None:
        raise DatasetError(f"{path}: the file is empty")


def number(cell: str, path: Path, line: int) -> float:
    """Read one finite number.

    Raises
    ------
    DatasetError
        Naming file and line.
    """
    try:
        value = float(cell)
    except ValueError:
        raise DatasetError(f"{path}, line {line}: '{cell[:40]}' is not a number") from None
    if not math.isfinite(value):
        raise DatasetError(f"{path}, line {line}: '{cell[:40]}' is not a finite number")
    return value


def confidence(cell: str, path: Path, line: int) -> float:
    """Read a number in [0, 1].

    Raises
    ------
    DatasetError
        Naming file and line.
    """
    value = number(cell, path, line)
    if not 0.0 <= value <= 1.0:
        raise DatasetError(f"{path}, line {line}: the confidence {value:g} is not between 0 and 1")
    return value


def read_mask(path: Path) -> NDArray[np.uint16]:
    """Read a single-channel mask image, shape (H, W); its values are kept.

    Raises
    ------
    DatasetError
        When it is missing, damaged or not a single-channel image.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
                raise DatasetError(f"{path}: a mask must have a single channel, this image is {image.mode}")
            array = np.asarray(image)
    except DatasetError:
        raise
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: there is no such mask") from error
    except Exception as error:  # decoders raise whatever they like on damaged data
        raise DatasetError(f"{path}: the mask cannot be read ({error})") from error
    if array.size and (array.min() < 0 or array.max() > np.iinfo(np.uint16).max):
        raise DatasetError(f"{path}: a mask value does not fit 16 bits")
    return array.astype(np.uint16)


def existing_folder(folder: Path | str) -> Path:
    """Return the folder as a Path.

    Raises
    ------
    DatasetError
        When there is no such folder.
    """
    path = Path(folder)
    if not path.is_dir():
        raise DatasetError(f"{path}: there is no such folder")
    return path
