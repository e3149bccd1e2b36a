"""Real mouse events on napari's canvas, at places of a field."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from .conftest import camera_of

NONE, LEFT, SHIFT = Qt.MouseButton.NoButton, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier
PLAIN = Qt.KeyboardModifier.NoModifier


class Mouse:
    """A mouse over the canvas of a viewer.

    Parameters
    ----------
    viewer : napari.Viewer
    dock : QWidget
        Any widget in its window.
    layer : Image
        The field that places are of.
    """

    def __init__(self, viewer: Any, dock: Any, layer: Any) -> None:
        self.viewer, self.layer = viewer, layer
        canvases = [one for one in dock.window().findChildren(QOpenGLWidget) if one.isVisible()]
        self.canvas = max(canvases, key=lambda one: one.width() * one.height())

    def screen(self, y_px: float, x_px: float) -> QPointF:
        """Where on the canvas a place of the field is drawn."""
        camera = camera_of(self.viewer)
        y, x = self.layer.data_to_world((y_px, x_px))
        centre = camera.center[-2:]
        return QPointF(
            (x - centre[1]) * camera.zoom + self.canvas.width() / 2,
            (y - centre[0]) * camera.zoom + self.canvas.height() / 2,
        )

    def send(self, kind: Any, at: QPointF, held: Any, modifiers: Any = PLAIN) -> None:
        button = NONE if kind == QEvent.Type.MouseMove else LEFT
        place = QPointF(self.canvas.mapToGlobal(at))
        QApplication.sendEvent(self.canvas, QMouseEvent(kind, at, place, button, held, modifiers))

    def press(self, at: QPointF, modifiers: Any = PLAIN) -> None:
        self.send(QEvent.Type.MouseMove, at, NONE, modifiers)
        self.send(QEvent.Type.MouseButtonPress, at, LEFT, modifiers)

    def release(self, at: QPointF, modifiers: Any = PLAIN) -> None:
        self.send(QEvent.Type.MouseButtonRelease, at, NONE, modifiers)

    def click(self, y_px: float, x_px: float, modifiers: Any = PLAIN) -> None:
        at = self.screen(y_px, x_px)
        self.press(at, modifiers)
        self.release(at, modifiers)
        QTest.qWait(20)  # what was marked is drawn once the click is over

    def drag(self, start: tuple[float, float], end: tuple[float, float], steps: int = 8) -> None:
        """Press at one place of the field, move in steps and release where the other one was drawn at the start."""
        a, b = self.screen(*start), self.screen(*end)
        self.press(a)
        for step in range(1, steps + 1):
            QTest.qWait(15)  # movements in quick succession are dropped on the way to napari
            self.send(QEvent.Type.MouseMove, a + (b - a) * (step / steps), LEFT)
        self.release(b)
