"""Names that come from outside: made fit for files and for text, and refused where they would lead elsewhere."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

LONGEST_NAME_BYTES = 120
"""File systems take 255 bytes; suffixes and the names of partial files need room, too."""

_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f\ud800-\udfff]')
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def printable(text: str) -> str:
    """Text that every file, database and window takes.

    A file's name need not be UTF-8; Python stands surrogates in for its odd bytes, and nothing can write these. They
    come out as ``\\udcff``, so that two names never become one. What is in order already comes back unchanged.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\0")


def safe_name(text: str, otherwise: str = "unnamed") -> str:
    """One name for a file or a folder that any system takes; never a path, never empty, never hidden.

    Parameters
    ----------
    text : str
        Such as the name of a field, whatever it holds.
    otherwise : str
        Taken when nothing is left of the text.

    Notes
    -----
    Different texts may give the same name: who writes several files keeps them apart.
    """
    plain = _FORBIDDEN.sub("_", text).strip(" .") or otherwise
    if _DEVICES.fullmatch(plain):  # Windows takes these for devices, with any suffix
        plain = f"_{plain}"
    if len(plain.encode()) > LONGEST_NAME_BYTES:
        mark = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:8]
        head = plain.encode()[: LONGEST_NAME_BYTES - 9].decode("utf-8", "ignore")
        plain = f"{head}-{mark}"
    return plain


def inside(folder: Path, name: str) -> Path | None:
    """The file of this name right in a folder; None where the name, or a link of that name, leads elsewhere."""
    if not name or safe_name(name) != name:
        return None
    path = folder / name
    return path if path.resolve().parent == folder.resolve() else None


def path_text(path: Path) -> str:
    """A path as text that can be written anywhere; `text_path` gives back the same path."""
    text = str(path)
    return text if printable(text) == text else path.absolute().as_uri()


def text_path(text: str) -> Path:
    """The path that `path_text` wrote down."""
    if not text.startswith("file://"):
        return Path(text)
    raw = unquote_to_bytes(urlsplit(text).path)
    return Path(raw.decode("utf-8", "surrogateescape"))
