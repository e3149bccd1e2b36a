"""The detections of the active field one by one: which is centred, what is known of it, why it is one."""

from __future__ import annotations

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from ..desk import Desk
from ..why import Why, why_job
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

    def ask_why(self) -> None:
        """Compare the figure that is looked at with known ones, in a worker."""
        session = self._desk.session
        state = session.current
        if state is None or state.result is None or not len(state.result.detections):
            return
        if self.at < 0:
            self.go(1)
        row = state.result.detections.iloc[self.at]
        annotated = [
            (other.field, other.annotations)
            for other in (session[key] for key in session)
            if other.annotations is not None and other.field.mpp is not None
        ]
        point, device = (float(row["y_px"]), float(row["x_px"])), self._panel.run_panel.device.currentText()
        job = why_job(session, state.result.card.name, state.field, point, annotated, device)
        self.said.emit("Comparing with known figures…", False)
        self._desk.workers.start(job, succeeded=self._show_why, failed=self._failed)

    def _show_why(self, why: Why) -> None:
        self.said.emit("", False)
        self._panel.why_panel.show_why(why)

    def _failed(self, error: Exception) -> None:
        self.said.emit(str(error) or type(error).__name__, True)
