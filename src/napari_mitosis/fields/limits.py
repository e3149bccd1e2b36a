"""Reading happens under limits: what a file claims is held against what it is, before a library believes it.

A regular file only; directories of images and their tags that lie within the file and are few; sizes that the bytes
can hold; codecs whose output is bounded; a few lines of log. All of it is read with a handful of seeks, so that an
honest file does not notice.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import stat
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import FieldError, brief

MAX_WHOLE_PX = 178_956_970
"""Larger images are opened only where they can be read in parts. It is also the limit of Pillow."""

MAX_PX_PER_BYTE = 2_000
"""No lossless or JPEG encoder packs more pixels into a byte of its file."""

MAX_DIRECTORIES = 256
"""Images in one TIFF: a pyramid has about ten, with label, macro and thumbnail."""

MAX_TAGS = 512
"""In one directory of a TIFF."""

MAX_TEXT_BYTES = 16 * 2**20
"""Of one value of a tag that is no list of tiles: OME-XML of a slide has some kilobytes."""

MAX_PLANES = 4096
"""That metadata may claim; a parser makes something of each, whether it is there or not."""

MAX_LOG_LINES = 10
"""That a library may write about one file."""

_TILE_LISTS = frozenset({273, 279, 324, 325})  # offsets and byte counts of strips and tiles
_SUB_DIRECTORIES = 330
_BYTES_OF_TYPE = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)


def check_file(path: Path) -> int:
    """Size in bytes of a regular file; a pipe would make the reader wait for ever, a device never end.

    Raises
    ------
    FieldError
        When there is none.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError as error:
        raise FieldError(path, "there is no such file") from error
    except (OSError, ValueError) as error:
        raise FieldError(path, f"it cannot be opened ({brief(error, 120)})") from error
    if stat.S_ISDIR(status.st_mode):
        raise FieldError(path, "it is a folder, not an image")
    if not stat.S_ISREG(status.st_mode):
        raise FieldError(path, "it is no file, but a pipe or a device")
    if status.st_size == 0:
        raise FieldError(path, "the file is empty")
    return status.st_size


@contextlib.contextmanager
def quiet(name: str) -> Iterator[None]:
    """A library may say `MAX_LOG_LINES` lines about a file, in this thread; the rest is left out."""
    logger, thread, told = logging.getLogger(name), threading.get_ident(), [0]

    def few(record: logging.LogRecord) -> bool:
        if record.thread != thread:
            return True
        told[0] += 1
        return told[0] <= MAX_LOG_LINES

    logger.addFilter(few)
    try:
        yield
    finally:
        logger.removeFilter(few)


@dataclass(frozen=True)
class _Layout:
    """How numbers lie in a TIFF: byte order, and their sizes in a classic file or a BigTIFF."""

    order: str
    big: bool

    def number(self, data: bytes, size: int) -> int:
        """An unsigned number of 2, 4 or 8 bytes at the beginning of data."""
        return int(struct.unpack_from(f"{self.order}{ {2: 'H', 4: 'I', 8: 'Q'}[size] }", data)[0])


def check_tiff(path: Path, size: int) -> None:
    """Follow the directories of a TIFF as its parser will, and refuse what would keep that busy.

    Raises
    ------
    FieldError
        When they loop, are too many, or hold values that lie outside of the file or are absurdly long.
    """
    with path.open("rb") as file:
        head = file.read(16)
        layout = _Layout("<" if head[:2] == b"II" else ">", head[2:4] in (b"+\0", b"\0+"))
        width = 8 if layout.big else 4
        if len(head) < 8 + (8 if layout.big else 0):
            return  # too short for anything: the parser says so
        chains = [layout.number(head[8:] if layout.big else head[4:], width)]
        seen: set[int] = set()
        while chains:
            chains += _chain(path, file, layout, chains.pop(), size, seen)


def _chain(path: Path, file: BinaryIO, layout: _Layout, start: int, size: int, seen: set[int]) -> list[int]:
    """Follow directories that name each other; where those below them begin."""
    chain: set[int] = set()
    below: list[int] = []
    while 0 < start < size:
        if start in chain:
            raise FieldError(path, "the file is damaged (its directories of images run in a circle)")
        chain.add(start)
        if start in seen:  # as the levels of a pyramid, which are listed and name each other
            break
        seen.add(start)
        if len(seen) > MAX_DIRECTORIES:
            raise FieldError(path, f"it holds more than {MAX_DIRECTORIES} images; save one RGB image")
        more, start = _directory(path, file, layout, start, size)
        below += more
    return below


