"""The "Compare detectors" dock: several detectors on one field, and on what they agree."""

from pathlib import Path
from typing import Any

import napari
from qtpy.QtCore import Qt
from qtpy.QtGui import QBrush, QColor, QHideEvent, QShowEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QProgressBar,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
)

from ...errors import MitosisError
from ...fields.field import Field
from ...inference.cache import EvidenceCache
from ...jobs import Job, Progress
from ...models.card import ModelCard
from ...models.registry import list_cards
from ..card import short
from ..page import Page
from ..places import look_at
from ..worker import JobThread
from .layers import AgreementLayers, Compared, style

COLUMNS = 2
"""Check boxes side by side."""


class CompareDock(Page):
    """Runs several detectors on the active field, and shows for each figure who found it.

    Parameters
    ----------
    viewer : napari.Viewer
    cards : list of ModelCard, optional
        The detectors on offer; the newest version of each installed one by default.
    folder : Path, optional
        Where the models lie, instead of the shipped and the user's.
    cache : EvidenceCache, optional
        What was seen before; that of the session by default, so that nothing is looked at twice.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        cards: list[ModelCard] | None = None,
        folder: Path | None = None,
        cache: EvidenceCache | None = None,
    ) -> None:
        super().__init__(viewer)
        self.session = self.desk.session
        self.workers = self.desk.workers
        self.fields = self.desk.fields
        self._folder = folder
        self._cache = cache
        self._run: JobThread | None = None
        self._run_key: Any = None
        self._layers: dict[str, AgreementLayers] = {}
        self._left = False
        self.compared: dict[str, Compared] = {}
        self.message = QLabel()
        self.checks = self._offer(cards)
        self._make_widgets()
        self._lay_out()
        self.session.active_changed.connect(self._show_field)
        self.session.field_changed.connect(self._field_changed)
        self.session.closed.connect(self._closed)
        self.desk.blind.changed.connect(self._show_field)
        self._show_field()

    def _offer(self, cards: list[ModelCard] | None) -> dict[str, QCheckBox]:
        """A check box for each detector, all of them checked."""
        if cards is None:
            try:
                single = [card for card in list_cards(self._folder) if not card.members]
            except MitosisError as error:
                self.message.setText(str(error))
                single = []
            cards = list({card.detector: card for card in single}.values())
        checks = {}
        for card in cards:
            if card.kind != "detector":
                continue
            check = checks[card.name] = QCheckBox(short(card))
            check.setToolTip(card.title)
            check.setChecked(True)
            check.toggled.connect(lambda _: self._update_ready())
        return checks

    def _make_widgets(self) -> None:
        self.run_button = QPushButton("Compare")
        self.run_button.setObjectName("primary")
        self.cancel_button = QPushButton("Cancel")
        self.progress = QProgressBar()
        self.labels = QCheckBox("Write at each figure how many found it")
        self.labels.setToolTip("Off at first: words beside the nuclei are in the way of looking at them")
        self.summary = QLabel()
        self.summary.setWordWrap(True)
        self.table = QTableWidget()
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setToolTip("A row for each figure, with its probability by each detector. Click one to go there.")
        self.message.setWordWrap(True)
        self.message.setObjectName("error")
        self.run_button.clicked.connect(self.run)
        self.cancel_button.clicked.connect(self.cancel)
        self.labels.toggled.connect(self._label)
        self.table.currentCellChanged.connect(lambda row, *_: self.go(row))

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setVerticalSpacing(2)
        for at, check in enumerate(self.checks.values()):
            grid.addWidget(check, at // COLUMNS, at % COLUMNS)
        row = QHBoxLayout()
        row.addWidget(self.run_button, 1)
        row.addWidget(self.cancel_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 6)
        column.setSpacing(4)
        column.addLayout(grid)
        column.addLayout(row)
        for widget in (self.progress, self.message, self.summary, self.labels):
            column.addWidget(widget)
        column.addWidget(self.table, 1)
        column.addStretch(0)
        self.table.setMinimumHeight(220)

    # Running

    @property
    def running(self) -> bool:
        """Whether detectors look at a field now."""
        return self._run is not None

    @property
    def cache(self) -> EvidenceCache:
        """What was seen before."""
        return self.session.cache if self._cache is None else self._cache

    @property
    def chosen(self) -> list[str]:
        """The versions that are checked."""
        return [name for name, check in self.checks.items() if check.isChecked()]

    def run(self) -> None:
        """Let the checked detectors look at the active field."""
        state = self.session.current
        if state is None or self._why_not() is not None:
            return
        self._run_key = self.session.active
        self.message.setText("")
        job = _compare_job(state.field, state.epoch, self.chosen, self.cache, self._folder)
        self._run = self.workers.start(
            job,
            succeeded=self._succeeded,
            failed=self._failed,
            progressed=self._show_progress,
            cancelled=self._ended,
        )
        self._update_ready()

    def cancel(self) -> None:
        """Stop the run at its next step."""
        if self._run is not None:
            self._run.cancel()

    def _succeeded(self, compared: Compared) -> None:
        key = self._run_key
        self._ended()
        if key not in self.session or self.session[key].epoch != compared.epoch:
            self.message.setText("The field changed during the run, so its result was dropped.")
            return
        self.compared[key] = compared
        # The review can ask where detectors disagree.
        self.desk.set_agreement(key, compared.comparison.agreement[["y_px", "x_px", *compared.names]])
        if key not in self._layers:
            self._layers[key] = AgreementLayers(self.viewer, self.fields.layer(key), self.fields.grave)
            self._layers[key].label(self.labels.isChecked())
        self._layers[key].show(compared.comparison)
        self._show_field()

    def _failed(self, error: Exception) -> None:
        self._ended()
        self.message.setText(str(error) or type(error).__name__)

    def _ended(self) -> None:
        self._run = self._run_key = None
        self._update_ready()

    def _show_progress(self, progress: Progress) -> None:
        self.progress.setRange(0, progress.total)
        self.progress.setValue(progress.done)
        self.progress.setFormat(f"%p % · {progress.message}" if progress.total else progress.message)

    # Showing

    def _show_field(self, *_: object) -> None:
        """Another field is looked at, or there is more to tell of it."""
        key = self.session.active
        blind = self.desk.blind.blind(key)
        compared = None if blind else self.compared.get(str(key))
        for other, layers in self._layers.items():
            layers.set_visible(other == key and not blind and not self._left)
        self.table.setVisible(compared is not None)
        self.labels.setVisible(compared is not None)
        self.summary.setText(compared.summary if compared is not None else "")
        self.table.clear()
        self.table.setRowCount(0)
        if compared is not None:
            self._fill(compared)
        self._update_ready()

    def _label(self, labelled: bool) -> None:
        for layers in self._layers.values():
            layers.label(labelled)

    def _fill(self, compared: Compared) -> None:
        frame, names = compared.comparison.agreement, compared.names
        self.table.setColumnCount(1 + len(names))
        self.table.setHorizontalHeaderLabels(["Found by", *names])
        for column, name in enumerate(names, 1):
            header = self.table.horizontalHeaderItem(column)
            if header is not None:
                header.setForeground(QBrush(QColor(style(column - 1).colour)))
                header.setToolTip(f"Probability that {name} gives, where it found the figure")
        self.table.setRowCount(len(frame))
        for row, label in enumerate(compared.comparison.labels):
            self.table.setItem(row, 0, _item(label))
            for column, name in enumerate(names, 1):
                probability = float(frame[name].iloc[row])
                self.table.setItem(row, column, _item("–" if probability != probability else f"{probability:.2f}"))
        header_view = self.table.horizontalHeader()
        if header_view is not None:
            header_view.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)

    def go(self, row: int) -> None:
        """Centre the figure of a row."""
        key = str(self.session.active)
        compared = self.compared.get(key)
        if self.desk.blind.blind(self.session.active):
            return
        if compared is None or not 0 <= row < len(compared.comparison.agreement):
            return
        figure = compared.comparison.agreement.iloc[row]
        look_at(self.viewer, self.fields.layer(key), (float(figure["y_px"]), float(figure["x_px"])))

    def _why_not(self) -> str | None:
        state = self.session.current
        if self.desk.blind.blind(self.session.active):
            return "This field is read blind: reveal it first."
        if state is None:
            return "Open an RGB image first (File > Open, or File > Open Sample)."
        if state.field.mpp is None:
            return "The pixel size of this field is unknown: state it in Fields or Detect."
        if len(self.chosen) < 2:
            return "Choose two or more detectors."
        return "A run is under way." if self._run is not None else None

    def _update_ready(self) -> None:
        why = self._why_not()
        self.run_button.setEnabled(why is None)
        self.run_button.setToolTip(why or "Let the checked detectors look at the active field, each with its own rule")
        self.cancel_button.setEnabled(self._run is not None)
        self.cancel_button.setToolTip("Stop at the next step" if self._run is not None else "Nothing is running.")
        self.progress.setVisible(self._run is not None)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Its marks are seen while this step is in front."""
        super().showEvent(event)
        self._left = False
        self._show_field()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Marks on the nuclei would be in the way of the other steps."""
        super().hideEvent(event)
        self._left = True
        if not self.desk.is_closed:
            self._show_field()

    # Fields come and go

    def _field_changed(self, key: Any) -> None:
        """Other pixels, another um/px: what was compared is no longer true."""
        self.compared.pop(str(key), None)
        layers = self._layers.pop(str(key), None)
        if layers is not None:
            layers.remove()
        self._show_field()

    def _closed(self, key: Any) -> None:
        if key == self._run_key:
            self.cancel()
        self.compared.pop(str(key), None)
        layers = self._layers.pop(str(key), None)
        if layers is not None:
            layers.remove()


def _compare_job(
    field: Field, epoch: int, names: list[str], cache: EvidenceCache, folder: Path | None
) -> Job[Compared]:
    """The comparison, with what the dock tells of it."""
    yield Progress(0, 0, "loading")
    from ...batches.compare import compare  # torch: seconds, in the worker

    comparison = yield from compare(field, names, cache=cache, folder=folder)
    return Compared(comparison, epoch)


def _item(text: str) -> QTableWidgetItem:
    item = QTableWidgetItem(text)
    item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
    return item
