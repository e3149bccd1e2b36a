"""The notebooks of a viewer's open fields, and the journal behind them."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from ..errors import JournalError, MitosisError
from ..fields.field import Field
from ..jobs import Job, Progress
from ..session import Session
from .preferences import Preferences
from .worker import Workers

if TYPE_CHECKING:
    from ..annotations.notebook import Notebook
    from ..annotations.store import Journal


@dataclass(frozen=True, eq=False)
class _Opened:
    """A notebook that was opened in a worker, and what for."""

    key: Any
    field: Field
    reader: str
    journal: Journal
    notebook: Notebook | None
    error: str = ""


RETRY_MS = 2000
"""How often what is not on disk yet is tried again."""


class Notebooks(QObject):
    """A notebook for each open field.

    The journal is opened, in a worker, when a notebook is first asked for. A journal that cannot be opened does
    not stop the review: actions are kept in memory, `trouble` says so, and they are written once it opens.

    Parameters
    ----------
    session : Session
    workers : Workers
    parent : QObject
    journal : str or Path, optional
        A path or a URL; the default journal if not given.
    reader : str, optional
        Who reviews; `annotations.store.default_reader` if not given.

    Attributes
    ----------
    changed : Signal(key)
        The notebook of a field is there, is another one or is gone; or another field is looked at.
    noted : Signal(key, Change)
        An action was noted in the notebook of a field.
    trouble : Signal(str)
        A warning to show; empty once all is well.
    reader_changed : Signal(str)
    """

    changed = Signal(object)
    noted = Signal(object, object)
    trouble = Signal(str)
    reader_changed = Signal(str)

    def __init__(
        self,
        session: Session,
        workers: Workers,
        parent: QObject,
        journal: str | Path | None = None,
        reader: str | None = None,
    ) -> None:
        super().__init__(parent)
        self.session = session
        self.workers = workers
        self.is_closed = False
        self._where = journal
        self._reader = reader
        self._journal: Journal | None = None
        self._notebooks: dict[Any, Notebook] = {}
        self._opening: dict[Any, Field] = {}
        self._followers: dict[Any, Any] = {}
        self._lingering: list[Notebook] = []
        self._warning = ""
        self._retry = QTimer(self)
        self._retry.setInterval(RETRY_MS)
        self._retry.timeout.connect(self.retry)
        session.active_changed.connect(self._active_changed)
        session.closed.connect(self._field_closed)
        session.field_changed.connect(self._field_changed)
        session.result_changed.connect(self._in_context)
        session.rule_changed.connect(self._in_context)

    def notebook(self, key: Any) -> Notebook | None:
        """The notebook of an open field; None while it is being opened, which asking for it starts."""
        if key is None or key not in self.session:
            return None
        if key not in self._notebooks:
            self._open(key)
        return self._notebooks.get(key)

    def known(self, key: Any) -> Notebook | None:
        """The notebook of a field, if it is open already."""
        return self._notebooks.get(key)

    @property
    def current(self) -> Notebook | None:
        """The notebook of the field that is looked at; None while it is being opened, or where there is none."""
        return self.notebook(self.session.active)

    @property
    def journal(self) -> Journal | None:
        """The journal; None before a notebook was opened."""
        return self._journal

    @property
    def reader(self) -> str:
        """Who reviews."""
        if self._reader is None:
            from ..annotations.store import default_reader

            stated = "NAPARI_MITOSIS_READER" in os.environ
            self._reader = (not stated and Preferences().get("reader", "")) or default_reader()
        return self._reader

    def set_reader(self, name: str) -> None:
        """Another person reviews from now on; a name of blanks changes nothing."""
        name = name.strip()
        if not name or name == self.reader:
            return
        self._reader = name
        Preferences().set("reader", name)
        for key in tuple(self._notebooks):
            self._put_away(key)
            self._open(key)
        self.reader_changed.emit(name)

    def _open(self, key: Any) -> None:
        """Hashing the pixels and opening the journal may take long: in a worker."""
        field = self.session[key].field
        if self.is_closed or self._opening.get(key) is field:
            return
        # The first one makes the journal; the others wait for it.
        waits = self._journal is None and bool(self._opening)
        self._opening[key] = field
        if not waits:
            job = _opening(key, field, self._journal, self._where, self.reader)
            self.workers.start(job, succeeded=self._opened, failed=self._failed)

    def _opened(self, opened: _Opened) -> None:
        key, field, notebook = opened.key, opened.field, opened.notebook
        if self.is_closed:
            return
        if self._journal is None:
            self._journal = opened.journal
            self._open_others(key)
        if self._opening.get(key) is not field:
            return
        if notebook is None:  # trying again would not help until the field is another one
            self._failed(MitosisError(opened.error))
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
        if notebook.warning:
            self._warn(notebook.warning)
        self.changed.emit(key)

    def _open_others(self, but: Any) -> None:
        """The journal is there: open the notebooks that waited for it."""
        waiting = [key for key in self._opening if key != but and key in self.session]
        self._opening = {but: self._opening[but]} if but in self._opening else {}
        for key in waiting:
            self._open(key)

    def _failed(self, error: Exception) -> None:
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
        self.changed.emit(key)

    def _field_closed(self, key: Any) -> None:
        self._put_away(key)
        self.changed.emit(key)

    def _field_changed(self, key: Any) -> None:
        """Other pixels are another field; another um/px must be noted with what follows."""
        if key in self._notebooks or key in self._opening:
            self._put_away(key)
            self._open(key)
            self.changed.emit(key)

    # Trouble

    @property
    def warning(self) -> str:
        """The warning that is to be seen now; empty when all is well."""
        return self._warning

    @property
    def pending(self) -> int:
        """Actions that are not on disk yet."""
        return sum(notebook.pending for notebook in (*self._notebooks.values(), *self._lingering))

    def retry(self) -> None:
        """Try to write what is not on disk yet; called every two seconds while there is trouble."""
        for notebook in (*self._notebooks.values(), *self._lingering):
            notebook.retry()
        if any(not lingering.pending for lingering in self._lingering):
            self._lingering = [lingering for lingering in self._lingering if lingering.pending]
            for notebook in self._notebooks.values():
                notebook.refresh()
        self._warn("")

    def _warn(self, text: str) -> None:
        """Show the warning of a notebook; an empty one hides it when no other has one."""
        if not text:
            warnings = [
                notebook.warning for notebook in (*self._notebooks.values(), *self._lingering) if notebook.warning
            ]
            text = warnings[0] if warnings else ""
        if text:
            self._retry.start()
        else:
            self._retry.stop()
        if text != self._warning:
            self._warning = text
            self.trouble.emit(text)

    # The end

    def close(self) -> None:
        """Write what can be written. The workers have ended before; `close_journal` comes last."""
        self._retry.stop()
        session = self.session
        session.active_changed.disconnect(self._active_changed)
        session.closed.disconnect(self._field_closed)
        session.field_changed.disconnect(self._field_changed)
        session.result_changed.disconnect(self._in_context)
        session.rule_changed.disconnect(self._in_context)
        if self.pending:
            self.retry()
        self.is_closed = True
        for key in tuple(self._notebooks):
            self._put_away(key)

    def close_journal(self) -> None:
        """Let go of the file."""
        if self._journal is not None:
            self._journal.close()


def _opening(key: Any, field: Field, journal: Journal | None, where: str | Path | None, reader: str) -> Job[_Opened]:
    yield Progress(0, 2, "opening the journal")
    from ..annotations.notebook import Notebook
    from ..annotations.store import Journal, default_journal  # loads sqlalchemy: here, where nobody waits for it

    if journal is None:
        journal = Journal(default_journal() if where is None else where, later=True)
    yield Progress(1, 2, "hashing the field")
    try:
        _ = field.digest
        with contextlib.suppress(JournalError):  # the notebook will warn of it
            journal.remember(field)
        return _Opened(key, field, reader, journal, Notebook(journal, field, reader))
    except MitosisError as error:
        return _Opened(key, field, reader, journal, None, str(error))
