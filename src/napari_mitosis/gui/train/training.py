"""The training of one window: it goes on while docks come and go, and ends with the window."""

from __future__ import annotations

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QApplication, QWidget

from ...finetune.client import Ended, TrainerProcess
from ...finetune.runs import Run
from ...finetune.watch import Curves, Watch
from .leaving import Leaving

POLL_MS = 500
"""How often the window looks at what the process told: two updates a second are enough, and cost nothing."""

NAME = "napari-mitosis training"


class Training(QObject):
    """A fine-tuning in a process of its own, watched by a window.

    Attributes
    ----------
    run : Run or None
        What is trained, or was last.
    watch : Watch
        What is to be seen of it.
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
        self.watch = Watch()
        self.last: Ended | None = None
        self._process: TrainerProcess | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)
        self.leaving = Leaving(self, parent, self._what_runs) if isinstance(parent, QWidget) else None

    def _what_runs(self) -> str:
        """What closing the window would stop. A program that closes its viewer has taken the canvas down before."""
        parent = self.parent()
        canvases = parent.findChildren(QOpenGLWidget) if parent is not None else []
        if self.run is None or not self.running or not any(canvas.isVisible() for canvas in canvases):
            return ""
        left = self.watch.left or f"at most about {self.run.minutes:g} min"
        return f"{self.run.parent}, {left}"

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
        self.run, self.watch, self.last = run, Watch(curves), None
        self._process = process
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
                self.watch.take(event)
        if events:
            self.changed.emit()
        if self.last is not None:
            self.ended.emit(self.last)


def training_of(widget: QWidget) -> Training:
    """The training of the window that a widget is in; a new one where there is none yet."""
    window: QObject = widget
    while (above := window.parent()) is not None:
        window = above
    training: Training | None = window.findChild(Training, NAME)
    return training if training is not None else Training(window)
