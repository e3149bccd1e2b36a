"""Count, density and score of a field or a case in large figures, and what would change them."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QGridLayout, QLabel, QPushButton, QWidget

from ...cases.count import Tally, in_words
from ...measures.grade import CONVENTIONS, Convention, field_diameter_mm

_HPF_MM2 = 2.37


class Numbers(QWidget):
    """The number that goes into the report.

    Attributes
    ----------
    convention_chosen : Signal(Convention)
    next_wanted : Signal()
        Go to the candidate that can change the score most.
    """

    convention_chosen = Signal(object)
    next_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("summary")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground, True)
        self.count, self.what, self.density, self.interval = QLabel(), QLabel(), QLabel(), QLabel()
        self.score, self.words, self.doubles = QLabel(), QLabel(), QLabel()
        self.count.setObjectName("count")
        self.score.setObjectName("count")
        self.density.setObjectName("density")
        self.interval.setObjectName("faint")
        for label in (self.words, self.doubles, self.what, self.interval):
            label.setWordWrap(True)
        self.matters = QPushButton()
        self.matters.setToolTip("Go to the candidate whose decision is expected to change the score most.")
        self.matters.clicked.connect(self.next_wanted)
        self.convention = QComboBox()
        for known in CONVENTIONS.values():
            self.convention.addItem(known.title, known)
            self.convention.setItemData(self.convention.count() - 1, known.source, Qt.ItemDataRole.ToolTipRole)
        self.convention.currentIndexChanged.connect(self._chosen)
        grid = QGridLayout(self)
        grid.setContentsMargins(8, 6, 8, 6)
        grid.addWidget(self.count, 0, 0)
        grid.addWidget(self.what, 0, 1)
        grid.addWidget(self.score, 0, 2, Qt.AlignmentFlag.AlignRight)
        grid.addWidget(self.density, 1, 0, 1, 3)
        grid.addWidget(self.interval, 2, 0, 1, 3)
        grid.addWidget(self.convention, 3, 0, 1, 3)
        grid.addWidget(self.words, 4, 0, 1, 3)
        grid.addWidget(self.doubles, 5, 0, 1, 3)
        grid.addWidget(self.matters, 6, 0, 1, 3)
        grid.setColumnStretch(1, 1)

    def _chosen(self) -> None:
        chosen: Convention = self.convention.currentData()
        self.convention.setToolTip(chosen.source)
        self.convention_chosen.emit(chosen)

    def show_tally(self, tally: Tally | None) -> None:
        """Show a count, or that there is none yet."""
        open_ = int((tally.outlook.change > 0).sum()) if tally is not None and tally.outlook is not None else 0
        self.matters.setText(f"What still matters: {open_} candidates")
        self.matters.setEnabled(open_ > 0)
        if tally is None:
            for label in (self.score, self.density, self.interval, self.words, self.doubles):
                label.setText("")
            self.count.setText("–")
            self.what.setText("nothing to count yet")
            return
        self.count.setText(str(tally.accepted))
        self.what.setText(
            f"{'mitosis' if tally.accepted == 1 else 'mitoses'}; {tally.pending} pending, {tally.rejected} rejected, "
            f"{tally.unsure} unsure"
        )
        density, score, area = tally.density, tally.score, tally.area_mm2
        self.score.setText(f"Score {score.score}" if score is not None else "")
        self.density.setText(f"{density.per_mm2:.2f} / mm²" if density is not None else "")
        text = ""
        if density is not None and area is not None:
            per_10 = density.per_mm2 * _HPF_MM2
            text = (
                f"95 % {density.low:.2f}–{density.high:.2f} in {area:.3f} mm², the area of 10 fields of "
                f"{field_diameter_mm(area):.2f} mm; {per_10:.1f} per 10 HPF of 0.55 mm"
            )
        self.interval.setText(text)
        self.words.setText(in_words(tally))
        pairs = len(tally.doubles)
        self.doubles.setText(
            f"⚠ {pairs} {'pair stands' if pairs == 1 else 'pairs stand'} within 20 um: counted twice?" if pairs else ""
        )
        self.doubles.setVisible(bool(pairs))
