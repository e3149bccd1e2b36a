"""Changing the keys of the review."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QGridLayout,
    QKeySequenceEdit,
    QLabel,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from ..style import name_as
from .review_keys import ACTIONS, MEANINGS, ReviewKeys, from_sequence, to_sequence


class KeysDialog(QDialog):
    """A line for each action; a key that is taken is refused, saying by whom.

    Parameters
    ----------
    keys : ReviewKeys
    parent : QWidget, optional
    """

    def __init__(self, keys: ReviewKeys, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys of the review")
        self._keys = keys
        self.edits: dict[str, QKeySequenceEdit] = {}
        self.message = QLabel("Click into a field and press the new key. It holds at once.")
        self.message.setWordWrap(True)
        grid = QGridLayout()
        for row, name in enumerate(ACTIONS):
            edit = self.edits[name] = QKeySequenceEdit()
            edit.setMaximumSequenceLength(1)
            edit.editingFinished.connect(lambda name=name: self._edited(name))
            grid.addWidget(QLabel(MEANINGS[name]), row, 0)
            grid.addWidget(edit, row, 1)
        kinds = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(kinds.RestoreDefaults | kinds.Close)
        self.buttons.rejected.connect(self.accept)
        restore = self.buttons.button(kinds.RestoreDefaults)
        if restore is not None:
            restore.clicked.connect(self._reset)
        for button in self.buttons.buttons():
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        column = QVBoxLayout(self)
        column.addLayout(grid)
        column.addWidget(self.message)
        column.addWidget(self.buttons)
        self._show()

    def _show(self) -> None:
        for name, edit in self.edits.items():
            with signals_blocked(edit):
                edit.setKeySequence(to_sequence(self._keys.keys[name]))

    def _edited(self, name: str) -> None:
        edit = self.edits[name]
        key = from_sequence(QKeySequence(edit.keySequence()))
        if key == self._keys.keys[name]:
            return
        try:
            self._keys.change(name, key)
        except ValueError as error:
            self._say(f"{error} The key stays as it was.", wrong=True)
        else:
            self._say(f"{MEANINGS[name]}: {self._keys.pretty(name)}")
        self._show()

    def _reset(self) -> None:
        self._keys.reset()
        self._show()
        self._say("These are the keys as they came.")

    def _say(self, text: str, wrong: bool = False) -> None:
        self.message.setText(text)
        name_as(self.message, "error" if wrong else "")
