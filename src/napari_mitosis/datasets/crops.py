"""Crops around one figure each: AMi-Br, AtNorM-MD and TUPAC16 crops. Too small to be fields."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import DatasetError
from ..fields.field import lazy_field
from ..tables import annotations_frame
from .rows import existing_folder, number, read_table

CROP_MPP = 0.25
"""um/px of all three, about."""

TISSUE = "tissue"
"""Group of crops in which nothing is annotated: they hold no mitosis, as far as anyone looked."""

_IMAGES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
_GROUPS = {"normal": "mitosis", "atypical": "mitosis", "mitosis": "mitosis", "mimic": "mimic"}


@dataclass(frozen=True, eq=False)
class Crop:
    """A crop with a mitosis or mimic at its centre.

    Attributes
    ----------
    path : Path
        JPEG or PNG.
    points : DataFrame
        With `ANNOTATION_COLUMNS`, in pixels of the crop: the centre first, then what else is labelled.
        Other nuclei are negatives.
    case : str
        Slide, or "" where the data set does not tell: such crops may share a slide, so never split them.
    group : str
        The folder: ``normal`` or ``atypical`` mitosis, or ``mitosis`` or ``mimic``.
    shape : tuple of int
        (H, W) in pixels.
    mpp : float
        um/px.
    """

    path: Path
    points: pd.DataFrame
    case: str
    group: str
    shape: tuple[int, int]
    mpp: float = CROP_MPP

    def pixels(self) -> NDArray[np.uint8]:
        """Decode the crop, shape (H, W, 3).

        Raises
        ------
        FieldError
            When the file is damaged.
        """
        return lazy_field(self.path, self.mpp).numpy()


def read_crops(folder: Path | str) -> list[Crop]:
    """Read a folder of crops.

    Parameters
    ----------
    folder : path-like
        With folders ``normal`` and ``atypical`` (mitoses) or ``mitosis`` and ``mimic``. Optional
        ``points.csv`` (image, slide, x, y, label) lists every labelled figure of a crop, its centre among
        them. Names such as ``66_01_17`` begin with the TUPAC16 case.

    Raises
    ------
    DatasetError
        Naming the file and line, or when there are no crops.
    FieldError
        Naming the image.
    """
    root = existing_folder(folder)
    listed, slides = _listed(root / "points.csv")
    crops = []
    for group, label in _GROUPS.items():
        for path in sorted((root / group).glob("*")):
            if path.suffix.lower() not in _IMAGES:
                continue
            shape = lazy_field(path, CROP_MPP).shape
            points = _points(listed.get(path.stem, []), shape, label)
            case = slides.get(path.stem) or (path.stem.split("_")[0] if path.stem.count("_") == 2 else "")
            crops.append(Crop(path, points, case, group, shape))
    if not crops:
        raise DatasetError(f"{root}: no crops found in {', '.join(_GROUPS)}")
    missing = sorted(set(listed) - {crop.path.stem for crop in crops})
    if missing:
        raise DatasetError(f"{root / 'points.csv'}: it names the crop '{missing[0]}', which is not there")
    return crops


_Point = tuple[float, float, str]


def _listed(table: Path) -> tuple[dict[str, list[_Point]], dict[str, str]]:
    """Points (y, x, label) and slide of each crop that the table names."""
    points: dict[str, list[_Point]] = defaultdict(list)
    slides: dict[str, str] = {}
    if not table.is_file():
        return points, slides
    for line, cells in read_table(table, ("image", "slide", "x", "y", "label")):
        if cells["label"] not in ("mitosis", "mimic"):
            raise DatasetError(f"{table}, line {line}: the label '{cells['label']}' is not mitosis or mimic")
        y, x = number(cells["y"], table, line), number(cells["x"], table, line)
        points[cells["image"]].append((y, x, cells["label"]))
        slides[cells["image"]] = Path(cells["slide"]).stem
    return points, slides


def _points(listed: list[_Point], shape: tuple[int, int], label: str) -> pd.DataFrame:
    """All points of a crop, its centre first; the table's row for the centre stands for it."""
    middle = (shape[0] / 2, shape[1] / 2)
    nearest = sorted(listed, key=lambda point: (point[0] - middle[0]) ** 2 + (point[1] - middle[1]) ** 2)
    if not nearest or max(abs(nearest[0][0] - middle[0]), abs(nearest[0][1] - middle[1])) > 2:
        nearest.insert(0, (*middle, label))
    ys, xs, labels = zip(*nearest, strict=True)
    return annotations_frame(ys, xs, list(labels))


def read_tissue(folder: Path | str, mpp: float = CROP_MPP) -> list[Crop]:
    """Read images of tissue without annotations as crops of the group ``tissue``.

    Parameters
    ----------
    folder : path-like
        Holds images, or a folder ``images`` of them, and need not exist: then there are none.
    mpp : float
        um/px of all.

    Raises
    ------
    FieldError
        Naming the image.
    """
    root = Path(folder)
    root = root / "images" if (root / "images").is_dir() else root
    paths = sorted(path for path in root.glob("*") if path.suffix.lower() in _IMAGES)
    nothing = annotations_frame([], [])
    return [Crop(path, nothing, path.stem, TISSUE, lazy_field(path, mpp).shape, mpp) for path in paths]
