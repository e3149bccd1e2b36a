"""Damage, as disks, networks and people with bad intentions do it. All of it follows from a seed."""

from __future__ import annotations

import copy
import random
import struct
from typing import Any

NUMBERS = (0, 1, 2, 7, 255, 256, 65_535, 65_536, 2**20, 2**31 - 1, 2**31, 2**32 - 1)

NASTY: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 10**400, 1e308, -0.0, float("nan"), float("inf")),
    *("", "²", "1", "../../escaped", "/etc/passwd", "a\0b", "\ud800", "=1+1", "x" * 10_000, "CON"),
    *([], {}, [[]], [1, 2], {"a": 1}, [None] * 50),
)


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Bytes with flipped bits, overwritten blocks, a part missing, or a part twice."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        if not data:
            break
        # Headers are where damage does most harm, so half of it goes there.
        at = rng.randrange(min(400, len(data))) if rng.random() < 0.5 else rng.randrange(len(data))
        kind = rng.randrange(7)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at : at + rng.randint(1, 16)] = rng.randbytes(rng.randint(1, 16))
        elif kind == 2:
            data = data[:at]
        elif kind == 3:
            data[at:at] = data[at : at + rng.randint(1, 200)]
        elif kind == 4:
            number, order = rng.choice(NUMBERS), rng.choice("<>")
            data[at : at + 4] = struct.pack(f"{order}I", number)
        elif kind == 5:
            data[at : at + 2] = struct.pack(f"{rng.choice('<>')}H", rng.choice(NUMBERS) & 0xFFFF)
        else:
            del data[at : at + rng.randint(1, 50)]
    return bytes(data)


def damaged_tags(content: bytes, rng: random.Random) -> bytes:
    """A TIFF of which tags of the first directory say something else; other files are damaged anywhere."""
    if content[:4] not in (b"II*\0", b"MM\0*"):
        return damaged(content, rng)
    order, data = "<" if content[:2] == b"II" else ">", bytearray(content)
    start = struct.unpack_from(f"{order}I", data, 4)[0]
    count = struct.unpack_from(f"{order}H", data, start)[0]
    for _ in range(rng.randint(1, 3)):
        at = start + 2 + 12 * rng.randrange(count)
        part = rng.randrange(4)
        if part == 0:
            struct.pack_into(f"{order}H", data, at, rng.choice((254, 256, 257, 258, 259, 262, 277, 284, 322, 330, 339)))
        elif part == 1:
            struct.pack_into(f"{order}H", data, at + 2, rng.randrange(20))
        elif part == 2:
            struct.pack_into(f"{order}I", data, at + 4, rng.choice(NUMBERS))
        else:
            struct.pack_into(f"{order}I", data, at + 8, rng.choice((*NUMBERS, start, 8, len(data) - 1)))
    return bytes(data)


def damaged_json(content: Any, rng: random.Random) -> Any:
    """JSON of which some values, names or whole parts are something else."""
    changed = copy.deepcopy(content)
    for _ in range(rng.randint(1, 3)):
        places = list(_places(changed))
        if not places:
            return rng.choice(NASTY)
        parent, key = rng.choice(places)
        kind = rng.randrange(4)
        if kind == 0 and isinstance(parent, dict):
            parent[rng.choice(("extra", "", "²", "../x"))] = parent.pop(key)
        elif kind == 1:
            del parent[key]
        elif kind == 2:
            parent[key] = [parent[key]]
        else:
            parent[key] = copy.deepcopy(rng.choice(NASTY))
    return changed


def _places(content: Any) -> Any:
    if isinstance(content, dict):
        pairs = list(content.items())
    elif isinstance(content, list):
        pairs = list(enumerate(content))
    else:
        return
    for key, value in pairs:
        yield content, key
        yield from _places(value)
