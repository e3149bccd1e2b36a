"""A model card as a small page: what it was measured at, what it was trained on, under which terms."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from types import MappingProxyType

from qtpy.QtCore import Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QDialog, QLabel, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from ..models.card import Measure, ModelCard
from .style import AMBER, tinted

STANDARD = "segmitos"
"""The detector that is chosen at first: it is among the quickest."""

DISCLAIMER = "Research use only, not a medical device."


class CardView(QLabel):
    """Shows a `ModelCard`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setWordWrap(True)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.setObjectName("card")
        self.set_card(None)

    def set_card(self, card: ModelCard | None) -> None:
        """Show another card, or that there is none."""
        self._card = card
        faint, amber = tinted("#9aa3b2", self), tinted(AMBER, self)
        self.setText(_page(card, faint, amber) if card is not None else "No model is installed.")

    def showEvent(self, event: QShowEvent | None) -> None:
        """Only now is it known on which ground it is read."""
        super().showEvent(event)
        self.set_card(self._card)


class CardDialog(QDialog):
    """The card beside the window, which stays usable: it can be read while another model is chosen.

    Parameters
    ----------
    card : CardView
    parent : QWidget
    """

    def __init__(self, card: CardView, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Model card")
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setWidget(card)
        column = QVBoxLayout(self)
        column.addWidget(scroll)
        self.resize(560, 520)


def short(card: ModelCard) -> str:
    """Name and version of a model, short enough for a list."""
    return f"{re.split('[:,(]', card.title)[0].strip()} {card.version}"


PLAIN_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "segmitos": "recommended",
        "ensemble": "most careful, slow",
        "partmitosis": "as good, two maps",
        "deepmitosis": "boxes, each looked at twice",
        "deepdet": "boxes",
        "rpn": "boxes, first look only",
        "mssn": "compares with known figures",
        "idsia": "the first of its kind, slow",
    }
)
"""Each detector in a few words."""


def plain(card: ModelCard) -> str:
    """A model for a list: its name, and in plain words what sets it apart."""
    words = PLAIN_WORDS.get(card.detector, "")
    return f"{short(card)} · {words}" if words else short(card)


def headline(card: ModelCard) -> str:
    """The best known figure of a card in one line."""
    tuned = card.finetuned
    if not card.measures and {"parent", "child", "judged_on"} <= set(tuned):
        fields = int(tuned["judged_on"]["fields"])
        on = f"{fields} field{'s' if fields != 1 else ''} of yours"
        return f"F {tuned['child']['f']:.2f}, its parent {tuned['parent']['f']:.2f}, on {on}"
    if not card.measures:
        return "not measured yet"
    first = card.measures[0]
    return f"F {first.f:.2f} ({first.f_low:.2f}–{first.f_high:.2f}), {_short(first)}"


def _short(measure: Measure) -> str:
    return measure.name.split(",")[0]


MEANING = (
    "<b>What F means.</b> Precision (P): of what the model marks, the share that is a mitosis. Recall (R): of the "
    "mitoses, the share that it marks. F is one number for both; 1 is perfect, and the 95 % range is how far chance "
    "may move it."
)
CHECK = "Another scanner, stain or tumour can be much harder: check the sensitivity on every new slide."


def _weakest(card: ModelCard) -> str:
    """Where the model fails, as far as it was measured."""
    if not card.measures:
        return f"<b>Where it fails.</b> That was not measured. {CHECK}"
    worst = min(card.measures, key=lambda measure: measure.f)
    missed, false = round(10 * (1 - worst.recall)), round(10 * (1 - worst.precision))
    return (
        f"<b>Where it fails.</b> At its weakest ({escape(worst.name)}) it missed {missed} of 10 mitoses, and "
        f"{false} of 10 that it marked were none. {CHECK}"
    )


def _page(card: ModelCard, faint: str, amber: str) -> str:
    """The card in plain words, then in figures."""
    rows = [
        ("Network", f"{card.config}, {card.parameters / 1e6:.1f} M parameters, sees {card.mpp:g} µm/px"),
        ("Trained on", card.trained_on),
        ("Rule from", card.rule_chosen_on),
        *((("Split", card.split),) if card.split else ()),
        *((("Parent", card.parent),) if card.parent else ()),
        *((("Offered for", str(card.finetuned["offered_for"])),) if card.finetuned.get("offered_for") else ()),
        ("Terms", card.terms),
        *((("Notes", card.notes),) if card.notes else ()),
    ]
    cells = "".join(
        f"<tr><td style='color:{faint}; padding-right:6px'>{escape(name)}</td><td>{escape(text)}</td></tr>"
        for name, text in rows
    )
    measured = "".join(
        f"<tr><td>{escape(m.name)}</td><td align='right'>&nbsp;<b>{m.f:.3f}</b></td>"
        f"<td align='right'>&nbsp;{m.f_low:.2f}–{m.f_high:.2f}</td>"
        f"<td align='right'>&nbsp;{m.precision:.2f}</td><td align='right'>&nbsp;{m.recall:.2f}</td></tr>"
        for m in card.measures
    )
    names = "".join(f"<td align='right'>&nbsp;{name}</td>" for name in ("F", "95 %", "P", "R"))
    head = f"<tr style='color:{faint}'><td>Measured</td>{names}</tr>"
    table = f"<table>{head}{measured}</table>" if card.measures else "<p>Not measured yet.</p>"
    return (
        f"<b>{escape(card.title)}</b> {escape(card.version)}<br><span style='color:{amber}'>{DISCLAIMER}</span>"
        f"<p>{_weakest(card)}</p><p>{MEANING}</p>{table}<p></p><table>{cells}</table>"
    )
