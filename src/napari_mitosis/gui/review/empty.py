"""What to do where there is nothing to review."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from ...review.queue import Queue
from ...review.target import SECOND
from ...review.words import counted


class Empty(QWidget):
    """What to do where there is nothing to review."""

    def __init__(self) -> None:
        super().__init__()
        self.title, self.text, self.button = QLabel(), QLabel(), QPushButton()
        self.title.setObjectName("place")
        self.text.setObjectName("faint")
        self.button.setObjectName("primary")
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 40, 20, 40)
        column.setSpacing(12)
        column.addStretch(1)
        for label in (self.title, self.text):
            label.setWordWrap(True)
            # Without a height for each width: that would make every page ask for as much as it likes best.
            label.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            column.addWidget(label)
        column.addWidget(self.button, 0, Qt.AlignmentFlag.AlignCenter)
        column.addStretch(2)

    def say(self, title: str, text: str, button: str | None) -> None:
        """Show a title, a sentence, and a button if there is one."""
        self.title.setText(title)
        self.text.setText(text)
        self.text.setVisible(bool(text))
        self.button.setText(button or "")
        self.button.setVisible(button is not None)

    def explain(self, field: str | None, blind: bool, detected: bool, queue: Queue) -> None:
        """Say why a field has nothing to review in the list in front, and what helps.

        Parameters
        ----------
        field : str or None
            Its name; None where none is open.
        blind, detected : bool
            Whether it is read blind; whether something was detected in it.
        queue : Queue
        """
        if field is None:
            self.say("Open a field first", "File > Open, or File > Open Sample.", None)
        elif blind:
            self.say("This field is read blind", "Its candidates come up once you reveal them (Blind first).", None)
        elif not detected:
            text = "Detect first: then each candidate comes up here, and one key judges it."
            self.say("Nothing was detected in this field yet", text, "Detect mitoses")
        elif queue.front == SECOND:
            self.say("The settings leave nothing out here", "There is nothing to look at twice.", None)
        elif len(queue.second):
            waiting = counted(len(queue.second), "candidate")
            self.say("The settings count no candidate", f"They leave out {waiting}.", "Look at what they leave out")
        else:
            self.say("The detector found nothing", "Make it more sensitive (Detect), or mark by hand.", None)
