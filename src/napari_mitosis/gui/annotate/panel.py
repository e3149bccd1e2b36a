"""The panel of click-to-annotate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QLabel,
    QListWidget,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from ...annotations.actions import PHASES
from ...errors import MitosisError
from ...review.words import name_of
from ...tables import LABELS
from .annotating import annotating_of
from .words import done, faint, label_icon, moment, row, section, tool

if TYPE_CHECKING:
    from ..desk import Desk

MODE_STYLE = """
QPushButton#mode { padding: 6px 10px; border-radius: 4px; font-weight: bold; border: 1px solid #00813a; }
QPushButton#mode:checked { background: #00813a; color: white; }
QPushButton#mode:disabled { color: #5b6270; border: 1px solid #5b6270; }
"""

OPEN_FIRST = "Open an RGB image first (File > Open, or File > Open Sample)."
OPENING = "The journal of this field is being opened…"
NO_PHASE = "phase not given"


class AnnotatePanel(QWidget):
    """Click to annotate, and everything about the selected figure.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self.annotating = annotating_of(desk)
        self._make_mode()
        self._make_figure()
        self._lay_out()
        self._connect()
        self._show()
        self._show_figure()

    def _make_mode(self) -> None:
        self.mode = QPushButton("Click to annotate")
        self.mode.setObjectName("mode")
        self.mode.setCheckable(True)
        self.show_key("")
        self.labels: dict[str, QToolButton] = {}
        self._group = QButtonGroup(self)
        for label in LABELS:
            button = tool(name_of(label), f"The next click marks: {name_of(label)}", checkable=True)
            button.setIcon(label_icon(label))
            self.labels[label] = button
            self._group.addButton(button)
        self.snap = QCheckBox("Snap to the centre of the blob")
        self.snap.setToolTip("A click goes to the centroid of the blob of the score map under it, at most 6 µm away")
        self.shown = QCheckBox("Show the figures")
        self.shown.setChecked(True)
        self.shown.setToolTip("The layer of annotations. Hidden or deleted, its figures stay in the journal.")
        self.counts = {label: tool("0") for label in LABELS}
        for label, count in self.counts.items():
            count.setIcon(label_icon(label))
            count.setEnabled(True)
            count.setAutoRaise(True)
            count.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.undo = tool("↶ Undo")
        self.redo = tool("↷ Redo")
        self.complete = QCheckBox("Field is complete")
        self.complete.setToolTip(
            "Every mitosis of this field is marked. Nuclei without a mark may then be learned as background; "
            "in a field that is not complete they are ignored."
        )
        self.message = faint()

    def show_key(self, key: str) -> None:
        """Say what the mode is for, and which key switches it."""
        self.mode.setToolTip(
            "A click on the tissue marks a figure, Shift+click a look-alike; a drag of a figure moves it, a drag of "
            f"tissue pans. A click within 5 µm of a figure selects it.{f' ({key})' if key else ''}"
        )

    def _make_figure(self) -> None:
        self.figure = faint()
        self.label = QComboBox()
        for label in LABELS:
            self.label.addItem(label_icon(label), name_of(label), label)
        self.label.setToolTip("Label of the selected figure")
        self.phase = QComboBox()
        self.phase.addItems([NO_PHASE, *PHASES])
        self.phase.setToolTip("Phase of the selected figure")
        self.delete = tool("Delete", "Take the selected figure away; the journal keeps it, and Undo brings it back")
        self.history = QListWidget()
        self.history.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.history.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.history.setWordWrap(True)
        self.history.setMaximumHeight(110)
        self.history.setToolTip("Everything that was ever done to this figure, newest first")

    def _lay_out(self) -> None:
        self.setStyleSheet(MODE_STYLE)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 6)
        column.setSpacing(5)
        column.addWidget(self.mode)
        column.addLayout(row(QLabel("A click marks"), None, *self.labels.values()))
        column.addWidget(self.snap)
        column.addWidget(self.shown)
        column.addWidget(self.message)
        column.addWidget(section("THIS FIELD"))
        column.addLayout(row(*self.counts.values(), None, self.undo, self.redo))
        column.addWidget(self.complete)
        column.addWidget(section("SELECTED FIGURE"))
        column.addWidget(self.figure)
        column.addLayout(row(self.label, self.phase, self.delete))
        column.addWidget(self.history)
        column.addStretch(1)

    def _connect(self) -> None:
        annotating, shared = self.annotating, self.annotating.tool
        self.mode.clicked.connect(annotating.set_mode)
        self.snap.toggled.connect(self._set_snap)
        self.shown.toggled.connect(annotating.set_visible)
        self._group.buttonClicked.connect(lambda button: annotating.set_label(button.text()))
        self.undo.clicked.connect(lambda: self._act("undo"))
        self.redo.clicked.connect(lambda: self._act("redo"))
        self.complete.clicked.connect(self._set_complete)
        self.label.activated.connect(lambda _: self._relabel())
        self.phase.activated.connect(lambda _: self._relabel())
        self.delete.clicked.connect(self._delete)
        shared.toggled.connect(self._show_mode)
        self._show_mode(shared.on)
        self.snap.setChecked(shared.snap)
        self.shown.setChecked(annotating.visible)
        self.labels[annotating.label].setChecked(True)
        annotating.changed.connect(self._show)
        annotating.changed.connect(self._show_figure)
        annotating.selected.connect(self._show_figure)
        annotating.said.connect(self.message.setText)
        annotating.shown.connect(self._layer_shown)
        self._desk.closed.connect(self._closed)

    # What the reader does

    def _show_mode(self, on: bool) -> None:
        self.mode.setChecked(on)
        self.mode.setText("Clicks mark figures: on" if on else "Click to annotate")

    def _set_snap(self, on: bool) -> None:
        self.annotating.tool.snap = on

    def _act(self, what: str) -> None:
        notebook = self.annotating.notebook
        if notebook is not None:
            getattr(notebook, what)()

    def _set_complete(self, yes: bool) -> None:
        notebook = self.annotating.notebook
        if notebook is not None:
            notebook.set_complete(yes)

    def _relabel(self) -> None:
        notebook, figure = self.annotating.notebook, self.annotating.figure
        if notebook is None or not figure:
            return
        phase = None if self.phase.currentIndex() == 0 else self.phase.currentText()
        known = notebook.figure(figure)
        if known is not None and (known.label, known.phase) != (self.label.currentData(), phase or ""):
            self._try(lambda: notebook.relabel(figure, self.label.currentData(), phase))

    def _delete(self) -> None:
        notebook, figure = self.annotating.notebook, self.annotating.figure
        if notebook is not None and figure:
            self._try(lambda: notebook.delete(figure))

    def _try(self, act: object) -> None:
        try:
            act()  # type: ignore[operator]
        except MitosisError as error:
            self.annotating.say(str(error))

    # What is shown

    def _layer_shown(self, shown: bool) -> None:
        with signals_blocked(self.shown):
            self.shown.setChecked(shown)

    def _show(self) -> None:
        """Counts, undo and redo, complete: as the notebook of the active field has it."""
        notebook = self.annotating.notebook
        for part in (self.mode, *self.labels.values(), self.snap, self.shown, self.complete):
            part.setEnabled(notebook is not None)
        waiting = OPENING if self.annotating.key is not None else OPEN_FIRST
        if notebook is None:
            self.message.setText(waiting)
        elif self.message.text() in (OPENING, OPEN_FIRST):
            self.message.setText("")
        layer = self.annotating.current
        labels: list[str] = list(layer.figures()["label"]) if layer is not None else []
        for label, count in self.counts.items():
            number = sum(1 for known in labels if known == label)
            count.setText(str(number))
            count.setToolTip(f"{number} marked as {label} in this field")
        for button, can, action in (
            (self.undo, notebook is not None and notebook.can_undo, notebook and notebook.next_undo),
            (self.redo, notebook is not None and notebook.can_redo, notebook and notebook.next_redo),
        ):
            button.setEnabled(can)
            what = "Undo" if button is self.undo else "Redo"
            button.setToolTip(f"{what}: {done(action)}" if action else f"There is nothing to {what.lower()}.")
        self.complete.setChecked(notebook is not None and notebook.complete)

    def _show_figure(self, *_: object) -> None:
        """The selected figure with its history."""
        notebook, figure = self.annotating.notebook, self.annotating.figure
        known = notebook.figure(figure) if notebook is not None and figure else None
        for part in (self.label, self.phase, self.delete):
            part.setEnabled(known is not None)
        self.history.clear()
        self.history.setVisible(known is not None)
        if notebook is None or known is None:
            self.figure.setText("Click a figure to select it.")
            return
        score = "" if known.score is None else f", score {known.score:.2f}"
        source = "marked by hand" if known.source == "reader" else f"from {known.source}"
        self.figure.setText(f"{source}{score} · y {known.y_px:.0f}, x {known.x_px:.0f} px")
        self.label.setCurrentIndex(self.label.findData(known.label))
        self.phase.setCurrentText(known.phase or NO_PHASE)
        try:
            actions = notebook.history(figure)
        except MitosisError as error:
            self.history.addItem(str(error))
            return
        self.history.addItems(
            [f"{moment(action.time)} · {action.reader} · {done(action)}" for action in reversed(actions)]
        )

    def _closed(self) -> None:
        """The desk is gone, and with it everything that could be done here."""
        self.setEnabled(False)
