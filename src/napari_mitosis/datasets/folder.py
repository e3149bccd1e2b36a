"""A plain folder of images, each with a CSV file of centres or a mask beside it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import DatasetError
from ..fields.field import Field
from ..tables import LABELS, annotations_frame
from .rows import confidence, existing_folder, number, read_mask, read_table
from .sample import Mask, Sample, check_inside, sample_field

IMAGE_SUFFIXES = frozenset({".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff", ".svs"})

_YX_NAMES = (("y_px", "x_px"), ("y", "x"), ("row", "col"), ("axis-0", "axis-1"))


def read_folder(folder: Path | str, dataset: str = "") -> list[Sample]:
    """Read a folder of annotated images.

    Parameters
    ----------
    folder : path-like
        Each image has ``NAME.csv`` (a header with y,x in any order, or y_px,x_px, or row,col; optional
        columns label and confidence), or ``NAME_mask.png`` (0 = background; either the index of the mitosis
        or one value for all, then each 8-connected blob is a mitosis), or both: then mitoses come from
        the mask and the CSV adds only mimics and unsure ones. An image with neither is not annotated and is
        left out; a CSV file with only its header says that there is no mitosis. um/px comes from the image
        or a sidecar. An image below a subfolder belongs to the case of that name, others are cases
        of their own.
    dataset : str
        Name for the samples; the folder's name when empty.

    Raises
    ------
    DatasetError
        Naming the file and line, or when no image is annotated.
    FieldError
        Naming the image.
    """
    root = existing_folder(folder)
    samples = []
    for image in sorted(root.rglob("*")):
        if image.suffix.lower() not in IMAGE_SUFFIXES or image.stem.endswith("_mask"):
            continue
        table, mask = image.with_suffix(".csv"), image.with_name(f"{image.stem}_mask.png")
        if table.is_file() or mask.is_file():
            case = image.stem if image.parent == root else image.parent.name
            samples.append(_read(image, table, mask, case, dataset or root.name))
    if not samples:
        raise DatasetError(f"{root}: no annotated image found (NAME.png with NAME.csv or NAME_mask.png)")
    return samples


def _read(image: Path, table: Path, mask: Path, case: str, dataset: str) -> Sample:
    field = sample_field(image, None)
    points = read_points(table) if table.is_file() else annotations_frame([], [])
    check_inside(points, field, table)
    if not mask.is_file():
        return Sample(field, points, None, case, dataset)
    centres = _centres(_indexed(mask, field))
    others = points[points["label"] != "mitosis"]
    frame = pd.concat([annotations_frame(centres[:, 0], centres[:, 1]), others], ignore_index=True)
    return Sample(field, frame, partial(_indexed, mask, field), case, dataset)


def read_points(table: Path) -> pd.DataFrame:
    """Read a CSV file of annotated centres.

    Returns
    -------
    DataFrame
        With `ANNOTATION_COLUMNS`.

    Raises
    ------
    DatasetError
        Naming the file and line.
    """
    ys, xs, labels, votes = [], [], [], []
    for line, cells in read_table(table, ()):
        names = next((pair for pair in _YX_NAMES if set(pair) <= set(cells)), None)
        if names is None:
            raise DatasetError(f"{table}, line 1: the header has no columns y and x, or y_px and x_px")
        ys.append(number(cells[names[0]], table, line))
        xs.append(number(cells[names[1]], table, line))
        label = cells.get("label") or "mitosis"
        if label not in LABELS:
            raise DatasetError(f"{table}, line {line}: the label '{label}' is not one of {', '.join(LABELS)}")
        labels.append(label)
        votes.append(confidence(cells["confidence"], table, line) if cells.get("confidence") else 1.0)
    return annotations_frame(ys, xs, labels, votes)


def _indexed(path: Path, field: Field) -> Mask:
    """The mask with mitoses numbered 1 to n without gaps, shape (H, W)."""
    mask = read_mask(path)
    if mask.shape != field.shape:
        raise DatasetError(f"{path}: the mask is {mask.shape}, the field {field.shape}")
    values = np.unique(mask[mask > 0])
    if len(values) == 1:
        blobs, _ = ndimage.label(mask > 0, structure=np.ones((3, 3)))
        return np.asarray(blobs, dtype=np.uint16)
    return np.asarray(np.searchsorted(values, mask) + 1, dtype=np.uint16) * (mask > 0).astype(np.uint16)


def _centres(mask: Mask) -> NDArray[np.float64]:
    """Centroid (y, x) of each index in turn, shape (n, 2)."""
    indices = np.arange(1, int(mask.max(initial=0)) + 1)
    centres = ndimage.center_of_mass(mask > 0, mask, indices) if len(indices) else []
    return np.asarray(centres, dtype=np.float64).reshape(-1, 2)
