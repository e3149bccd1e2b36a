"""Open journals and processes that fork: neither SQLite's nor PostgreSQL's connections outlive a fork.

A child takes over what SQLite knows of its locks, but not the locks. It would then work beside the others unseen, who
throw away the log that it writes to; what it was told is on disk would be gone. So journals are closed before a fork,
and opened again where they are used next.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable
from typing import Protocol

_BUSY_S = 10.0


class Rests(Protocol):
    """What can be closed for a while: a journal."""

    def rest(self, wait_s: float) -> Callable[[], None] | None:
        """Close until the returned function is called, and hold off whoever wants to; None: still in use by then."""


class _Forks:
    """What is to be closed when this process forks: of the process, as forking is."""

    def __init__(self) -> None:
        self.turn = threading.RLock()
        self.open: weakref.WeakSet[Rests] = weakref.WeakSet()
        self._ends: list[Callable[[], None]] = []
        if hasattr(os, "register_at_fork"):  # elsewhere processes do not fork
            os.register_at_fork(before=self._before, after_in_parent=self._after, after_in_child=self._after)

    def _before(self) -> None:
        self.turn.acquire()
        for journal in list(self.open):
            with contextlib.suppress(Exception):  # nobody would see it; the fork takes place in any case
                end = journal.rest(_BUSY_S)
                if end is not None:
                    self._ends.append(end)

    def _after(self) -> None:
        while self._ends:
            self._ends.pop()()
        self.turn.release()


_FORKS = _Forks()


def closed_in_forks(journal: Rests) -> None:
    """From now on, a journal is closed whenever this process forks."""
    with _FORKS.turn:
        _FORKS.open.add(journal)
