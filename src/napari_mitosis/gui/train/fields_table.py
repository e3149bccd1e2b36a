"""Which annotated fields take part in a training, and which of them are only for judging."""

from __future__ import annotations

from typing import Any

import pandas as pd
from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)
from superqt.utils import signals_blocked

HEADERS = ("Field", "Mitoses", "Look-alikes", "Complete", "Part")
PART = 4
WIDTHS_PX = (0, 58, 78, 68, 98)
LEARN, JUDGE = "learn", "judge only"
MOST_ROWS = 8
"""More are scrolled."""

_TIPS = {
    "Field": "Fields in which something is annotated",
    "Complete": "Every mitosis of the field is marked: what is not, counts as background. Say so in the review.",
    "Part": "learn: the new version learns from it, and is judged on it before it did.\n"
    "judge only: it never learns from it; old and new version are compared on it.",
}


class FieldsTable(QTableWidget):
    """A row for each annotated field; what was chosen stays chosen when rows are added.

    Attributes
    ----------
    edited : Signal()
        Another choice was made.
    """

    edited = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(HEADERS), parent)
        self.fields = pd.DataFrame()
        self._left_out: set[str] = set()
        self._test: set[str] = set()
        self.setHorizontalHeaderLabels(HEADERS)
        for column, name in enumerate(HEADERS):
            item = self.horizontalHeaderItem(column)
            if item is not None and name in _TIPS:
                item.setToolTip(_TIPS[name])
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setShowGrid(False)
        rows, columns = self.verticalHeader(), self.horizontalHeader()
        assert rows is not None
        assert columns is not None
        rows.setVisible(False)
        rows.setDefaultSectionSize(26)
        columns.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        columns.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        columns.setMinimumSectionSize(40)
        for column, width in enumerate(WIDTHS_PX):
            if width:
                self.setColumnWidth(column, width)
        self.itemChanged.connect(self._checked)

    def set_fields(self, fields: pd.DataFrame) -> None:
        """Show these fields, as `from_journal.journal_fields` lists them; only what changed is drawn anew."""
        before, self.fields = self.fields.to_dict("records"), fields.reset_index(drop=True)
        with signals_blocked(self):
            self.setRowCount(len(fields))
            for row, field in enumerate(self.fields.to_dict("records")):
                if row >= len(before) or field != before[row]:
                    self._fill(row, {str(name): value for name, value in field.items()})
        shown = max(1, min(MOST_ROWS, len(fields)))
        self.setFixedHeight(30 + 26 * shown)
        self.edited.emit()

    def _fill(self, row: int, field: dict[str, Any]) -> None:
        digest, why = str(field["digest"]), why_not(field)
        name = QTableWidgetItem(str(field["name"]))
        name.setToolTip(why or str(field["path"]))
        usable = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable
        name.setFlags(Qt.ItemFlag.NoItemFlags if why else usable)
        on = not why and digest not in self._left_out
        name.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
        self.setItem(row, 0, name)
        texts = (str(field["mitosis"]), str(field["mimic"]), "✓" if field["complete"] else "–")
        for column, text in enumerate(texts, 1):
            item = QTableWidgetItem(text)
            item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
            item.setFlags(Qt.ItemFlag.NoItemFlags if why else Qt.ItemFlag.ItemIsEnabled)
            self.setItem(row, column, item)
        known = self.cellWidget(row, PART)
        if known is None or known.property("digest") != digest:
            self.setCellWidget(row, PART, known := self._part(digest))
        known.setEnabled(on)
        known.setToolTip(why or _TIPS["Part"])

    def _part(self, digest: str) -> QComboBox:
        part = QComboBox()
        part.setProperty("digest", digest)
        part.addItems([LEARN, JUDGE])
        part.setCurrentText(JUDGE if digest in self._test else LEARN)
        part.currentTextChanged.connect(lambda text: self._parted(digest, text))
        return part

    def _checked(self, item: QTableWidgetItem) -> None:
        if item.column() != 0:
            return
        digest = str(self.fields["digest"].iloc[item.row()])
        on = item.checkState() == Qt.CheckState.Checked
        (self._left_out.discard if on else self._left_out.add)(digest)
        part = self.cellWidget(item.row(), PART)
        if part is not None:
            part.setEnabled(on)
        self.edited.emit()

    def _parted(self, digest: str, text: str) -> None:
        (self._test.add if text == JUDGE else self._test.discard)(digest)
        self.edited.emit()

    def automatic(self) -> None:
        """Every field is learnt from: each is then judged by a network that did not learn from it."""
        self._test.clear()
        for row in range(self.rowCount()):
            part = self.cellWidget(row, PART)
            if isinstance(part, QComboBox):
                part.setCurrentText(LEARN)
        self.edited.emit()

    @property
    def chosen(self) -> pd.DataFrame:
        """The rows that take part."""
        if self.fields.empty:
            return self.fields
        usable = [why_not({str(k): v for k, v in row.items()}) == "" for row in self.fields.to_dict("records")]
        return self.fields[pd.Series(usable) & ~self.fields["digest"].isin(self._left_out)]

    @property
    def test(self) -> tuple[str, ...]:
        """Digests of the fields that take part, but are not learnt from."""
        chosen = self.chosen
        return tuple(digest for digest in chosen.get("digest", ()) if digest in self._test)


def why_not(field: dict[str, Any]) -> str:
    """Why a field cannot take part; empty where it can."""
    if not field["there"]:
        return f"Its image file is not where it was: {field['path']}" if field["path"] else "It came from no file."
    if not float(field["mpp"] or 0) > 0:
        return "Its pixel size is unknown: open it and enter it in µm/px."
    return ""
