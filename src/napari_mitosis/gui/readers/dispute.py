"""One disputed figure at a time: its tissue, the verdict, and each reader's word once it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pandas as pd
from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from ...measures.readers import NOTHING
from ..review.table import COLOURS

SIDE_PX = 170
VERDICTS = (("mitosis", "Mitosis"), ("mimic", "Look-alike"), ("unsure", "Unsure"))
_WORDS: Mapping[str, str] = MappingProxyType({"mimic": "look-alike", NOTHING: "did not mark it"})
HIDDEN = "hidden: judge it first, or ask"


class DisputeView(QWidget):
    """Steps through disputed figures. Who said what is hidden at each new one.

    Attributes
    ----------
    judged : Signal(int, str)
        Row of the figure, and the verdict.
    looked_at : Signal(int)
        Row of the figure that is shown.
    unveiled : Signal(bool)
        Whether the words are to be seen.
    at : int
        Row of the figure that is shown; -1 where there is none.
    """

    judged = Signal(int, str)
    looked_at = Signal(int)
    unveiled = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self._table = pd.DataFrame()
        self._names: Sequence[str] = ()
        self.at = -1
        self.place, self.words, self.picture = QLabel(), QLabel(), QLabel()
        self.place.setObjectName("section")
        self.words.setWordWrap(True)
        self.words.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.picture.setFixedSize(SIDE_PX, SIDE_PX)
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.picture.setObjectName("card")
        self.buttons: dict[str, QPushButton] = {}
        for name, text in (*VERDICTS, ("back", "◀ Back"), ("next", "Next ▶"), ("words", "Show words")):
            self.buttons[name] = QPushButton(text)
            self.buttons[name].setFocusPolicy(Qt.FocusPolicy.NoFocus)
        for name, _ in VERDICTS:
            colour = COLOURS[name]
            self.buttons[name].setStyleSheet(
                f"QPushButton:enabled {{ background: {colour}; color: #101418; font-weight: bold; }}"
            )
            self.buttons[name].clicked.connect(lambda _checked=False, name=name: self.judge(name))
        self.buttons["back"].clicked.connect(lambda: self.step(-1))
        self.buttons["next"].clicked.connect(lambda: self.step(1))
        self.buttons["words"].clicked.connect(self.unveil)
        self._lay_out()
        self.show_disputes(pd.DataFrame(), ())

    def _lay_out(self) -> None:
        side, below = QVBoxLayout(), QHBoxLayout()
        side.addWidget(self.words, 1)
        side.addWidget(self.buttons["words"])
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.place, 0, 0, 1, 2)
        grid.addWidget(self.picture, 1, 0)
        grid.addLayout(side, 1, 1)
        for name in ("mitosis", "mimic", "unsure", "back", "next"):
            below.addWidget(self.buttons[name])
        grid.addLayout(below, 2, 0, 1, 2)
        grid.setColumnStretch(1, 1)

    def show_keys(self, keys: Mapping[str, str]) -> None:
        """Write the keys into the tips, and on the buttons of the verdicts."""
        for name, text in VERDICTS:
            self.buttons[name].setText(f"{text} ({keys[name]})")
        for name, button in self.buttons.items():
            button.setToolTip(keys[name])
        self.buttons["words"].setText(f"Show words ({keys['words']})")

    # ------------------------------------------------------------------ what is shown

    def show_disputes(self, table: pd.DataFrame, names: Sequence[str]) -> None:
        """Other disputes.

        Parameters
        ----------
        table : DataFrame
            `ReaderAgreement.disputed` with ``verdict`` and ``adjudicator``.
        names : sequence of str
            Of those who read.
        """
        self._table, self._names, self.at = table, names, -1
        left = [row for row in range(len(table)) if not table["verdict"].iloc[row]]
        if len(table):
            self._show(left[0] if left else 0)
        else:
            self._tell()

    @property
    def settled(self) -> int:
        """How many have a verdict."""
        return int((self._table["verdict"] != "").sum()) if len(self._table) else 0

    @property
    def row(self) -> pd.Series[Any] | None:
        """The figure that is shown."""
        return self._table.iloc[self.at] if self.at >= 0 else None

    def step(self, step: int) -> None:
        """The next one, or the one before; after the last comes the first."""
        if self.at >= 0:
            self._show((self.at + step) % len(self._table))

    def judge(self, label: str) -> None:
        """Give the verdict on the figure that is shown."""
        if self.at >= 0:
            self.judged.emit(self.at, label)

    def set_verdict(self, row: int, label: str, who: str) -> None:
        """It is on record: go on to the next that has none, else stay and show who said what."""
        self._table = self._table.assign(
            verdict=self._table["verdict"].where(self._table.index != row, label),
            adjudicator=self._table["adjudicator"].where(self._table.index != row, who),
        )
        waiting = [at for at in (*range(row + 1, len(self._table)), *range(row)) if not self._table["verdict"].iloc[at]]
        if waiting:
            self._show(waiting[0])
        else:
            self._tell()
            self.unveil()

    def unveil(self) -> None:
        """Show what each of them said."""
        row = self.row
        if row is None:
            return
        lines = []
        for name in self._names:
            said, phase = str(row[name]), str(row[f"phase {name}"])
            lines.append(f"<b>{_plain(name)}</b>: {_WORDS.get(said, said)}{f' ({phase})' if phase else ''}")
        majority = {"tie": "a tie", "mitosis": "mitosis", "not mitosis": "no mitosis"}[str(row["consensus"])]
        lines.append(f"Majority: {majority} ({row['votes']} of {row['of']})")
        self.words.setText("<br>".join(lines))
        self.unveiled.emit(True)

    def show_picture(self, pixmap: QPixmap | None) -> None:
        """The tissue about the figure; None while it is being read."""
        if pixmap is None:
            self.picture.setText("…")
            return
        keep, smooth = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
        self.picture.setPixmap(pixmap.scaled(SIDE_PX - 8, SIDE_PX - 8, keep, smooth))

    def _show(self, row: int) -> None:
        self.at = row
        self._tell()
        self.unveiled.emit(False)
        self.looked_at.emit(row)

    def _tell(self) -> None:
        row = self.row
        for button in self.buttons.values():
            button.setEnabled(row is not None)
        self.setVisible(row is not None)
        if row is None:
            self.picture.clear()
            self.words.clear()
            self.place.clear()
            return
        verdict = f" · verdict: {_WORDS.get(str(row['verdict']), row['verdict'])}" if row["verdict"] else ""
        self.place.setText(
            f"Dispute {self.at + 1} of {len(self._table)} · {self.settled} settled · {row['field']}{verdict}"
        )
        self.words.setText(f"What {', '.join(map(_plain, self._names))} said is {HIDDEN}.")


def _plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
