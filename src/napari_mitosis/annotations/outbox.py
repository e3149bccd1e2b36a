"""Actions on their way to the journal: written at once, or kept in order until the journal takes them."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..errors import JournalCut, JournalError
from .actions import Action
from .spill import Spill, spill_folder
from .store import Journal

_PATIENT_S = 0.5
_IMPATIENT_S = 0.05
_REST = 4.0
_LONGEST_REST_S = 10.0


class Outbox:
    """What one notebook has done and the journal may not have yet.

    Parameters
    ----------
    journal : Journal
    told : callable
        Called with a warning for the reader when it changes; with an empty text when all is well again.

    Attributes
    ----------
    pending : list of Action
        What is not in the journal, oldest first.
    warning : str
        The warning that holds now.
    cut : bool
        Whether another program has cut the journal short.
    """

    def __init__(self, journal: Journal, told: Callable[[str], None]) -> None:
        self.pending: list[Action] = []
        self.warning = ""
        self._journal = journal
        self._told = told
        self._spill = Spill(journal.url, spill_folder())
        self.cut = False
        self._kept = 0  # so many of the pending are in the spill file
        self._reason = ""
        self._rest_until = 0.0

    @property
    def resting(self) -> bool:
        """Whether it is too early for another attempt: one that took long is not soon repeated at a reader's key."""
        return time.monotonic() < self._rest_until

    def put(self, actions: list[Action]) -> bool:
        """Write actions, after those that wait; whether everything is in the journal now.

        The actions of one call are in the journal all together or not at all.
        """
        self.pending += actions
        if self.resting:
            self.fail(None)
            return False
        return self.flush()

    def flush(self) -> bool:
        """Write what waits; whether everything is in the journal now."""
        began = time.monotonic()
        try:
            self._journal.append(*self.pending, wait_s=_IMPATIENT_S if self.warning else _PATIENT_S)
        except JournalError as error:
            self.cut = isinstance(error, JournalCut)
            self._rest_until = time.monotonic() + min(_LONGEST_REST_S, _REST * (time.monotonic() - began))
            self.fail(error)
            return False
        self.pending.clear()
        self._spill.drop()
        self._kept = 0
        self.cut = False
        return True

    def again(self, actions: list[Action]) -> None:
        """Take actions that were in the journal and may not be any more: they wait like those that never were."""
        known = {action.id for action in self.pending}
        self.pending[:0] = [action for action in actions if action.id not in known]
        self._kept = 0

    def fail(self, error: JournalError | None) -> None:
        """Keep what waits elsewhere, and warn; None = the reason is still the one before."""
        if error is not None:
            self._reason = str(error)
        if self._spill.failed:
            self._kept = 0
        fresh = self.pending[self._kept :]
        if fresh:
            self._kept = len(self.pending) if self._spill.keep(fresh) else 0
        self._warn(self._text())

    def clear(self) -> None:
        """All is well: the journal was written and read."""
        if not self.pending:
            self._warn("")

    def _text(self) -> str:
        count = len(self.pending)
        if not count:
            return self._reason
        kept = "1 action is" if count == 1 else f"{count} actions are"
        if self._kept == count:
            return f"{self._reason} {kept} kept in {self._spill.path} until it can be written again."
        return f"{self._reason} {kept} kept in memory until it can be written again: do not close the program."

    def _warn(self, text: str) -> None:
        if text != self.warning:
            self.warning = text
            self._told(text)
