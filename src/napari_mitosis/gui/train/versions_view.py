"""The versions of one detector: which is in use, where each comes from, and the way back."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from ...finetune.gate import FEWEST_PATIENTS
from ...models.card import ModelCard
from ...models.versions import adopted, before, lineage, versions
from ..card import headline
from ..style import tinted

MOST = 8
"""The newest versions; older ones are in the model list of the command line."""


class VersionsView(QWidget):
    """A row for each version, the newest first.

    Attributes
    ----------
    use_wanted : Signal(str)
        A version shall be used.
    back_wanted : Signal(str)
        The detector shall be used as it was before.
    """

    use_wanted = Signal(str)
    back_wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.detector = ""
        self.back = QPushButton()
        self.back.clicked.connect(lambda: self.back_wanted.emit(self.detector))
        self.use: dict[str, QToolButton] = {}
        self._rows: list[QWidget] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(3)
        self._column.addWidget(self.back)

    def show_versions(self, detector: str) -> str:
        """Show the versions of a detector; returns the name of the one that is in use.

        Raises
        ------
        WeightsError
            If a card, or the note of what was adopted, is damaged.
        """
        self.detector = detector
        for row in self._rows:
            self._column.removeWidget(row)
            row.hide()
            row.deleteLater()
        self._rows, self.use = [], {}
        cards = versions(detector)
        in_use = adopted(detector)
        earlier = before(detector)
        self.back.setVisible(earlier is not None)
        self.back.setText(f"↶ Go back to {(earlier or '').partition('@')[2]}")
        self.back.setToolTip("Use the version that was in use before this one; nothing is deleted")
        for card in reversed(cards[-MOST:]):
            self._rows.append(row := self._row(card, in_use))
            self._column.addWidget(row)
        return in_use

    def _row(self, card: ModelCard, in_use: str) -> QWidget:
        row = QWidget()
        line = QHBoxLayout(row)
        line.setContentsMargins(2, 0, 0, 0)
        line.setSpacing(6)
        text = QLabel(f"<b>{card.version}</b>&nbsp; <span style='color:{tinted('#9aa3b2', self)}'>{_told(card)}</span>")
        text.setTextFormat(Qt.TextFormat.RichText)
        text.setWordWrap(True)
        text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        line_of = " ← ".join(ancestor.version for ancestor in lineage(card.name))
        text.setToolTip(f"{card.title}\n{line_of}\n{card.trained_on}\nRule: {card.rule_chosen_on}")
        line.addWidget(text, 1)
        line.addWidget(self._state(card, in_use))
        return row

    def _state(self, card: ModelCard, in_use: str) -> QWidget:
        if card.name == in_use:
            state = QLabel("● in use")
            state.setObjectName("good")
            return state
        if card.finetuned and not card.finetuned.get("offered", False):
            state = QLabel("not offered")
            state.setObjectName("faint")
            state.setToolTip(str(card.finetuned.get("reason", "")))
            return state
        button = self.use[card.name] = QToolButton()
        button.setText("Use")
        button.setToolTip(f"Detect with {card.name} from now on")
        button.clicked.connect(lambda: self.use_wanted.emit(card.name))
        return button


def _told(card: ModelCard) -> str:
    """What is known of a version, in a few words."""
    tuned = card.finetuned
    if not tuned:
        return f"shipped · {headline(card)}"
    parent, child = tuned.get("parent", {}).get("f"), tuned.get("child", {}).get("f")
    fields = tuned.get("judged_on", {}).get("fields")
    compared = f"F {parent:.2f} → {child:.2f} on {fields} fields" if parent is not None and child is not None else ""
    whom = "" if len(tuned.get("patients", ())) >= FEWEST_PATIENTS else " · for one patient"
    return f"from {str(card.parent).partition('@')[2]}{' · ' if compared else ''}{compared}{whom}"
