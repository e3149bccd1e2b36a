"""Closing the window while a training runs: it says so first."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QMessageBox, QWidget

QUESTION = "A training is under way"
CONSEQUENCE = (
    "Closing the window stops it. What it has learnt so far is kept, and Train offers to go on with it after the next "
    "start."
)


class Leaving(QObject):
    """Asks before a window is closed.

    Parameters
    ----------
    parent : QObject
        Goes on while the window is there, and holds no more of it than Qt does.
    window : QWidget
    what_runs : callable
        What would be stopped, in a few words; empty where nothing would.

    Attributes
    ----------
    question : QMessageBox or None
        The one that is open.
    """

    def __init__(self, parent: QObject, window: QWidget, what_runs: Callable[[], str]) -> None:
        super().__init__(parent)
        self._what_runs = what_runs
        self._agreed = False
        self.question: QMessageBox | None = None
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Hold the window's closing up until its reader has answered."""
        if event is None or event.type() != QEvent.Type.Close or not isinstance(watched, QWidget):
            return False
        what = self._what_runs()
        if not what or self._agreed:
            return False
        event.ignore()
        self._ask(what, watched)
        return True

    def _ask(self, what: str, window: QWidget) -> None:
        """Not modal to the program: the training goes on meanwhile."""
        if self.question is not None:
            self.question.raise_()
            return
        box = self.question = QMessageBox(QMessageBox.Icon.Question, QUESTION, f"{QUESTION}: {what}.", parent=window)
        box.setInformativeText(CONSEQUENCE)
        stay = box.addButton("Go on training", QMessageBox.ButtonRole.RejectRole)
        box.addButton("Stop it and close", QMessageBox.ButtonRole.AcceptRole)
        box.setDefaultButton(stay)
        box.finished.connect(self._answered)
        box.open()

    def _answered(self, *_: object) -> None:
        box, self.question = self.question, None
        if box is None:
            return
        button = box.clickedButton()
        self._agreed = button is not None and box.buttonRole(button) == QMessageBox.ButtonRole.AcceptRole
        window = box.parentWidget()
        box.deleteLater()
        if self._agreed and window is not None:
            window.close()
