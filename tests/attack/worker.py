"""Cases run in one process of their own, under a limit of memory; one that hangs or dies is told, and replaced."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import random
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HANG_S = 10.0
"""Of processor time, so that a busy machine makes no hang; ..."""
STILL_S = 120.0
"""... and of waiting, so that a case that does nothing is one."""
START_S = 120.0
MOST_BYTES = 2 * 2**30
ADDRESS_BYTES = 3 * 2**30
MOST_LOG = 10_000


@dataclass
class Tally:
    """What became of the cases of one attack."""

    tried: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    longest_s: float = 0.0
    most_mb: float = 0.0

    @property
    def survived(self) -> int:
        return self.tried - len(self.wrong)


def serve(pipe: Any) -> None:
    """Runs in the process: take a case, tell how it ended."""
    from .cases import CASES
    from .folders import FOLDERS

    cases = {**CASES, **FOLDERS}
    warnings.simplefilter("ignore")
    counted = _Counting()
    logging.getLogger().addHandler(counted)
    logging.getLogger().setLevel(logging.INFO)
    with contextlib.suppress(ImportError):  # Windows has no such limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES))
    pipe.send("ready")
    with tempfile.TemporaryDirectory() as folder:
        while (task := pipe.recv()) is not None:
            name, seed = task
            place = Path(folder) / name
            place.mkdir(exist_ok=True)
            counted.lines, began = 0, time.process_time()
            try:
                end, wrong = cases[name](random.Random(f"{name} {seed}"), place), ""
                if counted.lines > MOST_LOG:
                    wrong = f"{counted.lines} lines of log"
            except BaseException as error:
                last = traceback.extract_tb(error.__traceback__)[-1]
                where = f"{Path(last.filename).name}:{last.lineno}"
                end, wrong = "", f"{type(error).__name__}: {str(error)[:120]} ({where})"
            pipe.send((end, wrong, _peak_mb(), time.process_time() - began))


class _Counting(logging.Handler):
    lines = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += 1


def _peak_mb() -> float:
    """Of this process alone: Linux counts in `ru_maxrss` what its parent held before it was started."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return float(status.split("VmHWM:")[1].split()[0]) / 1e3
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def _cpu_s(process: int) -> float:
    """Processor time of another process; where it cannot be asked, the clock's."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return time.monotonic()


class Worker:
    """The process, made anew when it had to be ended."""

    def __init__(self) -> None:
        self._process: Any = None
        self._pipe: Any = None

    def run(self, name: str, seed: int) -> tuple[str, str, float, float]:
        """How a case ended, what was wrong, the processor time it took, and the peak of memory in MB."""
        if self._process is None:
            self._start()
        began, worked = time.monotonic(), _cpu_s(self._process.pid)
        self._pipe.send((name, seed))
        while not self._pipe.poll(1.0):
            seconds, waited = _cpu_s(self._process.pid) - worked, time.monotonic() - began
            if seconds > HANG_S or waited > STILL_S:
                self.close()
                return "", f"no end after {seconds:.0f} s of work in {waited:.0f} s", seconds, 0.0
        try:
            end, wrong, peak_mb, seconds = self._pipe.recv()
        except EOFError:
            code = self._process.exitcode
            self.close()
            return "", f"the process died ({code})", time.monotonic() - began, 0.0
        if peak_mb * 1e6 > MOST_BYTES and not wrong:
            wrong = f"{peak_mb:.0f} MB"
            self.close()  # a peak stays with its process
        return end, wrong, seconds, peak_mb

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        assert self._pipe.poll(START_S), "the worker does not start"
        assert self._pipe.recv() == "ready"

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._process = None


def attack(worker: Worker, name: str, count: int, first_seed: int = 0) -> Tally:
    """Run so many cases of one attack."""
    tally = Tally()
    for seed in range(first_seed, first_seed + count):
        end, wrong, seconds, peak_mb = worker.run(name, seed)
        tally.tried += 1
        tally.longest_s, tally.most_mb = max(tally.longest_s, seconds), max(tally.most_mb, peak_mb)
        if wrong:
            tally.wrong.append(f"{name} {seed}: {wrong}")
        else:
            tally.ends[end] += 1
    return tally
