"""What is to be seen of a fine-tuning, made of the progress it reports: curves, bar, time left. Knows no window."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..jobs import Progress

Points = list[tuple[int, float]]


@dataclass
class Curves:
    """Loss by step, and F of parent and child on fields that the child did not learn from.

    Attributes
    ----------
    loss, f, parent_f : list of (int, float)
        Steps done and value.
    steps : int
        Steps in all; 0 = not known yet.
    """

    loss: Points = field(default_factory=list)
    f: Points = field(default_factory=list)
    parent_f: Points = field(default_factory=list)
    steps: int = 0

    @classmethod
    def of(cls, history: Iterable[Progress]) -> Curves:
        """The curves so far."""
        curves = cls()
        for progress in history:
            curves.add(progress)
        return curves

    def add(self, progress: Progress) -> None:
        """Take one more step in; a run that goes on from its checkpoint draws over what it does again."""
        values = progress.metrics
        if progress.total <= 0:
            return
        if "loss" in values:
            self.steps = progress.total
            _put(self.loss, progress.done, values["loss"])
        if "f" in values and "parent_f" in values:
            # F is told with every step; it is new where a fold was judged.
            repeated = bool(self.f) and self.f[-1][0] < progress.done and self.f[-1][1] == values["f"]
            if not repeated or "judged" in progress.message:
                _put(self.f, progress.done, values["f"])
                _put(self.parent_f, progress.done, values["parent_f"])


def _put(points: Points, at: int, value: float) -> None:
    while points and points[-1][0] >= at:
        points.pop()
    points.append((at, value))


class Clock:
    """How long a fine-tuning will take if it goes on as it went since it was started."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None
        self._left = ""

    def left(self, progress: Progress) -> str:
        """The time left after this step, for a person; empty while it is not known."""
        if "left_s" in progress.metrics:  # the run keeps a clock of its own
            self._left = _in_words(progress.metrics["left_s"])
            return self._left
        if "loss" not in progress.metrics or progress.total <= 0:
            return self._left
        now = time.monotonic()
        if self._first is None:
            self._first = now, progress.done
        began, first = self._first
        if progress.done > first:
            seconds = (now - began) / (progress.done - first) * (progress.total - progress.done)
            self._left = _in_words(seconds)
        return self._left


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} s left" if seconds < 90 else f"{seconds / 60:.0f} min left"


class Watch:
    """A fine-tuning as somebody sees it who watches it from its start.

    Attributes
    ----------
    curves : Curves
    progress : Progress
        The newest; while a field is looked at, which has no measure of its own, the bar stays where it is.
    left : str
        The time left, for a person; empty while it is not known.
    messages : list of str
        What it did, one after the other.
    """

    def __init__(self, curves: Curves | None = None) -> None:
        self.curves = curves or Curves()
        self.progress = Progress(0, 0, "starting")
        self.left = ""
        self.messages: list[str] = []
        self._clock = Clock()

    def take(self, progress: Progress) -> None:
        """Take one more step in."""
        self.curves.add(progress)
        self.left = self._clock.left(progress)
        if progress.message and (not self.messages or self.messages[-1] != progress.message):
            self.messages.append(progress.message)
        before = self.progress
        if progress.total > 0 and (progress.metrics or "loss" not in before.metrics):
            self.progress = progress
        else:
            self.progress = Progress(before.done, before.total, progress.message, before.metrics)
