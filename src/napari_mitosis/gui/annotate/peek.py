"""One held key hides everything that lies over the tissue."""

from __future__ import annotations

from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from ..places import OWNER_KEY
from .cover import Cover


class OverlayPeek(QObject):
    """While it is on, no layer that was made over a field is seen; off, each is as it would be without it.

    Parameters
    ----------
    viewer : ViewerModel
    parent : QObject

    Attributes
    ----------
    on : bool
    changed : Signal(bool)
        What is drawn over the canvas beside layers follows this.
    """

    changed = Signal(bool)

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self.on = False
        self._cover = Cover(viewer, self._over_tissue)

    def set_on(self, on: bool) -> None:
        """Look at the tissue alone, or no longer."""
        if on != self.on:
            self.on = on
            self._cover.follow()
            self.changed.emit(on)

    def _over_tissue(self, layer: Layer) -> bool:
        return self.on and OWNER_KEY in layer.metadata

    def stop(self) -> None:
        """Show everything again, and follow no more."""
        self.set_on(False)
        self._cover.stop()
