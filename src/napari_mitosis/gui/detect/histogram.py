"""The scores of all candidates, with the score threshold as a line to drag."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QSizePolicy, QWidget

BINS = 40
KEPT, DROPPED, LINE = "#00c853", "#7d8590", "#ffb81c"


class ScoreHistogram(pg.PlotWidget):  # type: ignore[misc]
    """Bars of candidate scores: detections green, dropped candidates grey.

    `score_dragged` carries the score at which the line was dropped or is being dragged.
    """

    score_dragged = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, background=None)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(96)
        self.setMenuEnabled(False)
        self.setMouseEnabled(False, False)
        self.hideButtons()
        self.setToolTip("Scores of the candidates: detections green, dropped ones grey. Drag the line.")
        self.getPlotItem().getViewBox().setDefaultPadding(0.0)
        bottom, left = self.getAxis("bottom"), self.getAxis("left")
        bottom.setStyle(tickLength=-3, tickTextOffset=2)
        bottom.setTicks([[(v, f"{v:g}") for v in (0.0, 0.25, 0.5, 0.75, 1.0)]])
        left.setStyle(tickLength=-3, tickTextOffset=2)
        left.setWidth(26)
        for axis in (bottom, left):
            axis.setPen("#6b7280")
            axis.setTextPen("#b8bec9")
        self.setXRange(0.0, 1.0, padding=0.01)
        edges = np.linspace(0.0, 1.0, BINS + 1)
        x, width = (edges[:-1] + edges[1:]) / 2, 0.92 / BINS
        nothing = np.zeros(BINS)
        self._dropped = pg.BarGraphItem(x=x, height=nothing, width=width, brush=DROPPED, pen=None)
        self._kept = pg.BarGraphItem(x=x, height=nothing, width=width, brush=KEPT, pen=None)
        self._line = pg.InfiniteLine(
            0.5, angle=90, movable=True, bounds=(0.0, 1.0), pen=pg.mkPen(LINE, width=2),
            hoverPen=pg.mkPen("#ffffff", width=3),
        )  # fmt: skip
        self._line.setCursor(Qt.CursorShape.SizeHorCursor)
        for item in (self._dropped, self._kept, self._line):
            self.addItem(item)
        self._line.sigDragged.connect(self._dragged)
        self.counts = nothing

    def sizeHint(self) -> QSize:
        return QSize(240, 96)

    def minimumSizeHint(self) -> QSize:
        return QSize(120, 96)

    def line(self) -> float:
        """Where the line stands."""
        return float(self._line.value())

    def set_line(self, score: float) -> None:
        """Move the line without a signal."""
        self._line.setValue(score)

    def set_scores(self, candidates: NDArray[np.float64], detections: NDArray[np.float64]) -> None:
        """Show the scores of all candidates, and of those among them that are detections."""
        every, _ = np.histogram(candidates, BINS, (0.0, 1.0))
        kept, _ = np.histogram(detections, BINS, (0.0, 1.0))
        self.counts = every
        # Counts span 1 to thousands: a root keeps the lone candidates visible.
        dropped_top, kept_top = np.sqrt(np.maximum(every, kept)), np.sqrt(kept)
        self._kept.setOpts(height=kept_top)
        self._dropped.setOpts(y0=kept_top, height=dropped_top - kept_top)
        top = max(1, int(every.max(initial=0)))
        self.setYRange(0.0, np.sqrt(top) * 1.08, padding=0)
        self.getAxis("left").setTicks([[(0.0, "0"), (float(np.sqrt(top)), str(top))]])

    def _dragged(self) -> None:
        self.score_dragged.emit(self.line())
