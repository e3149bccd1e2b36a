"""The process that `apart` asks: it opens files, decodes blocks of them, and lives under limits.

Questions come as lines of JSON, answers go as lines of JSON, pixels as they are. It ends with its standard input.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import FieldError
from .apart import MOST_BYTES, memory_is_limited
from .pixels import LazyPixels, open_pixels
from .slides import SLIDE_SUFFIXES, SlidePixels, read_header

_OPEN_FILES = 4


def main() -> None:
    """Answer until there are no questions any more."""
    answers = os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)  # a library that prints must not spoil an answer
    _limit_memory()
    for line in sys.stdin.buffer:
        question = json.loads(line)
        _limit_time(float(question["cpu_s"]))
        try:
            _answer(question, answers)
        except FieldError as error:
            _tell(answers, {"error": error.reason})
        except MemoryError:
            _tell(answers, {"error": "there is not enough memory to read it"})
        answers.flush()


def _answer(question: Mapping[str, Any], answers: BinaryIO) -> None:
    path = Path(question["path"])
    if question.get("slide"):
        _tell(answers, {"header": read_header(path)})
        return
    status = path.stat() if path.exists() else None
    if status is None:
        raise FieldError(path, "there is no such file")
    level = _levels(path, status.st_mtime_ns, status.st_size)[question["level"]]
    if list(level.shape) != question["shape"]:
        raise FieldError(path, "the file changed since it was opened")
    block = level.decoded(*question["box"])
    _tell(answers, {"pixels": block.shape})
    answers.write(memoryview(block).cast("B"))


@lru_cache(_OPEN_FILES)
def _levels(path: Path, changed_ns: int, size: int) -> list[LazyPixels]:
    """The pyramid of a file, opened anew when the file has changed."""
    header = read_header(path) if path.suffix.lower() in SLIDE_SUFFIXES else None
    if header is not None:
        return SlidePixels.of(path, header).levels()
    pixels, _ = open_pixels(path)
    return pixels.levels()


def _tell(answers: BinaryIO, answer: Mapping[str, Any]) -> None:
    answers.write(json.dumps(answer).encode("ascii") + b"\n")


def _limit_memory() -> None:
    """Of addresses, which no allocation gets around."""
    if memory_is_limited():
        import resource

        with contextlib.suppress(OSError, ValueError):  # a lower limit is set already
            held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (held + MOST_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _limit_time(seconds: float) -> None:
    """End this process when it works for longer; where that cannot be said, whoever asks watches the clock alone."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        most = int(time.process_time() + seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


if __name__ == "__main__":
    main()
