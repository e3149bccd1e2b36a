"""The open fields as a list: what each is, and how far it is counted and judged."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSize, Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem
from superqt.utils import signals_blocked

from ...fields.field import Field
from ..desk import Desk
from .thumbnails import SIDE_PX, thumbnail_job

COLUMNS = ("Field", "µm/px", "Detected", "Judged", "Done")
TIPS = (
    "Click one to look at it",
    "Pixel size",
    "What the detector counts under the rule that is set",
    "How many of these were judged",
    "Declared complete by its reader: what is not marked in it is no mitosis",
)
PAUSE_MS = 120


class FieldsList(QTableWidget):
    """A row for each open field.

    Parameters
    ----------
    desk : Desk

    Attributes
    ----------
    chosen : Signal(str)
        The key of a field that was clicked.
    """

    chosen = Signal(str)

    def __init__(self, desk: Desk) -> None:
        super().__init__(0, len(COLUMNS))
        self._desk = desk
        self._keys: list[str] = []
        self._icons: dict[str, tuple[Field, QIcon]] = {}
        self.setHorizontalHeaderLabels(list(COLUMNS))
        for at, tip in enumerate(TIPS):
            item = self.horizontalHeaderItem(at)
            if item is not None:
                item.setToolTip(tip)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setIconSize(QSize(SIDE_PX, SIDE_PX))
        self.setShowGrid(False)
        self.setWordWrap(False)
        rows, header = self.verticalHeader(), self.horizontalHeader()
        if rows is not None and header is not None:
            rows.hide()
            rows.setDefaultSectionSize(SIDE_PX + 6)
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(PAUSE_MS)
        self._soon.timeout.connect(self.bring_up_to_date)
        session = desk.session
        signals = (session.active_changed, session.result_changed, session.field_changed, desk.counts.changed)
        for signal in (*signals, desk.fields.changed, desk.noted):
            signal.connect(self._later)
        desk.closed.connect(self._soon.stop)
        self.currentCellChanged.connect(self._clicked)
        self.bring_up_to_date()

    def _later(self, *_: object) -> None:
        self._soon.start()

    def _clicked(self, row: int, *_: object) -> None:
        if 0 <= row < len(self._keys):
            self.chosen.emit(self._keys[row])

    def bring_up_to_date(self) -> None:
        """Show what is open now."""
        if self._desk.is_closed:
            return
        session = self._desk.session
        self._keys = [key for key in self._desk.fields if key in session]
        self._icons = {key: icon for key, icon in self._icons.items() if key in session}
        with signals_blocked(self):
            self.setRowCount(len(self._keys))
            for row, key in enumerate(self._keys):
                self._fill(row, key)
            active = str(session.active)
            if active in self._keys:
                self.setCurrentCell(self._keys.index(active), 0)

    def _fill(self, row: int, key: str) -> None:
        state, counts = self._desk.session[key], self._desk.counts.of(key)
        field, result = state.field, state.result
        blind = self._desk.blind.blind(key)
        notebook = self._desk.notebooks.known(key)
        count_text = "–" if result is None or blind else str(len(result.detections))
        judged = "–" if counts is None or not counts.detected else f"{counts.judged} of {counts.detected}"
        complete = "✓" if notebook is not None and notebook.complete else ""
        mpp = "?" if field.mpp is None else f"{field.mpp:.3g}"
        for column, text in enumerate((field.name, mpp, count_text, judged, complete)):
            item = self.item(row, column)
            if item is None:
                item = QTableWidgetItem()
                if column:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                self.setItem(row, column, item)
            if item.text() != text:
                item.setText(text)
            if not column:
                item.setToolTip(str(field.path or field.name))
                item.setIcon(self._icon(key, field))

    def _icon(self, key: str, field: Field) -> QIcon:
        known = self._icons.get(key)
        if known is not None and known[0].pixels is field.pixels:
            return known[1]
        self._icons[key] = (field, QIcon())
        layer = self._desk.fields.layer(key)
        pixels: Any = layer.data[-1] if layer.multiscale else layer.data
        self._desk.workers.start(thumbnail_job(key, field, pixels), succeeded=self._drawn, failed=_no_thumbnail)
        return self._icons[key][1]

    def _drawn(self, answer: tuple[str, Field, QImage]) -> None:
        key, field, image = answer
        if key in self._desk.session:
            self._icons[key] = (field, QIcon(QPixmap.fromImage(image)))
            self._later()


def _no_thumbnail(_error: Exception) -> None:
    """A damaged file says so elsewhere."""
