"""The panel of blind first: mark, reveal, compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ...errors import MitosisError
from ...review.blind import Agreement, agreement
from ..places import look_at
from .annotating import annotating_of
from .panel import OPEN_FIRST, OPENING
from .words import faint, moment, row, section, tool

if TYPE_CHECKING:
    from ..desk import Desk

BEFORE = (
    "Mark this field before you see what the detector found: its layers, its candidates and figures that were marked "
    "before stay hidden until you reveal them. Then you learn how far you agree."
)
DURING = "You read blind. Mark every mitosis by click, then reveal."
NO_RESULT = "Nothing was detected in this field yet: detect now, and the comparison appears here."
OUTCOMES = {"only detector": "only the detector", "only reader": "only you"}


class BlindPanel(QWidget):
    """Blind reading of the active field, and how reader and detector agree.

    Parameters
    ----------
    desk : Desk

    Attributes
    ----------
    agreement : Agreement or None
        Of the active field, once revealed.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self.annotating = annotating_of(desk)
        self.agreement: Agreement | None = None
        self.start = QPushButton("Read blind")
        self.start.setObjectName("primary")
        self.reveal = QPushButton("Reveal")
        self.reveal.setObjectName("primary")
        self.explain = faint(BEFORE)
        self.report = faint()
        self.table = QTableWidget()
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setColumnCount(2)
        self.table.setHorizontalHeaderLabels(["called a mitosis by", "score"])
        self.table.setToolTip("Where you and the detector disagree. Click one to go there.")
        header = self.table.horizontalHeader()
        if header is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.next = tool("Next disagreement", "Go to the next place where you and the detector disagree")
        self.save = tool("Save as CSV…", "Every place with what became of it, and the measures")
        self.heading = section("DISAGREEMENTS")
        self._lay_out()
        self.start.clicked.connect(self._start)
        self.reveal.clicked.connect(self._reveal)
        self.next.clicked.connect(self._next)
        self.save.clicked.connect(self._save)
        self.table.currentCellChanged.connect(lambda at, *_: self.go(at))
        self.annotating.changed.connect(self._show)
        self.annotating.result_changed.connect(self._show)
        desk.closed.connect(self._closed)
        self._show()

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 6)
        column.setSpacing(5)
        for part in (self.start, self.reveal, self.explain, self.report, self.heading):
            column.addWidget(part)
        column.addWidget(self.table, 1)
        column.addLayout(row(self.next, None, self.save))
        column.addStretch(0)

    def _start(self) -> None:
        try:
            self.annotating.start_blind()
            self.annotating.tool.set_on(True)
        except MitosisError as error:
            self.annotating.say(str(error))

    def _reveal(self) -> None:
        try:
            self.annotating.reveal()
            self.annotating.tool.set_on(False)
        except MitosisError as error:
            self.annotating.say(str(error))

    # The report

    def _compare(self) -> Agreement | None:
        """The agreement of the marks made blind, as they were then, with what is detected now."""
        reading = self.annotating.blind.get(self.annotating.key)
        state, notebook = self._desk.session.current, self.annotating.notebook
        if reading is None or reading.marked is None or state is None or state.result is None or notebook is None:
            return None
        mpp, result = state.field.mpp, state.result
        return None if mpp is None else agreement(reading.marked, result.detections, result.candidates, mpp)

    def _show(self, *_: object) -> None:
        annotating = self.annotating
        key, notebook = annotating.key, annotating.notebook
        reading = annotating.blind.get(key)
        blind = annotating.blind.blind(key)
        self.agreement = self._compare()
        self.start.setVisible(not blind)
        self.start.setEnabled(notebook is not None)
        self.start.setText("Read blind" if reading is None else "Read blind again")
        self.reveal.setVisible(blind)
        waiting = OPENING if key is not None else OPEN_FIRST
        during = f"{DURING} Since {moment(reading.started)}." if blind and reading is not None else BEFORE
        self.explain.setText(waiting if notebook is None else during)
        revealed = reading is not None and not blind
        self.explain.setVisible(not revealed)
        self.report.setVisible(revealed)
        for part in (self.heading, self.table, self.next, self.save):
            part.setVisible(self.agreement is not None)
        if self.agreement is not None and reading is not None:
            self.report.setText(_in_words(self.agreement))
            self._fill(self.agreement)
        elif revealed:
            self.report.setText(NO_RESULT)

    def _fill(self, agreement: Agreement) -> None:
        rows = agreement.disagreements
        self.table.setRowCount(len(rows))
        for at in range(len(rows)):
            score = float(rows["score"].iloc[at])
            self.table.setItem(at, 0, QTableWidgetItem(OUTCOMES[str(rows["outcome"].iloc[at])]))
            self.table.setItem(at, 1, QTableWidgetItem("–" if score != score else f"{score:.2f}"))
        self.next.setEnabled(len(rows) > 0)

    def go(self, at: int) -> None:
        """Centre a disagreement."""
        if self.agreement is None or not 0 <= at < len(self.agreement.disagreements):
            return
        disagreement = self.agreement.disagreements.iloc[at]
        owner = self._desk.fields.layer(str(self.annotating.key))
        place = (float(disagreement["y_px"]), float(disagreement["x_px"]))
        look_at(self._desk.viewer, owner, place)
        if disagreement["figure"]:
            self.annotating.select(str(disagreement["figure"]))
        self.annotating.aimed.emit(*place, str(disagreement["figure"]))

    def _next(self) -> None:
        count = self.table.rowCount()
        if count:
            self.table.setCurrentCell((self.table.currentRow() + 1) % count, 0)

    def _save(self) -> None:
        state = self._desk.session.current
        if self.agreement is None or state is None:
            return
        chosen, _ = QFileDialog.getSaveFileName(
            self, "Save the agreement", f"{state.field.name}-blind.csv", "CSV (*.csv)"
        )
        if chosen:
            self.save_to(Path(chosen))

    def _closed(self) -> None:
        self.setEnabled(False)

    def save_to(self, path: Path) -> None:
        """Write the report; tells the reader where that fails."""
        state = self._desk.session.current
        reading = self.annotating.blind.get(self.annotating.key)
        if self.agreement is None or state is None or state.result is None or reading is None:
            return
        about: dict[str, Any] = {
            "field": state.field.name,
            "digest": state.field.digest,
            "reader": reading.reader,
            "detector": state.result.evidence.model,
            "started": reading.started,
            "revealed": reading.revealed,
        }
        try:
            self.agreement.save(path, **about)
            self.annotating.say(f"Saved as {path}.")
        except MitosisError as error:
            self.annotating.say(str(error))


def _in_words(agreement: Agreement) -> str:
    counts = agreement.counts

    def figure(value: float) -> str:
        return "–" if value != value else f"{value:.2f}"

    return (
        f"<b>{counts.tp}</b> marked by both, <b>{counts.fn}</b> only by you, <b>{counts.fp}</b> only by the detector "
        f"(within {agreement.radius_um:g} µm).<br>Agreement F <b>{figure(counts.f)}</b>; you marked "
        f"{figure(counts.precision)} of its detections, it found {figure(counts.recall)} of your marks. "
        f"Cohen's κ over {len(agreement.places)} places: <b>{figure(agreement.kappa)}</b>."
    )
