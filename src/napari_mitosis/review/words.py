"""What a reader reads: one word for one thing, in the singular and the plural."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .judge import SKIPPED, UNDECIDED

NAMES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "mitosis": ("mitosis", "mitoses"),
        "mimic": ("look-alike", "look-alikes"),
        "unsure": ("unsure", "unsure"),
        SKIPPED: ("put off", "put off"),
        UNDECIDED: ("to judge", "to judge"),
        "candidate": ("candidate", "candidates"),
    }
)
"""Of labels, states and things: for one, and for any other number."""


def name_of(state: str) -> str:
    """A label or a state as a reader reads it: a mimic is a look-alike."""
    return NAMES[state][0]


def counted(count: int, what: str) -> str:
    """So many of it, in words that agree with the number.

    >>> counted(1, "mimic"), counted(3, "mimic")
    ('1 look-alike', '3 look-alikes')
    """
    return f"{count} {NAMES[what][count != 1]}"
