"""Parts of the Report step: which hotspot, which way out."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ...annotations.exchange import FORMATS
from ...measures.hotspot import Shape


def _section(text: str) -> QLabel:
    label = QLabel(text)
    label.setObjectName("section")
    return label


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
        for name, known in FORMATS.items():
            self.formats.addItem(known.title, name)
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
