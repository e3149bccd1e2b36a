"""The step that compares a detection with known figures."""

from __future__ import annotations

import napari
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout

from ..page import Page
from .nearest import Why, WhyPanel, why_job

COMPARES = "mssn"
"""The detector that places figures in a space where alike ones are near."""

HOW = (
    "MSSN places figures in a space where alike ones are near. Choose a detection (click its ring, or go through "
    "them in Detect): the known mitoses and look-alikes that are nearest to it come up here."
)


class WhyPage(Page):
    """Shows the known figures nearest to the detection that was chosen last.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        super().__init__(viewer)
        self._chosen: tuple[str, int] | None = None
        self._running = False
        how = QLabel(HOW)
        how.setWordWrap(True)
        self.figure = QLabel()
        self.figure.setObjectName("faint")
        self.ask = QPushButton("Compare with known figures")
        self.ask.setObjectName("primary")
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setObjectName("faint")
        self.panel = WhyPanel()
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 6)
        for part in (how, self.figure, self.ask, self.message, self.panel):
            column.addWidget(part)
        column.addStretch(1)
        self.ask.clicked.connect(self.compare)
        session = self.desk.session
        self.desk.fields.picked.connect(self._picked)
        self.desk.blind.changed.connect(self._forget)
        for signal in (session.active_changed, session.result_changed):
            signal.connect(self._forget)
        self._show()

    def _picked(self, key: str, row: int) -> None:
        self._chosen = (key, row)
        self.panel.show_why(None)
        self._show()

    def _forget(self, *_: object) -> None:
        """Another result or field: the row means another figure."""
        self._chosen = None
        self.panel.show_why(None)
        self._show()

    def _why_not(self) -> str:
        session = self.desk.session
        state = session.current
        result = state.result if state is not None else None
        if state is None or result is None:
            return "Detect in this field first."
        if self.desk.blind.blind(session.active):
            return "This field is read blind: reveal it first."
        if result.card.detector != COMPARES:
            return "Only MSSN compares figures with known ones: detect with it."
        if not len(result.detections):
            return "Nothing was detected."
        return "A comparison is under way." if self._running else ""

    def _row(self) -> int:
        """Of the detection that was chosen, else of the first."""
        key = str(self.desk.session.active)
        return self._chosen[1] if self._chosen is not None and self._chosen[0] == key else 0

    def _show(self) -> None:
        why = self._why_not()
        self.ask.setEnabled(not why)
        self.ask.setToolTip(why or "Takes a few seconds")
        self.message.setText(why)
        state = self.desk.session.current
        if why or state is None or state.result is None:
            self.figure.setText("")
            return
        frame, row = state.result.detections, self._row()
        if row < len(frame):
            score = float(frame["score"].iloc[row])
            self.figure.setText(f"Detection {row + 1} of {len(frame)}, best first; score {score:.2f}")

    def compare(self) -> None:
        """Compare the chosen detection with known figures, in a worker."""
        session, row = self.desk.session, self._row()
        state = session.current
        if self._why_not() or state is None or state.result is None or row >= len(state.result.detections):
            return
        place = state.result.detections.iloc[row]
        annotated = [
            (other.field, other.annotations)
            for other in (session[key] for key in session)
            if other.annotations is not None and other.field.mpp is not None
        ]
        point = (float(place["y_px"]), float(place["x_px"]))
        job = why_job(session, state.result.card.name, state.field, point, annotated, "auto")
        self._running = True
        self._show()
        self.desk.workers.start(job, succeeded=self._came, failed=self._failed, cancelled=self._ended)

    def _came(self, why: Why) -> None:
        self._ended()
        self.panel.show_why(why)

    def _failed(self, error: Exception) -> None:
        self._ended()
        self.message.setText(str(error) or type(error).__name__)

    def _ended(self) -> None:
        self._running = False
        self._show()
