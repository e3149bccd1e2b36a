"""How much of the queue is judged, and as what."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from ...review.judge import SKIPPED
from .table import COLOURS

HEIGHT_PX = 8


class JudgedBar(QWidget):
    """A bar in the colours of the decisions, with the count above it.

    Not a `QProgressBar`: that one draws the whole window, canvas included, at each new value.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._counts: dict[str, int] = {}
        self._total = 0
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(self.fontMetrics().height() + HEIGHT_PX + 5)

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
        """Text above, bar below."""
        painter = QPainter(self)
        painter.setPen(self.palette().windowText().color())
        line = QRectF(0, 0, self.width(), self.fontMetrics().height() + 2)
        painter.drawText(line, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, self.text)
        percent = round(100 * sum(self._counts.values()) / self._total) if self._total else 0
        painter.setPen(QColor("#9aa3b2"))
        painter.drawText(line, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, f"{percent} %")
        top, left = self.height() - HEIGHT_PX, 0.0
        painter.fillRect(QRectF(0, top, self.width(), HEIGHT_PX), QColor(127, 127, 127, 60))
        for state, count in self._counts.items():
            width = self.width() * count / max(1, self._total)
            painter.fillRect(QRectF(left, top, width, HEIGHT_PX), QColor(COLOURS[state]))
            left += width
