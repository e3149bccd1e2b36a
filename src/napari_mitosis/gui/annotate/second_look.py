"""The panel of the second look: what was not seen yet, and the best of what the rule leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLabel,
    QProgressBar,
    QSpinBox,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from ...jobs import Job
from ...review.judge import judge
from ...review.second_look import LOOK_COLUMNS, looking, with_judgements
from ...session import Result
from ..places import look_at
from .annotating import annotating_of
from .words import faint, label_icon, row, section, tool

if TYPE_CHECKING:
    from ..desk import Desk

COUNT = 20
COLUMNS: tuple[str, ...] = ("score", "µm²", "seen", "judged")
BLIND = "This field is read blind: reveal the detections first."
NO_RESULT = "Detect in this field first: then the best candidates that its rule leaves out are listed here."
SKIPPED = "skipped"


class SecondLookPanel(QWidget):
    """Coverage of the active field, and its best candidates below the threshold.

    Parameters
    ----------
    desk : Desk

    Attributes
    ----------
    looks : DataFrame
        The candidates of the active field that its rule leaves out, best first; columns
        `second_look.LOOK_COLUMNS` and ``label``, how each was judged.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self.annotating = annotating_of(desk)
        self.coverage = self.annotating.coverage
        self._of: tuple[Any, Any] | None = None
        self._all = pd.DataFrame({name: pd.Series(dtype="float64") for name in LOOK_COLUMNS})
        self._skipped: dict[Any, set[tuple[float, float]]] = {}
        self.looks = self._all.assign(label="")
        self._make_widgets()
        self._lay_out()
        self._connect()
        self._refresh()

    def _make_widgets(self) -> None:
        self.share = QProgressBar()
        self.share.setRange(0, 1000)
        self.share.setToolTip(
            "Share of the tissue that was on screen for half a second at 0.5 µm or less for each screen pixel (20x)"
        )
        self.unseen = tool("Show unseen tissue", "Darken what was not seen yet", checkable=True)
        self.go_unseen = tool("Next unseen area", "Go to the view that shows the most tissue that was not seen yet")
        self.count = QSpinBox()
        self.count.setRange(1, 500)
        self.count.setValue(COUNT)
        self.count.setToolTip("How many of the best candidates that the rule leaves out are to be looked at")
        self.table = QTableWidget()
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setColumnCount(len(COLUMNS))
        self.table.setHorizontalHeaderLabels(list(COLUMNS))
        self.table.setToolTip("Candidates that the rule leaves out, best first. Click one to go there.")
        self.table.setMinimumHeight(140)
        header = self.table.horizontalHeader()
        if header is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.mitosis = tool("Mitosis", "It is a mitosis that the detector missed; go on")
        self.mimic = tool("Mimic", "It is none; go on")
        self.skip = tool("Skip", "Leave it unjudged; go on")
        self.mitosis.setIcon(label_icon("mitosis"))
        self.mimic.setIcon(label_icon("mimic"))
        self.summary = faint()

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 6)
        column.setSpacing(5)
        column.addWidget(section("TISSUE SEEN"))
        column.addWidget(self.share)
        column.addLayout(row(self.unseen, self.go_unseen, None))
        column.addWidget(section("BELOW THE THRESHOLD"))
        column.addLayout(row(QLabel("the best"), self.count, QLabel("that the rule leaves out"), None))
        column.addWidget(self.table, 1)
        column.addLayout(row(self.mitosis, self.mimic, self.skip, None))
        column.addWidget(self.summary)

    def _connect(self) -> None:
        self.unseen.toggled.connect(self.coverage.show)
        self.go_unseen.clicked.connect(self._go_unseen)
        self.count.valueChanged.connect(lambda _: self._show())
        self.table.currentCellChanged.connect(lambda at, *_: self.go(at))
        self.mitosis.clicked.connect(lambda: self.judge("mitosis"))
        self.mimic.clicked.connect(lambda: self.judge("mimic"))
        self.skip.clicked.connect(self.put_off)
        self.coverage.changed.connect(self._covered)
        self.annotating.changed.connect(self._refresh)
        self.annotating.result_changed.connect(self._refresh)
        self._desk.closed.connect(self._closed)

    # The candidates

    def _refresh(self, *_: object) -> None:
        """Ask anew what is left out where evidence or rule are others; else bring the judgements up to date."""
        session = self._desk.session
        key, state = session.active, session.current
        result = state.result if state is not None else None
        of = (key, result.ticket) if result is not None else None
        if of != self._of:
            self._of = of
            self._all = self._all.iloc[:0]
            if result is not None and of is not None:
                self._desk.workers.start(_looking(of, result), succeeded=self._found)
        self._show()

    def _found(self, found: tuple[Any, pd.DataFrame]) -> None:
        if found[0] == self._of:
            self._all = found[1]
            self._show()

    def _show(self) -> None:
        """Fill the table."""
        session, notebook = self._desk.session, self.annotating.notebook
        key = session.active
        blind = self.annotating.blind.blind(key)
        best = self._all.iloc[: 0 if blind else self.count.value()]
        mpp = session[key].field.mpp if key in session else None
        figures = notebook.figures if notebook is not None else pd.DataFrame(columns=["y_px", "x_px", "label"])
        self.looks = with_judgements(best, figures, mpp or 1.0)
        current = self.table.currentRow()
        with signals_blocked(self.table):
            self.table.setRowCount(len(self.looks))
            for at in range(len(self.looks)):
                self._fill(at)
            if current >= len(self.looks):
                self.table.setCurrentCell(-1, -1)
        for part in (self.mitosis, self.mimic, self.skip):
            part.setEnabled(notebook is not None and len(self.looks) > 0)
        self._covered()

    def _fill(self, at: int) -> None:
        one = self.looks.iloc[at]
        label = str(one["label"])
        if not label and (float(one["y_px"]), float(one["x_px"])) in self._skipped.get(
            self._desk.session.active, set()
        ):
            label = SKIPPED
        for column, text in enumerate((f"{one['score']:.2f}", f"{one['area_um2']:.0f}", self._seen(at), label)):
            item = QTableWidgetItem(text)
            item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
            if column == 3 and label in ("mitosis", "mimic", "unsure"):
                item.setIcon(label_icon(label))
            self.table.setItem(at, column, item)

    def _seen(self, at: int) -> str:
        coverage = self.coverage.of(self._desk.session.active)
        one = self.looks.iloc[at]
        return "✓" if coverage is not None and coverage.seen_at(float(one["y_px"]), float(one["x_px"])) else ""

    def go(self, at: int) -> None:
        """Centre a candidate."""
        if 0 <= at < len(self.looks):
            one = self.looks.iloc[at]
            owner, place = (
                self._desk.fields.layer(str(self._desk.session.active)),
                (float(one["y_px"]), float(one["x_px"])),
            )
            look_at(self._desk.viewer, owner, place)
            self.annotating.point_at(*place)

    def judge(self, label: str) -> None:
        """Put the label of the chosen candidate on record, and go on; the first one is chosen where none is."""
        at, notebook = self.table.currentRow(), self.annotating.notebook
        state = self._desk.session.current
        if notebook is None or state is None or state.result is None:
            return
        if not 0 <= at < len(self.looks):
            self._next(-1)
            return
        one = self.looks.iloc[at]
        place = float(one["y_px"]), float(one["x_px"])
        figure = notebook.near(*place) or ""
        judge(notebook, *place, label, source=state.result.evidence.model, score=float(one["score"]), figure=figure)
        self._next(at)

    def put_off(self) -> None:
        """Leave the chosen candidate unjudged, and go on."""
        at = self.table.currentRow()
        if 0 <= at < len(self.looks):
            one = self.looks.iloc[at]
            place = float(one["y_px"]), float(one["x_px"])
            self._skipped.setdefault(self._desk.session.active, set()).add(place)
            self._fill(at)
        self._next(at)

    def step(self, by: int) -> None:
        """The next candidate, whatever is on record of it, or the one before."""
        at = self.table.currentRow() + by
        if len(self.looks):
            self.table.setCurrentCell(min(max(at, 0), len(self.looks) - 1), 0)

    def show_keys(self, keys: Mapping[str, str]) -> None:
        """Write the keys of the review on the buttons."""
        for name, button in (("mitosis", self.mitosis), ("mimic", self.mimic), ("skip", self.skip)):
            button.setText(f"{name.capitalize()}  {keys[name]}")

    def _next(self, at: int) -> None:
        """Go to the next candidate that was not judged; stay at the end."""
        for following in range(at + 1, len(self.looks)):
            if not self.looks["label"].iloc[following]:
                self.table.setCurrentCell(following, 0)
                return

    # Coverage

    def _go_unseen(self) -> None:
        key = self._desk.session.active
        coverage = self.coverage.of(key)
        view = self.coverage.view(key)
        if coverage is None or view is None:
            return
        (y0, x0, y1, x1), um_per_px = view
        shrink = min(1.0, coverage.enough.um_per_screen_px / um_per_px)  # as close as it takes to count
        centre = coverage.next_view((y1 - y0) * shrink, (x1 - x0) * shrink)
        if centre is None:
            return
        self.annotating.point_at_nothing()
        viewer = self._desk.viewer
        owner = self._desk.fields.layer(str(key))
        camera = getattr(viewer, "scene", viewer).camera
        camera.center = tuple(float(value) for value in owner.data_to_world(centre))
        camera.zoom = camera.zoom / shrink

    def _covered(self, *_: object) -> None:
        """The share of tissue seen, and the summary."""
        session = self._desk.session
        key = session.active
        coverage = self.coverage.of(key)
        self.share.setEnabled(coverage is not None)
        share = coverage.share if coverage is not None else 0.0
        self.share.setValue(int(share * 1000))
        percent = int(share * 100)  # 100 only when all of it was seen
        self.share.setFormat(f"{percent} %" if coverage is not None else "the pixel size is unknown")
        self.go_unseen.setEnabled(coverage is not None and share < 1.0)
        self.unseen.setEnabled(coverage is not None)
        for at in range(self.table.rowCount()):
            item = self.table.item(at, 2)
            if item is not None and item.text() != (seen := self._seen(at)):
                item.setText(seen)
        self._summarise(percent, coverage is not None)

    def _summarise(self, percent: int, known: bool) -> None:
        state = self._desk.session.current
        seen = f"{percent} % of the tissue seen at 20x or more" if known else ""
        if self.annotating.blind.blind(self._desk.session.active):
            self.summary.setText(BLIND)
        elif state is None or state.result is None:
            self.summary.setText(NO_RESULT)
        else:
            done = [bool(label) or bool(self._seen(at)) for at, label in enumerate(self.looks["label"])]
            first = f"{sum(done)} of {len(done)} candidates below the threshold seen"
            self.summary.setText(f"{first}, {seen}." if seen else f"{first}.")

    def _closed(self) -> None:
        self.setEnabled(False)


def _looking(of: tuple[Any, Any], result: Result) -> Job[tuple[Any, pd.DataFrame]]:
    """What the rule leaves out, and of which result that is."""
    return of, (yield from looking(result.evidence, result.rule))
