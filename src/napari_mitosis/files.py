"""Files that are written whole or not at all, however the writing ends and whoever else writes them."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path, durable: bool = False) -> Iterator[Path]:
    """Hand out a name beside `path` to write to; what was written takes the place of `path` at the end.

    No two writers, be they threads or processes, are given the same name. After an error `path` is as it was.

    Parameters
    ----------
    path : Path
    durable : bool
        Whether the content must be on disk before its name says so.

    Raises
    ------
    OSError
        If it cannot be written or put in place.
    """
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        yield partial
        if durable:
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_whole(path: Path, text: str, durable: bool = False) -> None:
    """Write a text as `replacing` does: UTF-8, lines ended by a newline on every system."""
    with replacing(path, durable) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
