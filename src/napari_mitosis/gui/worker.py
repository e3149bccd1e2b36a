"""Jobs in threads: progress comes as signals, cancelling takes effect at the next step, none is left behind."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, QThread, Signal  # type: ignore[attr-defined]

from ..errors import Cancelled, MitosisError
from ..jobs import Job, run

_log = logging.getLogger(__name__)


class JobThread(QThread):
    """Runs one job. All signals arrive in the thread that made the `JobThread`.

    Parameters
    ----------
    job : Job
        Not started.
    """

    progressed = Signal(object)
    succeeded = Signal(object)
    failed = Signal(object)
    cancelled = Signal()

    def __init__(self, job: Job[Any]) -> None:
        super().__init__()
        self._job = job
        self._stop = threading.Event()

    def cancel(self) -> None:
        """Ask the job to stop after its present step."""
        self._stop.set()

    def run(self) -> None:
        """Drive the job; called by Qt in the new thread."""
        try:
            if self._stop.is_set():
                raise Cancelled
            result = run(self._job, self.progressed.emit, self._stop.is_set)
        except Cancelled:
            self.cancelled.emit()
        except Exception as error:
            if not isinstance(error, MitosisError):
                _log.exception("a job failed")
            self.failed.emit(error)
        else:
            self.succeeded.emit(result)


class Workers(QObject):
    """Starts jobs and keeps each thread until it has ended; `shutdown` leaves none running."""

    def __init__(self) -> None:
        super().__init__()
        self._threads: list[JobThread] = []
        self._closed = False

    def __len__(self) -> int:
        return len(self._threads)

    def start(
        self,
        job: Job[Any],
        *,
        succeeded: Callable[[Any], None],
        failed: Callable[[Exception], None] | None = None,
        progressed: Callable[[Any], None] | None = None,
        cancelled: Callable[[], None] | None = None,
    ) -> JobThread:
        """Run a job in a thread of its own. The callbacks should be methods of a QObject of this thread."""
        thread = JobThread(job)
        thread.succeeded.connect(succeeded)
        for signal, slot in ((thread.failed, failed), (thread.progressed, progressed), (thread.cancelled, cancelled)):
            if slot is not None:
                signal.connect(slot)
        thread.finished.connect(self._forget)
        self._threads.append(thread)
        if not self._closed:
            thread.start()
        return thread

    def _forget(self) -> None:
        self._threads = [thread for thread in self._threads if not thread.isFinished()]

    def shutdown(self) -> None:
        """Cancel every job, wait until its present step is over, and let no more signals out."""
        self._closed = True
        threads, self._threads = self._threads, []
        for thread in threads:
            thread.blockSignals(True)
            thread.cancel()
        for thread in threads:
            thread.wait()
