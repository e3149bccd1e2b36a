"""What a reader has chosen for good: a small JSON file in the user's configuration folder."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import platformdirs

from ..files import write_whole


def preferences_path() -> Path:
    """The file: ``NAPARI_MITOSIS_SETTINGS``, else ``settings.json`` in the user's configuration folder."""
    given = os.environ.get("NAPARI_MITOSIS_SETTINGS")
    if given:
        return Path(given)
    return Path(platformdirs.user_config_dir("napari-mitosis", appauthor=False)) / "settings.json"


class Preferences:
    """Named choices, kept across starts. A file that cannot be read or written is no reason to stop.

    Parameters
    ----------
    path : Path, optional
        `preferences_path` if not given.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = preferences_path() if path is None else path

    def get(self, name: str, default: Any) -> Any:
        """A choice, if it is there and of the default's kind; else the default."""
        value = self._read().get(name, default)
        return value if isinstance(value, type(default)) else default

    def set(self, name: str, value: Any) -> None:
        """Keep a choice: a text, a number, a list or a dict of them. The file is replaced as a whole."""
        values = {**self._read(), name: value}
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, json.dumps(values, indent=2, sort_keys=True) + "\n")

    def _read(self) -> dict[str, Any]:
        try:
            values = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return values if isinstance(values, dict) else {}
