"""After the last candidate: second look, next field, report."""

from __future__ import annotations

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from ...review.target import SECOND
from ..desk import Desk
from .queue_panel import QueuePanel
from .reviewing import Reviewing


class Onward(QObject):
    """Offers ways to go on once nothing of the list in front waits any more.

    Parameters
    ----------
    desk : Desk
    reviewing : Reviewing
    panel : QueuePanel
        Has the buttons.
    parent : QObject

    Attributes
    ----------
    has_report : bool
        Whether somebody listens to `report_wanted`.
    second_wanted, report_wanted : Signal()
    field_wanted : Signal(str)
        Key of the field that is to be looked at.
    """

    second_wanted = Signal()
    report_wanted = Signal()
    field_wanted = Signal(str)

    def __init__(self, desk: Desk, reviewing: Reviewing, panel: QueuePanel, parent: QObject) -> None:
        super().__init__(parent)
        self._desk = desk
        self._reviewing = reviewing
        self._panel = panel
        self._counts = desk.counts
        self.has_report = False
        reviewing.finished.connect(self._show)
        panel.onward.connect(self._go)

    def _show(self, finished: bool) -> None:
        queue = self._reviewing.queue
        ways = {
            "second look": queue.front != SECOND and len(queue.second) > 0,
            "next field": self.next_field() is not None,
            "report": self.has_report,
        }
        self._panel.show_onward([name for name, open_ in ways.items() if finished and open_])

    def next_field(self) -> str | None:
        """The next open field that is not judged to its end, or None."""
        keys, here = list(self._desk.fields), str(self._desk.session.active)
        at = keys.index(here) if here in keys else len(keys)
        for key in (*keys[at + 1 :], *keys[:at]):
            count = self._counts.of(key)
            if count is None or self._desk.session[key].result is None or not count.complete:
                return key
        return None

    def _go(self, name: str) -> None:
        if name == "second look":
            self.second_wanted.emit()
        elif name == "report":
            self.report_wanted.emit()
        elif (key := self.next_field()) is not None:
            self.field_wanted.emit(key)
