"""Layers that are to go, but not now: the list of layers may be in the middle of clearing itself."""

from __future__ import annotations

from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import QObject, QTimer


class Grave(QObject):
    """Removes layers from a viewer in the next turn of the event loop.

    Parameters
    ----------
    viewer : ViewerModel
    parent : QObject
        It ends with this.
    """

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: list[Layer] = []
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.bury_now)

    def bury(self, *layers: Layer | None) -> None:
        """Remove layers soon; None is nothing to remove."""
        self._layers += [layer for layer in layers if layer is not None]
        if self._layers:
            self._timer.start()

    def bury_now(self) -> None:
        """Remove what waits."""
        self._timer.stop()
        layers, self._layers = self._layers, []
        for layer in layers:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
