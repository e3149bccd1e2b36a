"""The time that a fine-tuning may take: measured while it runs, shared out anew before each part."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

FINISH_SHARE, FINISH_S = 0.02, 1.0
"""Kept for the end: writing the child, the last choice of a rule, the comparison."""

LOOK_SHARE = 0.35
"""Of the time after the parent's look, what children may spend on looking; the rest is for learning."""


@dataclass
class Budget:
    """How much time there is, and what a look at a field takes on this machine now.

    Attributes
    ----------
    seconds : float
        In all; infinite for a run whose steps are given.
    spent : float
        By earlier starts of the same run.
    clock : callable
        Seconds that only rise.
    """

    seconds: float
    spent: float = 0.0
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _look_s: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._began = self.clock()

    @property
    def used(self) -> float:
        """Seconds gone, over all starts."""
        return self.spent + self.clock() - self._began

    @property
    def left(self) -> float:
        """Seconds left before the end has to begin; below 0 when it is late."""
        return self.seconds - max(FINISH_SHARE * self.seconds, FINISH_S) - self.used

    @property
    def look_s(self) -> float:
        """What a look at a field takes; 0 before the first one."""
        return self._look_s

    def looked(self, seconds: float) -> None:
        """Take in what one more look took: a machine that gets busier is noticed within two fields."""
        self._look_s = seconds if self._look_s == 0 else 0.5 * (self._look_s + seconds)

    def for_training(self, trainings: int, looks: int) -> float:
        """Seconds for the next of so many trainings, with so many looks still to come."""
        return max(0.0, self.left - looks * self._look_s) / max(1, trainings)

    def affordable_looks(self) -> int:
        """How many looks of children fit beside the learning."""
        if self.seconds == float("inf") or self._look_s == 0:
            return 10**9
        return int(LOOK_SHARE * max(0.0, self.left) / self._look_s)
