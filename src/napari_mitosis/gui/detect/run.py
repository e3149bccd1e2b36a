"""Runs the chosen model on fields, one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from napari.utils.notifications import show_error
from qtpy.QtCore import QDateTime, QObject, Signal  # type: ignore[attr-defined]

from ...errors import MitosisError
from ...session import Result
from ..desk import Desk
from .run_panel import RunPanel

OPEN_FIRST = "Open an RGB image first (File > Open, or File > Open Sample)."
NO_MPP = "The pixel size of this field is unknown: enter it in µm/px (40x scanners: about 0.25)."


class Runs(QObject):
    """One run at a time; fields that are asked for meanwhile wait for their turn.

    Parameters
    ----------
    desk : Desk
    panel : RunPanel
        Says which model, on which device; shows how far it is.
    parent : QObject

    Attributes
    ----------
    said : Signal(str, bool)
        Something to tell; whether it is an error.
    landed : Signal(Result)
        A result has become the field's own.
    looked : Signal(hashable)
        The same, of a field that was looked at now, not before a restart.
    key : hashable or None
        The field that a network looks at now.
    """

    said = Signal(str, bool)
    landed = Signal(object)
    looked = Signal(object)

    def __init__(self, desk: Desk, panel: RunPanel, parent: QObject) -> None:
        super().__init__(parent)
        self._desk = desk
        self._panel = panel
        self._waiting: list[tuple[Any, str]] = []
        self._restored: set[Any] = set()
        self.thread_of_run: Any = None
        self.key: Any = None
        desk.session.closed.connect(self._field_closed)

    @property
    def running(self) -> bool:
        """Whether a network is looking at a field now."""
        return self.thread_of_run is not None

    def why_not(self, key: Any) -> str | None:
        """Why no run can be started on a field now; None where it can."""
        session = self._desk.session
        if key is None or key not in session:
            return OPEN_FIRST
        if self._panel.chosen is None:
            return "No model is installed."
        if session[key].field.mpp is None:
            return NO_MPP
        if self.running:
            name = session[self.key].field.name if self.key in session else "a closed field"
            return f"A run on {name} is under way."
        return None

    def run(self, keys: Iterable[Any]) -> None:
        """Let the chosen model look at these fields; says why where it cannot look at the first."""
        wanted = list(keys)
        why = self.why_not(wanted[0] if wanted else None)
        if why is not None:
            self.said.emit(why, True)
            return
        self._waiting = [(key, self._panel.wanted) for key in wanted]
        self.said.emit("", False)
        self._next()

    def again(self, detected: Iterable[tuple[Any, str]]) -> None:
        """Bring back what these models had seen in these fields before a restart."""
        self._waiting = list(detected)
        self._restored = {key for key, _ in self._waiting}
        self._next()

    def _next(self) -> None:
        """The next field that waits and can be looked at."""
        while self._waiting:
            key, model = self._waiting.pop(0)
            if self.why_not(key) is None:
                self._start(key, model)
                return
        self.update_ready()

    def _start(self, key: Any, model: str) -> None:
        self.key = key
        session, panel = self._desk.session, self._panel
        job = session.detection(key, model, panel.device.currentText())
        more = f" · {len(self._waiting)} more to go" if self._waiting else ""
        panel.set_running(f"{session[key].field.name}{more}")
        self.thread_of_run = self._desk.workers.start(
            job,
            succeeded=self._succeeded,
            failed=self._failed,
            progressed=panel.show_progress,
            cancelled=self._cancelled,
        )
        self.update_ready()

    def cancel(self) -> None:
        """Stop the run after its present tile; no field waits any more."""
        self._waiting = []
        if self.thread_of_run is not None:
            self.thread_of_run.cancel()
            self.said.emit("Cancelling…", False)

    def _succeeded(self, result: Result) -> None:
        session = self._desk.session
        if self._desk.is_closed:
            return
        self._ended(result.note)
        key, looked_now = result.ticket.key, result.ticket.key not in self._restored
        self._restored.discard(key)
        if looked_now:
            self._desk.seen_at[key] = QDateTime.currentDateTime()
        if session.accept(result):
            self.landed.emit(result)
            if looked_now:
                self.looked.emit(key)
        elif key in session:
            self.said.emit("The field changed during the run, so its result was dropped.", False)
        self._next()

    def _failed(self, error: Exception) -> None:
        text = str(error) if isinstance(error, MitosisError) else f"Detection failed: {error or type(error).__name__}"
        self._waiting = []
        self._ended("")
        self.said.emit(text, True)
        show_error(text)

    def _cancelled(self) -> None:
        self._ended("Cancelled." if len(self._desk.session) else "")

    def _ended(self, message: str) -> None:
        self.thread_of_run = self.key = None
        self._panel.set_running(None)
        self.said.emit(message, False)
        self.update_ready()

    def update_ready(self, *_: object) -> None:
        """Enable the button, or say why it is disabled."""
        self._panel.set_ready(self.why_not(self._desk.session.active))

    def _field_closed(self, key: Any) -> None:
        if key == self.key and self.thread_of_run is not None:
            self.thread_of_run.cancel()
