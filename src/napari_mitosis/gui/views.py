"""How each field is looked at: the whole of it at first, and where its reader left it when coming back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari.components import Camera
from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtOpenGLWidgets import QOpenGLWidget

from .desk import Desk

MARGIN = 0.96
"""Share of the canvas that a fitted field fills."""

PX_PER_UM = 0.1
"""Pixels of the screen for each um, times the magnification: through 40x, 0.25 um are one pixel."""


@dataclass(frozen=True)
class View:
    """What the canvas shows of a field, in its own pixels: so it outlives another um/px.

    Attributes
    ----------
    y_px, x_px : float
        The middle of the canvas.
    zoom : float
        Pixels of the screen for each pixel of the field.
    fitted : bool
        Whether the whole field is shown: then it stays so when the canvas is resized.
    """

    y_px: float
    x_px: float
    zoom: float
    fitted: bool = False


class Views(QObject):
    """Fits a field to the canvas when it is opened, and remembers the view of each.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._desk = desk
        self._views: dict[Any, View] = {}
        self._key: Any = None
        self._moving = False
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._show)
        camera = self.camera
        camera.events.center.connect(self._moved)
        camera.events.zoom.connect(self._moved)
        desk.viewer.events.reset_view.connect(self._reset)
        session = desk.session
        session.active_changed.connect(self._switched)
        session.field_changed.connect(self._switched)
        session.closed.connect(self._closed)
        desk.closed.connect(self._soon.stop)
        if session.active is not None:
            self._switched(session.active)

    @property
    def camera(self) -> Camera:
        """napari 0.9 moved it; older ones have it at the viewer itself."""
        return getattr(self._desk.viewer, "scene", self._desk.viewer).camera

    def of(self, key: Any) -> View | None:
        """How a field was looked at last; None where it was not yet."""
        return self._views.get(key)

    def remember(self, key: Any, view: View) -> None:
        """Look at a field like this the next time."""
        self._views[key] = view
        if key == self._desk.session.active:
            self._switched(key)

    def fit(self, *_: object) -> None:
        """Show the whole of the active field."""
        key, canvas = self._desk.session.active, self.canvas()
        if key is None or canvas is None:
            return
        height, width = self._desk.session[key].field.shape
        zoom = MARGIN * min(canvas.width() / width, canvas.height() / height)
        self._views[key] = View((height - 1) / 2, (width - 1) / 2, zoom, fitted=True)
        self._show()

    def magnify(self, times: float) -> None:
        """Look at the middle of the canvas as through an objective; needs um/px."""
        key = self._desk.session.active
        mpp = self._desk.session[key].field.mpp if key is not None else None
        view = self._views.get(key)
        if mpp is not None and view is not None:
            self._views[key] = View(view.y_px, view.x_px, times * PX_PER_UM * mpp)
            self._show()

    def canvas(self) -> QOpenGLWidget | None:
        """The canvas; None while there is none to be seen."""
        shown = [widget for widget in self._desk.window.findChildren(QOpenGLWidget) if widget.isVisible()]
        canvas = max(shown, key=lambda widget: widget.width() * widget.height(), default=None)
        if canvas is not None:
            canvas.installEventFilter(self)  # a second time is as good as once
        return canvas

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """The canvas has another size: what was fitted is fitted again."""
        if event is not None and event.type() == QEvent.Type.Resize and not self._desk.is_closed:
            view = self._views.get(self._key)
            if view is None or view.fitted:
                self._soon.start()
        return False

    def _switched(self, key: Any) -> None:
        """Another field, or its um/px is another: look at it as before."""
        if key == self._desk.session.active:
            self._key = None  # what napari does to the camera meanwhile is nobody's view
            self._soon.start()

    def _show(self) -> None:
        key = self._desk.session.active
        self._key = key
        if key is None or key not in self._desk.session:
            return
        view = self._views.get(key)
        if self.canvas() is None:
            return
        if view is None or (view.fitted and not self._moving):
            self._moving = True
            self.fit()
            self._moving = False
            return
        owner = self._desk.fields.layer(str(key))
        scale = float(owner.scale[-1])
        moving, self._moving = self._moving, True
        self.camera.zoom = view.zoom / scale
        self.camera.center = tuple(float(value) for value in owner.data_to_world((view.y_px, view.x_px)))
        self._moving = moving

    def _moved(self, *_: object) -> None:
        """Keep where the reader went."""
        key = self._key
        if self._moving or key is None or key not in self._desk.session:
            return
        owner = self._desk.fields.layer(str(key))
        scale = float(owner.scale[-1])
        y, x = self.camera.center[-2:]
        top, left = (float(value) for value in owner.translate[-2:])
        self._views[key] = View((float(y) - top) / scale, (float(x) - left) / scale, float(self.camera.zoom) * scale)

    def _reset(self, *_: object) -> None:
        """napari's own *Home* fits all layers, also those of other fields: fit the one that is looked at."""
        if not self._moving and self._desk.session.active is not None:
            self._key = None
            self._views.pop(self._desk.session.active, None)
            self._soon.start()

    def _closed(self, key: Any) -> None:
        self._views.pop(key, None)
        if key == self._key:
            self._key = None
