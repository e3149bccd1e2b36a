"""ICPR 2012 MITOSIS and ICPR 2014 MITOS-ATYPIA, as published and as repacked tables.

Both contests give coordinates as x,y (column, row). SegMitos paper, section 4.1.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import DatasetError
from ..tables import annotations_frame
from .rows import confidence, existing_folder, number, read_mask, read_rows, read_table
from .sample import Mask, Sample, check_inside, sample_field

ICPR2012_MPP = 0.2456
"""Aperio XT, um/px."""

ICPR2014_MPP = 0.2455
"""Aperio, um/px."""

HAMAMATSU_MPP = 0.227
"""Hamamatsu NanoZoomer, about, um/px: both contests name its images H00_00 where Aperio's are A00_00."""

_IMAGES = (".bmp", ".png", ".jpg", ".jpeg", ".tif", ".tiff")


def read_icpr2012(folder: Path | str) -> list[Sample]:
    """Read ICPR 2012 fields; each mitosis has its pixels and its centroid.

    Parameters
    ----------
    folder : path-like
        As published: ``A00_00.bmp`` beside ``A00_00.csv``, one line for each mitosis with x,y,x,y,... of
        all its pixels, at any depth. A field without a CSV file has no mitosis. Or a table:
        ``images/NAME.*``, ``masks/NAME.png`` (value = index), ``mitoses.csv`` (image, index, x, y).

    Raises
    ------
    DatasetError
        Naming the file and line.
    FieldError
        Naming the image.
    """
    root = existing_folder(folder)
    if (root / "mitoses.csv").is_file():
        return _icpr2012_table(root)
    images = sorted(path for path in root.rglob("*.bmp") if not path.name.startswith("."))
    if not images:
        raise DatasetError(f"{root}: no ICPR 2012 field found (A00_00.bmp with A00_00.csv, or mitoses.csv)")
    return [_icpr2012_published(path) for path in images]


def _icpr2012_published(image: Path) -> Sample:
    field = sample_field(image, _mpp(image, ICPR2012_MPP))
    table = image.with_suffix(".csv")
    regions = _regions(table, field.shape) if table.is_file() else []
    centres = np.array([region.mean(axis=0) for region in regions]).reshape(-1, 2)
    return Sample(
        field,
        annotations_frame(centres[:, 0], centres[:, 1]),
        partial(_paint, regions, field.shape),
        image.stem.split("_")[0],
        "icpr2012",
    )


def _regions(table: Path, shape: tuple[int, int]) -> list[NDArray[np.int64]]:
    """Pixels (y, x) of each line of a published CSV file, shape (n, 2)."""
    regions = []
    for line, cells in read_rows(table):
        while cells and not cells[-1]:  # some lines end with a comma
            cells.pop()
        if len(cells) % 2:
            raise DatasetError(f"{table}, line {line}: an odd number of coordinates ({len(cells)})")
        values = np.array([number(cell, table, line) for cell in cells])
        if (values != np.round(values)).any():
            raise DatasetError(f"{table}, line {line}: a pixel coordinate is not a whole number")
        pixels = values.astype(np.int64).reshape(-1, 2)[:, ::-1]
        if (pixels < 0).any() or (pixels >= np.array(shape)).any():
            raise DatasetError(f"{table}, line {line}: a pixel lies outside {shape} px")
        regions.append(pixels)
    return regions


def _paint(regions: list[NDArray[np.int64]], shape: tuple[int, int]) -> Mask:
    mask = np.zeros(shape, dtype=np.uint16)
    for index, pixels in enumerate(regions, start=1):
        mask[pixels[:, 0], pixels[:, 1]] = index
    return mask


def _icpr2012_table(root: Path) -> list[Sample]:
    table = root / "mitoses.csv"
    rows: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
    for line, cells in read_table(table, ("image", "index", "x", "y")):
        x, y = number(cells["x"], table, line), number(cells["y"], table, line)
        rows[cells["image"]].append((int(number(cells["index"], table, line)), y, x))
    samples = []
    for image in _images_of(root, rows, table):
        # Rows in the order of the mask's values: row k is the mitosis k + 1 of the mask.
        figures = sorted(rows.get(image.stem, []))
        if [index for index, _, _ in figures] != list(range(1, len(figures) + 1)):
            raise DatasetError(f"{table}: the indices of {image.stem} are not 1 to {len(figures)}")
        field = sample_field(image, _mpp(image, ICPR2012_MPP))
        frame = annotations_frame([y for _, y, _ in figures], [x for _, _, x in figures])
        mask = partial(read_mask, root / "masks" / f"{image.stem}.png")
        case = image.stem.split("_")[0]
        samples.append(Sample(field, check_inside(frame, field, table), mask, case, "icpr2012"))
    return samples


