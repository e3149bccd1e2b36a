"""The whole slide in a corner of the dock, with what the canvas shows as a rectangle; a click goes there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRectF, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QWidget

from ...fields.field import Field

_WIDTH, _HEIGHT = 240, 180


class Overview(QWidget):
    """Thumbnail with the visible rectangle.

    Attributes
    ----------
    clicked : Signal(float, float)
        Where on the slide, (y, x) in pixels of level 0.
    """

    clicked = Signal(float, float)

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(_HEIGHT)
        self.setMinimumWidth(_WIDTH)
        self._image: QImage | None = None
        self._shape = (1, 1)
        self._visible = QRectF()

    def show_slide(self, thumbnail: NDArray[np.uint8], shape: tuple[int, int]) -> None:
        """Show another slide."""
        pixels = np.ascontiguousarray(thumbnail)
        height, width = pixels.shape[:2]
        self._image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()
        self._shape = shape
        self.update()

    def show_visible(self, y0: float, y1: float, x0: float, x1: float) -> None:
        """Draw what the canvas shows, in pixels of level 0."""
        self._visible = QRectF(x0, y0, x1 - x0, y1 - y0)
        self.update()

    def _zoom(self) -> float:
        return min(self.width() / self._shape[1], self.height() / self._shape[0])

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw thumbnail and rectangle."""
        if self._image is None:
            return
        painter = QPainter(self)
        zoom = self._zoom()
        painter.drawImage(QRectF(0, 0, self._shape[1] * zoom, self._shape[0] * zoom), self._image)
        seen = self._visible
        painter.setPen(QPen(QColor("#d81b60"), 2))
        painter.drawRect(
            QRectF(seen.x() * zoom, seen.y() * zoom, max(4, seen.width() * zoom), max(4, seen.height() * zoom))
        )
        painter.end()

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Tell where the reader wants to look."""
        if event is not None and self._image is not None and event.button() == Qt.MouseButton.LeftButton:
            zoom = self._zoom()
            self.clicked.emit(event.position().y() / zoom, event.position().x() / zoom)


def thumbnail_of(field: Field) -> NDArray[np.uint8]:
    """The smallest level of a slide, at most 1,000 pixels wide or high."""
    level = len(field.levels) - 1
    rows, columns = field.levels[level].shape[:2]
    step = max(1, -(-max(rows, columns) // 1000))
    return np.ascontiguousarray(field.read(0, rows, 0, columns, level)[::step, ::step])
