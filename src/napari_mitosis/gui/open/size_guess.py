"""A button that guesses the pixel size of a field, and gives the guess only when it is pressed again."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QPushButton

from ...fields.field import Field
from ...jobs import Job, Progress
from ..desk import Desk

ASK = "Guess from nuclear size"
SIDE_PX = 1536
"""Of the part in the middle of a field that is looked at."""


class SizeGuess(QPushButton):
    """Asks at the first click, and accepts at the second: a guess is never taken by itself.

    Parameters
    ----------
    desk : Desk

    Attributes
    ----------
    accepted : Signal(float)
        um/px.
    mpp : float or None
        The guess; None where there is none.
    """

    accepted = Signal(float)

    def __init__(self, desk: Desk) -> None:
        super().__init__(ASK)
        self._desk = desk
        self._pixels: Any = None
        self.mpp: float | None = None
        self.setToolTip("Nuclei are about 8 µm across: how large they are drawn says roughly what a pixel is")
        self.clicked.connect(self._clicked)

    def show_for(self, field: Field) -> None:
        """Another field is looked at: what was guessed of the one before is not true of it."""
        if field.pixels is not self._pixels:
            self._pixels, self.mpp = field.pixels, None
            self._say(ASK)

    def forget(self) -> None:
        """No field waits for a guess."""
        self._pixels, self.mpp = None, None

    def _clicked(self) -> None:
        state = self._desk.session.current
        if self.mpp is not None:
            self.accepted.emit(self.mpp)
        elif state is not None:
            self._say("Measuring nuclei…", enabled=False)
            self._desk.workers.start(_guessing(state.field), succeeded=self._guessed, failed=self._failed)

    def _guessed(self, answer: tuple[Field, float | None]) -> None:
        field, mpp = answer
        if field.pixels is not self._pixels:
            return
        self.mpp = mpp
        if mpp is None:
            self._say("Too few nuclei to guess from", enabled=False)
        else:
            self._say(f"about {mpp:.2f} µm/px, a guess from nuclear size: use it")

    def _failed(self, error: Exception) -> None:
        self._say(f"No guess: {error}", enabled=False)

    def _say(self, text: str, enabled: bool = True) -> None:
        self.setText(text)
        self.setEnabled(enabled)


def _guessing(field: Field) -> Job[tuple[Field, float | None]]:
    from ...measures.nuclear_size import guess_mpp

    yield Progress(0, 1, "measuring nuclei")
    height, width = field.shape
    top, left = max(0, (height - SIDE_PX) // 2), max(0, (width - SIDE_PX) // 2)
    image = field.read(top, min(height, top + SIDE_PX), left, min(width, left + SIDE_PX))
    return field, guess_mpp(image)
