"""What came of a comparison: a sentence, a table of pairs, and plots."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QComboBox, QHeaderView, QLabel, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from ...measures.readers import ReaderAgreement
from .work import Compared

COLUMNS = ("Pair", "both", "1st only", "2nd only", "F", "kappa")
TIPS = (
    "Two readers, or a reader and a detector",
    "Mitoses that both marked",
    "Mitoses of the first alone",
    "Mitoses of the second alone",
    "Twice what both marked, over what each marked",
    "Cohen's kappa on the union of what the two marked: nobody counts what both left out",
)
_ROW_PX, _MOST_ROWS = 24, 6


class ResultsView(QWidget):
    """Shows an agreement."""

    def __init__(self) -> None:
        super().__init__()
        self.summary = QLabel()
        self.summary.setWordWrap(True)
        self.pairs = QTableWidget(0, len(COLUMNS))
        self.pairs.setHorizontalHeaderLabels(list(COLUMNS))
        self.pairs.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.pairs.setSelectionMode(QTableWidget.SelectionMode.NoSelection)
        self.pairs.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.pairs.setShowGrid(False)
        for at, tip in enumerate(TIPS):
            item = self.pairs.horizontalHeaderItem(at)
            if item is not None:
                item.setToolTip(tip)
        rows, header = self.pairs.verticalHeader(), self.pairs.horizontalHeader()
        if rows is not None and header is not None:
            rows.hide()
            rows.setDefaultSectionSize(_ROW_PX)
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.choice = QComboBox()
        self.plot = QLabel()
        self.plot.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._plots: dict[str, bytes] = {}
        self.choice.currentTextChanged.connect(self._draw)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (self.summary, self.pairs, self.choice, self.plot):
            column.addWidget(part)
        self.show_compared(None)

    def show_compared(self, compared: Compared | None) -> None:
        """Show what came of a comparison; None: nothing."""
        self.setVisible(compared is not None)
        if compared is None:
            return
        agreement = compared.agreement
        self.summary.setText(_sentence(agreement))
        pairs = agreement.pairs[agreement.pairs["radius_um"] == agreement.radius_um]
        self.pairs.setRowCount(len(pairs))
        for row, pair in enumerate(pairs.to_dict("records")):
            cells = [
                f"{pair['first']} and {pair['second']}",
                *(str(pair[n]) for n in ("both", "only_first", "only_second")),
            ]
            for column, text in enumerate([*cells, _number(pair["f"]), _number(pair["kappa"])]):
                item = QTableWidgetItem(text)
                if column:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                self.pairs.setItem(row, column, item)
        self.pairs.setFixedHeight(_ROW_PX * (1 + min(len(pairs), _MOST_ROWS)) + 10)
        self._plots, before = compared.plots, self.choice.currentText()
        self.choice.clear()
        self.choice.addItems(list(compared.plots))
        self.choice.setCurrentText(before if before in compared.plots else next(iter(compared.plots)))

    def _draw(self, name: str) -> None:
        pixmap = QPixmap()
        if name in self._plots and pixmap.loadFromData(self._plots[name]):
            self.plot.setPixmap(pixmap)


def _sentence(agreement: ReaderAgreement) -> str:
    """The whole of it in a few words."""
    ties = int((agreement.union["consensus"] == "tie").sum())
    mitoses = int((agreement.union["consensus"] == "mitosis").sum())
    parts = [
        f"<b>{len(agreement.counts)} {'field' if len(agreement.counts) == 1 else 'fields'}</b>, "
        f"{len(agreement.union)} figures that anybody marked; by majority {mitoses} mitoses, {ties} "
        f"{'tie' if ties == 1 else 'ties'}; {len(agreement.disputed)} disputed."
    ]
    if len(agreement.names) > 2:
        fleiss = ", ".join(f"{value:.2f} at {radius:g} µm" for radius, value in agreement.fleiss.items())
        parts.append(f"Fleiss' kappa {fleiss}.")
    known = [f"{name} {value:.2f}" for name, value in agreement.icc.items() if value == value]
    parts.append(f"Counts: {', '.join(known)}." if known else "")
    return " ".join(parts)


def _number(value: float) -> str:
    return "–" if value != value else f"{value:.2f}"
