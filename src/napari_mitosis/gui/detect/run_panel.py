"""Which model looks, on which device, and how far it is."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from ...jobs import Progress
from ...models.card import ModelCard
from ...models.trust import from_elsewhere
from ..card import DISCLAIMER, STANDARD, CardDialog, CardView, headline, plain, short
from ..keys import pretty
from .origin import ELSEWHERE, OriginRow


class RunPanel(QWidget):
    """Model, card, device, and the run itself."""

    run_wanted = Signal()
    cancel_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._cards: list[ModelCard] = []
        self._verifiers: list[ModelCard] = []
        self._packages: Mapping[str, str] = {}
        self._started = 0.0
        self._share = 0.0
        self.model = QComboBox()
        self.model.setToolTip("Detector and version")
        self.model.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.card_button = QToolButton()
        self.card_button.setText("Card")
        self.card_button.setToolTip("What this model was trained on, what its figures mean, where it fails, its terms")
        self.verify = QCheckBox("Verify candidates")
        self.verify.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.review_after = QCheckBox("then review")
        self.review_after.setToolTip("Go on to Review with the first candidate as soon as the detector is done")
        self.review_after.setChecked(True)
        self.headline = QLabel()
        self.headline.setObjectName("faint")
        self.headline.setWordWrap(True)
        self.origin = OriginRow()
        self.card = CardView()
        self.card_dialog = CardDialog(self.card, self)
        self.device = QComboBox()
        self.device.addItems(["auto", "cpu"])
        self.device.setToolTip("Where the network runs. auto: a GPU if there is one.")
        self.run = QPushButton("Detect mitoses")
        self.run.setObjectName("primary")
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip(f"Stop after the present tile ({pretty('cancel')})")
        self.progress = QProgressBar()
        self.progress.setTextVisible(True)
        self._lay_out()
        self.card_button.clicked.connect(self._show_card)
        self.model.currentIndexChanged.connect(self._chosen)
        self.verify.toggled.connect(self._tell_origin)
        self.origin.accepted.connect(self._tell_origin)
        self.run.clicked.connect(self.run_wanted)
        self.cancel.clicked.connect(self.cancel_wanted)
        self.set_running(None)

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(3)
        grid.setColumnStretch(1, 1)
        grid.addWidget(QLabel("Model"), 0, 0)
        grid.addWidget(self.model, 0, 1)
        grid.addWidget(self.card_button, 0, 2)
        grid.addWidget(self.headline, 1, 0, 1, 3)
        grid.addWidget(self.origin, 2, 0, 1, 3)
        options = QHBoxLayout()
        options.addWidget(self.verify)
        options.addStretch(1)
        options.addWidget(self.review_after)
        grid.addLayout(options, 4, 0, 1, 3)
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.device)
        row.addWidget(self.run, 1)
        row.addWidget(self.cancel)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(3)
        outer.addLayout(grid)
        outer.addLayout(row)
        outer.addWidget(self.progress)

    @property
    def chosen(self) -> ModelCard | None:
        """Card of the chosen model version."""
        at = self.model.currentIndex()
        return self._cards[at] if 0 <= at < len(self._cards) else None

    @property
    def wanted(self) -> str:
        """Name of the chosen model, with a plus and the verifier where one is to look at each candidate once more."""
        card, second = self.chosen, self._second()
        names = [card.name] if card is not None else []
        if second is not None and self.verify.isEnabled() and self.verify.isChecked():
            names.append(second.name)
        return "+".join(names)

    def _second(self) -> ModelCard | None:
        """The adopted verifier that learnt behind this detector, else the one of the model's rule, else the newest."""
        if self.chosen is None or not self._verifiers:
            return self._verifiers[-1] if self._verifiers else None
        newest, named = self._verifiers[-1], self.chosen.verified.get("verifier")
        if newest.finetuned and newest.verified.get("detector") == self.chosen.detector:
            return newest
        return next((card for card in self._verifiers if card.name == named), newest)

    def set_cards(self, cards: Sequence[ModelCard]) -> None:
        """Offer these model versions; the newest of the standard detector is chosen, else the last."""
        self._cards = [card for card in cards if card.kind == "detector"]
        self._verifiers = [card for card in cards if card.kind == "verifier"]
        self.model.clear()
        self.model.addItems([plain(card) for card in self._cards])
        self._tell_origin()
        for at, card in enumerate(self._cards):
            tip = f"{card.title}\n{card.name}: {headline(card)}"
            self.model.setItemData(at, tip, Qt.ItemDataRole.ToolTipRole)
        self.model.setEnabled(bool(self._cards))
        self.card_button.setEnabled(bool(self._cards))
        standard = [at for at, card in enumerate(self._cards) if card.detector == STANDARD]
        self.model.setCurrentIndex(standard[-1] if standard else len(self._cards) - 1)
        self._chosen()

    def choose(self, name: str) -> None:
        """Choose the version of this name, where it is on offer."""
        names = [card.name for card in self._cards]
        if name in names:
            self.model.setCurrentIndex(names.index(name))

    def set_devices(self, devices: Sequence[str]) -> None:
        """Offer these devices, after ``auto``; the choice stays."""
        chosen = self.device.currentText()
        self.device.clear()
        self.device.addItems(["auto", *devices])
        self.device.setCurrentText(chosen)

    def set_packages(self, packages: Mapping[str, str]) -> None:
        """Tell which detectors other packages bring, by the detector's name."""
        self._packages = packages
        self._tell_origin()

    def _tell_origin(self, *_: object) -> None:
        """Mark the models that came from elsewhere in the list, and say so under the chosen ones."""
        foreign = {card.name for card in from_elsewhere(self._cards)}
        for at, card in enumerate(self._cards):
            marks = [ELSEWHERE] * (card.name in foreign) + [self._packages.get(card.detector, "")]
            self.model.setItemText(at, " · ".join(filter(None, [plain(card), *marks])))
        wanted = self.wanted.split("+")
        chosen = [card for card in (*self._cards, *self._verifiers) if card.name in wanted]
        self.origin.show_cards(chosen, self._packages)

    def set_ready(self, why_not: str | None) -> None:
        """Enable the run, or disable it and say why."""
        self.run.setEnabled(why_not is None)
        self.run.setToolTip(why_not or f"Let the network look at the active field ({pretty('run')})")

    def set_running(self, name: str | None) -> None:
        """Show that a field of this name is being looked at, or that nothing runs."""
        self._started = time.monotonic()
        self._share = 0.0
        self.cancel.setEnabled(name is not None)
        self.cancel.setToolTip(
            "Nothing is running." if name is None else f"Stop after the present tile ({pretty('cancel')})"
        )
        self.progress.setVisible(name is not None)
        self.progress.setRange(0, 0)
        self.progress.setFormat("")
        self.progress.setToolTip(f"Looking at {name}" if name else "")

    def show_progress(self, progress: Progress) -> None:
        """Show how far the run is, and how long it will take."""
        if progress.total <= 0:
            self.progress.setRange(0, 0)
            self.progress.setFormat(progress.message)
            self._started = time.monotonic()
            return
        if progress.done == 0:
            self._started = time.monotonic()  # loading a model says nothing about tiles
        # A second network adds to the total: the bar stays then, and never goes back.
        self._share = max(self._share, progress.done / progress.total)
        self.progress.setRange(0, 1000)
        self.progress.setValue(round(1000 * self._share))
        left = time_left(time.monotonic() - self._started, progress)
        self.progress.setFormat(f"looking · %p %{' · ' + left if left else ''}")
        self.progress.setToolTip(progress.message)

    def _show_card(self) -> None:
        self.card_dialog.show()
        self.card_dialog.raise_()

    def _chosen(self) -> None:
        card, second = self.chosen, self._second()
        self.card.set_card(card)
        self.headline.setText(f"{headline(card)} · {DISCLAIMER}" if card else "No model is installed.")
        self.verify.setEnabled(second is not None and card is not None and not card.is_chain)
        self.verify.setText(f"Verify with {short(second)}" if second is not None else "Verify with DeepVer")
        self.verify.setToolTip(
            f"{second.title}. Each candidate is looked at once more; both scores are weighed."
            if second is not None
            else "No verifier is installed."
        )
        self._tell_origin()


def time_left(elapsed_s: float, progress: Progress) -> str:
    """How long the rest takes if it goes on as it went, or an empty text where that is not known."""
    if progress.done <= 0 or progress.done >= progress.total:
        return ""
    left = elapsed_s / progress.done * (progress.total - progress.done)
    return f"{left:.0f} s left" if left < 90 else f"{left / 60:.0f} min left"
