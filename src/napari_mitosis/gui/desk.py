"""What all docks of one viewer share: the session, the fields' layers, the journal and a notebook for each field."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from ..errors import JournalError
from ..field import Field
from ..jobs import Job, Progress
from ..review.late_journal import LateJournal
from ..session import Session
from .fields import OpenFields
from .worker import Workers

if TYPE_CHECKING:
    import napari

    from ..annotations.notebook import Notebook
    from ..annotations.store import Journal
    from .detect import DetectDock


@dataclass(frozen=True, eq=False)
class _Opened:
    """A notebook that was opened in a worker, and what for."""

    key: Any
    field: Field
    reader: str
    notebook: Notebook


RETRY_MS = 2000
"""How often what is not on disk yet is tried again."""


class Desk(QObject):
    """Shared state of one viewer. It belongs to the detect dock and ends with it.

    The journal is opened, in a worker, when a notebook is first asked for. A journal that cannot be opened does
    not stop the review: actions are kept in memory, `trouble` says so, and they are written once it opens.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    fields : OpenFields
    workers : Workers
    parent : QObject
    journal : str or Path, optional
        A path or a URL; the default journal if not given.
    reader : str, optional
        Who reviews; `annotations.store.default_reader` if not given.

    Attributes
    ----------
    notebook_changed : Signal(key)
        The notebook of a field is there, is another one or is gone; or another field is looked at.
    noted : Signal(key, Change)
        An action was noted in the notebook of a field.
    trouble : Signal(str)
        A warning to show; empty once all is well.
    agreement_changed : Signal(key)
        Several detectors were compared on a field.
    reader_changed : Signal(str)
    closed : Signal()
        The detect dock is gone.
    agreement : dict of key to DataFrame
        `Comparison.agreement` of the fields on which detectors were compared.
    """

    notebook_changed = Signal(object)
    noted = Signal(object, object)
    trouble = Signal(str)
    agreement_changed = Signal(object)
    reader_changed = Signal(str)
    closed = Signal()

    def __init__(
        self,
        viewer: napari.Viewer,
        session: Session,
        fields: OpenFields,
        workers: Workers,
        parent: QObject,
        journal: str | Path | None = None,
        reader: str | None = None,
    ) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.session = session
        self.fields = fields
        self.workers = workers
        self.agreement: dict[Any, pd.DataFrame] = {}
        self.is_closed = False
        self._where = journal
        self._reader = reader
        self._journal = LateJournal()
        self._notebooks: dict[Any, Notebook] = {}
        self._opening: dict[Any, Field] = {}
        self._followers: dict[Any, Any] = {}
        self._lingering: list[Notebook] = []
        self._warning = ""
        self._connecting = False
        self._retry = QTimer(self)
        self._retry.setInterval(RETRY_MS)
        self._retry.timeout.connect(self.retry)
        session.active_changed.connect(self._active_changed)
        session.closed.connect(self._field_closed)
        session.field_changed.connect(self._field_changed)
        session.result_changed.connect(self._in_context)
        session.rule_changed.connect(self._in_context)

    # Notebooks

    def notebook(self, key: Any) -> Notebook | None:
        """The notebook of an open field; None while it is being opened, which asking for it starts."""
        if key is None or key not in self.session:
            return None
        if key not in self._notebooks:
            self._open(key)
        return self._notebooks.get(key)

    @property
    def current(self) -> Notebook | None:
        """The notebook of the field that is looked at; None while it is being opened, or where there is none."""
        return self.notebook(self.session.active)

    @property
    def journal(self) -> LateJournal:
        """The journal; it may not be open yet."""
        return self._journal

    @property
    def reader(self) -> str:
        """Who reviews."""
        if self._reader is None:
            from ..annotations.store import default_reader

            self._reader = default_reader()
        return self._reader

    def set_reader(self, name: str) -> None:
        """Another person reviews from now on; a name of blanks changes nothing."""
        name = name.strip()
        if not name or name == self.reader:
            return
        self._reader = name
        for key in tuple(self._notebooks):
            self._put_away(key)
            self._open(key)
        self.reader_changed.emit(name)

    def _open(self, key: Any) -> None:
        """Hashing the pixels and opening the journal may take long: in a worker."""
        field = self.session[key].field
        if self.is_closed or self._opening.get(key) is field:
            return
        self._opening[key] = field
        job = _opening(key, field, self._journal, self._where, self.reader)
        self.workers.start(job, succeeded=self._opened, failed=self._failed)

    def _opened(self, opened: _Opened) -> None:
        key, field, notebook = opened.key, opened.field, opened.notebook
        if self.is_closed or self._opening.get(key) is not field:
            return
        del self._opening[key]
        if opened.reader != self.reader:
            self._open(key)
            return
        self._notebooks[key] = notebook

        def noted(change: object) -> None:
            self.noted.emit(key, change)

        self._followers[key] = noted
        notebook.changed.connect(noted)
        notebook.trouble.connect(self._warn)
        self._in_context(key)
        if not self._journal.is_open:
            self._warn(self._why_in_memory())
        self.notebook_changed.emit(key)

    def _failed(self, error: Exception) -> None:
        """The pixels cannot be read: trying again would not help until the field is another one."""
        self._warning = str(error) or type(error).__name__
        self.trouble.emit(self._warning)

    def _put_away(self, key: Any) -> None:
        """Let go of a notebook, but not of what it could not write yet."""
        self._opening.pop(key, None)
        notebook = self._notebooks.pop(key, None)
        if notebook is None:
            return
        notebook.changed.disconnect(self._followers.pop(key))
        if notebook.pending:
            self._lingering.append(notebook)
        else:
            notebook.trouble.disconnect(self._warn)

    def _in_context(self, key: Any) -> None:
        """What was done is noted with the detector and the rule on screen at that moment."""
        notebook = self._notebooks.get(key)
        if notebook is not None and key in self.session:
            state = self.session[key]
            notebook.set_context(state.model or "", state.rule)

    def _active_changed(self, key: Any) -> None:
        self.notebook_changed.emit(key)

    def _field_closed(self, key: Any) -> None:
        self.agreement.pop(key, None)
        self._put_away(key)
        self.notebook_changed.emit(key)

    def _field_changed(self, key: Any) -> None:
        """Other pixels are another field; another um/px must be noted with what follows."""
        self.set_agreement(key, None)
        if key in self._notebooks or key in self._opening:
            self._put_away(key)
            self._open(key)
            self.notebook_changed.emit(key)

    # Detectors compared

    def set_agreement(self, key: Any, agreement: pd.DataFrame | None) -> None:
        """Keep what several detectors said of a field, so that the review can ask where they disagree."""
        if agreement is None:
            self.agreement.pop(key, None)
        else:
            self.agreement[key] = agreement
        self.agreement_changed.emit(key)

    # Trouble

    @property
    def warning(self) -> str:
        """The warning that is to be seen now; empty when all is well."""
        return self._warning

    @property
    def pending(self) -> int:
        """Actions that are not on disk yet."""
        return sum(one.pending for one in (*self._notebooks.values(), *self._lingering))

    def retry(self) -> None:
        """Try to write what is not on disk yet; called every two seconds while there is trouble."""
        if not self._journal.is_open:
            if not self._connecting and not self.is_closed:
                self._connecting = True
                job = _connecting(self._journal, self._where)
                self.workers.start(job, succeeded=self._connected, failed=self._not_connected)
            return
        for notebook in (*self._notebooks.values(), *self._lingering):
            notebook.retry()
        self._lingering = [one for one in self._lingering if one.pending]
        if not self.pending:
            self._warn("")

    def _connected(self, is_open: bool) -> None:
        self._connecting = False
        if not is_open:
            self._warn(self._why_in_memory())
            return
        for key, notebook in self._notebooks.items():
            notebook.refresh()
            _remember(self._journal, self.session[key].field)
        self.retry()

    def _not_connected(self, error: Exception) -> None:
        self._connecting = False
        self._warn(str(error) or type(error).__name__)

    def _why_in_memory(self) -> str:
        return f"{self._journal.reason} What you note is kept in memory until the journal can be opened."

    def _warn(self, text: str) -> None:
        if text:
            self._retry.start()
        elif not self.pending and self._journal.is_open:
            self._retry.stop()
        else:
            return  # another notebook still waits
        if text != self._warning:
            self._warning = text
            self.trouble.emit(text)

    # The end

    def shutdown(self) -> None:
        """Write what can be written, and close the journal. The workers have ended before."""
        if self.is_closed:
            return
        self._retry.stop()
        session = self.session
        session.active_changed.disconnect(self._active_changed)
        session.closed.disconnect(self._field_closed)
        session.field_changed.disconnect(self._field_changed)
        session.result_changed.disconnect(self._in_context)
        session.rule_changed.disconnect(self._in_context)
        if self.pending and self._journal.open(self._where):
            self.retry()
        self.is_closed = True
        for key in tuple(self._notebooks):
            self._put_away(key)
        self.closed.emit()
        self._journal.close()


def open_desk(viewer: napari.Viewer) -> Desk | None:
    """The desk of the open detect dock, or None where there is none."""
    from .detect import DetectDock

    for widget in viewer.window.dock_widgets.values():
        if isinstance(widget, DetectDock) and not widget.desk.is_closed:
            return widget.desk
    return None


def desk_of(viewer: napari.Viewer) -> Desk:
    """The desk of the open detect dock; opens a detect dock where there is none."""
    from .detect import DetectDock

    found = open_desk(viewer)
    if found is None:
        dock: DetectDock = DetectDock(viewer)
        viewer.window.add_dock_widget(dock, name="Detect mitoses", area="right")
        found = dock.desk
    return found


def _opening(key: Any, field: Field, journal: LateJournal, where: str | Path | None, reader: str) -> Job[_Opened]:
    yield Progress(0, 2, "hashing the field")
    _ = field.digest
    yield Progress(1, 2, "opening the journal")
    journal.open(where)
    from ..annotations.notebook import Notebook

    _remember(journal, field)
    return _Opened(key, field, reader, Notebook(cast("Journal", journal), field, reader))


def _connecting(journal: LateJournal, where: str | Path | None) -> Job[bool]:
    yield Progress(0, 1, "opening the journal")
    return journal.open(where)


def _remember(journal: LateJournal, field: Field) -> None:
    """Where the field's pixels lie; a journal that cannot be written has said so elsewhere."""
    try:
        journal.remember(field)
    except JournalError:
        return
