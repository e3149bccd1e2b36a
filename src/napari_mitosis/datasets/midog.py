"""MIDOG 2021, MIDOG 2022 and MIDOG++: one JSON file in the manner of COCO, and TIFF images.

Each box is 50 x 50 px around the centre. Unlike COCO, the published files store the corners
(left, top, right, bottom); files in COCO's own way (left, top, width, height) are read too.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from ..errors import DatasetError
from ..tables import annotations_frame
from .rows import existing_folder
from .sample import Sample, check_inside, sample_field

MIDOG_MPP = 0.25
"""um/px where an image does not state its own (the scanners lie between 0.23 and 0.26)."""

_LABELS = {1: "mitosis", 2: "mimic"}


class _Image(BaseModel):
    id: int
    file_name: str
    width: int | None = None
    height: int | None = None


class _Box(BaseModel):
    image_id: int
    category_id: int
    bbox: Annotated[list[FiniteFloat], Field(min_length=4, max_length=4)]


class _Document(BaseModel):
    images: list[_Image]
    annotations: list[_Box]


def read_midog(folder: Path | str, annotations: Path | str | None = None) -> list[Sample]:
    """Read the MIDOG images that lie in a folder; centres of mitoses and mimics.

    Parameters
    ----------
    folder : path-like
        With the images (``001.tiff``), in it or in ``images/``. Images that the JSON names and the folder
        lacks are left out, so that a part of the data set can be used; images without any annotation are
        left out too, for the published files hold 50 or more that nobody annotated.
    annotations : path-like, optional
        The JSON file; without it the only MIDOG JSON file in `folder` or in ``databases/`` is taken.

    Raises
    ------
    DatasetError
        Naming the JSON file and what is wrong.
    FieldError
        Naming the image.
    """
    root = existing_folder(folder)
    source = Path(annotations) if annotations is not None else _only_json(root)
    document = _load(source)
    names = {image.id for image in document.images}
    boxes: dict[int, list[tuple[float, float, str]]] = defaultdict(list)
    corners = all(box.bbox[2] > box.bbox[0] and box.bbox[3] > box.bbox[1] for box in document.annotations)
    for position, box in enumerate(document.annotations):
        if box.image_id not in names:
            raise DatasetError(f"{source}, annotation {position}: there is no image {box.image_id}")
        if box.category_id not in _LABELS:
            raise DatasetError(f"{source}, annotation {position}: the category {box.category_id} is not 1 or 2")
        left, top, right, bottom = box.bbox
        if not corners:
            right, bottom = left + right, top + bottom
        boxes[box.image_id].append(((top + bottom) / 2, (left + right) / 2, _LABELS[box.category_id]))
    samples = []
    for image in sorted(document.images, key=lambda entry: entry.file_name):
        path = _find(root, image.file_name)
        if path is not None and boxes[image.id]:
            samples.append(_sample(path, image, boxes[image.id], source))
    if not samples:
        raise DatasetError(f"{root}: none of the annotated images that {source.name} names is there")
    return samples


def is_midog_json(path: Path) -> bool:
    """Tell whether a JSON file holds the lists ``images`` and ``annotations``."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and "images" in content and "annotations" in content


def find_midog_json(root: Path) -> list[Path]:
    """All MIDOG JSON files in a folder and in its ``databases/``."""
    return [path for path in sorted([*root.glob("*.json"), *root.glob("databases/*.json")]) if is_midog_json(path)]


def _only_json(root: Path) -> Path:
    candidates = find_midog_json(root)
    if len(candidates) != 1:
        names = ", ".join(path.name for path in candidates) or "none"
        raise DatasetError(f"{root}: expected one JSON file with images and annotations, found {names}")
    return candidates[0]


def _load(source: Path) -> _Document:
    try:
        return _Document.model_validate_json(source.read_bytes())
    except FileNotFoundError as error:
        raise DatasetError(f"{source}: there is no such file") from error
    except OSError as error:
        raise DatasetError(f"{source}: it cannot be read ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DatasetError(f"{source}: {where}: {first['msg']}") from error


def _find(root: Path, file_name: str) -> Path | None:
    name = Path(file_name.replace("\\", "/")).name  # never a path that leaves the folder
    for path in (root / name, root / "images" / name):
        if path.is_file():
            return path
    return None


def _sample(path: Path, image: _Image, boxes: list[tuple[float, float, str]], source: Path) -> Sample:
    field = sample_field(path, MIDOG_MPP, own_first=True)
    if image.height is not None and image.width is not None and (image.height, image.width) != field.shape:
        raise DatasetError(
            f"{source}: {image.file_name} should be {image.height} x {image.width} px, "
            f"the file is {field.shape[0]} x {field.shape[1]} px"
        )
    frame = annotations_frame([y for y, _, _ in boxes], [x for _, x, _ in boxes], [name for *_, name in boxes])
    return Sample(field, check_inside(frame, field, source), None, path.stem, "midog")
