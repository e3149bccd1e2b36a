"""Decisions while a slider moves: at once where they are quick, in a worker where they are not, the newest wins."""

from __future__ import annotations

import time
from collections.abc import Hashable

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]
from superqt.utils import QSignalThrottler

from ...decision.decide import Rule
from ...session import Request, Result, Session
from ..worker import JobThread, Workers

THROTTLE_MS = 16
"""A slider is followed at most this often: once for each picture that a screen shows."""

QUICK_S = 0.010
"""A decision longer than this would be felt in the window: it belongs into a worker."""

CELLS_PER_S = 3e7
"""A cautious first guess of how fast a map is smoothed and labelled; measured from then on."""


class LiveDecisions(QObject):
    """Carries rules to decisions and results to the session.

    One decision at a time: a decider keeps caches that only one thread may use. Of the rules that arrive
    meanwhile only the last of each field is decided.

    Parameters
    ----------
    session : Session
    workers : Workers
    parent : QObject

    Attributes
    ----------
    quick_s : float
        Decisions expected to take longer go into a worker.
    decided : Signal(Result)
        A decision has become the field's own.
    """

    decided = Signal(object)

    def __init__(self, session: Session, workers: Workers, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._workers = workers
        self._running: JobThread | None = None
        self._waiting: dict[Hashable, Request] = {}
        self._seconds: dict[tuple[int, bool], float] = {}
        self._started = 0.0
        self.quick_s = QUICK_S
        self._what: tuple[int, bool] = (0, False)
        self._edited: tuple[Hashable, Rule] | None = None
        self._throttle = QSignalThrottler(parent=self)
        self._throttle.setTimeout(THROTTLE_MS)
        self._throttle.triggered.connect(self.catch_up)

    @property
    def waiting(self) -> bool:
        """Whether a slider has moved and its rule is not decided yet."""
        return self._edited is not None

    def edit(self, key: Hashable, rule: Rule) -> None:
        """Decide under the rule that a slider makes, in the field that it was moved in; soon."""
        self._edited = (key, rule)
        self._throttle.throttle()

    def catch_up(self) -> None:
        """Decide under the rule that the sliders made last."""
        edited, self._edited = self._edited, None
        if edited is not None and edited[0] in self._session:
            self.request(*edited)

    def forget(self) -> None:
        """What a slider said last does not count any more."""
        self._edited = None

    def stop(self) -> None:
        """Wait for no slider any more."""
        self._throttle.cancel()

    def request(self, key: Hashable, rule: Rule) -> None:
        """Decide in an open field under a rule; returns at once where the decision would take long."""
        request = self._session.request(key, rule)
        if request is None:
            return
        if self._running is not None:
            self._waiting[key] = request
            return
        self._start(request)

    def _start(self, request: Request) -> None:
        state = self._session[request.ticket.key]
        before = state.result
        if before is None or before.decider is not request.decider:
            return  # something newer was detected since
        # Area and score only filter blobs that are known; the rest needs the map again.
        maps_again = _needs_maps(before.rule, request.rule)
        cells = _cells(before)
        self._what = (cells, maps_again)
        self._started = time.perf_counter()
        if self._seconds.get(self._what, cells / CELLS_PER_S if maps_again else 0.0) <= self.quick_s:
            self._take(request.run())
            return
        self._running = self._workers.start(request.job(), succeeded=self._came, failed=self._failed)

    def _came(self, result: Result) -> None:
        self._running = None
        self._take(result)
        while self._waiting and self._running is None:
            key, request = self._waiting.popitem()
            if key in self._session:
                self._start(request)

    def _failed(self, error: Exception) -> None:
        self._running = None
        self._waiting.clear()
        raise error

    def _take(self, result: Result) -> None:
        self._seconds[self._what] = time.perf_counter() - self._started
        if self._session.accept(result):
            self.decided.emit(result)


def _needs_maps(old: Rule, new: Rule) -> bool:
    def of(rule: Rule) -> tuple[object, ...]:
        looser = max(0.5, rule.sensitivity)
        return rule.smoothing_um, rule.threshold, rule.floor, rule.weights, rule.method, rule.disc_um, looser

    return of(old) != of(new)


def _cells(result: Result) -> int:
    if result.evidence.candidates is not None:
        return len(result.evidence.candidates)
    return sum(score_map.size for score_map in result.evidence.maps.values())
