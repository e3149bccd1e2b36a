"""What the train dock looks like; it knows nothing of journals and processes."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from ...finetune.client import Ended
from ...models.card import ModelCard
from ..card import STANDARD, headline, short
from ..style import name_as
from .curves import CurvesView
from .fields_table import FieldsTable
from .training import Training
from .verdict import VerdictView
from .versions_view import VersionsView

WIDTH_PX = 392

TRAIN_STYLE = """
QFrame#banner { background: rgba(255, 184, 28, 30); border: 1px solid rgba(255, 184, 28, 120); border-radius: 5px; }
QFrame#banner QLabel { background: transparent; }
QFrame#verdict { background: rgba(127, 127, 127, 24); border: 1px solid rgba(127, 127, 127, 80); border-radius: 6px; }
QFrame#verdict QLabel { background: transparent; }
QLabel#headline { font-size: 15px; font-weight: bold; }
QLabel#reason { font-size: 12px; }
QLabel#trouble { background: #8e1b1b; color: white; padding: 7px; border-radius: 4px; }
QPlainTextEdit { background: #14171b; font-family: monospace; font-size: 11px; border-radius: 4px; }
QTableWidget { background: rgba(127, 127, 127, 18); border: none; border-radius: 4px; }
"""


class TrainPanel(QWidget):
    """Fields, model and time, the training itself, its verdict, and the versions, from top to bottom.

    Parameters
    ----------
    dock : QWidget
    minutes : sequence of float
        The time budgets on offer; the one in the middle is chosen at first.

    Attributes
    ----------
    start_wanted, cancel_wanted, continue_wanted, dismiss_wanted : Signal()
    parent_chosen : Signal()
    """

    start_wanted = Signal()
    cancel_wanted = Signal()
    continue_wanted = Signal()
    dismiss_wanted = Signal()
    parent_chosen = Signal()

    def __init__(self, dock: QWidget, minutes: Sequence[float]) -> None:
        super().__init__(dock)
        self._minutes = tuple(minutes)
        self._wanted = len(self._minutes) // 2
        self._cards: list[ModelCard] = []
        self.fields = FieldsTable()
        self.summary, self.message = _label("faint"), _label("error")
        self.automatic = QToolButton()
        self.automatic.setText("Automatic split")
        self.automatic.setToolTip("Learn from every field; each is judged by a network that did not learn from it")
        self.parent_model = QComboBox()
        self.parent_model.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._budget = QButtonGroup(self)
        self.budgets = self._minute_buttons()
        self.device = QComboBox()
        self.device.addItems(["auto", "cpu"])
        self.device.setToolTip("Where it trains. auto: a GPU if there is one.")
        self.start = QPushButton("Start training")
        self.start.setObjectName("primary")
        self.cancel = QPushButton("Cancel")
        self.progress = QProgressBar()
        self.doing = _label("faint")
        self.curves = CurvesView()
        self.log_button = QToolButton()
        self.log_button.setText("Log")
        self.log_button.setCheckable(True)
        self.log = QPlainTextEdit()
        self.log.setReadOnly(True)
        self.log.setMaximumBlockCount(500)
        self.log.setFixedHeight(120)
        self.trouble = _label("trouble")
        self.banner, self.banner_text = QFrame(), _label("")
        self.go_on, self.dismiss = QPushButton("Continue"), QToolButton()
        self.dismiss.setText("✕")
        self.dismiss.setToolTip("Do not ask again; its folder stays")
        self.verdict = VerdictView()
        self.versions = VersionsView()
        self._lay_out(dock)
        self._connect()
        self.say("")
        self.show_banner("")
        self.show_training(None)
        for widget in self.training.findChildren(QWidget):
            widget.ensurePolished()  # now, not when a training begins

    def _lay_out(self, dock: QWidget) -> None:
        dock.setStyleSheet(TRAIN_STYLE)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 6)
        column.setSpacing(5)
        self.banner.setObjectName("banner")
        line = QHBoxLayout(self.banner)
        line.setContentsMargins(8, 4, 4, 4)
        for widget in (self.banner_text, self.go_on, self.dismiss):
            line.addWidget(widget, 1 if widget is self.banner_text else 0)
        column.addWidget(self.banner)
        column.addLayout(_row(_section("FIELDS WITH CORRECTIONS"), None, self.automatic))
        column.addWidget(self.fields)
        column.addWidget(self.summary)
        column.addWidget(_section("TRAINING"))
        column.addLayout(_row(QLabel("Start from"), self.parent_model))
        column.addLayout(_row(QLabel("Time"), *self.budgets, None, QLabel("on"), self.device))
        column.addLayout(_row(self.start, self.cancel, stretch=0))
        column.addWidget(self.message)
        self.training = QWidget()
        inner = QVBoxLayout(self.training)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(4)
        inner.addWidget(self.progress)
        inner.addLayout(_row(self.doing, self.log_button, stretch=0))
        for part in (self.trouble, self.log, self.curves):
            inner.addWidget(part)
        self.log.hide()
        column.addWidget(self.training)
        column.addWidget(self.verdict)
        column.addWidget(_section("VERSIONS"))
        column.addWidget(self.versions)
        column.addWidget(self.verdict.figures)
        column.addStretch(1)
        self._dock, self._scroll = dock, (scroll := QScrollArea())
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(self)
        outer = QVBoxLayout(dock)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)
        dock.setMinimumWidth(WIDTH_PX)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Sideways scrolling is off: neither other fonts nor the scroll bar may cut the dock off."""
        super().resizeEvent(event)
        bar = self._scroll.verticalScrollBar()
        need = self.minimumSizeHint().width() + (bar.sizeHint().width() if bar is not None else 0)
        if need > self._dock.minimumWidth():
            self._dock.setMinimumWidth(need)

    def _minute_buttons(self) -> list[QToolButton]:
        buttons = []
        for at, minutes in enumerate(self._minutes):
            button = QToolButton()
            button.setText(f"{minutes:g} min")
            button.setCheckable(True)
            button.setChecked(at == self._wanted)
            button.setToolTip(f"About {minutes:g} min, judging included")
            self._budget.addButton(button, at)
            buttons.append(button)
        return buttons

    @property
    def minutes(self) -> float:
        """The time budget for the next training."""
        return self._minutes[self._wanted]

    def _light(self, minutes: float | None) -> None:
        """Light the time of the training under way, if it is on offer; else the one that is chosen for the next."""
        lit = self._wanted if minutes is None else self._minutes.index(minutes) if minutes in self._minutes else None
        self._budget.setExclusive(False)
        for at, button in enumerate(self.budgets):
            button.setChecked(at == lit)
            button.setEnabled(minutes is None)
        self._budget.setExclusive(True)

    def _connect(self) -> None:
        self._budget.idClicked.connect(self._choose_minutes)
        self.start.clicked.connect(self.start_wanted)
        self.cancel.clicked.connect(self.cancel_wanted)
        self.go_on.clicked.connect(self.continue_wanted)
        self.dismiss.clicked.connect(self.dismiss_wanted)
        self.automatic.clicked.connect(self.fields.automatic)
        self.parent_model.currentIndexChanged.connect(self.parent_chosen)
        self.log_button.toggled.connect(self.log.setVisible)

    def _choose_minutes(self, at: int) -> None:
        self._wanted = at

    # The model

    @property
    def card(self) -> ModelCard | None:
        """Of the version to start from."""
        at = self.parent_model.currentIndex()
        return self._cards[at] if 0 <= at < len(self._cards) else None

    def set_cards(self, cards: Sequence[ModelCard]) -> None:
        """Offer these versions; the choice stays with its detector, at first it is the standard one."""
        detector = self.card.detector if self.card is not None else STANDARD
        self._cards = list(cards)
        with signals_blocked(self.parent_model):
            self.parent_model.clear()
            for at, card in enumerate(self._cards):
                self.parent_model.addItem(short(card))
                self.parent_model.setItemData(at, f"{card.name}: {headline(card)}", Qt.ItemDataRole.ToolTipRole)
            same = [at for at, card in enumerate(self._cards) if card.detector == detector]
            self.parent_model.setCurrentIndex(same[-1] if same else len(self._cards) - 1)
        self.parent_chosen.emit()

    # What it says

    def say(self, text: str) -> None:
        """Show an error above the training, or none."""
        self.message.setText(text)
        self.message.setVisible(bool(text))

    def show_banner(self, text: str) -> None:
        """Offer to go on with a training, or not."""
        self.banner_text.setText(text)
        self.banner.setVisible(bool(text))

    def set_ready(self, why_not: str, hint: str, running: bool) -> None:
        """Enable the start, or say why it is disabled; `hint` tells what is amiss with a choice that may start."""
        self.start.setEnabled(not why_not)
        self.start.setToolTip(why_not or "Train a new version in the background; you can go on working")
        self.go_on.setEnabled(not running)
        self.cancel.setEnabled(running)
        self.cancel.setToolTip("Stop; the work that was done is kept" if running else "Nothing is trained.")
        self.cancel.setVisible(running)
        idle = bool(why_not) and not running
        self.summary.setText(why_not if idle else hint)
        name_as(self.summary, "amber" if idle else "faint")

    def show_training(self, training: Training | None) -> None:
        """Show how far it is, its curves and its log; nothing before the first one."""
        self.training.setVisible(training is not None and training.run is not None)
        if training is None or training.run is None:
            self._light(None)
            return
        self._light(training.run.minutes if training.running else None)
        progress = training.watch.progress
        self.progress.setVisible(training.running)
        # Never a bar without an end: its animation would have the whole window drawn again all the time.
        self.progress.setRange(0, max(1, progress.total))
        self.progress.setValue(progress.done if progress.total else 0)
        name = f"{training.run.parent} → {training.run.version.partition('+')[2] or training.run.version}"
        left = f" · {training.watch.left}" if training.watch.left else f" · at most about {training.run.minutes:g} min"
        self.progress.setFormat(f"%p %{left}" if progress.total else f"preparing{left}")
        self.doing.setText(f"{name}: {progress.message}" if training.running else name)
        self.curves.setVisible(training.running or bool(training.watch.curves.loss))
        self.curves.show_curves(training.watch.curves)
        shown = self.log.blockCount() if self.log.toPlainText() else 0
        if shown > len(training.watch.messages):
            self.log.clear()
            shown = 0
        for message in training.watch.messages[shown:]:
            self.log.appendPlainText(message)

    def show_end(self, ended: Ended | None) -> None:
        """Say how a training ended, where that is more than its verdict."""
        quiet = ended is None or ended.status == "finished"
        self.trouble.setVisible(not quiet)
        if ended is None or quiet:
            return
        self.trouble.setText(ended.text)
        self.trouble.setStyleSheet("background: #5a4a12;" if ended.status == "cancelled" else "")
        if ended.log:
            self.log.appendPlainText(ended.log)


def _label(name: str) -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def _section(text: str) -> QLabel:
    label = QLabel(text)
    label.setObjectName("section")
    return label


def _row(*widgets: QWidget | None, stretch: int | None = None) -> QHBoxLayout:
    """Widgets side by side; None stretches, and so does the widget at the place `stretch`."""
    row = QHBoxLayout()
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(4)
    for at, widget in enumerate(widgets):
        if widget is None:
            row.addStretch(1)
        else:
            wide = at == stretch or (isinstance(widget, QComboBox) and None not in widgets)
            row.addWidget(widget, 1 if wide else 0)
    return row
