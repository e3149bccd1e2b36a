"""The training of one window: it goes on while docks come and go, and ends with the window."""

from __future__ import annotations

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QApplication, QWidget

from ...finetune.client import Ended, TrainerProcess
from ...finetune.curves import Clock, Curves
from ...finetune.runs import Run
from ...jobs import Progress

POLL_MS = 500
"""How often the window looks at what the process told: two updates a second are enough, and cost nothing."""

NAME = "napari-mitosis training"


class Training(QObject):
    """A fine-tuning in a process of its own, watched by a window.

    Attributes
    ----------
    run : Run or None
        What is trained, or was last.
    curves : Curves
    progress : Progress
        The newest.
    left : str
        The time left, for a person; empty while it is not known.
    messages : list of str
        What it did, one after the other.
    last : Ended or None
        How it ended; None while it runs, and before.
    changed : Signal()
        There is more to show; at most twice a second.
    ended : Signal(object)
        An `Ended`.
    """

    changed = Signal()
    ended = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(NAME)
        self.run: Run | None = None
        self.curves = Curves()
        self.progress = Progress(0, 0)
        self.left = ""
        self.messages: list[str] = []
        self.last: Ended | None = None
        self._clock = Clock()
        self._process: TrainerProcess | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)

    @property
    def running(self) -> bool:
        """Whether a process trains now."""
        return self._process is not None

    @property
    def pid(self) -> int | None:
        """Of the process that trains."""
        return self._process.pid if self._process is not None else None

    def start(self, run: Run, curves: Curves | None = None) -> None:
        """Begin a fine-tuning, or go on with one.

        Parameters
        ----------
        run : Run
        curves : Curves, optional
            What was drawn before.

        Raises
        ------
        MitosisError
            If the process cannot be started.
        """
        process = TrainerProcess(run.folder)
        process.start()
        self.run, self.curves = run, curves or Curves()
        self.progress, self.left, self.messages, self.last = Progress(0, 0, "starting"), "", [], None
        self._clock, self._process = Clock(), process
        application = QApplication.instance()
        for gone in (self.destroyed, *((application.aboutToQuit,) if application is not None else ())):
            gone.connect(process.cancel)
        self._timer.start()
        QTimer.singleShot(0, self.changed.emit)  # starting took its time: let the window come round first

    def cancel(self) -> None:
        """Ask the process to stop at its next step."""
        if self._process is not None:
            self._process.cancel()

    def _poll(self) -> None:
        if self._process is None:
            return
        events = self._process.poll()
        for event in events:
            if isinstance(event, Ended):
                self._timer.stop()
                self._process, self.last = None, event
            else:
                self._take(event)
        if events:
            self.changed.emit()
        if self.last is not None:
            self.ended.emit(self.last)

    def _take(self, progress: Progress) -> None:
        self.curves.add(progress)
        self.left = self._clock.left(progress)
        if progress.message and (not self.messages or self.messages[-1] != progress.message):
            self.messages.append(progress.message)
        # Looking at a field has no measure of its own: the bar stays where it is.
        known = progress.total > 0 and (bool(progress.metrics) or "loss" not in self.progress.metrics)
        self.progress = progress if known else Progress(
            self.progress.done, self.progress.total, progress.message, self.progress.metrics
        )  # fmt: skip


def training_of(widget: QWidget) -> Training:
    """The training of the window that a widget is in; a new one where there is none yet."""
    window: QObject = widget
    while (above := window.parent()) is not None:
        window = above
    found: Training | None = window.findChild(Training, NAME)
    return found if found is not None else Training(window)
