"""The process that trains, as its viewer sees it: started, asked, cancelled, and understood however it ends."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import MitosisError
from ..jobs import Progress
from .process import LOG_FILE, default_threads, kind_of
from .runs import event_of, log_tail, progress_of

GRACE_S = 5.0
"""How long a cancelled process, which ends itself within a second, may take before it is killed."""

_MODULE = "napari_mitosis.finetune.process"

_KEPT = "Your models are as they were, and the work that was done is kept: “Continue” goes on with it."
_TEXTS: Mapping[str, str] = MappingProxyType(
    {
        "finished": "Finished.",
        "cancelled": "Cancelled. The work that was done is kept: “Continue” goes on with it.",
        "memory": f"The training ran out of memory. {_KEPT} Close other programs first.",
        "disk": f"The disk is full. {_KEPT} Make room on it first.",
        "killed": f"The training was killed, probably because the machine ran out of memory. {_KEPT}",
        "crashed": f"The training crashed. {_KEPT}",
    }
)


@dataclass(frozen=True)
class Ended:
    """How a training ended.

    Attributes
    ----------
    status : str
        ``finished``, ``cancelled``, ``failed`` (the text says why), ``memory``, ``disk``, ``killed`` or ``crashed``.
    text : str
        For the reader.
    log : str
        The end of the log, where that may help.
    """

    status: str
    text: str
    log: str = ""


class TrainerProcess:
    """One fine-tuning in a process of its own.

    Nothing here waits: a thread reads what the process tells, `poll` hands it out. The process stops by itself when
    this one is gone.

    Parameters
    ----------
    folder : Path
        With ``plan.json``; a fine-tuning that was begun there goes on.
    threads : int
        Processor threads; 0 = one less than there are cores.
    grace_s : float
        How long a cancelled process may take to its next step before it is killed.
    """

    def __init__(self, folder: Path, threads: int = 0, grace_s: float = GRACE_S) -> None:
        self.folder = folder
        self._threads = threads or default_threads()
        self._grace_s = grace_s
        self._events: queue.SimpleQueue[Progress | Ended] = queue.SimpleQueue()
        self._process: subprocess.Popen[str] | None = None
        self._cancelled = False
        self._killer: threading.Timer | None = None
        self._over = False

    @property
    def running(self) -> bool:
        """Whether it was started and `poll` has not handed out its end."""
        return self._process is not None and not self._over

    @property
    def pid(self) -> int | None:
        """Of the process, once it was started."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the process; returns at once.

        Raises
        ------
        MitosisError
            If it cannot be started.
        """
        if self._process is not None:
            raise MitosisError("This training was started already.")
        count = str(self._threads)
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), count)
        # A fresh interpreter by its own command: the viewer's main module is not imported again.
        command = [sys.executable, "-P", "-m", _MODULE, str(self.folder.resolve())]
        try:
            with (self.folder / LOG_FILE).open("ab") as log:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, encoding="utf-8",
                    cwd=self.folder, env={**os.environ, **threads}, creationflags=_flags(),
                )  # fmt: skip
        except OSError as error:
            raise MitosisError(f"The training cannot be started: {error}") from error
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()

    def poll(self) -> list[Progress | Ended]:
        """What has been told since it was last asked, oldest first; an `Ended` comes last and once. Never waits."""
        events = []
        with contextlib.suppress(queue.Empty):
            while True:
                events.append(self._events.get_nowait())
        self._over = self._over or any(isinstance(event, Ended) for event in events)
        return events

    def cancel(self) -> None:
        """Ask the process to stop at its next step; after the grace time it is killed."""
        process = self._process
        if process is None or self._cancelled:
            return
        self._cancelled = True
        with contextlib.suppress(OSError, ValueError):
            assert process.stdin is not None
            process.stdin.close()
        self._killer = threading.Timer(self._grace_s, process.kill)
        self._killer.daemon = True
        self._killer.start()

    def kill(self) -> None:
        """End the process now; what is in its checkpoint is kept."""
        if self._process is not None:
            self._cancelled = True
            self._process.kill()

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until the process has ended.

        Raises
        ------
        MitosisError
            If it takes longer than that.
        """
        try:
            if self._process is not None:
                self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise MitosisError("The training has not ended yet.") from error

    def _read(self, process: subprocess.Popen[str]) -> None:
        """Runs in a thread until the process has ended."""
        ended: dict[str, Any] = {}
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                event = event_of(line) or {}
                progress = progress_of(event)
                if progress is not None:
                    self._events.put(progress)
                elif event.get("event") == "ended":
                    ended = event
        code = process.wait()
        if self._killer is not None:
            self._killer.cancel()
        with contextlib.suppress(OSError, ValueError):
            if process.stdin is not None:
                process.stdin.close()
        self._events.put(self._understood(code, ended))

    def _understood(self, code: int, ended: Mapping[str, Any]) -> Ended:
        """What its last words or, without any, its exit status and its log say."""
        status, tail = str(ended.get("status", "")), log_tail(self.folder)
        if not status and self._cancelled:
            status = "cancelled"
        elif not status and code == -getattr(signal, "SIGKILL", 9):
            status = "killed"
        elif not status:
            # A library that gives up leaves its last words in the log.
            status = kind_of(RuntimeError(tail))
        if status == "failed":
            return Ended(status, str(ended.get("text", "")), tail)
        silent = status in ("finished", "cancelled")
        return Ended(status, _TEXTS[status], "" if silent else tail)


def _flags() -> int:
    """On Windows: no console, and less urgent than the viewer. Elsewhere the process sees to that itself."""
    names = ("CREATE_NO_WINDOW", "BELOW_NORMAL_PRIORITY_CLASS")
    return sum(int(getattr(subprocess, name, 0)) for name in names)
