"""The Report step: count, area, hotspot, case, and the ways out of the window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog, QLabel, QVBoxLayout, QWidget

from ...annotations.exchange import FORMATS, FieldFacts, Lenient, Strict, add_read
from ...annotations.notebook import Notebook
from ...cases.places import Place
from ...cases.report import ReportOptions
from ...errors import MitosisError
from ...jobs import Job
from ..case_count import case_count_of
from ..desk import Desk
from ..errand import Errand
from ..places import look_at
from .area import AreaChoice
from .case_box import CaseBox
from .numbers import Numbers
from .parts import HotspotBox, OutBox
from .printing import print_pdf
from .work import Found, adding, exporting, finding, importing, lone_case, picturing, reporting, seeking

ChooseFile = Callable[[QWidget, str, str, str], str]


def pick_file(parent: QWidget) -> str:
    """Ask what to read; nothing when the reader changed their mind."""
    suffixes = " ".join(sorted({f"*{known.suffix}" for known in FORMATS.values()}))
    return str(QFileDialog.getOpenFileName(parent, "Annotations of this field", "", f"Annotations ({suffixes})")[0])


def choose_file(parent: QWidget, title: str, start: str, kinds: str) -> str:
    """Ask where to write; nothing when the reader changed their mind."""
    return str(QFileDialog.getSaveFileName(parent, title, start, kinds)[0])


class ReportPanel(QWidget):
    """What the reader leaves with.

    Parameters
    ----------
    desk : Desk
    choose : callable, optional
        Asks for the name of a file to write.
    pick : callable, optional
        Asks for a file to read.

    Attributes
    ----------
    live : LiveCount
        The count of the open fields and of the case.
    """

    def __init__(
        self, desk: Desk, choose: ChooseFile = choose_file, pick: Callable[[QWidget], str] = pick_file
    ) -> None:
        super().__init__()
        self.desk = desk
        self.count = case_count_of(desk)
        self.live = self.count.live
        self._choose, self._pick = choose, pick
        self._target_book: Notebook | None = None
        self._found = Found([], None)
        self._errands: list[Errand] = []
        self._sought_key = self._paper = ""
        self._target = Path()
        self._down = False
        self.numbers, self.case_box, self.hotspot_box, self.out_box = Numbers(), CaseBox(), HotspotBox(), OutBox()
        self.area = AreaChoice(desk)
        self.message = QLabel()
        self.message.setWordWrap(True)
        column = QVBoxLayout(self)
        for part in (self.case_box, self.numbers, self.area, self.hotspot_box, self.out_box, self.message):
            column.addWidget(part)
        column.addStretch(1)
        self._connect()
        QTimer.singleShot(0, self.refresh)

    def _connect(self) -> None:
        self.desk.notebook_changed.connect(self._notebook_changed)
        self.desk.noted.connect(self._noted)
        self.desk.closed.connect(self.shutdown)
        self.count.changed.connect(self._show)
        self.numbers.convention_chosen.connect(self.count.set_convention)
        self.numbers.next_wanted.connect(self._go_on)
        self.case_box.added.connect(self._add)
        self.case_box.all_added.connect(self._add_all)
        self.case_box.field_chosen.connect(self._go_to)
        self.case_box.chosen.connect(self._case_chosen)
        self.case_box.scope_changed.connect(lambda: self.count.set_whole_case(self.case_box.whole_case))
        self.area.told.connect(self._tell)
        self.hotspot_box.wanted.connect(self._seek)
        self.out_box.export_wanted.connect(self._export)
        self.out_box.import_wanted.connect(self._import)
        self.out_box.report_wanted.connect(self._report)

    # ------------------------------------------------------------------ what is counted

    def refresh(self) -> None:
        """Take in all open fields, and read the case."""
        if self._down or self.desk.is_closed:
            return
        self.count.refresh()
        self._read_case()

    def _notebook_changed(self, _key: Any) -> None:
        if not self._found.names and self.desk.journal is not None:
            self._read_case()

    def _noted(self, _key: Any, change: Any) -> None:
        if change.action is not None and change.action.kind in ("join", "leave", "undo", "redo", "complete", "reopen"):
            self._read_case()

    def _show(self, *_: object) -> None:
        if self._down or self.desk.is_closed:
            return
        key, counted = self.desk.session.active, self.count.counted
        self.numbers.show_tally(self.count.tally)
        notebook = self.desk.notebook(key) if key is not None else None
        self.area.show_area(notebook)
        self.case_box.show_field(notebook.marks.case if notebook is not None else "", notebook is not None)
        self.case_box.show_detected(self.count.detected)
        for part in (self.hotspot_box, self.out_box):
            part.setEnabled(bool(counted) and not self._errands)

    def _go_on(self) -> None:
        """Look at the candidate of the active field that can change the score most."""
        key = self.desk.session.active
        counted = self.live.of(key) if key is not None else None
        if counted is None:
            return
        changes = self.live.changes(key, self.count.whole_case)
        if not changes.any():
            self._tell("Nothing that waits in this field can change the score.")
            return
        y, x = counted.pending_yx_px[int(np.argmax(changes))]
        look_at(self.desk.viewer, self.desk.fields.layer(str(key)), (float(y), float(x)))

    # ------------------------------------------------------------------ the case

    def _read_case(self) -> None:
        if self.desk.journal is not None:
            self._start(finding(self.desk.journal, self._case_name()), self._case_read)

    def _case_name(self) -> str:
        """The case that is looked at: the one that was chosen, else that of the active field."""
        notebook = self.desk.current
        return self.case_box.name or (notebook.marks.case if notebook is not None else "")

    def _case_chosen(self, name: str) -> None:
        if self.desk.journal is not None:
            self._start(finding(self.desk.journal, name), self._case_read)

    def _case_read(self, content: Found) -> None:
        self._found = content
        self.case_box.show_case(content.names, content.case)
        for field in content.case.fields if content.case is not None else ():
            if field.digest in self.case_box.without_picture():
                self._start(picturing(field), lambda drawn: self.case_box.show_picture(*drawn))
        self.count.set_case(content.case.fields if content.case is not None else ())

    def _add(self, name: str) -> None:
        """Put the active field into a case."""
        notebook, journal = self.desk.current, self.desk.journal
        if notebook is not None and journal is not None:
            self._start(adding(journal, name, [notebook.field], self.desk.reader), self._added)

    def _add_all(self, name: str) -> None:
        """Put all open fields into a case."""
        fields, journal = [self.desk.session[key].field for key in self.desk.session], self.desk.journal
        if journal is not None:
            self._start(adding(journal, name, fields, self.desk.reader), self._added)

    def _go_to(self, digest: str) -> None:
        """Look at a field of the case, if it is open."""
        for key in self.desk.session:
            notebook = self.desk.notebooks.known(key)
            if notebook is not None and notebook.field.digest == digest:
                self.desk.fields.choose(str(key))
                return
        self._tell("This field is not open: open its file in Fields.")

    def _added(self, content: Found) -> None:
        for key in self.desk.session:
            notebook = self.desk.notebooks.known(key)
            if notebook is not None:
                notebook.refresh()
        self._case_read(content)

    # ------------------------------------------------------------------ hotspot

    def _seek(self, area_mm2: float, shape: Any) -> None:
        key = self.desk.session.active
        self._sought_key = str(key)
        self._start(seeking(self.live.counted(key, False), area_mm2, shape), self._hotspot_found)

    def _hotspot_found(self, place: Place | None) -> None:
        if place is None:
            self._tell("The area that counts has no room for a hotspot of this size. Choose a smaller one.")
            return
        if self._sought_key in self.desk.session:
            owner = self.desk.fields.layer(self._sought_key)
            self.area.layers.show_polygon(owner, "hotspot", place.corners_px)
            noun = "mitosis" if place.count == 1 else "mitoses"
            self._tell(f"Hotspot: {place.count} {noun} in {self.hotspot_box.area_mm2:g} mm².")

    # ------------------------------------------------------------------ ways out

    def _export(self, name: str) -> None:
        notebook = self.desk.current
        if notebook is None:
            return
        chosen = FORMATS[name]
        start = f"{notebook.field.name}{chosen.suffix}"
        path = self._choose(self, f"Export as {chosen.title}", start, f"{chosen.title} (*{chosen.suffix})")
        if path:
            facts = FieldFacts.of(notebook.field)
            self._start(exporting(Path(path), notebook.figures, facts, name), self._exported)

    def _exported(self, done: tuple[Path, int, int]) -> None:
        path, count, left_out = done
        more = f" {left_out} were left out: the format has no room for them." if left_out else ""
        self._tell(f"{count} figures written to {path.name}.{more}")

    def _import(self, lenient: bool) -> None:
        """Add the figures of a file to the active field."""
        notebook = self.desk.current
        path = self._pick(self) if notebook is not None else ""
        if notebook is not None and path:
            self._target_book = notebook
            facts = FieldFacts.of(notebook.field)
            self._start(importing(Path(path), facts, Lenient() if lenient else Strict()), self._imported)

    def _imported(self, read: tuple[Path, Any, Strict]) -> None:
        path, figures, checks = read
        notebook = self._target_book
        if notebook is None or notebook is not self.desk.current:
            self._tell("Another field is looked at by now: nothing was added.")
            return
        done = add_read(notebook, figures, path.stem)
        there = f" {done.skipped} were there already." if done.skipped else ""
        dropped = f" ⚠ {checks.words()}" if isinstance(checks, Lenient) and checks.dropped else ""
        self._tell(f"{len(done.added)} figures added from {path.name}.{there}{dropped}")

    def _report(self, kind: str) -> None:
        """Write the report: ``html``, or ``A4`` or ``Letter`` as PDF."""
        journal, notebook = self.desk.journal, self.desk.current
        if journal is None or notebook is None:
            return
        suffix = "html" if kind == "html" else "pdf"
        whole = self.case_box.whole_case and self._found.case is not None
        name = self._found.case.name if whole and self._found.case is not None else notebook.field.name
        path = self._choose(self, "Write the report", f"report.{suffix}", f"{suffix.upper()} (*.{suffix})")
        if not path:
            return
        options = ReportOptions(self.live.convention, self.hotspot_box.area_mm2, self.hotspot_box.shape)
        try:
            journal.remember(notebook.field)
            case = self._found.case if whole else lone_case(journal, notebook.field.digest, name)
        except MitosisError as error:
            self._failed(error)
            return
        assert case is not None
        self._target, self._paper = Path(path), kind
        written = self._target if kind == "html" else None
        self._start(reporting(journal, case, options, self.live.waiting(), written), self._reported)

    def _reported(self, page: str) -> None:
        if self._paper != "html":
            try:
                print_pdf(page, self._target, self._paper)
            except MitosisError as error:
                self._failed(error)
                return
        self._tell(f"The report is in {self._target.name}.")

    # ------------------------------------------------------------------ jobs and the end

    def _start(self, job: Job[Any], done: Callable[[Any], None]) -> None:
        errand = Errand(self, done, self._failed)
        errand.ended.connect(self._ended)
        self._errands.append(errand)
        start = self.desk.workers.start
        start(job, succeeded=errand.succeeded, failed=errand.failed, cancelled=errand.cancelled)

    def _ended(self) -> None:
        self._errands = [errand for errand in self._errands if not errand.over]
        self._show()

    def _failed(self, error: Exception) -> None:
        self._tell(f"⚠ {error}")

    def _tell(self, text: str) -> None:
        self.message.setText(text)

    def shutdown(self) -> None:
        """Let go of the desk and take the layers away."""
        if self._down:
            return
        self._down = True
        for errand in self._errands:
            errand.forget()
        self.desk.notebook_changed.disconnect(self._notebook_changed)
        self.desk.noted.disconnect(self._noted)
        self.count.changed.disconnect(self._show)
        self.area.layers.remove()
