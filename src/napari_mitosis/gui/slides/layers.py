"""Layers of a slide: tissue to paint on, drawn regions, detections, density, hotspots; and where the camera looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...batches.slides_area import ScanArea
from ...fields.field import Field
from ...measures.hotspot import Hotspot
from ..layers import RING_COLOUR, RING_UM
from ..places import OWNER_KEY

if TYPE_CHECKING:
    import napari

UM_AT_1X = 10.0
"""At 40x a pixel is 0.25 um: magnification = 10 um / pixel."""

_COLOURS = {"regions": "#56b4e9", "left out": "#d55e00", "hotspots": "#ffb81c"}


class SlideLayers:
    """The layers of one slide.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self.viewer = viewer
        self._made: dict[str, Any] = {}

    def forget(self) -> None:
        """Take the layers away; another slide is looked at."""
        for layer in self._made.values():
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
        self._made.clear()

    def _layer(self, name: str) -> Any:
        layer = self._made.get(name)
        return layer if layer is not None and layer in self.viewer.layers else None

    def _add(self, name: str, add: Any, data: Any, **options: Any) -> Any:
        active = self.viewer.layers.selection.active
        layer = add(data, name=name, metadata={OWNER_KEY: "slide"}, **options)
        self._made[name] = layer
        self.viewer.layers.selection.active = active
        return layer

    def show_area(self, field: Field, area: ScanArea) -> None:
        """The cells that are looked at, as labels."""
        cells = area.cells.astype(np.uint8)
        layer = self._layer("tissue")
        if layer is not None:
            layer.data = cells
            return
        self._add("tissue", self.viewer.add_labels, cells, opacity=0.25, **_grid(field, area))

    def painted(self, area: ScanArea | None) -> ScanArea | None:
        """The area as the reader left it."""
        layer = self._layer("tissue")
        return area if layer is None or area is None else ScanArea(np.asarray(layer.data) > 0, area.side_px)

    def draw(self, field: Field, include: bool) -> None:
        """Give the reader a layer to draw polygons in."""
        name = "regions" if include else "left out"
        layer = self._layer(name)
        if layer is None:
            options = {"edge_color": _COLOURS[name], "face_color": "transparent", "edge_width": 4 * _unit(field)}
            layer = self._add(name, self.viewer.add_shapes, None, ndim=2, **options, **_scale(field))
        self.viewer.layers.selection.active = layer
        layer.mode = "add_polygon"

    def drawn(self, field: Field) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
        """Polygons to look at and to leave out, in pixels of the slide."""
        layers = [self._layer(name) for name in ("regions", "left out")]
        include, exclude = (
            [np.asarray(outline) for outline in layer.data] if layer is not None else [] for layer in layers
        )
        return include, exclude

    def show_detections(self, field: Field, detections: pd.DataFrame) -> None:
        """A ring about each detection; the layer is updated in place."""
        points = detections[["y_px", "x_px"]].to_numpy(dtype=np.float64)
        layer = self._layer("slide detections")
        if layer is not None:
            layer.data = points
            return
        options = {"border_color": RING_COLOUR, "face_color": "transparent", "border_width": 0.08, "ndim": 2}
        size = RING_UM / (field.mpp or 0.25)
        self._add("slide detections", self.viewer.add_points, points, size=size, **options, **_scale(field))

    def show_density(self, field: Field, area: ScanArea, density: NDArray[np.float32]) -> None:
        """Detections per mm2 as an image, hidden until it is asked for."""
        layer = self._layer("mitoses per mm2")
        if layer is not None:
            layer.data = density
            return
        options = {"colormap": "inferno", "blending": "translucent", "opacity": 0.4, "visible": False}
        self._add("mitoses per mm2", self.viewer.add_image, density, **options, **_grid(field, area))

    def show_hotspots(self, field: Field, hotspots: list[Hotspot]) -> None:
        """The outline of each hotspot."""
        mpp = field.mpp or 1.0
        corners = [spot.outline.corners_um(spot.centre_yx_um) / mpp - 0.5 for spot in hotspots]
        layer = self._layer("hotspots")
        if layer is not None:
            layer.data = []
            if corners:
                layer.add_polygons(corners)
        elif corners:
            options = {"edge_color": _COLOURS["hotspots"], "face_color": "transparent", "edge_width": 40 * _unit(field)}
            self._add("hotspots", self.viewer.add_shapes, corners, shape_type="polygon", **options, **_scale(field))

    def when_moved(self, call: Any) -> None:
        """Call when the canvas shows another part of the slide."""
        self._camera.events.connect(call)
        canvas = getattr(self.viewer, "canvas", None)
        if canvas is not None:
            canvas.events.size.connect(call)

    def look_at(self, field: Field, y_px: float, x_px: float, side_px: float | None = None) -> None:
        """Centre the canvas on a place, and show so many pixels of the slide across it."""
        step = field.mpp or 1.0
        self._camera.center = (0.0, y_px * step, x_px * step)
        if side_px is not None:
            self._camera.zoom = min(self._canvas()) / (side_px * step)

    def magnify(self, power: float) -> None:
        """So many pixels of the screen for a um as an objective of that power has."""
        self._camera.zoom = power / UM_AT_1X

    def magnification(self) -> float:
        """What the canvas shows, as the power of an objective."""
        return float(self._camera.zoom) * UM_AT_1X

    def visible_px(self, field: Field) -> tuple[float, float, float, float]:
        """(y0, y1, x0, x1) of what the canvas shows, in pixels of the slide."""
        step = field.mpp or 1.0
        centre, zoom = self._camera.center[-2:], self._camera.zoom
        half = [length / zoom / 2 for length in self._canvas()]
        (y, x), (h, w) = centre, half
        return (y - h) / step, (y + h) / step, (x - w) / step, (x + w) / step

    @property
    def _camera(self) -> Any:
        # napari 0.9 moved the camera; older ones have it at the viewer itself.
        return getattr(self.viewer, "scene", self.viewer).camera

    def _canvas(self) -> tuple[float, float]:
        """Height and width of the canvas in pixels of the screen."""
        canvas = getattr(self.viewer, "canvas", None)  # since napari 0.9
        height, width = (800, 1000) if canvas is None else canvas.size
        return float(height), float(width)


def _unit(field: Field) -> float:
    """A width of one um in the pixels of a layer."""
    return 1.0 / (field.mpp or 1.0)


def _scale(field: Field) -> dict[str, Any]:
    return {} if field.mpp is None else {"scale": (field.mpp, field.mpp), "units": ("um", "um")}


def _grid(field: Field, area: ScanArea) -> dict[str, Any]:
    """Scale and place of a layer of cells: the first begins half a pixel before the centre of the first pixel."""
    step = field.mpp or 1.0
    side, start = area.side_px * step, (area.side_px / 2 - 0.5) * step
    options: dict[str, Any] = {"scale": (side, side), "translate": (start, start)}
    return options if field.mpp is None else {**options, "units": ("um", "um")}
