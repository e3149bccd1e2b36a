"""Annotations as GeoJSON: points with a classification, as QuPath opens and writes them.

QuPath counts from the corner of the first pixel, this program from its centre: half a pixel apart.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
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

_HALF = 0.5
_COLORS = {"mitosis": [0, 158, 115], "mimic": [213, 94, 0], "unsure": [240, 228, 66]}
_NOTES = ("phase", "reader", "source", "time")


def write(figures: pd.DataFrame, facts: FieldFacts) -> str:
    """The figures as a collection of points."""
    features = []
    for row in records(figures):
        properties: dict[str, Any] = {
            "objectType": "annotation",
            "classification": {"name": row["label"], "color": _COLORS[row["label"]]},
            "metadata": {name: str(row[name]) for name in _NOTES if row[name]},
        }
        if not math.isnan(row["score"]):
            properties["measurements"] = {"score": float(row["score"])}
        feature: dict[str, Any] = {"type": "Feature"}
        if row["figure"]:
            feature["id"] = str(uuid.UUID(row["figure"]))
        point = [float(row["x_px"]) + _HALF, float(row["y_px"]) + _HALF]
        features.append({**feature, "geometry": {"type": "Point", "coordinates": point}, "properties": properties})
    content = {"type": "FeatureCollection", "features": features}
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def read(path: Path, facts: FieldFacts, checks: Strict) -> pd.DataFrame:
    """Read points, groups of points and outlines (their centroid) with a classification.

    Raises
    ------
    DatasetError
        Naming the feature and what is wrong with it.
    """
    rows: list[dict[str, Any]] = []
    for number, feature in enumerate(_features(path), start=1):
        with checks.row():
            rows += _figures(feature, f"{path}, feature {number}")
    return exchange_frame(rows)


def _figures(feature: dict[str, Any], where: str) -> list[dict[str, Any]]:
    """A row for each place that a feature stands for."""
    properties = _dict(feature.get("properties"))
    classification = properties.get("classification")
    name = classification.get("name") if isinstance(classification, dict) else classification
    if not isinstance(name, str):
        raise BadRow(
            f"{where}: it has no classification; give it mitosis, mimic or unsure.", "without a classification"
        )
    notes = _dict(properties.get("metadata"))
    shared = {
        **{note: str(notes.get(note, "")) for note in _NOTES},
        "label": known_label(name, where),
        "score": stated_number(_score(properties.get("measurements")), where),
    }
    places = list(_places(feature.get("geometry"), where))
    figure = known_id(feature.get("id", "")) if len(places) == 1 else ""
    return [{**shared, "figure": figure, "y_px": y - _HALF, "x_px": x - _HALF} for y, x in places]


def _features(path: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: it is no GeoJSON ({error}).") from error
    if isinstance(content, dict) and content.get("type") == "FeatureCollection":
        content = content.get("features")
    elif isinstance(content, dict) and content.get("type") == "Feature":
        content = [content]
    if not isinstance(content, list) or not all(
        isinstance(feature, dict) and "geometry" in feature for feature in content
    ):
        raise DatasetError(f"{path}: it is no GeoJSON with features. In QuPath: File > Export objects as GeoJSON.")
    return content


def _places(geometry: object, where: str) -> Iterator[tuple[float, float]]:
    """(y, x) of each thing that a geometry stands for, in QuPath's pixels."""
    shape = _dict(geometry)
    kind, coordinates = shape.get("type"), shape.get("coordinates")
    try:
        if kind == "Point":
            yield _pair(coordinates, where)
        elif kind == "MultiPoint":
            yield from (_pair(position, where) for position in coordinates)  # type: ignore[union-attr]  # caught below
        elif kind == "Polygon":
            yield _centroid(np.array([_pair(position, where) for position in coordinates[0]]))  # type: ignore[index]
        else:
            raise BadRow(f"{where}: a {kind} is no place; points and outlines are.", NO_PLACE)
    except (TypeError, IndexError, KeyError, ValueError) as error:
        raise BadRow(f"{where}: its coordinates are not those of a {kind}.", NO_PLACE) from error


def _pair(pair: Any, where: str) -> tuple[float, float]:
    return place_number(pair[1], where), place_number(pair[0], where)


def _centroid(ring: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, float]:
    """Centre of the area within an outline; of its corners where it has no area."""
    origin = ring.mean(axis=0)
    y, x = (ring - origin).T
    cross = x * np.roll(y, -1) - np.roll(x, -1) * y
    area = cross.sum() / 2
    if abs(area) < 1e-9:
        return float(origin[0]), float(origin[1])
    centre_y = ((y + np.roll(y, -1)) * cross).sum() / (6 * area)
    centre_x = ((x + np.roll(x, -1)) * cross).sum() / (6 * area)
    return float(origin[0] + centre_y), float(origin[1] + centre_x)


def _score(measurements: object) -> object:
    """The score among measurements: a map in newer versions of QuPath, a list of pairs in older ones."""
    if isinstance(measurements, list):
        pairs = {
            str(measurement.get("name")): measurement.get("value")
            for measurement in measurements
            if isinstance(measurement, dict)
        }
        return pairs.get("score")
    return _dict(measurements).get("score")


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
