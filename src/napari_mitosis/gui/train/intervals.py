"""F of parent and child with their intervals, as two bars under each other."""

from __future__ import annotations

from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QFont, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from ...finetune.gate import Figures
from ..style import tinted
from .curves import PARENT

ROW_PX, NAME_PX, VALUE_PX = 24, 52, 42


class Intervals(QWidget):
    """A dot for F and a bar for its 95 % interval, for each of two versions, on one scale."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._rows: list[tuple[str, Figures, str]] = []

    def show_figures(self, parent: Figures, child: Figures, colour: str) -> None:
        """Show these; the new version in the colour of its verdict."""
        self._rows = [("parent", parent, PARENT), ("new", child, colour)]
        self.setToolTip("F with its 95 % interval, on tissue that the new version did not learn from")
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(240, ROW_PX * 2 + 16)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        if not self._rows:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        left, right = NAME_PX + 6.0, self.width() - VALUE_PX - 6.0
        low = min(0.9, max(0.0, min(f.low for _, f, _ in self._rows) - 0.05))

        def x(value: float) -> float:
            return left + (right - left) * (value - low) / (1 - low)

        self._scale(painter, x, low)
        for row, (name, figures, colour) in enumerate(self._rows):
            y = ROW_PX * (row + 0.5)
            colour = tinted(colour, self)
            bar = QColor(colour)
            painter.setPen(QColor(tinted(PARENT, self)))
            middle = Qt.AlignmentFlag.AlignVCenter
            painter.drawText(QRectF(0, y - 10, NAME_PX, 20), middle | Qt.AlignmentFlag.AlignLeft, name)
            bar.setAlpha(90)
            painter.setPen(QPen(bar, 7, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
            painter.drawLine(int(x(figures.low)), int(y), int(x(figures.high)), int(y))
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(colour))
            painter.drawEllipse(QRectF(x(figures.f) - 6, y - 6, 12, 12))
            bold = QFont(painter.font())
            bold.setBold(True)
            painter.save()
            painter.setFont(bold)
            painter.setPen(QColor(colour))
            place = QRectF(self.width() - VALUE_PX, y - 10, VALUE_PX, 20)
            painter.drawText(place, middle | Qt.AlignmentFlag.AlignRight, f"{figures.f:.2f}")
            painter.restore()
        painter.end()

    def _scale(self, painter: QPainter, x, low: float) -> None:  # type: ignore[no-untyped-def]
        small = QFont(painter.font())
        small.setPointSizeF(max(6.0, small.pointSizeF() * 0.8))
        painter.save()
        painter.setFont(small)
        for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
            if tick < low:
                continue
            at = int(x(tick))
            painter.setPen(QColor(127, 127, 127, 70))
            painter.drawLine(at, 2, at, 2 * ROW_PX)
            painter.setPen(QColor(tinted("#9aa3b2", self)))
            painter.drawText(QRectF(at - 16, 2 * ROW_PX + 1, 32, 14), Qt.AlignmentFlag.AlignCenter, f"{tick:g}")
        painter.restore()
