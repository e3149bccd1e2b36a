"""Keeps layers out of sight for a while, whoever shows them meanwhile, and gives each back as it would be by then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.components import ViewerModel
from napari.layers import Layer

Wanted = Callable[[Layer], bool]


class Cover:
    """Hides the layers that `wanted` names. Of one that is shown meanwhile, it is remembered, and it stays hidden.

    Parameters
    ----------
    viewer : ViewerModel
    wanted : callable
        Whether a layer is to be hidden now. Layers that come later are asked, too.
    """

    def __init__(self, viewer: ViewerModel, wanted: Wanted) -> None:
        self._viewer = viewer
        self._wanted = wanted
        self._hidden: dict[Layer, bool] = {}
        viewer.layers.events.inserted.connect(self._inserted)
        viewer.layers.events.removed.connect(self._removed)

    def follow(self) -> None:
        """What is wanted is another now: hide what is to be hidden, show the rest as it was to be."""
        for layer in tuple(self._viewer.layers):
            hidden, wanted = layer in self._hidden, self._wanted(layer)
            if wanted and not hidden:
                self._hide(layer)
            elif hidden and not wanted:
                self._show(layer)

    def _inserted(self, event: Any) -> None:
        if self._wanted(event.value):
            self._hide(event.value)

    def _hide(self, layer: Layer) -> None:
        self._hidden[layer] = layer.visible
        layer.visible = False
        layer.events.visible.connect(self._shown)

    def _shown(self, event: Any) -> None:
        layer = event.source
        if layer.visible and layer in self._hidden:
            self._hidden[layer] = True
            layer.visible = False

    def _show(self, layer: Layer) -> None:
        visible = self._hidden.pop(layer)
        layer.events.visible.disconnect(self._shown)
        layer.visible = visible

    def _removed(self, event: Any) -> None:
        if self._hidden.pop(event.value, None) is not None:
            event.value.events.visible.disconnect(self._shown)

    def stop(self) -> None:
        """Show everything as it was to be, and follow no more."""
        for layer in tuple(self._hidden):
            self._show(layer)
        self._viewer.layers.events.inserted.disconnect(self._inserted)
        self._viewer.layers.events.removed.disconnect(self._removed)