def _directory(path: Path, file: BinaryIO, layout: _Layout, start: int, size: int) -> tuple[list[int], int]:
    """Check the tags of one directory; where the ones below it and the next one begin (0 = nowhere)."""
    wide, entry = (8, 20) if layout.big else (2, 12)
    width = 8 if layout.big else 4
    file.seek(start)
    head = file.read(wide)
    if len(head) < wide:
        return [], 0
    count = layout.number(head, wide)
    if count > MAX_TAGS:
        raise FieldError(path, f"the file is damaged (a directory of {count} tags)")
    body = file.read(count * entry + width)
    below: list[int] = []
    for at in range(0, min(len(body) // entry, count) * entry, entry):
        code, kind = layout.number(body[at:], 2), layout.number(body[at + 2 :], 2)
        values = layout.number(body[at + 4 :], width)
        value = body[at + 4 + width : at + entry]
        each = _BYTES_OF_TYPE[kind] if kind < len(_BYTES_OF_TYPE) else 0
        if values * each > size or (code not in _TILE_LISTS and values * each > MAX_TEXT_BYTES):
            raise FieldError(path, f"the file is damaged (tag {code} claims {values} values)")
        if code == _SUB_DIRECTORIES:
            below += _offsets(path, file, layout, values, each, value)
    tail = body[count * entry :]
    return below, layout.number(tail, width) if len(tail) == width else 0


def _offsets(path: Path, file: BinaryIO, layout: _Layout, count: int, each: int, value: bytes) -> list[int]:
    """Where the directories below one begin."""
    if count > MAX_DIRECTORIES:
        raise FieldError(path, f"it holds more than {MAX_DIRECTORIES} images; save one RGB image")
    if each not in (4, 8):
        return []
    if count * each > len(value):
        file.seek(layout.number(value, len(value)))
        value = file.read(count * each)
    return [layout.number(value[at:], each) for at in range(0, min(len(value) // each, count) * each, each)]


_OTHER_FILE = re.compile(r"<(?:\w+:)?UUID\b([^>]*)>\s*([^<\s]*)", re.IGNORECASE)
_FILE_NAME = re.compile(r"FileName\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_OWN_UUID = re.compile(r"<(?:\w+:)?OME\b[^>]*\bUUID\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")


def other_file(xml: str, name: str) -> str | None:
    """A file other than this one that OME-XML takes pixels from; None where there is none.

    Parameters
    ----------
    xml : str
        OME-XML.
    name : str
        Of the file itself; it may have been renamed since, and is then known by its UUID.
    """
    own_uuid = _OWN_UUID.search(xml)
    uuid = (own_uuid.group(1) or own_uuid.group(2)) if own_uuid else None
    for attributes, text in _OTHER_FILE.findall(xml):
        stated = _FILE_NAME.search(attributes)
        named = (stated.group(1) or stated.group(2) or "") if stated else ""
        if named != name and (named or text) and (uuid is None or text != uuid):
            return named or text
    return None


def check_size(path: Path, height: int, width: int, size: int) -> None:
    """Hold the pixels that a header claims against the bytes of the file.

    Raises
    ------
    FieldError
        When no encoder could have put them there.
    """
    if height * width > MAX_PX_PER_BYTE * size:
        raise FieldError(path, f"its header claims {width} x {height} px, which the file is too short to hold")


_PIXELS = re.compile(r"<(?:\w+:)?Pixels\b[^>]*>")
_COUNTS = re.compile(r"\b(?:Size[ZCT]|PlaneCount|IFD)\s*=\s*[\"']\s*([0-9]+)")
_IMAGEJ_COUNTS = re.compile(r"^(?:images|channels|slices|frames)=\s*([0-9]+)", re.MULTILINE)


def ome_planes(xml: str) -> int:
    """The most images that OME-XML claims in one place."""
    stacks = (math.prod(map(_number, _COUNTS.findall(pixels))) for pixels in _PIXELS.findall(xml))
    return max([0, *stacks, *map(_number, _COUNTS.findall(xml))])


def imagej_planes(description: str) -> int:
    """The most images that a description by ImageJ claims."""
    return max([0, *map(_number, _IMAGEJ_COUNTS.findall(description))])


def _number(digits: str) -> int:
    return int(digits[:18])


def check_planes(path: Path, claimed: int) -> None:
    """Refuse a stack of more images than `MAX_PLANES`.

    Raises
    ------
    FieldError
    """
    if claimed > MAX_PLANES:
        raise FieldError(path, f"it claims a stack of {claimed} images; save one RGB image")
