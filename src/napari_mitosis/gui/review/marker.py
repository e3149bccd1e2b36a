"""The mark about the present candidate, and the camera that goes there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import napari
from napari.components import Camera
from napari.layers import Image
from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QPointF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QWidget

TICK_FROM_UM, TICK_UM = 11.0, 4.0
"""Where the four ticks begin, seen from the middle, and their length: outside the figure and its ring."""

LEAST_FROM_PX, LEAST_TICK_PX, MOST_TICK_PX = 16.0, 8.0, 40.0
"""They stay visible from far off, and modest close up."""

COLOUR = "#00e5ff"
"""Cyan: far from haematoxylin, eosin and the green of the detections."""

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


class Marker(QObject):
    """Four ticks about a place that leave the figure free, drawn over the canvas.

    No layer: one would have its extent measured, its thumbnail made and the canvas's buffers filled anew at each
    candidate, which takes longer than all the rest.

    Parameters
    ----------
    viewer : napari.Viewer
    parent : QWidget
        In the window of the canvas.

    Attributes
    ----------
    centre_px : tuple of float or None
        What is marked, (y, x) in pixels of its field.
    """

    def __init__(self, viewer: napari.Viewer, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._canvas: QOpenGLWidget | None = None
        self._ticks: _Ticks | None = None
        self._world: tuple[float, float] | None = None
        self._hidden = False
        self.centre_px: tuple[float, float] | None = None
        self._world_per_um = 1.0
        self._camera = camera_of(viewer)
        self._camera.events.center.connect(self._follow)
        self._camera.events.zoom.connect(self._follow)
        viewer.dims.events.ndisplay.connect(self._follow)

    @property
    def place_px(self) -> tuple[float, float] | None:
        """Where the mark is on the canvas, x and y from its upper left corner; None while it is not to be seen."""
        ticks = self._ticks
        if ticks is None or not _alive(ticks) or ticks.isHidden():
            return None
        return ticks.x() + ticks.width() / 2, ticks.y() + ticks.height() / 2

    @property
    def canvas(self) -> QOpenGLWidget | None:
        """The canvas, or None where there is none to be seen. A window has many parts: it is looked for once."""
        known = self._canvas
        if known is None or not _alive(known) or not known.isVisible():
            parent = self.parent()
            self._canvas = canvas_of(parent.window() if isinstance(parent, QWidget) else None)
        return self._canvas

    @property
    def canvas_height_px(self) -> float:
        """Height of the canvas; that of a usual one where there is none to be seen."""
        canvas = self.canvas
        return float(canvas.height()) if canvas is not None else 800.0

    def show(self, owner: Image, centre_px: tuple[float, float], mpp: float) -> None:
        """Put the mark about a place of a field's layer."""
        self.centre_px = centre_px
        world = owner.data_to_world(centre_px)
        self._world = (float(world[-2]), float(world[-1]))
        self._world_per_um = float(owner.scale[-2]) / mpp
        self._follow()

    def hide(self) -> None:
        """Show no mark."""
        self._world = self.centre_px = None
        self._follow()

    def set_aside(self, aside: bool) -> None:
        """Keep the mark out of sight for a while, or no longer."""
        self._hidden = aside
        self._follow()

    @property
    def in_view(self) -> bool:
        """Whether what is marked is on the canvas; where nothing can be marked, nothing is out of view."""
        place, canvas = self.place_px, self.canvas
        if place is None or canvas is None:
            return True
        return 0 <= place[0] <= canvas.width() and 0 <= place[1] <= canvas.height()

    def remove(self) -> None:
        """Follow nothing any more."""
        self._camera.events.center.disconnect(self._follow)
        self._camera.events.zoom.disconnect(self._follow)
        self._viewer.dims.events.ndisplay.disconnect(self._follow)
        if self._ticks is not None and _alive(self._ticks):
            self._ticks.hide()
            self._ticks.deleteLater()
        self._ticks = None

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """The canvas has another size."""
        if event is not None and event.type() == QEvent.Type.Resize:
            self._follow()
        return False

    def _follow(self, *_: object) -> None:
        """Stay with the place wherever the camera goes."""
        canvas = self.canvas
        viewer, world = self._viewer, self._world
        side_by_side = bool(getattr(viewer, "canvas", viewer).grid.enabled)
        if canvas is None or world is None or self._hidden or viewer.dims.ndisplay != 2 or side_by_side:
            if self._ticks is not None and _alive(self._ticks):
                self._ticks.hide()
            return
        if self._ticks is None or not _alive(self._ticks) or self._ticks.parent() is not canvas:
            self._ticks = _Ticks(canvas)
            canvas.installEventFilter(self)
        zoom = float(self._camera.zoom)
        vertical, horizontal = (str(getattr(axis, "value", axis)) for axis in self._camera.orientation2d)
        down = (world[0] - self._camera.center[-2]) * zoom * (1 if vertical == "down" else -1)
        right = (world[1] - self._camera.center[-1]) * zoom * (1 if horizontal == "right" else -1)
        self._ticks.put(canvas.width() / 2 + right, canvas.height() / 2 + down, zoom * self._world_per_um)


