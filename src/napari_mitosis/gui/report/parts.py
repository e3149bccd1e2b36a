"""Parts of the Report step: which case, which hotspot, which way out."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QRadioButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ...annotations.exchange import FORMATS
from ...cases.case import Case
from ...measures.hotspot import Shape


def _section(text: str) -> QLabel:
    label = QLabel(text)
    label.setObjectName("section")
    return label


class CaseBox(QWidget):
    """Which fields are counted: the active one, or those of a case.

    Attributes
    ----------
    added : Signal(str)
        The active field is to be put into the case of this name.
    chosen : Signal(str)
        Another case is looked at.
    scope_changed : Signal()
    """

    added = Signal(str)
    chosen = Signal(str)
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
        self.table = QTableWidget(0, 3)
        self.table.setHorizontalHeaderLabels(["Field", "State", "Mitoses"])
        numbers = self.table.verticalHeader()
        if numbers is not None:
            numbers.hide()
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setMaximumHeight(130)
        self.table.hide()
        scope, put = QHBoxLayout(), QHBoxLayout()
        for part in (self.this_field, self.this_case, self.cases):
            scope.addWidget(part)
        put.addWidget(self.new)
        put.addWidget(self.add)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(scope)
        column.addWidget(self.table)
        column.addLayout(put)
        self.this_field.toggled.connect(self._scope)
        self.cases.textActivated.connect(self.chosen)
        self.add.clicked.connect(self._add)
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
        fields = case.fields if case is not None else ()
        self.table.setRowCount(len(fields))
        for row, field in enumerate(fields):
            mitoses = int((field.figures["label"] == "mitosis").sum())
            for column, text in enumerate((field.name, field.state, str(mitoses))):
                item = QTableWidgetItem(text)
                item.setToolTip(field.digest[:12])
                self.table.setItem(row, column, item)
        self.table.setVisible(bool(fields))

    def show_field(self, case: str, there: bool) -> None:
        """Show to which case the active field belongs."""
        self.add.setEnabled(there)
        self.this_field.setToolTip(f"It belongs to the case {case}." if case else "It belongs to no case yet.")

    def _scope(self) -> None:
        self.scope_changed.emit()

    def _add(self) -> None:
        name = self.new.text().strip() or self.name
        if name:
            self.new.clear()
            self.added.emit(name)


class HotspotBox(QWidget):
    """Size and shape of the hotspot.

    Attributes
    ----------
    wanted : Signal(float, str)
        Its area in mm2, its shape.
    """

    wanted = Signal(float, str)

    def __init__(self) -> None:
        super().__init__()
        self.area = QDoubleSpinBox()
        self.area.setRange(0.001, 100.0)
        self.area.setDecimals(3)
        self.area.setValue(2.37)
        self.area.setSuffix(" mm²")
        self.area.setToolTip("2.37 mm² are ten fields of 0.237 mm². The hotspot never leaves the area that counts.")
        self.kind = QComboBox()
        self.kind.addItem("circle", "circle")
        self.kind.addItem("4:3 rectangle", "rectangle")
        self.seek = QPushButton("Find")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for part in (_section("Hotspot"), self.area, self.kind, self.seek):
            row.addWidget(part)
        self.seek.clicked.connect(lambda: self.wanted.emit(self.area_mm2, self.shape))

    @property
    def area_mm2(self) -> float:
        """Its area."""
        return float(self.area.value())

    @property
    def shape(self) -> Shape:
        """Its shape."""
        return "rectangle" if self.kind.currentData() == "rectangle" else "circle"


class OutBox(QWidget):
    """The ways out of the window.

    Attributes
    ----------
    export_wanted : Signal(str)
        Name of a format.
    import_wanted : Signal(bool)
        Whether rows that cannot be used may be left out.
    report_wanted : Signal(str)
        ``html``, ``A4`` or ``Letter``.
    """

    export_wanted = Signal(str)
    import_wanted = Signal(bool)
    report_wanted = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.formats = QComboBox()
        for name, one in FORMATS.items():
            self.formats.addItem(one.title, name)
        self.formats.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.formats.setMinimumContentsLength(16)
        self.export, self.take_in = QPushButton("Export…"), QPushButton("Import…")
        self.take_in.setToolTip("Add the figures of a file to this field, in one step that Undo takes back")
        self.lenient = QCheckBox("leave out bad rows")
        self.lenient.setToolTip(
            "Figures that cannot be used (unknown labels, places outside of the field, twice the same, no numbers) are "
            "left out and counted. Otherwise one of them refuses the file, and nothing is added."
        )
        self.html, self.pdf = QPushButton("Report…"), QPushButton("PDF…")
        self.html.setObjectName("primary")
        self.paper = QComboBox()
        self.paper.addItems(["A4", "Letter"])
        ways, back, pages = QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        ways.addWidget(self.formats, 1)
        ways.addWidget(self.export)
        back.addWidget(self.take_in, 1)
        back.addWidget(self.lenient)
        for part in (self.html, self.pdf, self.paper):
            pages.addWidget(part)
        note = QLabel("Research use only; not for diagnosis.")
        note.setObjectName("faint")
        note.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(ways)
        column.addLayout(back)
        column.addLayout(pages)
        column.addWidget(note)
        self.export.clicked.connect(lambda: self.export_wanted.emit(self.formats.currentData()))
        self.take_in.clicked.connect(lambda: self.import_wanted.emit(self.lenient.isChecked()))
        self.html.clicked.connect(lambda: self.report_wanted.emit("html"))
        self.pdf.clicked.connect(lambda: self.report_wanted.emit(self.paper.currentText()))
