"""A line that is dragged over the field, and its length: on the canvas alone, noted nowhere."""

from __future__ import annotations

import math
from collections.abc import Callable

from napari.components import ViewerModel
from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QPointF, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QWidget

from ..desk import Desk
from ..review.marker import COLOUR, camera_of, canvas_of

DARK = "#101418"
HINT = "Drag a line over the field; Esc ends measuring."
UNKNOWN = "No measuring: the size of a pixel is unknown. State it first."
TICK_PX = 6.0

Place = tuple[float, float]


class MeasuringLine(QObject):
    """While it is on, a drag of the mouse draws a line instead of moving the field.

    Parameters
    ----------
    desk : Desk

    Attributes
    ----------
    on : bool
    ends_px : tuple of two (y, x), or None
        The line in pixels of the active field; None where there is none.
    changed : Signal(bool, str)
        Whether measuring is on, and a sentence: the length, what to do, or why it cannot be.
    """

    changed = Signal(bool, str)

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._desk = desk
        self._sheet: _Sheet | None = None
        self.on = False
        self.ends_px: tuple[Place, Place] | None = None
        self._camera = camera_of(desk.viewer)
        for moved in (self._camera.events.center, self._camera.events.zoom):
            moved.connect(self._draw)
        session = desk.session
        for signal in (session.active_changed, session.field_changed, session.closed):
            signal.connect(self._field_changed)
        desk.peek.changed.connect(self._draw)
        desk.closed.connect(self._end)

    def toggle(self) -> None:
        """Begin to measure, or end it."""
        if self.on:
            self.stop()
        else:
            self._start()

    def stop(self, sentence: str = "") -> None:
        """The line vanishes, and the mouse moves the field again."""
        if self.on:
            self.on = False
            self._desk.viewer.bind_key("Escape", None, overwrite=True)
        self.ends_px = None
        if self._sheet is not None and isalive(self._sheet):  # type: ignore[no-untyped-call]
            self._sheet.hide()
            self._sheet.deleteLater()
        self._sheet = None
        self.changed.emit(False, sentence)

    @property
    def length_um(self) -> float | None:
        """Length of the line; None where there is none."""
        state = self._desk.session.current
        if self.ends_px is None or state is None or state.field.mpp is None:
            return None
        return math.dist(*self.ends_px) * state.field.mpp

    @property
    def text(self) -> str:
        """The length for a person; empty where there is no line."""
        length = self.length_um
        return "" if length is None else f"{length:.1f} µm" if length < 1000 else f"{length / 1000:.2f} mm"

    def _start(self) -> None:
        state, canvas = self._desk.session.current, canvas_of(self._desk.window)
        if canvas is None or state is None:
            self.changed.emit(False, "")
        elif state.field.mpp is None:
            self.changed.emit(False, UNKNOWN)
        else:
            self.on = True
            self._sheet = _Sheet(canvas, self)
            self._desk.viewer.bind_key("Escape", self._escaped, overwrite=True)
            self.changed.emit(True, HINT)

    def _escaped(self, _viewer: ViewerModel) -> None:
        self.stop()

    def drag(self, start: QPointF, end: QPointF) -> None:
        """The line lies between two places of the canvas."""
        self.ends_px = (self._field_place(start), self._field_place(end))
        self._draw()
        self.changed.emit(True, f"Length: {self.text}" if self.length_um else HINT)

    @property
    def ends(self) -> tuple[QPointF, QPointF] | None:
        """Where the line is on the canvas; None where it is not to be seen."""
        if not self.length_um or self.ends_px is None or self._desk.peek.on:
            return None
        start, end = (self._canvas_place(place) for place in self.ends_px)
        return start, end

    def _canvas_place(self, place_px: Place) -> QPointF:
        sheet, owner = self._sheet, self._desk.fields.layer(str(self._desk.session.active))
        assert sheet is not None
        y, x = (float(value) for value in owner.data_to_world(place_px)[-2:])
        zoom, (middle_y, middle_x) = self._camera.zoom, self._camera.center[-2:]
        return QPointF((x - middle_x) * zoom + sheet.width() / 2, (y - middle_y) * zoom + sheet.height() / 2)

    def _field_place(self, at: QPointF) -> Place:
        sheet, owner = self._sheet, self._desk.fields.layer(str(self._desk.session.active))
        assert sheet is not None
        zoom, (middle_y, middle_x) = self._camera.zoom, self._camera.center[-2:]
        world = (middle_y + (at.y() - sheet.height() / 2) / zoom, middle_x + (at.x() - sheet.width() / 2) / zoom)
        y, x = (float(value) for value in owner.world_to_data(world)[-2:])
        return y, x

    def _field_changed(self, *_: object) -> None:
        """A line is of one field: of another one, nothing was measured yet."""
        if self.on:
            state = self._desk.session.current
            if state is None or state.field.mpp is None:
                self.stop()
            else:
                self.ends_px = None
                self._draw()
                self.changed.emit(True, HINT)

    def _draw(self, *_: object) -> None:
        if self._sheet is not None and isalive(self._sheet):  # type: ignore[no-untyped-call]
            self._sheet.update()

    def _end(self) -> None:
        if self.on:
            self.stop()
        for moved in (self._camera.events.center, self._camera.events.zoom):
            moved.disconnect(self._draw)


