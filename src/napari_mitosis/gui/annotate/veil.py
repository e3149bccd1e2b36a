"""Keeps what a detector found out of sight while a field is read blind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Layer
from qtpy.QtCore import QObject

from ...review.blind import BlindReadings
from ..places import OWNER_KEY
from .cover import Cover
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
        self._cover = Cover(desk.viewer, self._tells)
        blind.changed.connect(self._changed)
        desk.session.result_changed.connect(self._result_changed)

    def _changed(self, key: Any) -> None:
        self._cover.follow()
        self._result_changed(key)

    def _tells(self, layer: Layer) -> bool:
        """Whether a layer tells something of a field that is read blind."""
        owner = layer.metadata.get(OWNER_KEY)
        reader_made = layer.name.endswith((f": {NAME}", f": {UNSEEN}"))
        return owner is not None and not reader_made and self._blind.blind(owner)

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
        self._desk.session.result_changed.disconnect(self._result_changed)
        self._cover.stop()
