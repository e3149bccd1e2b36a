"""What the docks that annotate share: a layer of figures for each open field, the selected one, the click tool."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QApplication

from ...annotations.actions import timestamp, utc_now
from ...review.blind import BlindReading
from ..grave import Grave
from .coverage_watch import CoverageWatch
from .layer import AnnotationLayer
from .tool import ClickTool
from .veil import Veil

if TYPE_CHECKING:
    from ...annotations.notebook import Notebook
    from ..desk import Desk

PAUSE_MS = 150
WATCH_MS = 1000
"""How often layers are compared with what they showed: arrays can be written to without a word."""


class Annotating(QObject):
    """Annotation of one viewer's fields; it belongs to its desk. Use `annotating_of`.

    Parameters
    ----------
    desk : Desk

    Attributes
    ----------
    layers : dict of key to AnnotationLayer
        Of the fields whose notebooks are open.
    tool : ClickTool
    blind : BlindReadings
    coverage : CoverageWatch
    label : str
        Of what is marked next.
    figure : str
        The figure of the active field that is selected alone, or an empty text.
    changed : Signal()
        Figures of the active field, or which field that is, changed.
    result_changed : Signal()
        Another result, another rule, or none any more.
    selected : Signal(str)
        Another figure of the active field is selected.
    aimed : Signal(float, float, str)
        A place of the active field is looked at, and the figure that it is, or an empty text: the review follows.
    said : Signal(str)
        What could not be done, or an empty text.
    shown : Signal(bool)
        Whether the layers are shown.
    """

    changed = Signal()
    result_changed = Signal()
    selected = Signal(str)
    aimed = Signal(float, float, str)
    said = Signal(str)
    shown = Signal(bool)

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.desk = desk
        self.layers: dict[Any, AnnotationLayer] = {}
        self.label = "mitosis"
        self.figure = ""
        self.visible = True
        self.blind = desk.blind
        self._grave = Grave(desk.viewer, self)
        self.coverage = CoverageWatch(desk, self)
        self.veil = Veil(desk, self.blind, self)
        self.tool = ClickTool(self, self)
        self._watch = QTimer(self)
        self._watch.setInterval(WATCH_MS)
        self._watch.timeout.connect(self._watch_layers)
        self._watch.start()
        self._patient = False
        self._to_select = ""
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(PAUSE_MS)
        self._soon.timeout.connect(self._catch_up)
        desk.notebook_changed.connect(self._notebook_changed)
        desk.noted.connect(self._noted)
        desk.closed.connect(self.shutdown)
        desk.viewer.layers.events.removed.connect(self._layer_removed)
        desk.session.result_changed.connect(self._result_changed)
        self.blind.changed.connect(self._blind_changed)
        self._follow()

    # Fields

    @property
    def key(self) -> Any:
        """The field that is looked at, or None."""
        return self.desk.session.active

    @property
    def current(self) -> AnnotationLayer | None:
        """The figures of the field that is looked at; None while its notebook is being opened."""
        return self.layers.get(self.key)

    @property
    def notebook(self) -> Notebook | None:
        """The notebook of the field that is looked at; None while it is being opened."""
        return self.current.notebook if self.current is not None else None

    def _notebook_changed(self, _key: object) -> None:
        self._follow()
        self._set_figure("")
        self.changed.emit()

    def _follow(self) -> None:
        """A layer for each field whose notebook is there, the active one's to be seen."""
        desk = self.desk
        for key in [key for key in self.layers if key not in desk.session]:
            self._close(key)
            self.blind.forget(key)
        for key in desk.session:
            notebook = desk.notebook(key)
            known = self.layers.get(key)
            if known is not None and known.notebook is not notebook:
                self._close(key)
            if notebook is not None and key not in self.layers:
                self.layers[key] = self._opened(key, notebook)
        self._show_active()

    def _opened(self, key: Any, notebook: Notebook) -> AnnotationLayer:
        def selected(figure: str) -> None:
            if key == self.key:
                self._set_figure(figure)

        owner = self.desk.fields.layer(str(key))
        return AnnotationLayer(self.desk.viewer, owner, notebook, lambda: self.label, selected, self.say)

    def _close(self, key: Any) -> None:
        self._grave.bury(self.layers.pop(key).close())

    def _show_active(self) -> None:
        viewer = self.desk.viewer
        side_by_side = bool(getattr(viewer, "canvas", viewer).grid.enabled)
        for key, layer in self.layers.items():
            here = key == self.key or side_by_side
            if here or layer.points is not None:
                layer.show(here and self.visible)

    def _layer_removed(self, event: Any) -> None:
        for key, layer in self.layers.items():
            if layer.gone(event.value) and key == self.key:
                self.visible = False
                self.shown.emit(False)

    def set_visible(self, visible: bool) -> None:
        """Show the figures, or hide them; a layer that was deleted comes back."""
        self.visible = visible
        self._show_active()
        self.shown.emit(visible)

    @contextmanager
    def later(self, pause_ms: int = PAUSE_MS) -> Iterator[None]:
        """Show what is noted in here in the next pause of the reader: layers take longer than judging with a key."""
        self._patient = True
        for layer in self.layers.values():
            layer.patient = True
        try:
            yield
        finally:
            self._patient = False
            for layer in self.layers.values():
                layer.patient = False
            self._soon.start(pause_ms)

    def _catch_up(self) -> None:
        for layer in tuple(self.layers.values()):
            layer.catch_up()
        figure, self._to_select = self._to_select, ""
        if figure:
            self.select(figure)
        self.changed.emit()

    def mark(self, y_px: float, x_px: float, label: str) -> None:
        """Mark a figure in the active field and select it: on disk at once, on screen as soon as the click is over."""
        if self.notebook is not None:
            with self.later(0):
                self._to_select = self.notebook.add(y_px, x_px, label)

    def _noted(self, key: Any, _change: object) -> None:
        if key != self.key or self._patient:
            return
        if self.figure and self.notebook is not None and self.notebook.figure(self.figure) is None:
            self._set_figure("")
        self.changed.emit()

    def _result_changed(self, _key: object) -> None:
        self.result_changed.emit()

    def set_mode(self, on: bool) -> None:
        """Switch click-to-annotate on or off; on, the figures are seen."""
        if on and not self.visible:
            self.set_visible(True)
        self.tool.set_on(on)

    # The selected figure

    def select(self, figure: str) -> None:
        """Select a figure of the active field; an empty text: none. Selected again, it is looked at again."""
        if self.current is not None:
            self.current.select(figure)
            if figure and figure == self.figure:
                self.selected.emit(figure)
            self._set_figure(figure)

    def _set_figure(self, figure: str) -> None:
        if figure != self.figure:
            self.figure = figure
            self.selected.emit(figure)

    def set_label(self, label: str) -> None:
        """The label of what is marked next."""
        self.label = label

    def say(self, text: str) -> None:
        """Tell the reader something, in the docks and in the window's status."""
        self.said.emit(text)
        if text:
            self.desk.viewer.status = text

    def _watch_layers(self) -> None:
        at_rest = QApplication.mouseButtons() == Qt.MouseButton.NoButton and not self.tool.dragging
        for layer in tuple(self.layers.values()):
            layer.take_in(at_rest=at_rest)

    # Blind first

    def start_blind(self) -> BlindReading | None:
        """Begin a blind reading of the active field; None while its notebook is being opened."""
        notebook = self.notebook
        if notebook is None:
            return None
        return self.blind.start(self.key, self.desk.reader, timestamp(utc_now()), notebook.figures)

    def reveal(self) -> BlindReading | None:
        """End the blind reading of the active field."""
        notebook = self.notebook
        if notebook is None:
            return None
        return self.blind.reveal(self.key, timestamp(utc_now()), notebook.figures)

    def _blind_changed(self, key: Any) -> None:
        layer = self.layers.get(key)
        reading = self.blind.get(key)
        if layer is not None:
            hidden = reading.before if reading is not None and reading.blind else None
            layer.set_filter(None if hidden is None else lambda figures: ~figures["figure"].isin(hidden))
        self.changed.emit()

    # The end

    def shutdown(self) -> None:
        """Take the layers away: without a journal behind them, changes would be lost."""
        self._watch.stop()
        self._soon.stop()
        self.tool.set_on(False)
        self.coverage.stop()
        self.veil.stop()
        viewer = self.desk.viewer
        viewer.layers.events.removed.disconnect(self._layer_removed)
        self.desk.notebook_changed.disconnect(self._notebook_changed)
        self.desk.noted.disconnect(self._noted)
        self.desk.session.result_changed.disconnect(self._result_changed)
        for key in tuple(self.layers):
            self._close(key)
        self._grave.bury_now()


def annotating_of(desk: Desk) -> Annotating:
    """The annotation of a desk's viewer; made when first asked for."""
    annotating = desk.findChild(Annotating)
    return annotating if isinstance(annotating, Annotating) else Annotating(desk)
