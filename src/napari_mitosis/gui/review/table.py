"""The candidates as a model that gallery and table share, and the table."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt
from qtpy.QtGui import QBrush, QColor, QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from ...review.judge import LETTERS
from ...review.target import CANDIDATES
from ...review.words import name_of
from ..annotate.looks import LOOKS
from .reviewing import Reviewing

HEADERS: tuple[tuple[str, str], ...] = (
    ("#", "Place in the queue"),
    ("Score", "The detector's score"),
    ("Area", "Area of the candidate, µm²"),
    ("Decision", "What is on record"),
    ("Phase", "Phase of the mitosis"),
    ("Reader", "Who judged it last"),
)

COLOURS: Mapping[str, str] = MappingProxyType(
    {"undecided": "#97a0ae", **{label: look.colour for label, look in LOOKS.items()}, "skipped": "#b48cff"}
)
"""Of decisions, as in the layer of annotations; each has its letter, too."""

ROW_ROLE = int(Qt.ItemDataRole.UserRole) + 1
"""Row of the queue's frame."""

Index = QModelIndex | QPersistentModelIndex
_NOWHERE = QModelIndex()


class CandidateModel(QAbstractTableModel):
    """A list of candidates in its order, all or those in one state; nothing is copied out of the queue.

    Parameters
    ----------
    reviewing : Reviewing
    parent : QObject
    name : str
        Which list: `target.CANDIDATES` or `target.SECOND`.
    """

    def __init__(self, reviewing: Reviewing, parent: QObject, name: str = CANDIDATES) -> None:
        super().__init__(parent)
        self._reviewing = reviewing
        self.name = name
        self._wanted: str | None = None
        self.rows: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._places: dict[int, int] = {}
        self._order: dict[int, int] = {}
        self._queue: object = None

    def rowCount(self, parent: Index = _NOWHERE) -> int:
        """Candidates that are shown."""
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = _NOWHERE) -> int:
        """Columns of the table."""
        return 0 if parent.isValid() else len(HEADERS)

    def data(self, index: Index, role: int = int(Qt.ItemDataRole.DisplayRole)) -> Any:
        """What a cell shows."""
        stale = self._queue is not self._reviewing.queue.frame  # the field is closed, or its queue a moment ahead
        if stale or not index.isValid() or index.row() >= len(self.rows):
            return None
        row = int(self.rows[index.row()])
        if role == ROW_ROLE:
            return row
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(row, index.column())
        if role == Qt.ItemDataRole.ForegroundRole and index.column() == 3:
            return QBrush(QColor(COLOURS[self._reviewing.queue.notes["state"].iloc[row]]))
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if index.column() < 3 else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = int(Qt.ItemDataRole.DisplayRole)
    ) -> Any:
        """Heads of the columns."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return HEADERS[section][0]
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.ToolTipRole:
            return HEADERS[section][1]
        return None

    def _text(self, row: int, column: int) -> str:
        queue = self._reviewing.queue
        if column == 0:
            return str(self.number(row))
        if column == 1:
            return f"{queue.frame['score'].iloc[row]:.2f}"
        if column == 2:
            return f"{queue.frame['area_um2'].iloc[row]:.0f}"
        if column == 3:
            state = str(queue.notes["state"].iloc[row])
            return f"{LETTERS[state]}  {name_of(state)}" if LETTERS[state] else "·"
        return str(queue.notes["phase" if column == 4 else "reader"].iloc[row])

    def number(self, row: int) -> int:
        """Place of a candidate in the queue, from 1; 0 where it is not in it."""
        return self._order.get(row, -1) + 1

    def index_of(self, row: int | None) -> QModelIndex:
        """Where a candidate is shown; an invalid index where it is not."""
        at = self._places.get(row) if row is not None else None
        return self.index(at, 0) if at is not None else QModelIndex()

    def show_only(self, wanted: str | None) -> None:
        """Show the candidates in one state, or all."""
        self._wanted = wanted
        self.follow()

    def follow(self) -> None:
        """Bring the model up to date with the queue, with as little ado as possible: views keep their place."""
        queue = self._reviewing.queue
        rows = queue.with_state(self._wanted, self.name)
        old = self.rows
        same_queue = self._queue is queue.frame
        if same_queue and np.array_equal(rows, old):
            self._number(rows)
            if len(rows):
                self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, len(HEADERS) - 1))
        elif same_queue and len(rows) == len(old) - 1 and np.isin(rows, old).all():
            at = int(np.flatnonzero(~np.isin(old, rows))[0])
            if np.array_equal(np.delete(old, at), rows):
                self.beginRemoveRows(QModelIndex(), at, at)
                self._number(rows)
                self.endRemoveRows()
            else:
                self._reset(rows)
        else:
            self._reset(rows)
        self._queue = queue.frame

    def _reset(self, rows: NDArray[np.int64]) -> None:
        self.beginResetModel()
        self._number(rows)
        self.endResetModel()

    def _number(self, rows: NDArray[np.int64]) -> None:
        self.rows = rows
        self._places = {int(row): at for at, row in enumerate(rows)}
        self._order = {int(row): at for at, row in enumerate(self._reviewing.queue.listed(self.name))}


def ours(event: QKeyEvent | None) -> bool:
    """Whether a list should take a key: arrows move in it, all the others belong to the viewer."""
    arrows = (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Left, Qt.Key.Key_Right)
    return event is not None and event.key() in arrows


class CandidateTable(QTableView):
    """A line for each candidate.

    Parameters
    ----------
    model : CandidateModel
    parent : QWidget, optional
    """

    def __init__(self, model: CandidateModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setModel(model)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        vertical, horizontal = self.verticalHeader(), self.horizontalHeader()
        if vertical is not None and horizontal is not None:
            vertical.hide()
            vertical.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
            vertical.setDefaultSectionSize(self.fontMetrics().height() + 8)
            horizontal.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
            horizontal.setHighlightSections(False)
            width = self.fontMetrics().horizontalAdvance
            for column, sample in enumerate(("00000", "Score0", "Area 0", "M  undecided", "metaphase0")):
                self.setColumnWidth(column, width(sample) + 12)
            horizontal.setStretchLastSection(True)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Letters are keys of the review, not a search."""
        if ours(event):
            super().keyPressEvent(event)
        elif event is not None:
            event.ignore()
