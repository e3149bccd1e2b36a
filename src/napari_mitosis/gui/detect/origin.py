"""Which of the chosen models came from elsewhere, and which are run by another package: told before they run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QWidget

from ...errors import MitosisError
from ...models.card import ModelCard
from ...models.trust import accept, from_elsewhere

ELSEWHERE = "from elsewhere"


class OriginRow(QFrame):
    """An amber line under the model; not there where all chosen models came with the program or were made here."""

    accepted = Signal()
    refused = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("amberbox")
        self._foreign: list[ModelCard] = []
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)  # a card's text is not ours
        self.accept = QPushButton("I know it")
        self.accept.setToolTip("Do not show this any more, as long as neither its card nor its weights change")
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 3, 6, 3)
        row.addWidget(self.text, 1)
        row.addWidget(self.accept)
        self.accept.clicked.connect(self._accept)
        self.show_cards([], {})

    def show_cards(self, cards: Sequence[ModelCard], packages: Mapping[str, str]) -> None:
        """Tell where these models come from, as far as a reader should know before they run.

        Parameters
        ----------
        cards : sequence of ModelCard
            Detector, and verifier where one is to look too.
        packages : mapping
            The other package that each detector comes from, by its name.
        """
        self._foreign = from_elsewhere(cards)
        lines = [
            f"{card.name} is {ELSEWHERE}: it came neither with this program nor from this machine "
            f"(weights {card.sha256[:12] or 'without a hash'})."
            for card in self._foreign
        ]
        for name in dict.fromkeys(card.detector for card in cards):
            if name in packages:
                lines.append(f"{name} is run by another package: {packages[name]}.")
        self.text.setText("\n".join(lines))
        self.text.setToolTip("\n".join(f"{card.name}: trained on {card.trained_on[:300]}" for card in self._foreign))
        self.accept.setVisible(any(card.sha256 for card in self._foreign))
        self.setVisible(bool(lines))

    def _accept(self) -> None:
        try:
            for card in self._foreign:
                if card.sha256:
                    accept(card)
        except MitosisError as error:
            self.refused.emit(str(error))
            return
        self.accepted.emit()
