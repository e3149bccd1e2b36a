"""A journal that may not be there yet: reviewing goes on meanwhile, and nothing is lost when it comes."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import JournalError

if TYPE_CHECKING:
    import pandas as pd

    from ..annotations.actions import Action
    from ..annotations.store import Journal
    from ..field import Field


class LateJournal:
    """Stands for a journal until it can be opened, and hands everything on from then on.

    Until then it is empty, and refuses to be written: a `Notebook` keeps what it could not write and tries again.

    Attributes
    ----------
    reason : str
        Why the journal could not be opened; empty once it is open, and before the first attempt.
    """

    def __init__(self) -> None:
        self._journal: Journal | None = None
        self._lock = threading.Lock()
        self._closed = False
        self.reason = ""

    @property
    def is_open(self) -> bool:
        """Whether the journal is there."""
        return self._journal is not None

    def open(self, where: str | Path | None = None) -> bool:
        """Open the journal unless it is open already; whether it now is. From any thread; it may take a while.

        Parameters
        ----------
        where : str or Path, optional
            A path or a URL; the default journal if not given.
        """
        with self._lock:
            if self._journal is not None or self._closed:
                return self._journal is not None
            try:
                from ..annotations.store import Journal, default_journal  # sqlalchemy: not before it is needed

                self._journal = Journal(default_journal() if where is None else where)
                self.reason = ""
            except (JournalError, ImportError, OSError) as error:
                self.reason = str(error)
            return self._journal is not None

    def append(self, *actions: Action) -> None:
        """Write actions.

        Raises
        ------
        JournalError
            While the journal is not open, and when it cannot be written.
        """
        self._there().append(*actions)

    def actions(self, field: str | None = None, after: int = 0) -> list[Action]:
        """The actions on record; none while the journal is not open."""
        return [] if self._journal is None else self._journal.actions(field, after)

    def history(self, figure: str) -> list[Action]:
        """The actions on one figure; none while the journal is not open."""
        return [] if self._journal is None else self._journal.history(figure)

    def remember(self, field: Field) -> None:
        """Note name, place and size of a field.

        Raises
        ------
        JournalError
            While the journal is not open, and when it cannot be written.
        """
        self._there().remember(field)

    def fields(self) -> pd.DataFrame:
        """The fields on record.

        Raises
        ------
        JournalError
            While the journal is not open.
        """
        return self._there().fields()

    def close(self) -> None:
        """Close the journal for good."""
        with self._lock:
            self._closed = True
            if self._journal is not None:
                self._journal.close()
                self._journal = None

    def _there(self) -> Journal:
        if self._journal is None:
            raise JournalError(self.reason or "The journal is still being opened.")
        return self._journal
