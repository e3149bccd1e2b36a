"""The curves of a fine-tuning, made of what it tells, over all its starts."""

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
        made = cls()
        for progress in history:
            made.add(progress)
        return made

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
        if "loss" not in progress.metrics or progress.total <= 0:
            return self._left
        now = time.monotonic()
        if self._first is None:
            self._first = now, progress.done
        began, first = self._first
        if progress.done > first:
            seconds = (now - began) / (progress.done - first) * (progress.total - progress.done)
            self._left = f"{seconds:.0f} s left" if seconds < 90 else f"{seconds / 60:.0f} min left"
        return self._left
