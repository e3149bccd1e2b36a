"""Decoding in a process of its own, where a library cannot be told how long it may take and how much it may hold.

OpenSlide is asked there, and so is whatever decodes many pixels at once or by a codec whose output nobody bounds. A
process that takes too long is ended; one in which the library breaks down takes nothing with it. `reading` is its
other side.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FieldError, brief

MANY_PX = 2**25
"""From so many pixels on, what cannot be decoded in parts is decoded in a process of its own."""

CPU_S, WALL_S = 10.0, 60.0
"""That a process may work, and may take with a slow disk or a busy machine, for each question ..."""

PX_PER_S = 1_000_000.0
"""... and one second more for so many pixels; decoders are five to fifty times as quick."""

START_S = 120.0
"""A process that starts on a busy machine."""

MOST_BYTES = 2 * 2**30
"""Of memory, above what a process holds before its first question; held on Linux only."""

_SERVER = "napari_mitosis.fields.reading"


def memory_is_limited() -> bool:
    """Whether this system holds a process to `MOST_BYTES`."""
    return sys.platform == "linux"


def slide_header(path: Path) -> Mapping[str, Any] | None:
    """What `slides.read_header` says of a slide; None where the file is a plain TIFF under a slide's name.

    Raises
    ------
    FieldError
        When it cannot be read, or not within the limits.
    """
    with _READERS.one(path) as reader:
        answer: Mapping[str, Any] | None = reader.ask(path, {"slide": True}, 0)["header"]
        return answer


def block(path: Path, level: int, shape: tuple[int, ...], box: tuple[int, int, int, int], cost_px: int) -> NDArray[Any]:
    """Pixels of one level of a file, decoded elsewhere.

    Parameters
    ----------
    path : Path
    level : int
        Of its pyramid.
    shape : tuple of int
        Of that level, as it was when the file was opened.
    box : tuple of int
        (y0, y1, x0, x1) in pixels of the level.
    cost_px : int
        How many pixels have to be decoded for it.

    Returns
    -------
    ndarray of uint8, shape (y1 - y0, x1 - x0, 3)

    Raises
    ------
    FieldError
        When they cannot be decoded, or not within the limits.
    """
    with _READERS.one(path) as reader:
        answer = reader.ask(path, {"level": level, "shape": shape, "box": box}, cost_px)
        return reader.take(path, tuple(answer["pixels"]))


def let_go() -> None:
    """End the processes that wait for a question, and hold files open; the next question starts another."""
    _READERS.close()


class _Reader:
    """One such process. Not for several threads at a time."""

    def __init__(self, path: Path) -> None:
        few = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        flags = int(getattr(subprocess, "CREATE_NO_WINDOW", 0))
        # A fresh interpreter by its own command: the viewer's main module is not imported again.
        command = [sys.executable, "-P", "-m", _SERVER]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env={**os.environ, **few}, creationflags=flags,
            )  # fmt: skip
        except OSError as error:
            raise FieldError(path, f"the process that reads it cannot be started ({brief(error, 120)})") from error
        self._fresh, self._late = True, False
        self._timer: threading.Timer | None = None

    def ask(self, path: Path, question: Mapping[str, Any], cost_px: int) -> Mapping[str, Any]:
        """The answer to one question about a file."""
        more = cost_px / PX_PER_S
        self._timer = threading.Timer(WALL_S + more + START_S * self._fresh, self._give_up)
        self._timer.daemon = True
        self._timer.start()
        self._fresh = False
        # Names need not be UTF-8: JSON in ASCII holds the stand-ins of such bytes.
        line = json.dumps({"path": os.path.abspath(path), "cpu_s": CPU_S + more, **question}) + "\n"
        try:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(line.encode("ascii"))
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline() or "{}")
        except (OSError, ValueError):
            answer = {}
        if "error" in answer:
            raise _Refused(path, str(answer["error"]))
        if not answer:
            raise self._broken(path)
        return dict(answer)

    def take(self, path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """The pixels that follow an answer."""
        pixels: NDArray[np.uint8] = np.empty(shape, dtype=np.uint8)
        rest = pixels.data.cast("B")
        assert self._process.stdout is not None
        while len(rest):
            count = self._process.stdout.readinto(rest)  # type: ignore[attr-defined]
            if not count:
                raise self._broken(path)
            rest = rest[count:]
        return pixels

    def answered(self) -> None:
        """Stop the watch over the present question."""
        if self._timer is not None:
            self._timer.cancel()

    def end(self) -> None:
        """End the process."""
        self.answered()
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _give_up(self) -> None:
        self._late = True
        self._process.kill()

    def _broken(self, path: Path) -> FieldError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(START_S)
        code = self._process.returncode
        if self._late or code == -_SIGXCPU:
            return FieldError(path, "decoding it takes too long; the file is damaged, or its codec is very slow")
        return FieldError(path, f"the library that decodes it broke down ({code}); the file is damaged")


_SIGXCPU = 24
"""Of a process that has worked for longer than it may; the number is the same wherever there is such a limit."""


class _Refused(FieldError):
    """The process answered that the file cannot be used; it can be asked again."""


class _Readers:
    """The processes of this program: as many as there are threads that ask at the same time."""

    def __init__(self) -> None:
        self._idle: list[_Reader] = []
        self._lock = threading.Lock()
        self._forget()
        atexit.register(self.close)
        if hasattr(os, "register_at_fork"):  # a child must not speak into its parent's pipes
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._idle, self._lock = [], threading.Lock()

    @contextlib.contextmanager
    def one(self, path: Path) -> Iterator[_Reader]:
        """A process for one question; it is kept for the next one unless it broke down."""
        with self._lock:
            reader = self._idle.pop() if self._idle else None
        reader = reader or _Reader(path)
        try:
            yield reader
        except _Refused as error:
            self._keep(reader)
            raise FieldError(error.path, error.reason) from None
        except BaseException:
            reader.end()
            raise
        self._keep(reader)

    def _keep(self, reader: _Reader) -> None:
        reader.answered()
        with self._lock:
            if len(self._idle) < (os.cpu_count() or 1):
                self._idle.append(reader)
                return
        reader.end()

    def close(self) -> None:
        """End those that wait."""
        with self._lock:
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.end()


_READERS = _Readers()