class _Ticks(QWidget):
    """The four ticks, on a widget that the mouse does not see."""

    def __init__(self, canvas: QWidget) -> None:
        super().__init__(canvas)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._from, self._length = 0.0, 0.0

    def put(self, x: float, y: float, px_per_um: float) -> None:
        """Centre the ticks on a place of the canvas."""
        self._from = max(LEAST_FROM_PX, TICK_FROM_UM * px_per_um)
        self._length = min(MOST_TICK_PX, max(LEAST_TICK_PX, TICK_UM * px_per_um))
        reach = math.ceil(self._from + self._length) + 2
        self.setGeometry(round(x) - reach, round(y) - reach, 2 * reach, 2 * reach)
        if self.isHidden():
            self.show()
            self.raise_()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Ticks with a dark edge, to be seen on any tissue."""
        painter = QPainter(self)
        middle = self.width() / 2
        for colour, width in (("#101418", 6), (COLOUR, 3)):
            painter.setPen(QPen(QColor(colour), width))
            for dx, dy in ((0, -1), (1, 0), (0, 1), (-1, 0)):
                near, far = self._from, self._from + self._length
                ends = [QPointF(middle + dx * at, middle + dy * at) for at in (near, far)]
                painter.drawLine(*ends)


def _alive(widget: QWidget) -> bool:
    """Whether Qt still has the widget: it goes with the canvas."""
    return bool(isalive(widget))  # type: ignore[no-untyped-call]


def camera_of(viewer: napari.Viewer) -> Camera:
    """The camera: napari 0.9 moved it; older ones have it at the viewer itself."""
    return getattr(viewer, "scene", viewer).camera


def canvas_of(window: QWidget | None) -> QOpenGLWidget | None:
    """The canvas of a window, or None where there is none to be seen."""
    canvases = window.findChildren(QOpenGLWidget) if window is not None else []
    return next((canvas for canvas in canvases if canvas.isVisible()), None)


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
    if how == "keep":
        return None
    return zoom_of_objective(value if how == "scale" else 10.0 * canvas_height_px / value, owner, mpp)


def zoom_of_objective(power: float, owner: Image, mpp: float) -> float:
    """Pixels of the screen for each unit of the world, as through an objective: 10x is 1 um for each pixel."""
    world_per_um = float(owner.scale[-2]) / mpp
    return power / 10.0 / world_per_um


def look_at(viewer: napari.Viewer, owner: Image, centre_px: tuple[float, float], zoom: float | None) -> None:
    """Centre the camera on a place of a field."""
    camera = camera_of(viewer)
    if zoom is not None and abs(camera.zoom - zoom) > 1e-9 * zoom:
        camera.zoom = zoom
    camera.center = tuple(float(value) for value in owner.data_to_world(centre_px))
