"""Fine-tunes in a process of its own: ``python -m napari_mitosis.finetune.process FOLDER``.

The folder holds ``plan.json``. Whoever started the process reads what it does as JSON lines from its standard output;
the same lines are kept in ``progress.jsonl``, so that a viewer that is opened later shows the curves from the start.
A line or the end of standard input stops it within a second; what was kept by then goes on later. Whatever is written
to standard error is the log.

Torch is imported when the job begins: the messages below are also read by the process that shows them.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

from ..errors import Cancelled, MitosisError
from ..jobs import Job, Progress, run
from .lock import claimed

PROGRESS_FILE, LOG_FILE = "progress.jsonl", "log.txt"

EXITS: Mapping[str, int] = MappingProxyType(
    {"finished": 0, "crashed": 1, "failed": 3, "cancelled": 4, "memory": 5, "disk": 6}
)
"""How a fine-tuning ends, as it is told, and the exit status of the process."""

EVERY_S = 0.25
"""Steps of one kind that follow each other faster than this are not all told."""

_NO_MEMORY = ("out of memory", "cannot allocate memory", "can't allocate memory", "not enough memory", "bad_alloc")
_NO_DISK = ("no space left", "code: 28", "os error 28", "file too large", "code: 27", "os error 27")
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})

_log = logging.getLogger(__name__)


class Teller:
    """Tells how far a job is, as lines in a stream and in a file.

    Parameters
    ----------
    stream : file
        Read by the process that started this one.
    folder : Path
        Where ``progress.jsonl`` lies.
    stop : threading.Event
        Set when nobody reads the stream any more.
    """

    def __init__(self, stream: TextIO, folder: Path, stop: threading.Event) -> None:
        self._stream, self._path, self._stop = stream, folder / PROGRESS_FILE, stop
        self._told = -EVERY_S
        self._kind: Any = None

    def progress(self, progress: Progress) -> None:
        """Tell of a step, unless one of its kind was told a moment ago."""
        now = time.monotonic()
        kind = (progress.message, progress.total, frozenset(progress.metrics), progress.metrics.get("f"))
        if kind == self._kind and now - self._told < EVERY_S:
            return
        self._told, self._kind = now, kind
        metrics = {name: float(value) for name, value in progress.metrics.items()}
        line = {"done": progress.done, "total": progress.total, "message": progress.message, "metrics": metrics}
        self._write({"event": "progress", **line, "time": time.time()})

    def ended(self, status: str, text: str) -> None:
        """Tell how it ended; this must not fail, whatever the disk and the reader do."""
        with contextlib.suppress(OSError):
            self._write({"event": "ended", "status": status, "text": text, "time": time.time()})

    def _write(self, event: Mapping[str, Any]) -> None:
        line = json.dumps(event) + "\n"
        try:
            self._stream.write(line)
            self._stream.flush()
        except (OSError, ValueError):  # nobody listens: the viewer is gone
            self._stop.set()
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line)


def serve(job: Job[Any], teller: Teller, stop: threading.Event) -> int:
    """Run a job to its end, tell of it, and return the exit status; nothing is raised."""
    try:
        run(job, teller.progress, stop.is_set)
    except (Cancelled, KeyboardInterrupt):
        status, text = "cancelled", ""
    except BaseException as error:
        status, text = kind_of(error), str(error) or type(error).__name__
        _log.error("the fine-tuning ended: %s", status, exc_info=error)
    else:
        status, text = "finished", ""
    teller.ended(status, text)
    return EXITS[status]


def kind_of(error: BaseException) -> str:
    """How an error ended the job: ``memory``, ``disk``, ``failed`` (the text is for the reader) or ``crashed``."""
    for cause in _chain(error):
        text = str(cause).lower()
        number = cause.errno if isinstance(cause, OSError) else None
        if isinstance(cause, MemoryError) or number == errno.ENOMEM or any(words in text for words in _NO_MEMORY):
            return "memory"
        if number in _DISK_ERRORS or any(words in text for words in _NO_DISK):
            return "disk"
    return "failed" if isinstance(error, MitosisError) else "crashed"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def default_threads() -> int:
    """One processor core less than there are: that one is the viewer's."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores - 1)


def finetuning(folder: Path) -> Job[None]:
    """The fine-tuning that is planned in a folder."""
    began = time.monotonic()  # loading torch is part of the time that was asked for
    yield Progress(0, 0, "starting")
    import torch

    from .job import finetune_claimed
    from .plan import read_plan

    plan = read_plan(folder)
    torch.set_num_threads(plan.threads or default_threads())
    yield from finetune_claimed(plan, folder, began=began)


CANCEL_S = 0.4
"""A job that was stopped and has not come to its next step by then is left where it stands."""


def _leave_in_time(stop: threading.Event, teller: Teller) -> None:
    """Once stopped, end this process within a second, in the middle of a step if need be.

    A look at a large field or a step on a busy machine takes seconds. Whatever a run keeps is written whole or not at
    all, so nothing is damaged, and at most the steps since the last checkpoint are done again.
    """
    stop.wait()
    time.sleep(CANCEL_S)
    teller.ended("cancelled", "")
    os._exit(EXITS["cancelled"])


def _listen(words: TextIO, stop: Callable[[], None]) -> None:
    """Stop at the first word, or when nobody is left to say one."""
    with contextlib.suppress(OSError, ValueError):
        words.readline()
    stop()


def _own_stdout() -> TextIO:
    """Standard output for the messages alone: what anything else prints goes to the log."""
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return stream


def main(folder: Path) -> int:
    """Fine-tune in this process, which must have been started for it; its exit status."""
    stream = _own_stdout()
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s", stream=sys.stderr)
    if hasattr(os, "nice"):
        os.nice(10)
    stop = threading.Event()
    # A key press in the terminal of the viewer reaches this process, too; the viewer tells it what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=_listen, args=(sys.stdin, stop.set), daemon=True).start()
    teller = Teller(stream, folder, stop)
    threading.Thread(target=_leave_in_time, args=(stop, teller), daemon=True).start()
    try:
        with claimed(folder):
            return serve(finetuning(folder), teller, stop)
    except BaseException as error:
        teller.ended(kind_of(error), str(error))
        return EXITS[kind_of(error)]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
