"""Annotated data sets: each reader is a function from a folder to a list of `Sample`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from ..errors import DatasetError
from .crops import Crop, read_crops
from .folder import read_folder
from .icpr import read_icpr2012, read_icpr2014
from .midog import find_midog_json, read_midog
from .rows import existing_folder
from .sample import Sample
from .tupac16 import is_tupac16_image, read_amida13, read_tupac16

__all__ = [
    "READERS",
    "Crop",
    "Sample",
    "detect_kind",
    "open_samples",
    "read_amida13",
    "read_crops",
    "read_folder",
    "read_icpr2012",
    "read_icpr2014",
    "read_midog",
    "read_tupac16",
]

READERS: Mapping[str, Callable[[Path | str], list[Sample]]] = MappingProxyType(
    {
        "icpr2012": read_icpr2012,
        "icpr2014": read_icpr2014,
        "amida13": read_amida13,
        "tupac16": read_tupac16,
        "midog": read_midog,
        "folder": read_folder,
    }
)
"""Reader by kind of data set."""


def open_samples(folder: Path | str, kind: str = "auto") -> list[Sample]:
    """Read an annotated data set.

    Parameters
    ----------
    folder : path-like
        Where it was unpacked.
    kind : str
        One of `READERS`, or ``auto`` to tell it by the layout.

    Returns
    -------
    list of Sample
        Sorted by file; pixels are not decoded yet.

    Raises
    ------
    DatasetError
        When the kind is unknown, or naming the file and line that is wrong.
    FieldError
        Naming the image.
    """
    if kind != "auto" and kind not in READERS:
        raise DatasetError(f"'{kind}' is no kind of data set; choose auto, {', '.join(READERS)}")
    return READERS[detect_kind(folder) if kind == "auto" else kind](folder)


def detect_kind(folder: Path | str) -> str:
    """Tell which of `READERS` a folder is for; AMIDA13 looks like ``tupac16``.

    Raises
    ------
    DatasetError
        When there is no such folder.
    """
    root = existing_folder(folder)
    if (root / "mitoses.csv").is_file() and (root / "masks").is_dir():
        return "icpr2012"
    if (root / "points.csv").is_file() and (root / "images").is_dir():
        return "icpr2014"
    if find_midog_json(root):
        return "midog"
    if any(path.parent.name.lower() == "x40" for path in root.rglob("*.tif*")):
        return "icpr2014"
    if any(re.fullmatch(r"[A-Z]\d\d_\d\d", path.stem) for path in root.rglob("*.bmp")):
        return "icpr2012"
    if any(is_tupac16_image(path) for path in root.rglob("*.tif*")):
        return "tupac16"
    return "folder"
