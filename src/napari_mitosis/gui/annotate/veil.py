"""Keeps what a detector found out of sight while a field is read blind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Layer
from qtpy.QtCore import QObject

from ...review.blind import BlindReadings
from ..places import OWNER_KEY
from .coverage_watch import UNSEEN
from .layer import NAME

if TYPE_CHECKING:
    from ..desk import Desk


class Veil(QObject):
    """Hides the result layers of fields that are read blind, and hides them again whoever shows them.

    Parameters
    ----------
    desk : Desk
    blind : BlindReadings
    parent : QObject
    """

    def __init__(self, desk: Desk, blind: BlindReadings, parent: QObject) -> None:
        super().__init__(parent)
        self._desk = desk
        self._blind = blind
        self._hidden: dict[Layer, bool] = {}
        blind.changed.connect(self._changed)
        desk.viewer.layers.events.inserted.connect(self._inserted)
        desk.viewer.layers.events.removed.connect(self._removed)
        desk.session.result_changed.connect(self._result_changed)

    def _changed(self, key: Any) -> None:
        if self._blind.blind(key):
            for layer in tuple(self._desk.viewer.layers):
                self._cover(layer)
        else:
            for layer in [one for one in self._hidden if one.metadata.get(OWNER_KEY) == str(key)]:
                self._uncover(layer)
        self._result_changed(key)

    def _inserted(self, event: Any) -> None:
        self._cover(event.value)

    def _cover(self, layer: Layer) -> None:
        """Hide a layer that tells something of a field that is read blind."""
        owner = layer.metadata.get(OWNER_KEY)
        own = layer.name.endswith((f": {NAME}", f": {UNSEEN}"))
        if owner is None or own or layer in self._hidden or not self._blind.blind(owner):
            return
        self._hidden[layer] = layer.visible
        layer.visible = False
        layer.events.visible.connect(self._shown)

    def _shown(self, event: Any) -> None:
        layer = event.source
        if layer.visible and layer in self._hidden:
            self._hidden[layer] = True
            layer.visible = False

    def _uncover(self, layer: Layer) -> None:
        visible = self._hidden.pop(layer)
        layer.events.visible.disconnect(self._shown)
        layer.visible = visible

    def _removed(self, event: Any) -> None:
        if event.value in self._hidden:
            del self._hidden[event.value]
            event.value.events.visible.disconnect(self._shown)

    def _result_changed(self, key: Any) -> None:
        """What is marked blind is marked without a model on screen, and the journal knows it."""
        session = self._desk.session
        notebook = self._desk.notebook(key) if key in session else None
        if notebook is None:
            return
        if self._blind.blind(key):
            notebook.set_context("", None)
        else:
            notebook.set_context(session[key].model or "", session[key].rule)

    def stop(self) -> None:
        """Show everything again, and follow no more."""
        self._blind.changed.disconnect(self._changed)
        for layer in tuple(self._hidden):
            self._uncover(layer)
        self._desk.viewer.layers.events.inserted.disconnect(self._inserted)
        self._desk.viewer.layers.events.removed.disconnect(self._removed)
        self._desk.session.result_changed.disconnect(self._result_changed)