class _Sheet(QWidget):
    """Over the whole canvas: takes the left button of the mouse, and lets everything else through."""

    def __init__(self, canvas: QWidget, line: MeasuringLine) -> None:
        super().__init__(canvas)
        self._line = line
        self._start: QPointF | None = None
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setGeometry(canvas.rect())
        canvas.installEventFilter(self)
        self.show()
        self.raise_()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Stay as large as the canvas."""
        canvas = self.parent()
        if event is not None and event.type() == QEvent.Type.Resize and isinstance(canvas, QWidget):
            self.setGeometry(canvas.rect())
        return False

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """A new line begins; the one before vanishes."""
        self._with_left(event, self._begin)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """The line follows."""
        self._with_left(event, self._follow)

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        """The line stays."""
        self._with_left(event, self._follow)
        self._start = None

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Esc ends it, whatever layer is active; napari has the other keys."""
        if event is not None and event.key() == Qt.Key.Key_Escape:
            self._line.stop()
        elif event is not None:
            event.ignore()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """The line between two ticks with a dark edge, and its length."""
        ends = self._line.ends
        if ends is None:
            return
        start, end = ends
        way = end - start
        length = math.hypot(way.x(), way.y()) or 1.0
        tick = QPointF(-way.y(), way.x()) * (TICK_PX / length)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for colour, width in ((DARK, 4.0), (COLOUR, 2.0)):
            painter.setPen(QPen(QColor(colour), width))
            for first, last in ((start, end), (start - tick, start + tick), (end - tick, end + tick)):
                painter.drawLine(first, last)
        box = painter.fontMetrics().boundingRect(self._line.text).adjusted(-5, -3, 5, 3)
        box.moveCenter((end + QPointF(0, box.height())).toPoint())
        box.moveLeft(min(max(box.left(), 0), self.width() - box.width()))
        box.moveTop(min(max(box.top(), 0), self.height() - box.height()))
        painter.fillRect(box, QColor(DARK))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, self._line.text)

    def _begin(self, at: QPointF) -> None:
        self._start = at
        self._line.drag(at, at)

    def _follow(self, at: QPointF) -> None:
        if self._start is not None:
            self._line.drag(self._start, at)

    def _with_left(self, event: QMouseEvent | None, act: Callable[[QPointF], None]) -> None:
        """Only the left button measures; napari has the others."""
        if event is None:
            return
        left = Qt.MouseButton.LeftButton
        if left in event.buttons() or event.button() == left:
            act(event.position())
        else:
            event.ignore()
