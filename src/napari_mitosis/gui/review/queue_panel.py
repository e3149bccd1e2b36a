"""The target with all that can be said of it: judgement, steps, phase, and how far the review is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from ...annotations.actions import PHASES
from ...review.judge import STATES, UNDECIDED
from .marker import MAGNIFICATIONS
from .present import PresentCard
from .progress import JudgedBar
from .review_keys import MEANINGS, ReviewKeys
from .reviewing import Reviewing
from .table import COLOURS
from .thumbnails import Thumbnails

# Of what fills a dock: napari gives half of the dock to a stretch below anything less.
TALL = (QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

STYLE = """
QLabel#place { font-size: 18px; font-weight: bold; }
QLabel#score { font-size: 15px; }
QLabel#decision { font-size: 15px; }
QLabel#trouble { background: #8e1b1b; color: white; font-weight: bold; padding: 7px; border-radius: 4px; }
QPushButton#judge { font-weight: bold; padding: 6px 4px; border-radius: 4px; color: #101418; }
QPushButton#judge:disabled { background: rgba(127, 127, 127, 50); color: #8b93a1; }
QToolButton { padding: 3px 6px; }
QPushButton#onward { padding: 3px 8px; border-radius: 4px; background: #00813a; color: white; }
QListView, QTableView { background: #1b1e23; color: #d5dae2; border: none; }
"""

JUDGEMENTS = (("mitosis", "Mitosis"), ("mimic", "Look-alike"), ("unsure", "Unsure"), ("skip", "Put off"))
ONWARD: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "second look": ("Second look", "The best of what the settings leave out: so that misses are found as well"),
        "next field": ("Next field", "The next open field that has something to judge"),
        "report": ("Report", "The report of this case"),
    }
)
"""Where a reader goes after the last candidate: what the button says, and what it does."""

STEPS = (("back", "◀ Back"), ("next", "Next ▶"), ("undo", "↶ Undo"), ("redo", "↷ Redo"))
SHORT_PHASES = {phase: phase[:4].capitalize() for phase in PHASES}


class QueuePanel(QWidget):
    """Target, judgement, steps, phase, progress and closeness.

    Parameters
    ----------
    reviewing : Reviewing
    thumbnails : Thumbnails
    keys : ReviewKeys
    parent : QWidget, optional

    Attributes
    ----------
    wanted : Signal(str)
        An action of `review_keys.ACTIONS` was clicked.
    magnification_chosen, reader_entered : Signal(str)
    onward : Signal(str)
        After the last candidate: one of `ONWARD`.
    keys_wanted : Signal()
    """

    wanted = Signal(str)
    magnification_chosen = Signal(str)
    reader_entered = Signal(str)
    onward = Signal(str)
    keys_wanted = Signal()

    def __init__(
        self, reviewing: Reviewing, thumbnails: Thumbnails, keys: ReviewKeys, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._reviewing = reviewing
        self._keys = keys
        self.card = PresentCard(reviewing, thumbnails)
        self.reader = QLineEdit()
        self.reader.setPlaceholderText("your name")
        self.reader.setMaximumWidth(110)
        self.reader.setToolTip("Who reviews: each action is noted with this name. Undo goes through your own actions.")
        self.buttons: dict[str, QPushButton | QToolButton] = {}
        for name, _ in JUDGEMENTS:
            self.buttons[name] = button = QPushButton()
            button.setObjectName("judge")
            colour = COLOURS["skipped" if name == "skip" else name]
            button.setStyleSheet(f"QPushButton:enabled {{ background: {colour}; }}")
        for name, _ in STEPS:
            self.buttons[name] = _tool("")
        for phase in PHASES:
            self.buttons[phase] = _tool(SHORT_PHASES[phase])
            self.buttons[phase].setCheckable(True)
        self.phase_of = QLabel("Phase")
        self.phase_of.setObjectName("faint")
        self.keys_button = _tool("Keys…")
        self.progress = JudgedBar()
        self.judged = QLabel()
        self.judged.setObjectName("faint")
        self.said = QLabel()
        self.said.setObjectName("said")
        self.said.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.onwards: dict[str, QPushButton] = {}
        for name, (text, tip) in ONWARD.items():
            self.onwards[name] = button = QPushButton(text)
            button.setObjectName("onward")
            button.setToolTip(tip)
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            button.clicked.connect(lambda _checked=False, name=name: self.onward.emit(name))
        self.magnification = QComboBox()
        self._fill()
        self._lay_out()
        self._connect()
        self.show_keys()

    def _fill(self) -> None:
        for name in MAGNIFICATIONS:
            self.magnification.addItem(name, name)
        self.magnification.setToolTip(
            "How close the camera goes to a candidate: as through that objective (40×: 0.25 µm for each pixel of the "
            "screen), or so that this much tissue fills the height"
        )

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        self.card.below.addLayout(_row(self.magnification, self.reader))
        column.addWidget(self.card)
        column.addLayout(_row(*(self.buttons[name] for name, _ in JUDGEMENTS), alike=True))
        column.addLayout(_row(*(self.buttons[name] for name, _ in STEPS), self.keys_button, alike=True))
        column.addLayout(_row(self.phase_of, *(self.buttons[phase] for phase in PHASES), stretch=0))
        column.addWidget(self.progress)
        # As high with the buttons as without: what lies below must not jump under the mouse.
        after = QWidget()
        after.setLayout(_row(self.judged, self.said, *self.onwards.values(), stretch=1))
        after.setFixedHeight(self.onwards["report"].sizeHint().height() + 2)
        column.addWidget(after)
        self.show_onward(())

    def _connect(self) -> None:
        for name, button in self.buttons.items():
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            button.clicked.connect(lambda _checked=False, name=name: self.wanted.emit(name))
        self.keys_button.clicked.connect(self.keys_wanted)
        self.magnification.activated.connect(
            lambda at: self.magnification_chosen.emit(str(self.magnification.itemData(at)))
        )
        self.reader.editingFinished.connect(lambda: self.reader_entered.emit(self.reader.text()))

    def show_keys(self) -> None:
        """Write the keys on the buttons."""
        for name, text in (*JUDGEMENTS, *STEPS):
            self.buttons[name].setText(f"{text}\n{self._keys.pretty(name)}")
            if isinstance(self.buttons[name], QToolButton):
                self.buttons[name].setText(text)
        for name, button in self.buttons.items():
            button.setToolTip(f"{MEANINGS[name]} ({self._keys.pretty(name)})")
        self.keys_button.setToolTip(f"Change the keys.<br>{self._keys.help_page()}")

    def show_target(self) -> None:
        """Another target, or more on record of it."""
        reviewing, queue = self._reviewing, self._reviewing.queue
        self.card.show_target()
        there = queue.present is not None
        for name, _ in (*JUDGEMENTS, ("back", ""), ("next", "")):
            self.buttons[name].setEnabled(there)
        self._show_phase()
        notebook = reviewing.desk.current
        self.buttons["undo"].setEnabled(notebook is not None and notebook.can_undo)
        self.buttons["redo"].setEnabled(notebook is not None and notebook.can_redo)
        self._show_progress()

    def _show_phase(self) -> None:
        queue, figure = self._reviewing.queue, self._reviewing.phase_figure()
        row = queue.row_of(figure) if figure else None
        phase = str(queue.notes["phase"].iloc[row]) if row is not None else ""
        place = queue.place_of(row) if row is not None and row != queue.present else None
        self.phase_of.setText(f"Phase of {place + 1}" if place is not None else "Phase")
        for name in PHASES:
            button = self.buttons[name]
            button.setEnabled(row is not None)
            with signals_blocked(button):
                button.setChecked(bool(phase) and phase == name)

    def _show_progress(self) -> None:
        queue = self._reviewing.queue
        counts = {state: queue.count(state) for state in STATES if state != UNDECIDED}
        self.progress.show_counts(counts, len(queue.listed()))
        self.judged.setText(self.progress.text)

    def show_onward(self, names: Collection[str]) -> None:
        """Offer ways to go on, after the last candidate; none of them: there is more to judge."""
        for name, button in self.onwards.items():
            button.setVisible(name in names)

    def say(self, text: str) -> None:
        """Tell the reader something, or nothing."""
        self.said.setText(text)
        self.said.setToolTip(text)
        self.judged.setVisible(not text)


def _tool(text: str) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return button


def _row(*widgets: QWidget, alike: bool = False, stretch: int | None = None) -> QHBoxLayout:
    """Widgets side by side, all of the same width, or one of them as wide as can be."""
    row = QHBoxLayout()
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(5)
    for at, widget in enumerate(widgets):
        row.addWidget(widget, 1 if alike or at == stretch else 0)
    if not alike and stretch is None:
        row.addStretch(1)
    return row
