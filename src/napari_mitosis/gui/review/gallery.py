"""The gallery: a thumbnail for each candidate, with its score and what is on record of it."""

from __future__ import annotations

from typing import Any

import pandas as pd
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractItemModel, QModelIndex, QRect, QSize, Qt
from qtpy.QtGui import QColor, QFont, QKeyEvent, QPainter, QPixmap, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from ...review.judge import LETTERS
from .reviewing import Reviewing
from .table import COLOURS, ROW_ROLE, CandidateModel, Index, ours
from .thumbnails import Thumbnails

SIDE_PX, SMALL_PX = 128, 96
"""Of a thumbnail; small where the window has no room for two rows of large ones."""

FRAME_PX = 4
CAPTION_PX = 17
GAP_PX = 2


def cell_of(side_px: int) -> QSize:
    """Room of a thumbnail of this side with its frame and caption."""
    width = side_px + 2 * FRAME_PX + GAP_PX
    return QSize(width, width + CAPTION_PX)


PRESENT_COLOUR = "#00e5ff"


def paint_badge(painter: QPainter, corner: QRect, state: str, side: int = 20) -> None:
    """The letter of a decision in the upper right corner of a picture; nothing where none was made."""
    if not LETTERS[state]:
        return
    painter.save()
    badge = QRect(corner.right() - side + 1, corner.top(), side, side)
    painter.fillRect(badge, QColor(COLOURS[state]))
    font = QFont(painter.font())
    font.setBold(True)
    font.setPixelSize(int(side * 0.72))
    painter.setFont(font)
    painter.setPen(QColor("#101418"))
    painter.drawText(badge, Qt.AlignmentFlag.AlignCenter, LETTERS[state])
    painter.restore()


def paint_thumbnail(painter: QPainter, place: QRect, picture: QPixmap | None) -> None:
    """A thumbnail, or a quiet square while it is being read."""
    if picture is None:
        painter.fillRect(place, QColor("#353b45"))
        return
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    painter.drawPixmap(place, picture)


class CandidateDelegate(QStyledItemDelegate):
    """Paints one candidate of the gallery.

    Parameters
    ----------
    reviewing : Reviewing
    thumbnails : Thumbnails
    parent : QWidget
    """

    def __init__(self, reviewing: Reviewing, thumbnails: Thumbnails, parent: QWidget) -> None:
        super().__init__(parent)
        self._reviewing = reviewing
        self._thumbnails = thumbnails
        self.side_px = SIDE_PX
        self._known: tuple[pd.DataFrame, pd.DataFrame, list[NDArray[Any]]] | None = None

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """All alike: the view need not ask each of them."""
        return cell_of(self.side_px)

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: Index) -> None:
        """Frame in the colour of the decision, thumbnail, letter, score."""
        row = index.data(ROW_ROLE)
        state_of = self._reviewing.desk.session.current
        if painter is None or row is None or state_of is None:
            return
        y_px, x_px, score, kept, state = (column[row] for column in self._columns())
        painter.save()
        cell = QRect(option.rect.topLeft(), cell_of(self.side_px) - QSize(GAP_PX, GAP_PX))
        framed = QRect(cell.left(), cell.top(), cell.width(), cell.width())
        picture = framed.adjusted(FRAME_PX, FRAME_PX, -FRAME_PX, -FRAME_PX)
        pixmap = self._thumbnails.get(self._reviewing.key, state_of.field, float(y_px), float(x_px))
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        if chosen:
            painter.fillRect(cell, QColor(PRESENT_COLOUR))
        painter.fillRect(framed.adjusted(2, 2, -2, -2) if chosen else framed, QColor(COLOURS[state]))
        paint_thumbnail(painter, picture, pixmap)
        paint_badge(painter, picture, state)
        caption = QRect(cell.left() + 4, framed.bottom() + 1, framed.width() - 8, CAPTION_PX)
        painter.setFont(option.font)
        painter.setPen(QColor("#101418" if chosen else "#d5dae2" if kept else "#9aa3b2"))
        number = self._number(index)
        left, right = Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignRight
        painter.drawText(caption, left | Qt.AlignmentFlag.AlignVCenter, f"{number}" if kept else f"{number}  below")
        painter.drawText(caption, right | Qt.AlignmentFlag.AlignVCenter, f"{score:.2f}")
        painter.restore()

    def _columns(self) -> list[NDArray[Any]]:
        """y_px, x_px, score, kept and state of all rows: asking a table for each cell takes longer than painting."""
        queue = self._reviewing.queue
        if self._known is None or self._known[0] is not queue.frame or self._known[1] is not queue.notes:
            columns = [queue.frame[name].to_numpy() for name in ("y_px", "x_px", "score", "kept")]
            self._known = queue.frame, queue.notes, [*columns, queue.notes["state"].to_numpy()]
        return self._known[2]

    def _number(self, index: Index) -> int:
        model: QAbstractItemModel | None = index.model()
        return model.number(index.data(ROW_ROLE)) if isinstance(model, CandidateModel) else index.row() + 1


class Gallery(QListView):
    """Thumbnails in rows; only what is in sight is read and painted.

    Parameters
    ----------
    model : CandidateModel
    reviewing : Reviewing
    thumbnails : Thumbnails
    parent : QWidget, optional
    """

    def __init__(
        self, model: CandidateModel, reviewing: Reviewing, thumbnails: Thumbnails, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setModel(model)
        self._delegate = CandidateDelegate(reviewing, thumbnails, self)
        self.setItemDelegate(self._delegate)
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(True)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMovement(QListView.Movement.Static)
        self.setUniformItemSizes(True)
        self.setGridSize(cell_of(SIDE_PX))
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)  # the table shares the selection
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setFrameShape(QListView.Shape.NoFrame)
        self.setMinimumHeight(cell_of(SMALL_PX).height())
        bar = self.verticalScrollBar()
        if bar is not None:
            bar.setSingleStep(cell_of(SMALL_PX).height() // 3)
        viewport = self.viewport()
        if viewport is not None:
            thumbnails.arrived.connect(viewport.update)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """As large as there is room for."""
        side_px = SIDE_PX if self.height() >= 2 * cell_of(SIDE_PX).height() else SMALL_PX
        if side_px != self._delegate.side_px:
            self._delegate.side_px = side_px
            self.setGridSize(cell_of(side_px))
        super().resizeEvent(event)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Letters are keys of the review, not a search."""
        if ours(event):
            super().keyPressEvent(event)
        elif event is not None:
            event.ignore()

    def show_index(self, index: QModelIndex) -> None:
        """Scroll as little as needed."""
        self.scrollTo(index, QAbstractItemView.ScrollHint.EnsureVisible)
