"""Areas and hotspots as layers of the viewer, in register with their field."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Shapes
from numpy.typing import NDArray

from ..places import insert_above, placed

HOTSPOT, AREA, TISSUE = "hotspot", "area to count", "tissue"
_COLOURS = {HOTSPOT: "#ff7800", AREA: "#005aff"}


class AreaLayers:
    """The layers of the Report step; each is made when it is first needed, one for each field.

    Parameters
    ----------
    viewer : ViewerModel
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layers: dict[tuple[int, str], Shapes | Labels] = {}

    def layer(self, owner: Image, kind: str) -> Shapes | Labels | None:
        """The layer of a field, if it is there."""
        kept = self._layers.get((id(owner), kind))
        return kept if kept is not None and kept in self._viewer.layers else None

    def show_polygon(self, owner: Image, kind: str, corners_px: NDArray[np.float64]) -> None:
        """Draw an outline, in place of the one that was there."""
        layer = self.drawing(owner, kind)
        layer.selected_data = set()
        layer.data = []
        layer.add_polygons([corners_px])

    def drawing(self, owner: Image, kind: str) -> Shapes:
        """The layer of outlines to show them in, or to draw them with the mouse."""
        layer = self.layer(owner, kind)
        if not isinstance(layer, Shapes):
            mpp = float(owner.scale[-1])
            look: dict[str, Any] = {"edge_color": _COLOURS[kind], "face_color": "transparent", "edge_width": 1.5 / mpp}
            layer = Shapes(None, ndim=2, name=f"{owner.name}: {kind}", **look, **placed(owner))
            self._put(owner, kind, layer)
        return layer

    def show_cells(self, owner: Image, cells: NDArray[np.bool_], side_px: int) -> Labels:
        """Show a mask of tissue, to be edited with napari's own brush: 1 = tissue."""
        old = self.layer(owner, TISSUE)
        if old is not None:
            self._viewer.layers.remove(old)
        look = placed(owner, (side_px, side_px), (side_px - 1) / 2)
        layer = Labels(cells.astype(np.uint8), name=f"{owner.name}: {TISSUE}", opacity=0.3, **look)
        layer.selected_label = 1
        self._put(owner, TISSUE, layer)
        return layer

    def _put(self, owner: Image, kind: str, layer: Shapes | Labels) -> None:
        self._layers[(id(owner), kind)] = layer
        insert_above(self._viewer, layer, list(self._viewer.layers))

    def remove(self) -> None:
        """Take all of them away."""
        layers, self._layers = list(self._layers.values()), {}
        for layer in layers:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)


def corners_of(layer: Shapes) -> NDArray[np.float64] | None:
    """Corners of the newest outline of a layer, shape (n, 2) in pixels of its field; None where there is none."""
    for data, kind in zip(reversed(layer.data), reversed(layer.shape_type), strict=True):
        corners = np.asarray(data, dtype=np.float64)[:, -2:]
        if kind in ("polygon", "rectangle"):
            return corners
        if kind == "ellipse":
            centre, half = corners.mean(axis=0), np.ptp(corners, axis=0) / 2
            angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
            return np.asarray(centre + half * np.column_stack([np.sin(angle), np.cos(angle)]), dtype=np.float64)
    return None