def read_icpr2014(folder: Path | str) -> list[Sample]:
    """Read ICPR 2014 (MITOS-ATYPIA) x40 frames with mitoses and mimics; centres only.

    Parameters
    ----------
    folder : path-like
        As published: ``A03/frames/x40/A03_00Aa.tiff`` with ``A03/mitosis/A03_00Aa_mitosis.csv`` and
        ``A03_00Aa_not_mitosis.csv``, lines of x,y,confidence. Or a table: ``images/NAME.*`` and
        ``points.csv`` (image, x, y, label, confidence).

    Raises
    ------
    DatasetError
        Naming the file and line.
    FieldError
        Naming the image.
    """
    root = existing_folder(folder)
    if (root / "points.csv").is_file():
        return _icpr2014_table(root)
    images = (path for path in root.rglob("*.tif*") if not path.name.startswith("."))
    frames = sorted(path for path in images if path.parent.name.lower() == "x40")
    if not frames:
        raise DatasetError(f"{root}: no ICPR 2014 frame found (A03/frames/x40/A03_00Aa.tiff, or points.csv)")
    return [_icpr2014_published(path) for path in frames]


def _icpr2014_published(image: Path) -> Sample:
    field = sample_field(image, _mpp(image, ICPR2014_MPP))
    tables = image.parents[2] / "mitosis"
    if not tables.is_dir():
        raise DatasetError(f"{tables}: there is no such folder of annotations for {image.name}")
    frames = []
    for suffix, label in (("mitosis", "mitosis"), ("not_mitosis", "mimic")):
        table = tables / f"{image.stem}_{suffix}.csv"
        if table.is_file():
            frames.append(check_inside(_xy_confidence(table, label), field, table))
    annotations = pd.concat(frames, ignore_index=True) if frames else annotations_frame([], [])
    return Sample(field, annotations, None, image.stem.split("_")[0], "icpr2014")


def _xy_confidence(table: Path, label: str) -> pd.DataFrame:
    xs, ys, votes = [], [], []
    for line, cells in read_rows(table):
        if len(cells) < 2:
            raise DatasetError(f"{table}, line {line}: expected x,y,confidence")
        xs.append(number(cells[0], table, line))
        ys.append(number(cells[1], table, line))
        votes.append(confidence(cells[2], table, line) if len(cells) > 2 and cells[2] else 1.0)
    return annotations_frame(ys, xs, label, votes)


def _icpr2014_table(root: Path) -> list[Sample]:
    table = root / "points.csv"
    rows: dict[str, list[tuple[float, float, str, float]]] = defaultdict(list)
    for line, cells in read_table(table, ("image", "x", "y", "label")):
        if cells["label"] not in ("mitosis", "mimic"):
            raise DatasetError(f"{table}, line {line}: the label '{cells['label']}' is not mitosis or mimic")
        vote = confidence(cells["confidence"], table, line) if cells.get("confidence") else 1.0
        x, y = number(cells["x"], table, line), number(cells["y"], table, line)
        rows[cells["image"]].append((y, x, cells["label"], vote))
    samples = []
    for image in _images_of(root, rows, table):
        figures = rows.get(image.stem, [])
        field = sample_field(image, _mpp(image, ICPR2014_MPP))
        frame = annotations_frame(*([row[column] for row in figures] for column in range(4)))
        case = image.stem.split("_")[0]
        samples.append(Sample(field, check_inside(frame, field, table), None, case, "icpr2014"))
    return samples


def _mpp(image: Path, aperio_mpp: float) -> float:
    return HAMAMATSU_MPP if image.name.startswith("H") else aperio_mpp


def _images_of(root: Path, named: Iterable[str], table: Path) -> list[Path]:
    """Images of a repacked data set; every image that the table names must be there."""
    files = sorted((root / "images").glob("*"))
    images = {path.stem: path for path in files if path.suffix.lower() in _IMAGES}
    missing = sorted(set(named) - set(images))
    if missing:
        raise DatasetError(f"{table}: it names the image '{missing[0]}', which is not in {root / 'images'}")
    if not images:
        raise DatasetError(f"{root / 'images'}: it holds no image")
    return [images[stem] for stem in sorted(images)]
