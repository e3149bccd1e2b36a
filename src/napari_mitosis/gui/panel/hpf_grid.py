"""Squares of one high-power field (HPF) over the field that is looked at, to go through it one by one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from napari.layers import Vectors
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from ..desk import Desk
from ..places import insert_above, placed

HPF_MM2 = 0.237
"""A tenth of the area of ten fields, `measures.hotspot.HPF_10_MM2`; that module is slow to load."""

COLOUR = "#005aff"
"""Blue, as the outline of the area that counts: neither stain nor ring."""

LINE_PX = 1.5
"""Of the screen, at every zoom."""


class HpfGrid(QObject):
    """One layer of lines over the active field while the grid is wanted; no mouse can change it.

    Parameters
    ----------
    desk : Desk

    Attributes
    ----------
    wanted : bool
    layer : Vectors or None
        The lines; None where there are none.
    changed : Signal(bool, str)
        Whether the grid is wanted, and a sentence about it: the size of its squares, or why there are none.
    """

    changed = Signal(bool, str)

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._desk = desk
        self._area_mm2 = HPF_MM2
        self.wanted = False
        self.layer: Vectors | None = None
        # A layer that comes while another is being inserted or taken away would confuse napari.
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._show)
        session = desk.session
        for signal in (session.active_changed, session.field_changed, session.closed):
            signal.connect(self._later)
        desk.viewer.layers.events.removed.connect(self._removed)
        # napari 0.9 moved the camera; older ones have it at the viewer itself.
        self._camera = getattr(desk.viewer, "scene", desk.viewer).camera
        self._camera.events.zoom.connect(self._thin)
        desk.closed.connect(self._stop)

    def toggle(self) -> None:
        """Show the grid, or no longer."""
        self.wanted = not self.wanted
        self._show()

    def set_area(self, area_mm2: float) -> None:
        """The area of one HPF is another."""
        self._area_mm2 = area_mm2
        self._later()

    def _later(self, *_: object) -> None:
        if self.wanted or self.layer is not None:
            self._soon.start()

    def _show(self) -> None:
        self._remove()
        state = self._desk.session.current
        if not self.wanted or state is None:
            self.changed.emit(self.wanted, "")
            return
        field = state.field
        if field.mpp is None:
            self.changed.emit(True, "No HPF grid: the size of a pixel is unknown. State it first.")
            return
        side_um = 1000 * math.sqrt(self._area_mm2)
        owner = self._desk.fields.layer(str(self._desk.session.active))
        self.layer = Vectors(
            grid_lines(field.shape, side_um / field.mpp),
            name=f"{owner.name}: HPF grid",
            edge_color=COLOUR,
            vector_style="line",
            length=1.0,
            **placed(owner),
        )
        self._thin()
        insert_above(self._desk.viewer, self.layer, list(self._desk.viewer.layers))
        self.changed.emit(True, f"HPF grid: squares of {self._area_mm2:.3g} mm², {side_um:.0f} µm wide")

    def _thin(self, *_: object) -> None:
        """The lines are as thin from near as from far."""
        if self.layer is not None:
            self.layer.edge_width = LINE_PX / (self._camera.zoom * float(self.layer.scale[-1]))

    def _remove(self) -> None:
        layer, self.layer = self.layer, None
        if layer is not None and layer in self._desk.viewer.layers:
            self._desk.viewer.layers.remove(layer)

    def _removed(self, event: Any) -> None:
        """Its reader deleted the layer: then the grid is no longer wanted."""
        if event.value is self.layer:
            self.layer, self.wanted = None, False
            self.changed.emit(False, "")

    def _stop(self) -> None:
        self._soon.stop()
        self.layer = None
        self._camera.events.zoom.disconnect(self._thin)
        self._desk.viewer.layers.events.removed.disconnect(self._removed)


def grid_lines(shape_px: tuple[int, int], side_px: float) -> NDArray[np.float64]:
    """Lines between squares over a field, from its upper left corner; those at the far edges are cut by them.

    Parameters
    ----------
    shape_px : tuple of int
        Height and width of the field.
    side_px : float
        Of one square.

    Returns
    -------
    ndarray, shape (n, 2, 2)
        Start (y, x) and direction (dy, dx) of each line in pixels, where a pixel's centre has whole numbers.
    """
    height, width = (float(extent) for extent in shape_px)
    across = [[[y - 0.5, -0.5], [0.0, width]] for y in (*np.arange(0.0, height, side_px), height)]
    down = [[[-0.5, x - 0.5], [height, 0.0]] for x in (*np.arange(0.0, width, side_px), width)]
    return np.asarray([*across, *down], dtype=np.float64)
