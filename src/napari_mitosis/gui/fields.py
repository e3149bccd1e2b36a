"""Keeps a session's open fields and the viewer's layers in step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Layer
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]
from qtpy.QtOpenGLWidgets import QOpenGLWidget

from ..errors import FieldError
from ..session import Session
from .field_layer import annotations_of, field_of_layer, is_field_layer, layer_mpp
from .grave import Grave
from .layers import FieldLayers, result_owner
from .units import HonestScaleBar, agree


class OpenFields(QObject):
    """Every RGB image layer is an open field; its result layers come and go with it.

    Parameters
    ----------
    viewer : ViewerModel
    session : Session
    parent : QObject
        It ends with this.

    Attributes
    ----------
    changed : Signal()
        A field was opened, closed or renamed.
    refused : Signal(str)
        An RGB layer cannot be a field, and why.
    picked : Signal(str, int)
        A detection was selected: the field and its row.
    """

    changed = Signal()
    refused = Signal(str)
    picked = Signal(str, int)

    def __init__(self, viewer: ViewerModel, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session = session
        self._owners: dict[str, Image] = {}
        self._results: dict[str, FieldLayers] = {}
        self.grave = Grave(viewer, self)
        self._scale_bar = HonestScaleBar(viewer)
        session.active_changed.connect(self._agree)
        layers = viewer.layers
        layers.events.inserted.connect(self._inserted)
        layers.events.removing.connect(self._removing)
        layers.events.removed.connect(self._removed)
        layers.selection.events.active.connect(self._selected)
        for layer in tuple(layers):
            self._open(layer)
        self._follow(layers.selection.active)

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._owners))

    def layer(self, key: str) -> Image:
        """The layer of an open field."""
        return self._owners[key]

    def results(self, key: str) -> FieldLayers:
        """The result layers of an open field."""
        return self._results[key]

    def choose(self, key: str) -> None:
        """Make a field the active one, in the session and in the layer list."""
        if key not in self._owners:
            return
        self._viewer.layers.selection.active = self._owners[key]
        self._session.activate(key)

    def show_only(self, key: str | None, wanted: dict[str, bool]) -> None:
        """Show the active field with its results, and hide the others, unless the grid shows all side by side."""
        # napari 0.9 moved the grid; older ones have it at the viewer itself.
        side_by_side = bool(getattr(self._viewer, "canvas", self._viewer).grid.enabled)
        for other, owner in self._owners.items():
            here = other == key or side_by_side
            owner.visible = here
            self._results[other].show(wanted if here else None)

    def disconnect_all(self) -> None:
        """Stop following the viewer."""
        self.grave.bury_now()
        self._session.active_changed.disconnect(self._agree)
        layers = self._viewer.layers
        layers.events.inserted.disconnect(self._inserted)
        layers.events.removing.disconnect(self._removing)
        layers.events.removed.disconnect(self._removed)
        layers.selection.events.active.disconnect(self._selected)
        for owner in self._owners.values():
            self._unwatch(owner)
        self._owners.clear()
        self._results.clear()

    def _inserted(self, event: Any) -> None:
        self._open(event.value)

    def _open(self, layer: Layer) -> None:
        key = str(layer.unique_id)
        if not is_field_layer(layer) or key in self._owners:
            return
        try:
            field = field_of_layer(layer)
        except FieldError as error:
            self.refused.emit(str(error))
            return
        self._owners[key] = layer
        self._results[key] = FieldLayers(self._viewer, layer, self.grave.bury, lambda row: self.picked.emit(key, row))
        layer.events.name.connect(self._renamed)
        layer.events.scale.connect(self._measured)
        layer.events.units.connect(self._measured)
        layer.events.data.connect(self._repainted)
        self._session.open(key, field, annotations_of(layer.metadata))
        self._agree()
        self.changed.emit()

    def _unwatch(self, layer: Image) -> None:
        layer.events.name.disconnect(self._renamed)
        layer.events.scale.disconnect(self._measured)
        layer.events.units.disconnect(self._measured)
        layer.events.data.disconnect(self._repainted)

    def _removed(self, event: Any) -> None:
        key = str(event.value.unique_id)
        owner = self._owners.pop(key, None)
        if owner is None:
            return
        self._unwatch(owner)
        results = self._results.pop(key)
        self._session.close(key)
        self._agree()
        self.changed.emit()
        results.remove()

    def _removing(self, _event: Any) -> None:
        """Make the canvas's OpenGL context current before a layer goes.

        napari 0.9 frees a layer's buffers at once, in whichever context is current. That may be the window's own,
        and then the next drawing crashes (seen with Mesa).
        """
        window: QObject | None = self.parent()
        while window is not None and window.parent() is not None:
            window = window.parent()
        for canvas in window.findChildren(QOpenGLWidget) if window is not None else ():
            canvas.makeCurrent()

    def _agree(self, *_: object) -> None:
        """Units of one kind in all fields, and no scale bar where they say nothing."""
        agree(self._owners.values())
        self._scale_bar.follow(self._owners.get(str(self._session.active)))

    def _renamed(self, event: Any) -> None:
        key = str(event.source.unique_id)
        self._results[key].renamed()
        self._session.rename(key, event.source.name)
        self.changed.emit()

    def _measured(self, event: Any) -> None:
        key = str(event.source.unique_id)
        mpp = layer_mpp(event.source)
        known = self._session[key].field.mpp
        if mpp is not None and (known is None or abs(known - mpp) > 1e-9):
            self._session.set_mpp(key, mpp)
        self._agree()

    def _repainted(self, event: Any) -> None:
        """The pixels are others now: what was seen in the old ones is no longer true."""
        key = str(event.source.unique_id)
        try:
            self._session.replace_field(key, field_of_layer(event.source))
        except FieldError as error:
            self.refused.emit(str(error))

    def _selected(self, event: Any) -> None:
        self._follow(event.value)

    def _follow(self, layer: Layer | None) -> None:
        """The active layer decides which field is looked at: a field's own layer, or one of its results."""
        if layer is None:
            return
        for key in (str(layer.unique_id), result_owner(layer)):
            if key is not None and key in self._owners and key in self._session:
                self._session.activate(key)
                return
