"""Nothing but tissue while a key is held down."""

from __future__ import annotations

from napari.layers import Layer
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QWidget

from .desk import Desk


class Bare:
    """Hides every layer that is no field, and every mark over the canvas, and brings them back.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._layers: list[Layer] = []
        self._marks: list[QWidget] = []

    def hide(self) -> None:
        """Hide all that is seen; what was hidden stays."""
        if self._layers or self._marks:
            return  # the key repeats
        viewer, fields = self._desk.viewer, self._desk.fields
        owners = {fields.layer(key) for key in fields}
        self._layers = [layer for layer in viewer.layers if layer.visible and layer not in owners]
        for layer in self._layers:
            layer.visible = False
        for canvas in self._desk.window.findChildren(QOpenGLWidget):
            self._marks += [mark for mark in canvas.children() if isinstance(mark, QWidget) and mark.isVisible()]
        for mark in self._marks:
            mark.hide()

    def show(self) -> None:
        """Bring back what was hidden."""
        layers, self._layers = self._layers, []
        marks, self._marks = self._marks, []
        for layer in layers:
            if layer in self._desk.viewer.layers:
                layer.visible = True
        for mark in marks:
            mark.show()
