"""The count of the open fields and of their case, brought up to date with every decision: one for each viewer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from ..cases.case import CaseField
from ..cases.count import Counted, Tally
from ..cases.live import LiveCount
from ..measures.grade import Convention
from .desk import Desk


class CaseCount(QObject):
    """Follows the desk; use `case_count_of`.

    Parameters
    ----------
    desk : Desk

    Attributes
    ----------
    changed : Signal()
        The count may be another one, or another field is looked at.
    live : LiveCount
    whole_case : bool
        Whether the case is counted, not the active field alone.
    """

    changed = Signal()

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.desk = desk
        self.live = LiveCount()
        self.whole_case = False
        self._rows: dict[Any, NDArray[np.int64]] = {}
        session = desk.session
        desk.notebook_changed.connect(self._changed)
        desk.noted.connect(self._changed)
        desk.blind.changed.connect(self.refresh)
        session.result_changed.connect(self._changed)
        session.field_changed.connect(self._changed)
        session.closed.connect(self._field_closed)
        desk.closed.connect(self._stop)
        self.refresh()

    def refresh(self, *_: object) -> None:
        """Take in all open fields."""
        for key in tuple(self.desk.session):
            self._take_in(key)
        self.changed.emit()

    def _take_in(self, key: Any) -> None:
        notebook = self.desk.notebook(key)
        if notebook is None:
            return
        state = self.desk.session[key]
        # While a field is read blind nothing of the detector is shown, not even how many candidates there are.
        result = None if self.desk.blind.blind(key) else state.result
        waiting = self.live.set_open(key, state.field, notebook.figures, notebook.marks, result)
        self._rows[key] = waiting.rows

    def _changed(self, key: Any, *_: object) -> None:
        if key is not None and key in self.desk.session:
            self._take_in(key)
        self.changed.emit()

    def _field_closed(self, key: Any) -> None:
        self.live.forget(key)
        self._rows.pop(key, None)
        self.changed.emit()

    def set_convention(self, convention: Convention) -> None:
        """Score by another convention."""
        self.live.convention = convention
        self.changed.emit()

    def set_whole_case(self, yes: bool) -> None:
        """Count the case, or the active field alone."""
        self.whole_case = yes
        self.changed.emit()

    def set_case(self, fields: Iterable[CaseField]) -> None:
        """The fields of the case as the journal has them."""
        self.live.set_case(fields)
        self.changed.emit()

    @property
    def counted(self) -> list[Counted]:
        """What is counted now: the active field, or all fields of the case."""
        return self.live.counted(self.desk.session.active, self.whole_case)

    @property
    def tally(self) -> Tally | None:
        """The count; None where there is nothing to count yet."""
        return self.live.tally(self.desk.session.active, self.whole_case) if self.counted else None

    @property
    def detected(self) -> set[str]:
        """Digests of the open fields in which a detector has looked; not of those that are read blind."""
        seen = (key for key in self._rows if key in self.desk.session and not self.desk.blind.blind(key))
        keys = [key for key in seen if self.desk.session[key].result is not None]
        return {self.live.digest(key) for key in keys}

    def change_of_detections(self, key: Any, count: int) -> NDArray[np.float64]:
        """By how much judging each detection of an open field can move the score, shape (count,); 0 = it cannot."""
        change = np.zeros(count)
        rows, values = self._rows.get(key), self.live.changes(key, self.whole_case)
        if rows is not None and len(rows) == len(values) and (rows < count).all():
            change[rows] = values
        return change

    def _stop(self) -> None:
        session, desk = self.desk.session, self.desk
        desk.notebook_changed.disconnect(self._changed)
        desk.noted.disconnect(self._changed)
        desk.blind.changed.disconnect(self.refresh)
        session.result_changed.disconnect(self._changed)
        session.field_changed.disconnect(self._changed)
        session.closed.disconnect(self._field_closed)


def case_count_of(desk: Desk) -> CaseCount:
    """The count of a desk; made when first asked for."""
    count = desk.findChild(CaseCount)
    return count if isinstance(count, CaseCount) else CaseCount(desk)
