"""The mark about the present candidate, and the camera that goes there."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import napari
import numpy as np
from napari.layers import Image, Vectors
from qtpy.QtOpenGLWidgets import QOpenGLWidget

from ..places import OWNER_KEY

TICK_FROM_UM, TICK_UM = 11.0, 4.0
"""Where the four ticks begin, seen from the middle, and their length: outside the figure and its ring."""

TICK_WIDTH_UM = 0.5
COLOUR = "#00e5ff"
"""Cyan: far from haematoxylin, eosin and the green of the detections."""

NAME = "review: this one"

MAGNIFICATIONS: Mapping[str, tuple[str, float]] = MappingProxyType(
    {
        "40×": ("scale", 40.0),
        "60×": ("scale", 60.0),
        "80×": ("scale", 80.0),
        "64 µm high": ("height", 64.0),
        "48 µm high": ("height", 48.0),
        "32 µm high": ("height", 32.0),
        "as it is": ("keep", 0.0),
    }
)
"""How close the camera goes: as large as through that objective (40x: 0.25 um for each pixel of the screen), or so
that this much tissue is as high as the canvas."""

DEFAULT = "60×"


class Marker:
    """Four ticks about a place that leave the figure free. One layer in the whole viewer; only its place changes.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self._layer: Vectors | None = None

    @property
    def layer(self) -> Vectors | None:
        """The layer, while it is in the viewer."""
        return self._layer if self._layer is not None and self._layer in self._viewer.layers else None

    def show(self, owner: Image, centre_px: tuple[float, float], mpp: float) -> None:
        """Put the mark about a place of a field's layer."""
        layer = self.layer
        if layer is None:
            layer = self._layer = self._make(owner)
        world = owner.data_to_world(centre_px)
        layer.scale = tuple(float(size) / mpp for size in owner.scale[-2:])
        layer.translate = tuple(float(value) for value in world[-2:])
        if layer.metadata.get(OWNER_KEY) != str(owner.unique_id):
            layer.metadata = {OWNER_KEY: str(owner.unique_id)}
            layer.units = owner.units[-2:]
        if not layer.visible:
            layer.visible = True

    def hide(self) -> None:
        """Show no mark."""
        if self.layer is not None:
            self.layer.visible = False

    def remove(self) -> None:
        """Take the layer away."""
        if self.layer is not None:
            self._viewer.layers.remove(self.layer)
        self._layer = None

    def _make(self, owner: Image) -> Vectors:
        away = np.array([[-1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, -1.0]])
        ticks = np.stack([away * TICK_FROM_UM, away * TICK_UM], axis=1)
        layer = Vectors(
            ticks,
            name=NAME,
            edge_color=COLOUR,
            edge_width=TICK_WIDTH_UM,
            vector_style="line",
            opacity=1.0,
            units=owner.units[-2:],
            metadata={OWNER_KEY: str(owner.unique_id)},
        )
        layers = self._viewer.layers
        selected, active = set(layers.selection), layers.selection.active
        layers.append(layer)
        layers.selection = selected
        if active is not None:
            layers.selection.active = active
        return layer


def zoom_for(name: str, owner: Image, mpp: float, canvas_height_px: float) -> float | None:
    """Pixels of the screen for each unit of the world, as `MAGNIFICATIONS` asks; None: leave it.

    Parameters
    ----------
    name : str
    owner : Image
        The field's layer.
    mpp : float
        um/px of the field.
    canvas_height_px : float
    """
    how, value = MAGNIFICATIONS[name]
    world_per_um = float(owner.scale[-2]) / mpp
    if how == "keep":
        return None
    px_per_um = value / 10.0 if how == "scale" else canvas_height_px / value
    return px_per_um / world_per_um


def look_at(viewer: napari.Viewer, owner: Image, centre_px: tuple[float, float], zoom: float | None) -> None:
    """Centre the camera on a place of a field."""
    # napari 0.9 moved the camera; older ones have it at the viewer itself.
    camera = getattr(viewer, "scene", viewer).camera
    if zoom is not None and abs(camera.zoom - zoom) > 1e-9 * zoom:
        camera.zoom = zoom
    camera.center = tuple(float(value) for value in owner.data_to_world(centre_px))


def canvas_height(window: object) -> float:
    """Height of the canvas in pixels of the screen; that of a usual one where there is none to be seen."""
    found = window.findChildren(QOpenGLWidget) if hasattr(window, "findChildren") else []
    heights = [canvas.height() for canvas in found if canvas.isVisible()]
    return float(max(heights, default=800))
