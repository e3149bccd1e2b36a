"""What was open is open again after a restart: fields, detections, rules and views."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
from qtpy.QtCore import QDateTime, QObject, Qt, QTimer

from ..decision.decide import Rule
from ..files import write_whole
from .desk import Desk
from .preferences import preferences_path
from .views import View, Views

if TYPE_CHECKING:
    from napari.layers import Image

PAUSE_MS = 700
MOST_BYTES = 2 * 2**30
"""Evidence on disk beyond this goes, the oldest first."""


def evidence_folder() -> Path:
    """Where evidence is kept between two starts: beside stated settings, else in the user's cache."""
    if os.environ.get("NAPARI_MITOSIS_SETTINGS"):
        return preferences_path().with_name("evidence")
    return Path(platformdirs.user_cache_dir("napari-mitosis", appauthor=False)) / "evidence"


def prune(folder: Path, most_bytes: int = MOST_BYTES) -> None:
    """Delete the oldest files until the rest is not larger than this."""
    with contextlib.suppress(OSError):
        known = sorted(((file.stat().st_mtime, file.stat().st_size, file) for file in folder.iterdir()), reverse=True)
        total = 0
        for _time, size, file in known:
            total += size
            if total > most_bytes:
                file.unlink()


class Restore(QObject):
    """Notes what is open, and opens it again.

    Decisions of a reader are in the journal and come back with their fields. Evidence is on disk, so no network
    looks a second time.

    Parameters
    ----------
    desk : Desk
    views : Views
    """

    def __init__(self, desk: Desk, views: Views) -> None:
        super().__init__(desk)
        self._desk = desk
        self._views = views
        self.path = preferences_path().with_name("session.json")
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(PAUSE_MS)
        self._soon.timeout.connect(self.save)

    def follow(self) -> None:
        """Note from now on what is open."""
        session = self._desk.session
        signals = (session.active_changed, session.opened, session.closed, session.field_changed)
        for signal in (*signals, session.result_changed, session.rule_changed):
            signal.connect(self._later)
        self._desk.closed.connect(self._soon.stop)
        self._desk.closing.connect(self._last)

    def _later(self, *_: object) -> None:
        self._soon.start()

    def _last(self) -> None:
        """The window goes. napari may have closed all fields by itself before: that is not to be remembered."""
        if len(self._desk.session):
            self.save()

    def save(self) -> None:
        """Write what is open now."""
        session = self._desk.session
        fields = [note for key in self._desk.fields if (note := self._note(key)) is not None]
        active = session.current.field.path if session.current is not None else None
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, json.dumps({"fields": fields, "active": str(active or "")}, indent=1))

    def _note(self, key: str) -> dict[str, Any] | None:
        if key not in self._desk.session or self._desk.session[key].field.path is None:
            return None
        state, view = self._desk.session[key], self._views.of(key)
        note: dict[str, Any] = {"path": str(state.field.path), "mpp": state.field.mpp}
        if view is not None:
            note["view"] = asdict(view)
        if state.result is not None and state.rule is not None:
            seen_at = self._desk.seen_at.get(key)
            note |= {"model": state.model, "rule": asdict(state.rule)}
            note["seen_at"] = seen_at.toString(Qt.DateFormat.ISODate) if seen_at is not None else ""
        return note

    def restore(self, open_path: Callable[[Path, float | None], Image | None]) -> list[tuple[str, str]]:
        """Open what was open when the window was closed last.

        Parameters
        ----------
        open_path : callable
            Opens a file with this um/px; its layer, or None where that does not work.

        Returns
        -------
        list of (key, model)
            The fields in which something was detected, and by what.
        """
        detected, active = [], None
        noted = self._read()
        for note in noted.get("fields", []):
            path = Path(str(note.get("path", "")))
            layer = open_path(path, note.get("mpp")) if path.is_file() else None
            if layer is None:
                continue
            key = str(layer.unique_id)
            active = key if str(path) == noted.get("active") else active
            with contextlib.suppress(TypeError, ValueError):
                if note.get("view"):
                    self._views.remember(key, View(**note["view"]))
                if note.get("model"):
                    self._desk.session.recall(key, str(note["model"]), Rule(**_as_rule(note["rule"])))
                    self._desk.seen_at[key] = QDateTime.fromString(str(note.get("seen_at")), Qt.DateFormat.ISODate)
                    detected.append((key, str(note["model"])))
        if active is not None:
            self._desk.fields.choose(active)
        return detected

    def _read(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            noted = json.loads(self.path.read_text(encoding="utf-8"))
            if isinstance(noted, dict) and isinstance(noted.get("fields"), list):
                return {**noted, "fields": [note for note in noted["fields"] if isinstance(note, dict)]}
        return {}


def _as_rule(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no pairs: weights come as lists."""
    weights = tuple((str(name), float(share)) for name, share in values.get("weights", ()))
    return {**values, "weights": weights}
