"""How much of the queue is judged, and as what."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import QRectF
from qtpy.QtGui import QColor, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from ...review.judge import SKIPPED
from .table import COLOURS

HEIGHT_PX = 8


class JudgedBar(QWidget):
    """A bar in the colours of the decisions.

    Not a `QProgressBar`: that one draws the whole window, canvas included, at each new value.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._counts: dict[str, int] = {}
        self._total = 0
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(HEIGHT_PX)

    def show_counts(self, counts: Mapping[str, int], total: int) -> None:
        """Show how many are in each state, out of so many."""
        self._counts, self._total = dict(counts), total
        self.update()

    @property
    def text(self) -> str:
        """The count in words."""
        judged = sum(count for state, count in self._counts.items() if state != SKIPPED)
        return f"{judged} of {self._total} judged"

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """A stretch of the bar for each decision."""
        painter, left = QPainter(self), 0.0
        painter.fillRect(self.rect(), QColor(127, 127, 127, 60))
        for state, count in self._counts.items():
            width = self.width() * count / max(1, self._total)
            painter.fillRect(QRectF(left, 0, width, HEIGHT_PX), QColor(COLOURS[state]))
            left += width
