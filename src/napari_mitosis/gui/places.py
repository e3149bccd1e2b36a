"""Where layers of a field lie, above which others, and how the camera gets to a place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Layer, Points
from numpy.typing import NDArray

OWNER_KEY = "napari_mitosis_of"
"""In a result layer's metadata: the unique id of the field's layer."""

KIND_KEY = "napari_mitosis_kind"
"""In a result layer's metadata, where it matters: what kind of layer it is."""

COMPARISON = "comparison"
"""Kind of the layers that show what several detectors found."""


def placed(owner: Image, cell_px: tuple[float, float] = (1.0, 1.0), offset_px: float = 0.0) -> dict[str, Any]:
    """Scale, place and owner of a layer whose first cell has its centre at `offset_px` of the field."""
    scale = np.asarray(owner.scale[-2:], dtype=np.float64)
    place = np.asarray(owner.translate[-2:], dtype=np.float64)
    return {
        "scale": tuple(scale * cell_px),
        "translate": tuple(place + scale * offset_px),
        "units": owner.units[-2:],
        "metadata": {OWNER_KEY: str(owner.unique_id)},
    }


def set_points(layer: Points, points: NDArray[np.float64]) -> None:
    """Give a layer other points.

    napari does not slice a layer while it is hidden, and then draws points by numbers that are gone.
    """
    layer.data = points
    if not layer.visible:
        layer.set_view_slice()


def insert_above(viewer: ViewerModel, layer: Layer, lower: Sequence[Layer]) -> None:
    """Insert a layer right above those that are there of `lower`; the selection stays as it was."""
    layers = viewer.layers
    at = max((layers.index(other) for other in lower if other in layers), default=len(layers) - 1) + 1
    selected, active = set(layers.selection), layers.selection.active
    layers.insert(at, layer)
    layers.selection = {kept for kept in selected if kept in layers}
    if active is not None and active in layers:
        layers.selection.active = active


def look_at(viewer: ViewerModel, owner: Image, centre_px: tuple[float, float]) -> None:
    """Centre a place of a field, at least so close that its pixels are as large as those of the screen."""
    world = owner.data_to_world(centre_px)
    # napari 0.9 moved the camera; older ones have it at the viewer itself.
    camera = getattr(viewer, "scene", viewer).camera
    camera.center = tuple(float(value) for value in world)
    camera.zoom = max(camera.zoom, 1.0 / float(owner.scale[-1]))
