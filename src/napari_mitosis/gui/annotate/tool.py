"""Click to annotate: a click marks, a drag of a figure moves it, a drag of tissue pans as ever."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from napari.layers import Layer
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from ...errors import MitosisError
from ...review.snap import snapped

if TYPE_CHECKING:
    from ...review.blind import BlindReadings
    from ..desk import Desk
    from .layer import AnnotationLayer

NEAR_UM = 5.0
"""A click this near a figure means the figure."""

CLICK_PX = 4.0
"""A press that moves less than this on the screen is a click."""

PAN = "pan_zoom"


class Marking(Protocol):
    """What a click needs: the field that is looked at, its figures, and how to mark, select and tell."""

    desk: Desk
    label: str
    blind: BlindReadings

    @property
    def key(self) -> Any: ...

    @property
    def current(self) -> AnnotationLayer | None: ...

    def mark(self, y_px: float, x_px: float, label: str) -> None: ...

    def select(self, figure: str) -> None: ...

    def say(self, text: str) -> None: ...


class ClickTool(QObject):
    """A mode in which clicks on the canvas annotate the active field, whichever layer is active.

    Parameters
    ----------
    marking : Marking
    parent : QObject

    Attributes
    ----------
    snap : bool
        Whether a click goes to the centroid of the blob under it.
    dragging : bool
        Whether a figure is being dragged now.
    toggled : Signal(bool)
    """

    toggled = Signal(bool)

    def __init__(self, marking: Marking, parent: QObject) -> None:
        super().__init__(parent)
        self._marking = marking
        self._viewer = marking.desk.viewer
        self._watched: Layer | None = None
        self._set_aside: list[Any] = []
        self.on = False
        self.snap = False
        self.dragging = False

    def set_on(self, on: bool) -> None:
        """Switch the mode on or off."""
        if on == self.on:
            return
        self.on = on
        viewer, active = self._viewer, self._viewer.layers.selection.events.active
        if on:
            viewer.mouse_drag_callbacks.append(self._pressed)
            # Two quick clicks are two marks, not a step of the zoom.
            self._set_aside = list(viewer.mouse_double_click_callbacks)
            viewer.mouse_double_click_callbacks.clear()
            active.connect(self._activated)
            self._watch(viewer.layers.selection.active)
        else:
            viewer.mouse_drag_callbacks.remove(self._pressed)
            viewer.mouse_double_click_callbacks[:0] = self._set_aside
            active.disconnect(self._activated)
            self._watch(None)
        viewer.cursor.style = "crosshair" if on else "standard"
        self.toggled.emit(on)

    # One tool at a time: a layer's own tool would act on the same click

    def _activated(self, event: Any) -> None:
        self._watch(event.value)
        self._viewer.cursor.style = "crosshair"

    def _watch(self, layer: Layer | None) -> None:
        if self._watched is not None:
            self._watched.events.mode.disconnect(self._mode_changed)
        self._watched = layer
        if layer is not None:
            if str(layer.mode) != PAN:
                layer.mode = PAN
            layer.events.mode.connect(self._mode_changed)

    def _mode_changed(self, event: Any) -> None:
        if str(event.mode) != PAN:
            self.set_on(False)

    # The mouse

    def _pressed(self, _viewer: object, event: Any) -> Iterator[None]:
        """napari runs this on press, after each yield on a movement, and at last on release."""
        if event.button != 1 or set(event.modifiers) - {"Shift"}:
            return
        figures, start = self._marking.current, np.array(event.pos, dtype=np.float64)
        if figures is None:
            self._marking.say("Open an RGB image to annotate; its journal is opened in a moment.")
            return
        figures.catch_up()  # the click before may not be drawn yet
        place = self._place(event)
        label = "mimic" if "Shift" in event.modifiers else self._marking.label
        figure = figures.near(*place, NEAR_UM)
        offset = (0.0, 0.0) if figure is None else _minus(figures.place(figure), place)
        moved = False
        camera = getattr(self._viewer, "scene", self._viewer).camera
        pans = camera.mouse_pan
        # Movements may be told late: by then the camera would have gone along.
        camera.mouse_pan = pans and figure is None
        yield
        while event.type == "mouse_move":
            moved = moved or _far(event.pos, start)
            if not moved:
                event.handled = True  # a click that trembles does not pan
            if figure is not None and moved:
                self.dragging = True
                figures.preview(figure, *_plus(self._place(event), offset))
            yield
        self.dragging = False
        camera.mouse_pan = pans
        moved = moved or _far(event.pos, start)  # a quick hand: not every movement is told
        if figure is not None and moved:
            self._drop(figures, figure, *_plus(self._place(event), offset))
        elif not moved:
            self._clicked(figures, figure, place, label)

    def _place(self, event: Any) -> tuple[float, float]:
        """Where the mouse is, in pixels of the active field."""
        owner = self._marking.desk.fields.layer(str(self._marking.key))
        y, x = owner.world_to_data(event.position)[-2:]
        return float(y), float(x)

    def _inside(self, figures: AnnotationLayer, y_px: float, x_px: float) -> bool:
        height, width = figures.notebook.field.shape
        return -0.5 <= y_px <= height - 0.5 and -0.5 <= x_px <= width - 0.5

    def _clicked(self, figures: AnnotationLayer, figure: str | None, place: tuple[float, float], label: str) -> None:
        marking = self._marking
        if figure is None and not self._inside(figures, *place):
            marking.say("That click was beyond the field: nothing was marked.")
            return
        marking.say("")
        state = marking.desk.session.current
        if figure is None and self.snap and state is not None and state.result is not None:
            if not marking.blind.blind(marking.key):
                place = snapped(state.result.evidence, *place)
            figure = figures.near(*place, NEAR_UM)
        if figure is None:
            marking.mark(*place, label)
        else:
            marking.select(figure)

    def _drop(self, figures: AnnotationLayer, figure: str, y_px: float, x_px: float) -> None:
        marking = self._marking
        if not self._inside(figures, y_px, x_px):
            figures.end_preview()
            marking.say("A figure lies within its field: it went back to where it was.")
            return
        try:
            figures.drop(figure, y_px, x_px)
            marking.select(figure)
            marking.say("")
        except MitosisError as error:
            figures.end_preview()
            marking.say(str(error))


def _far(pos: Any, start: NDArray[np.float64]) -> bool:
    return float(np.linalg.norm(np.asarray(pos, dtype=np.float64) - start)) >= CLICK_PX


def _minus(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    return first[0] - second[0], first[1] - second[1]


def _plus(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    return first[0] + second[0], first[1] + second[1]
