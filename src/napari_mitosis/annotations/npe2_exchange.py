"""Annotation files in napari's own File menu: any format of `exchange` opens as points, and points are saved as one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import DatasetError
from ..tables import LABELS

LayerData = tuple[Any, dict[str, Any], str]

_ANY_SHAPE = (2**31, 2**31)
"""napari does not say of which image the points are."""
_COLOURS = {"mitosis": "#009e73", "mimic": "#d55e00", "unsure": "#f0e442"}


def napari_get_annotations(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """Return a reader of annotation files; None where one of them is none."""
    paths = [path] if isinstance(path, str) else path
    suffixes = {".geojson", ".xml", ".sqlite"}  # .dcm is a slide's, too
    if not paths or any(Path(name).suffix.lower() not in suffixes for name in paths):
        return None
    return read_layers


def read_layers(path: str | list[str]) -> list[LayerData]:
    """Points of each file, coloured by label.

    Raises
    ------
    DatasetError
        When a file holds no annotations.
    """
    from .exchange import FieldFacts, read_annotations

    layers: list[LayerData] = []
    for name in [path] if isinstance(path, str) else path:
        file = Path(name)
        figures = read_annotations(file, FieldFacts(file.stem, file.stem, _ANY_SHAPE))
        features = figures.drop(columns=["y_px", "x_px"])
        colours = [_COLOURS[label] for label in figures["label"]]
        look: dict[str, Any] = {"name": file.stem, "features": features, "face_color": "transparent"}
        look |= {"border_color": colours, "size": 50.0} if len(figures) else {}
        layers.append((figures[["y_px", "x_px"]].to_numpy(dtype=np.float64), look, "points"))
    return layers


def write_points(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Save a points layer in the format of the file's suffix; points without a label are mitoses.

    Raises
    ------
    DatasetError
        When the points have more than two axes or the file cannot be written.
    """
    from .exchange import FieldFacts, export_annotations

    places = np.asarray(data, dtype=np.float64)
    if places.ndim != 2 or places.shape[1] != 2:
        raise DatasetError("Only points with two axes (y, x) can be saved as annotations.")
    features = pd.DataFrame(attributes.get("features", {})).reset_index(drop=True)
    if len(features) != len(places):
        features = pd.DataFrame(index=range(len(places)))
    table = features.assign(y_px=places[:, 0], x_px=places[:, 1])
    known = table["label"].isin(LABELS) if "label" in table else np.zeros(len(table), dtype=bool)
    table["label"] = np.where(known, table.get("label", "mitosis"), "mitosis")
    highest = places.max(axis=0, initial=0.0).astype(int) + 2
    facts = FieldFacts(Path(path).stem, Path(path).stem, (int(highest[0]), int(highest[1])))
    export_annotations(Path(path), table, facts)
    return [path]
