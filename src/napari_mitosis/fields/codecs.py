"""Tiles and strips that state their own size inside, and codecs that write as much as they like.

The decoders of JPEG and JPEG 2000 believe the data, not the file around it: 1.8 kB can claim 65,500 x 65,500 px.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from ..errors import FieldError
from .apart import memory_is_limited

# Of these compressions of TIFF the decoder is told how much it may write, ...
_BOUNDED = frozenset({1, 5, 8, 32773, 32946, 34925, 50000})
SELF_SIZED = frozenset({6, 7, 33003, 33004, 33005, 33007, 34712})
"""... and of these, JPEG and JPEG 2000, `check_coded` holds what they state against the tile."""

UNBOUNDED = frozenset({50001, 50002, 52546})
"""WebP and JPEG XL write as much as they like: they are asked in a process of its own, where its memory is limited."""

MAX_SCANS = 100
"""Of a progressive JPEG; encoders write about ten. Each costs a pass over all pixels."""

_SLACK_PX = 64  # encoders round up to whole blocks


def why_not_decoded(page: Any) -> str | None:
    """Why the decoder of a TIFF's page is not asked: nobody can tell it how much it may write."""
    compression = int(page.compression)
    if compression in _BOUNDED or compression in SELF_SIZED or (compression in UNBOUNDED and memory_is_limited()):
        return None
    name = getattr(page.compression, "name", compression)
    return f"its compression ({name}) is not read; save it with JPEG, LZW or Deflate"


def check_coded(path: Path, file: Any, page: Any, box: tuple[int, int, int, int]) -> None:
    """Hold what the tiles in a box state inside of themselves against what the page says of them.

    Parameters
    ----------
    path : Path
    file : tifffile.FileHandle
    page : tifffile.TiffPage
    box : tuple of int
        (y0, y1, x0, x1) in pixels of the page.

    Raises
    ------
    FieldError
        When one states no size, or a larger one.
    """
    height, width = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    across = -(-page.imagewidth // width)
    y0, y1, x0, x1 = box
    rows, columns = range(y0 // height, -(-y1 // height)), range(x0 // width, -(-x1 // width))
    planes = len(page.dataoffsets) // max(1, across * -(-page.imagelength // height))
    step = len(page.dataoffsets) // max(1, planes)
    for number in (
        plane * step + row * across + column for plane in range(planes) for row in rows for column in columns
    ):
        if number >= len(page.dataoffsets) or not page.databytecounts[number]:
            continue
        file.seek(page.dataoffsets[number])
        data = file.read(page.databytecounts[number])
        stated = coded_size(data)
        if stated is None or stated[0] > height + _SLACK_PX or stated[1] > width + _SLACK_PX:
            raise FieldError(path, f"the file is damaged (tile {number} is not of the size that its header states)")
        check_scans(path, data)


def check_scans(path: Path, content: bytes) -> None:
    """Refuse a JPEG of a great many scans, which takes minutes for a few kilobytes.

    Raises
    ------
    FieldError
        When there are more than `MAX_SCANS`.
    """
    if content.count(b"\xff\xda") > MAX_SCANS:
        raise FieldError(path, f"the file is damaged (more than {MAX_SCANS} scans in one JPEG)")


def coded_size(data: bytes) -> tuple[int, int] | None:
    """Height and width that a JPEG or a JPEG 2000 states inside of itself; None where it states none."""
    if data[:2] == b"\xff\xd8":
        return _jpeg_size(data)
    at = data.find(b"\xff\x4f\xff\x51", 0, 4096)
    if at < 0 or len(data) < at + 24:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", data, at + 8)
    return bottom - top, right - left


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">2H", data, at + 5)
            return height, width
        if marker == 0xFF or 0xD0 <= marker <= 0xD9 or marker == 0x01:
            at += 1 if marker == 0xFF else 2
            continue
        at += 2 + int(struct.unpack_from(">H", data, at + 2)[0])
    return None
