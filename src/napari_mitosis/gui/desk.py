"""What all steps of one viewer share: the session, the fields' layers, the workers, and a notebook for each field."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from qtpy.compat import isalive
from qtpy.QtCore import QDateTime, QEvent, QObject, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QApplication, QMainWindow

from ..review.blind import BlindReadings
from ..review.reviewed import ReviewedCounts
from ..session import Session
from .fields import OpenFields
from .notebooks import Notebooks
from .worker import Workers

if TYPE_CHECKING:
    import napari

    from ..annotations.notebook import Notebook
    from ..annotations.store import Journal


class Desk(QObject):
    """Shared state of one viewer. It belongs to the viewer's window and ends with it; use `desk_of`.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session, optional
        A session to show; a new one by default.
    journal : str or Path, optional
        A path or a URL; the default journal if not given.
    reader : str, optional
        Who reviews; `annotations.store.default_reader` if not given.

    Attributes
    ----------
    fields : OpenFields
    workers : Workers
    notebooks : Notebooks
    notebook_changed : Signal(key)
        The notebook of a field is there, is another one or is gone; or another field is looked at.
    noted : Signal(key, Change)
        An action was noted in the notebook of a field.
    trouble : Signal(str)
        A warning to show; empty once all is well.
    agreement_changed : Signal(key)
        Several detectors were compared on a field.
    reader_changed : Signal(str)
    detect_wanted : Signal()
        A detection in the active field is asked for.
    tissue_wanted : Signal()
        The score map is to be taken away: a figure is judged by its tissue.
    model_selected : Signal(str)
        Another model is selected for the next detection: its name.
    models_changed : Signal(str)
        Another version of a model is in use: its name.
    closing : Signal()
        The window is asked to close.
    closed : Signal()
        The window is going, and everything with it.
    blind : BlindReadings
        Which fields are read blind: nothing of the detector is shown of these.
    counts : ReviewedCounts
        What became of the detections of each field.
    seen_at : dict of key to QDateTime
        When the shown result of a field was made by its network.
    agreement : dict of key to DataFrame
        `Comparison.agreement` of the fields on which detectors were compared.
    """

    notebook_changed = Signal(object)
    noted = Signal(object, object)
    trouble = Signal(str)
    agreement_changed = Signal(object)
    reader_changed = Signal(str)
    detect_wanted = Signal()
    tissue_wanted = Signal()
    models_changed = Signal(str)
    model_selected = Signal(str)
    closing = Signal()
    closed = Signal()

    def __init__(
        self,
        viewer: napari.Viewer,
        session: Session | None = None,
        journal: str | Path | None = None,
        reader: str | None = None,
    ) -> None:
        super().__init__(window_of(viewer))
        self.viewer = viewer
        self.session = Session() if session is None else session  # an empty one is falsy
        self.workers = Workers()
        self.fields = OpenFields(viewer, self.session, self)
        self.notebooks = notebooks = Notebooks(self.session, self.workers, self, journal, reader)
        self.blind = BlindReadings()
        self.counts = ReviewedCounts(self.session, self.blind)
        self.seen_at: dict[Any, QDateTime] = {}
        self.agreement: dict[Any, pd.DataFrame] = {}
        self.is_closed = False
        notebooks.changed.connect(self.notebook_changed)
        notebooks.noted.connect(self.noted)
        notebooks.trouble.connect(self.trouble)
        notebooks.reader_changed.connect(self.reader_changed)
        notebooks.changed.connect(self._count)
        notebooks.noted.connect(self._count)
        self.session.closed.connect(self._field_gone)
        self.session.field_changed.connect(self._field_gone)
        # The window may go in several ways; each of them ends the jobs.
        self.window.installEventFilter(self)
        end_jobs = self.workers.shutdown
        self.destroyed.connect(lambda: end_jobs())
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.shutdown)

    @property
    def window(self) -> QMainWindow:
        """The viewer's window. Nobody may keep it: napari deletes it by letting it go."""
        window = self.parent()
        assert isinstance(window, QMainWindow)
        return window

    # Notebooks

    def notebook(self, key: Any) -> Notebook | None:
        """The notebook of an open field; None while it is being opened, which asking for it starts."""
        return self.notebooks.notebook(key)

    @property
    def current(self) -> Notebook | None:
        """The notebook of the field that is looked at; None while it is being opened, or where there is none."""
        return self.notebooks.current

    @property
    def journal(self) -> Journal | None:
        """The journal; None before a notebook was opened."""
        return self.notebooks.journal

    @property
    def reader(self) -> str:
        """Who reviews."""
        return self.notebooks.reader

    def set_reader(self, name: str) -> None:
        """Another person reviews from now on; a name of blanks changes nothing."""
        self.notebooks.set_reader(name)

    @property
    def warning(self) -> str:
        """The warning that is to be seen now; empty when all is well."""
        return self.notebooks.warning

    @property
    def pending(self) -> int:
        """Actions that are not on disk yet."""
        return self.notebooks.pending

    def _count(self, key: Any, *_: object) -> None:
        """What is on record of a field may be other than it was."""
        notebook = self.notebooks.known(key)
        self.counts.set_figures(key, notebook.figures if notebook is not None else None)

    # Detectors compared

    def set_agreement(self, key: Any, agreement: pd.DataFrame | None) -> None:
        """Keep what several detectors said of a field, so that the review can ask where they disagree."""
        if agreement is None:
            self.agreement.pop(key, None)
        else:
            self.agreement[key] = agreement
        self.agreement_changed.emit(key)

    def _field_gone(self, key: Any) -> None:
        """Closed, or its pixels are others now: what was compared is no longer true."""
        if key in self.agreement:
            self.set_agreement(key, None)

    # The end

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """The window is about to be closed, or deleted."""
        if event is None or self.is_closed:
            return False
        if event.type() == QEvent.Type.Close:
            self.closing.emit()  # it may go at once: what is not on disk yet has its last chance
            self.notebooks.retry()
        elif event.type() == QEvent.Type.DeferredDelete:
            self.shutdown()
        return False

    def shutdown(self) -> None:
        """End every job, write what can be written, and close the journal."""
        if self.is_closed:
            return
        self.is_closed = True
        self.window.removeEventFilter(self)
        self.workers.shutdown()
        self.notebooks.close()
        self.session.closed.disconnect(self._field_gone)
        self.session.field_changed.disconnect(self._field_gone)
        self.counts.stop()
        self.closed.emit()
        self.notebooks.close_journal()
        self.fields.disconnect_all()


def window_of(viewer: napari.Viewer) -> QMainWindow:
    """The window of a viewer."""
    window = viewer.window.main_menu.window()
    assert isinstance(window, QMainWindow)  # napari's own
    return window


def open_desk(viewer: napari.Viewer) -> Desk | None:
    """The desk of a viewer, or None where it has none yet, or no window any more."""
    if not isalive(viewer.window.main_menu):  # type: ignore[no-untyped-call]
        return None
    desks = (child for child in window_of(viewer).children() if isinstance(child, Desk))
    return next((desk for desk in desks if not desk.is_closed), None)


def desk_of(viewer: napari.Viewer, session: Session | None = None) -> Desk:
    """The desk of a viewer; the first who asks makes it, with this session or a new one."""
    return open_desk(viewer) or Desk(viewer, session)
