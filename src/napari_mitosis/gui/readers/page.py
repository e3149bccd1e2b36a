"""The Agreement step: who agrees with whom on a case, and the verdict on what they dispute."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import napari
from qtpy.QtCore import QTimer
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ...fields.field import Field
from ...jobs import Job
from ...measures.readers import RADII_UM
from ...tables import LABELS
from ..errand import Errand
from ..page import Page
from ..places import look_at
from ..review.marker import Marker
from ..review.thumbnails import Thumbnails
from .dispute import DisputeView
from .keys import BorrowedKeys
from .results import ResultsView
from .work import Compared, Dispute, Gathered, comparing, gathering, opening, saving, settling

THIS_FIELD = "This field"
COLUMNS = 2
"""Check boxes side by side."""

ChooseFolder = Callable[[QWidget], str]


def choose_folder(parent: QWidget) -> str:
    """Ask where to write; nothing when the reader changed their mind."""
    return str(QFileDialog.getExistingDirectory(parent, "Folder for tables and plots"))


class AgreementPage(Page):
    """Compares readers and detectors on the fields of a case, and takes verdicts.

    Parameters
    ----------
    viewer : napari.Viewer
    choose : callable, optional
        Asks for the folder to write to.

    Attributes
    ----------
    gathered : Gathered or None
        Who said what of the case that is looked at.
    compared : Compared or None
        What came of it.
    """

    def __init__(self, viewer: napari.Viewer, choose: ChooseFolder = choose_folder) -> None:
        super().__init__(viewer)
        self._choose = choose
        self.gathered: Gathered | None = None
        self.compared: Compared | None = None
        self._pixels: dict[str, Field] = {}
        self._errands: list[Errand] = []
        self._unveiled = False
        self.cases = QComboBox()
        self.checks: dict[str, QCheckBox] = {}
        self._grid = QGridLayout()
        self._grid.setVerticalSpacing(2)
        self.radius = QComboBox()
        for radius in RADII_UM:
            self.radius.addItem(f"{radius:g} µm", radius)
        self.radius.setCurrentIndex(1)
        self.radius.setToolTip("Marks nearer than this are the same figure")
        self.compare_button, self.save = QPushButton("Compare"), QPushButton("Save…")
        self.compare_button.setObjectName("primary")
        self.save.setToolTip("Write tables (CSV) and plots (PNG) to a folder")
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setObjectName("faint")
        self.results, self.dispute = ResultsView(), DisputeView()
        self.thumbnails = Thumbnails(self.desk.workers, self)
        self.marker = Marker(viewer, self)
        self.keys = BorrowedKeys(viewer)
        self._lay_out()
        self._connect()
        self._update()
        QTimer.singleShot(0, self.refresh)

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        for part in (self.radius, self.compare_button, self.save):
            row.addWidget(part, 1 if part is self.compare_button else 0)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 6)
        column.addWidget(self.cases)
        column.addLayout(self._grid)
        column.addLayout(row)
        for widget in (self.message, self.dispute, self.results):
            column.addWidget(widget)
        column.addStretch(1)

    def _connect(self) -> None:
        self.cases.activated.connect(lambda _at: self.refresh())
        self.compare_button.clicked.connect(self.compare)
        self.radius.activated.connect(lambda _at: self.compare() if self.compared is not None else None)
        self.save.clicked.connect(self._save)
        self.dispute.looked_at.connect(self._look)
        self.dispute.judged.connect(self._judge)
        self.dispute.unveiled.connect(self._unveil)
        self.thumbnails.arrived.connect(self._show_picture)
        self.desk.notebook_changed.connect(self._journal_there)

    # ------------------------------------------------------------------ who said what

    def _journal_there(self, *_: object) -> None:
        if self.gathered is None and self.isVisible():
            self.refresh()

    def refresh(self) -> None:
        """Read the case anew: others may have read it since."""
        journal, notebook = self.desk.journal, self.desk.current
        if self.desk.is_closed or journal is None or notebook is None:
            self._update()
            return
        name = self.cases.currentText() if self.cases.currentIndex() > 0 else ""
        name = name or (notebook.marks.case if self.gathered is None else "")
        job = gathering(journal, name, notebook.field.digest, self._detections())
        self._start(job, self._gathered)

    def _detections(self) -> dict[str, dict[str, Any]]:
        """What detectors found in the open fields, but for those that are read blind."""
        by_model: dict[str, dict[str, Any]] = {}
        for key in self.desk.session:
            result, notebook = self.desk.session[key].result, self.desk.notebooks.known(key)
            if result is not None and notebook is not None and not self.desk.blind.blind(key):
                by_model.setdefault(result.evidence.model, {})[notebook.field.digest] = result.detections
        return by_model

    def _gathered(self, gathered: Gathered) -> None:
        self.gathered, readings = gathered, gathered.readings
        self.cases.clear()
        self.cases.addItems([THIS_FIELD, *gathered.names])
        self.cases.setCurrentText(gathered.case.name or THIS_FIELD)
        chosen = {name for name, check in self.checks.items() if check.isChecked()}
        for check in self.checks.values():
            self._grid.removeWidget(check)
            check.deleteLater()
        first = not chosen & set(readings.marks)
        self.checks = {}
        for at, name in enumerate(readings.marks):
            check = self.checks[name] = QCheckBox(f"{name.replace('&', '&&')} ({len(readings.read[name])})")
            check.setToolTip(f"{name} read {len(readings.read[name])} of {len(gathered.case.fields)} fields")
            check.setChecked(first or name in chosen)
            check.toggled.connect(self._update)
            self._grid.addWidget(check, at // COLUMNS, at % COLUMNS)
        self._update()

    @property
    def chosen(self) -> list[str]:
        """Who is compared."""
        return [name for name, check in self.checks.items() if check.isChecked()]

    def _why_not(self) -> str:
        if self.desk.current is None:
            return "Open a field first." if self.desk.session.current is None else "The journal is being opened."
        if self.gathered is None:
            return "Nothing was read yet."
        if any(self.desk.blind.blind(key) for key in self._keys_of_case()):
            return "A field of it is read blind: reveal it first."
        if len(self.chosen) < 2:
            return "Two readers, or a reader and a detector, must have looked at the same fields."
        if not self.gathered.readings.shared(self.chosen):
            return "No field of known µm/px was read by all of them."
        return ""

    def _keys_of_case(self) -> list[str]:
        digests = {field.digest for field in self.gathered.case.fields} if self.gathered is not None else set()
        return [key for key, notebook in self._notebooks() if notebook.field.digest in digests]

    def _notebooks(self) -> list[tuple[str, Any]]:
        known = ((str(key), self.desk.notebooks.known(key)) for key in self.desk.session)
        return [(key, notebook) for key, notebook in known if notebook is not None]

    def _update(self, *_: object) -> None:
        why = self._why_not()
        self.compare_button.setEnabled(not why and not self._errands)
        self.compare_button.setToolTip(why or "Match their marks and compare")
        self.save.setEnabled(self.compared is not None and not self._errands)
        if why:
            self.message.setText(why)
        elif self.compared is None:
            self.message.setText("Compare them: F, kappa, counts, phases, and what they dispute.")

    # ------------------------------------------------------------------ how far they agree

    def compare(self) -> None:
        """Compare those who are checked."""
        journal, gathered = self.desk.journal, self.gathered
        if journal is None or gathered is None or self._why_not():
            return
        self._start(comparing(journal, gathered.readings, self.chosen, float(self.radius.currentData())), self._came)

    def _came(self, compared: Compared) -> None:
        self.compared = compared
        self.results.show_compared(compared)
        self.dispute.show_disputes(compared.agreement.disputed, compared.agreement.names)
        left = len(self.gathered.case.fields) - len(compared.agreement.counts) if self.gathered is not None else 0
        fields = "1 field was" if left == 1 else f"{left} fields were"
        self._tell(f"{fields} not read by all of them: left out." if left else "")
        self._borrow()

    def _save(self) -> None:
        folder = self._choose(self) if self.compared is not None else ""
        if folder and self.compared is not None:
            self._start(saving(Path(folder), self.compared.agreement), self._saved)

    def _saved(self, paths: list[Path]) -> None:
        self._tell(f"{len(paths)} files are in {paths[0].parent.name}.")

    # ------------------------------------------------------------------ verdicts

    @property
    def _disputed(self) -> Dispute | None:
        """The disputed figure that is shown."""
        row, gathered = self.dispute.row, self.gathered
        if row is None or gathered is None:
            return None
        place = float(row["y_px"]), float(row["x_px"])
        figures = tuple(str(row.get("figures", "")).split())
        return Dispute(self.dispute.at, gathered.readings.fields[str(row["field"])], place, figures)

    def _look(self, _row: int) -> None:
        """Show the tissue of the disputed figure, and go there where its field is open."""
        dispute = self._disputed
        if dispute is None:
            return
        digest = dispute.field.digest
        self.marker.hide()
        for key, notebook in self._notebooks():
            if notebook.field.digest == digest:
                self._pixels[digest] = notebook.field
                self.desk.fields.choose(key)
                owner = self.desk.fields.layer(key)
                look_at(self.viewer, owner, dispute.place_px)
                self.marker.show(owner, dispute.place_px, float(dispute.field.mpp or 1.0))
        if digest not in self._pixels:
            self._start(opening(dispute.field), self._opened)
        self._show_picture()

    def _opened(self, field: Field) -> None:
        self._pixels[field.digest] = field
        self._show_picture()

    def _show_picture(self) -> None:
        dispute = self._disputed
        if dispute is not None:
            digest = dispute.field.digest
            field = self._pixels.get(digest)
            read = self.thumbnails.get
            self.dispute.show_picture(read(digest, field, *dispute.place_px) if field is not None else None)

    def _judge(self, _row: int, label: str) -> None:
        dispute, journal = self._disputed, self.desk.journal
        if dispute is not None and journal is not None and not self._errands:
            self._start(settling(journal, dispute, label, self.desk.reader), self._settled)

    def _settled(self, verdict: tuple[Dispute, str, str]) -> None:
        dispute, label, who = verdict
        for _key, notebook in self._notebooks():
            if notebook.field.digest == dispute.field.digest:
                notebook.refresh()
        self.dispute.set_verdict(dispute.row, label, who)
        left = len(self.compared.agreement.disputed) - self.dispute.settled if self.compared is not None else 0
        self._tell("" if left else "All disputes are settled; the verdicts are in the journal.")

    # ------------------------------------------------------------------ keys and what is hidden

    def _borrow(self) -> None:
        """While disputes are looked at, the keys of the review judge them."""
        if self.isVisible() and self.dispute.at >= 0:
            dispute = self.dispute
            self.keys.take(
                {
                    **{name: partial(dispute.judge, name) for name in LABELS},
                    "next": partial(dispute.step, 1),
                    "back": partial(dispute.step, -1),
                    "words": dispute.unveil,
                }
            )
            dispute.show_keys({name: self.keys.pretty(name) for name in self.keys.keys})
            self.desk.peek.set_on(not self._unveiled)
            self._look(dispute.at)

    def _unveil(self, yes: bool) -> None:
        """The rings of the annotations say what readers said: they go with the words."""
        self._unveiled = yes
        if self.isVisible():
            self.desk.peek.set_on(not yes and self.dispute.at >= 0)

    def _let_go(self) -> None:
        self.marker.hide()
        if self.keys.taken:
            self.keys.give_back()
            self.desk.peek.set_on(False)

    def showEvent(self, event: QShowEvent | None) -> None:
        """What was written meanwhile is read."""
        super().showEvent(event)
        QTimer.singleShot(0, self.refresh)
        self._borrow()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """The keys belong to the review again."""
        super().hideEvent(event)
        if not self.desk.is_closed:
            self._let_go()

    # ------------------------------------------------------------------ jobs and the end

    def _start(self, job: Job[Any], done: Callable[[Any], None]) -> None:
        errand = Errand(self, done, self._failed)
        errand.ended.connect(self._ended)
        self._errands.append(errand)
        start = self.desk.workers.start
        start(job, succeeded=errand.succeeded, failed=errand.failed, cancelled=errand.cancelled)
        self._update()

    def _ended(self) -> None:
        self._errands = [errand for errand in self._errands if not errand.over]
        self._update()

    def _failed(self, error: Exception) -> None:
        self._tell(f"⚠ {error}")

    def _tell(self, text: str) -> None:
        self.message.setText(text)

    def shutdown(self) -> None:
        """Give the keys back."""
        for errand in self._errands:
            errand.forget()
        self._let_go()
        self.marker.remove()
