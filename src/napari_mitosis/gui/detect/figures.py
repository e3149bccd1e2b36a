"""The detections of the active field one by one: which is centred, and what is known of it."""

from __future__ import annotations

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from ..desk import Desk
from .panel import DetectPanel
from .results import CentroidBoxes, ResultView


class Figures(QObject):
    """Goes from detection to detection, and answers what is asked of one.

    Parameters
    ----------
    desk : Desk
    panel : DetectPanel
    view : ResultView
    parent : QObject

    Attributes
    ----------
    at : int
        Row of the detection that is centred; -1: none.
    said : Signal(str, bool)
        Something to tell; whether it is an error.
    """

    said = Signal(str, bool)

    def __init__(self, desk: Desk, panel: DetectPanel, view: ResultView, parent: QObject) -> None:
        super().__init__(parent)
        self._desk = desk
        self._panel = panel
        self._view = view
        self.at = -1
        desk.fields.picked.connect(self._picked)

    def go(self, step: int) -> None:
        """Centre the next (1) or previous (-1) detection, best score first."""
        session = self._desk.session
        state = session.current
        if state is None or state.result is None or not len(state.result.detections):
            return
        if self._desk.blind.blind(session.active):
            return
        frame = state.result.detections
        self.at = (self.at + step) % len(frame) if self.at >= 0 else (0 if step > 0 else len(frame) - 1)
        row = frame.iloc[self.at]
        self._tell()
        results = self._desk.fields.results(str(session.active))
        results.look_at(self.at, (float(row["y_px"]), float(row["x_px"])))

    def _picked(self, key: str, at: int) -> None:
        """A detection was selected in its layer: tell of it where it is."""
        state = self._desk.session.current
        known = state is not None and state.result is not None and at < len(state.result.detections)
        if key == self._desk.session.active and known and at != self.at:
            self.at = at
            self._tell()

    def _tell(self) -> None:
        state = self._desk.session.current
        if state is not None and state.result is not None:
            frame = state.result.detections
            figure = {str(name): float(value) for name, value in frame.iloc[self.at].items()}
            self._panel.show_position(self.at, len(frame), figure)

    def make_boxes(self) -> None:
        """Boxes from centroids, in a worker."""
        job = self._view.centroid_boxes()
        if job is not None:
            self._desk.workers.start(job, succeeded=self._show_boxes, failed=self._failed)

    def _show_boxes(self, boxes: CentroidBoxes) -> None:
        self.said.emit(self._view.show_centroid_boxes(boxes), False)

    def _failed(self, error: Exception) -> None:
        self.said.emit(str(error) or type(error).__name__, True)
