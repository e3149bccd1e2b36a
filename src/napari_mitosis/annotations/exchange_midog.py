"""Annotations as JSON of boxes, as MIDOG publishes them: images, categories, a box of 50 x 50 px around each figure.

As in the published files, a box is (left, top, right, bottom). Files in COCO's own way (left, top, width, height) are
read, too. What COCO has no word for stands in further keys of each annotation.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import DatasetError
from .rows import (
    NO_PLACE,
    BadRow,
    FieldFacts,
    Strict,
    exchange_frame,
    known_id,
    known_label,
    place_number,
    read_text,
    records,
    stated_number,
)

BOX_PX = 50.0

_CATEGORIES = {1: "mitosis", 2: "mimic", 3: "unsure"}
_NAMES = {1: "mitotic figure", 2: "hard negative", 3: "unsure"}
_NOTES = ("figure", "phase", "reader", "source", "time")


def write(figures: pd.DataFrame, facts: FieldFacts) -> str:
    """The figures of one image, with boxes as MIDOG has them."""
    return _written(figures, facts, corners=True)


def write_coco(figures: pd.DataFrame, facts: FieldFacts) -> str:
    """The figures of one image, with boxes and areas as COCO has them."""
    return _written(figures, facts, corners=False)


def _written(figures: pd.DataFrame, facts: FieldFacts, corners: bool) -> str:
    height, width = facts.shape
    image = {"id": 1, "file_name": facts.file_name, "width": width, "height": height}
    numbers = {label: number for number, label in _CATEGORIES.items()}
    half = BOX_PX / 2
    annotations = []
    for number, row in enumerate(records(figures), start=1):
        y, x = float(row["y_px"]), float(row["x_px"])
        annotation: dict[str, Any] = {"id": number, "image_id": 1, "category_id": numbers[row["label"]]}
        annotation["bbox"] = [x - half, y - half, *((x + half, y + half) if corners else (BOX_PX, BOX_PX))]
        if not corners:
            annotation |= {"area": BOX_PX**2, "iscrowd": 0}
        annotation |= {name: str(row[name]) for name in _NOTES if row[name]}
        annotations.append(annotation if math.isnan(row["score"]) else {**annotation, "score": float(row["score"])})
    categories = [{"id": number, "name": name} for number, name in _NAMES.items()]
    content = {"images": [image], "categories": categories, "annotations": annotations}
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def read(path: Path, facts: FieldFacts, checks: Strict) -> pd.DataFrame:
    """Read the boxes of this field's image: the one of its file name, or the only one.

    Raises
    ------
    DatasetError
        Naming the annotation and what is wrong with it.
    """
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: it is no JSON ({error}).") from error
    if not isinstance(content, dict) or not all(_records(content.get(key)) for key in ("images", "annotations")):
        raise DatasetError(f"{path}: it is no MIDOG or COCO file; it needs the lists images and annotations.")
    images: list[dict[str, Any]] = content["images"]
    boxes: list[dict[str, Any]] = content["annotations"]
    image = _image(path, images, facts)
    names = _names(content.get("categories"))
    # Boxes near the first corner could be either; COCO's own files say what they are by their further keys.
    corners = all(_corners(box.get("bbox")) and "iscrowd" not in box for box in boxes)
    rows = []
    for number, box in enumerate(boxes, start=1):
        if box.get("image_id") == image:
            with checks.row():
                rows.append(_figure(box, names, corners, f"{path}, annotation {number}"))
    return exchange_frame(rows)


def _figure(box: dict[str, Any], names: dict[str, str], corners: bool, where: str) -> dict[str, Any]:
    """The row of one box."""
    top, left, bottom, right = _box(box.get("bbox"), corners, where)
    number = str(box.get("category_id"))
    return {
        **{note: str(box.get(note, "")) for note in _NOTES},
        "figure": known_id(box.get("figure", "")),
        "y_px": (top + bottom) / 2,
        "x_px": (left + right) / 2,
        "label": known_label(names.get(number, f"category {number[:40]}"), where),
        "score": stated_number(box.get("score"), where),
    }


def _records(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(record, dict) for record in value)


def _image(path: Path, images: list[dict[str, Any]], facts: FieldFacts) -> Any:
    stem = Path(facts.file_name).stem
    fitting = [image for image in images if Path(str(image.get("file_name", "")).replace("\\", "/")).stem == stem]
    chosen = fitting if len(fitting) == 1 else images
    if len(chosen) != 1:
        raise DatasetError(f"{path}: none of its {len(images)} images is named '{facts.file_name}'.")
    return chosen[0].get("id")


def _names(categories: Any) -> dict[str, str]:
    """Names of the categories; MIDOG's own numbers where the file does not say."""
    if not _records(categories):
        return {str(number): name for number, name in _CATEGORIES.items()}
    return {str(category.get("id")): str(category.get("name", "")) for category in categories}


def _corners(box: Any) -> bool:
    try:
        return bool(box[2] > box[0] and box[3] > box[1])
    except (TypeError, IndexError, KeyError):
        return False


def _box(box: Any, corners: bool, where: str) -> tuple[float, float, float, float]:
    if not isinstance(box, list) or len(box) != 4:
        raise BadRow(f"{where}: its box is not four numbers.", NO_PLACE)
    left, top, right, bottom = (place_number(value, where) for value in box)
    if not corners:
        right, bottom = left + right, top + bottom
    return top, left, bottom, right
