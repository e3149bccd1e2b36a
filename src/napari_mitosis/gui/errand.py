"""One job of a page: what it brings is handed over in the window's own thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]


class Errand(QObject):
    """Receives the signals of a job; an object of Qt, so that they arrive where it was made.

    Parameters
    ----------
    parent : QObject
        Nothing is handed over once it is gone.
    done, failed : callable
        Called with the result, or with the error.

    Attributes
    ----------
    ended : Signal()
        After either, and after it was cancelled.
    over : bool
        Whether it has ended.
    """

    ended = Signal()

    def __init__(self, parent: QObject, done: Callable[[Any], None], failed: Callable[[Exception], None]) -> None:
        super().__init__(parent)
        self._done: Callable[[Any], None] | None = done
        self._failed: Callable[[Exception], None] | None = failed
        self.over = False

    def forget(self) -> None:
        """Hand nothing over: whoever waited for it is gone."""
        self._done = self._failed = None

    def succeeded(self, result: object) -> None:
        """The job returned a result."""
        self._end(self._done, result)

    def failed(self, error: object) -> None:
        """The job raised an error."""
        self._end(self._failed, error)

    def cancelled(self) -> None:
        """The job was cancelled."""
        self._end(None, None)

    def _end(self, call: Callable[[Any], None] | None, value: object) -> None:
        self.over = True
        if call is not None:
            call(value)
        self.ended.emit()
        self.deleteLater()
