"""Which case is counted, and how far its fields are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from qtpy.QtCore import QSize, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QPushButton,
    QRadioButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ...cases.case import Case, CaseField
from ..open.thumbnails import SIDE_PX

STATES: Mapping[str, str] = MappingProxyType(
    {
        "open": "Nothing was done in it yet",
        "detected": "A detector has looked; nothing is judged",
        "judged": "Something was judged or marked in it",
        "complete": "Declared complete: what is not marked in it is no mitosis",
    }
)


class CaseBox(QWidget):
    """Which fields are counted: the active one, or those of a case.

    Attributes
    ----------
    added : Signal(str)
        The active field is to be put into the case of this name.
    chosen : Signal(str)
        Another case is looked at.
    all_added : Signal(str)
        All open fields are.
    field_chosen : Signal(str)
        Digest of a field that was clicked.
    scope_changed : Signal()
    """

    added = Signal(str)
    all_added = Signal(str)
    chosen = Signal(str)
    field_chosen = Signal(str)
    scope_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.this_field, self.this_case = QRadioButton("This field"), QRadioButton("The case")
        self.this_field.setChecked(True)
        self.cases = QComboBox()
        self.cases.setPlaceholderText("no case yet")
        self.new = QLineEdit()
        self.new.setPlaceholderText("name of a case")
        self.add = QPushButton("Add this field")
        self.add.setToolTip("Put the field that is looked at into the case of this name; it is made if it is new.")
        self.add_open = QPushButton("Add all open")
        self.add_open.setToolTip("Put every open field into the case of this name, such as all of a folder.")
        self._fields: tuple[CaseField, ...] = ()
        self._detected: frozenset[str] = frozenset()
        self.table = QTableWidget(0, 3)
        self.table.setHorizontalHeaderLabels(["Field", "State", "Mitoses"])
        self.table.setIconSize(QSize(SIDE_PX, SIDE_PX))
        self.table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        self.table.setShowGrid(False)
        rows, header = self.table.verticalHeader(), self.table.horizontalHeader()
        if rows is not None and header is not None:
            rows.hide()
            rows.setDefaultSectionSize(SIDE_PX + 4)
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setMaximumHeight(3 * (SIDE_PX + 4) + 32)
        self.table.hide()
        scope, put = QHBoxLayout(), QHBoxLayout()
        for part in (self.this_field, self.this_case, self.cases):
            scope.addWidget(part)
        put.addWidget(self.new)
        put.addWidget(self.add)
        put.addWidget(self.add_open)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(scope)
        column.addWidget(self.table)
        column.addLayout(put)
        self.this_field.toggled.connect(self._scope)
        self.cases.textActivated.connect(self.chosen)
        self.add.clicked.connect(self._add)
        self.add_open.clicked.connect(self._add_all)
        self.table.cellClicked.connect(lambda row, _column: self.field_chosen.emit(self._fields[row].digest))
        self.new.returnPressed.connect(self._add)

    @property
    def whole_case(self) -> bool:
        """Whether the case is counted, not the field alone."""
        return self.this_case.isChecked()

    @property
    def name(self) -> str:
        """The case that is looked at; nothing where there is none."""
        return self.cases.currentText()

    def show_case(self, names: list[str], case: Case | None) -> None:
        """Show the cases there are, and the fields of one."""
        self.cases.clear()
        self.cases.addItems(names)
        self.cases.setCurrentIndex(names.index(case.name) if case is not None else -1)
        self.this_case.setEnabled(case is not None)
        pictures = {field.digest: self._icon(row) for row, field in enumerate(self._fields)}
        self._fields = case.fields if case is not None else ()
        self.table.setRowCount(len(self._fields))
        for row, field in enumerate(self._fields):
            mitoses = int((field.figures["label"] == "mitosis").sum())
            for column, text in enumerate((field.name, field.state, str(mitoses))):
                self.table.setItem(row, column, QTableWidgetItem(text))
            first = self.table.item(row, 0)
            if first is not None:
                first.setIcon(pictures.get(field.digest, QIcon()))
        self.show_detected(self._detected)
        self.table.setVisible(bool(self._fields))

    def show_detected(self, digests: Collection[str]) -> None:
        """In which fields a detector has looked: where nothing was judged yet, that is their state."""
        self._detected = frozenset(digests)
        for row, field in enumerate(self._fields):
            state = "detected" if field.state == "open" and field.digest in self._detected else field.state
            item = self.table.item(row, 1)
            if item is not None:
                item.setText(state)
                item.setToolTip(f"{STATES[state]} ({field.digest[:12]})")

    def _icon(self, row: int) -> QIcon:
        item = self.table.item(row, 0)
        return item.icon() if item is not None else QIcon()

    def without_picture(self) -> list[str]:
        """Digests of the fields that have no thumbnail yet."""
        return [field.digest for row, field in enumerate(self._fields) if self._icon(row).isNull()]

    def show_picture(self, digest: str, image: QImage) -> None:
        """The thumbnail of a field."""
        for row, field in enumerate(self._fields):
            item = self.table.item(row, 0)
            if field.digest == digest and item is not None:
                item.setIcon(QIcon(QPixmap.fromImage(image)))

    def show_field(self, case: str, there: bool) -> None:
        """Show to which case the active field belongs."""
        self.add.setEnabled(there)
        self.add_open.setEnabled(there)
        self.this_field.setToolTip(f"It belongs to the case {case}." if case else "It belongs to no case yet.")

    def _scope(self) -> None:
        self.scope_changed.emit()

    def _add(self) -> None:
        name = self.new.text().strip() or self.name
        if name:
            self.new.clear()
            self.added.emit(name)

    def _add_all(self) -> None:
        name = self.new.text().strip() or self.name
        if name:
            self.new.clear()
            self.all_added.emit(name)
