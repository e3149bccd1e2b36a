"""Reviewing, without its widgets: the queue of each field, what a key does, what follows from what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from ...review.candidates import review_frame
from ...review.judge import judge
from ...review.queue import Queue
from ...session import Result
from ..annotate.annotating import annotating_of
from ..desk import Desk

PAUSE_MS = 60
"""While a slider moves the queue follows in its pauses."""


class Reviewing(QObject):
    """The queues of all open fields, and what a reader does with the candidates of the active one.

    Parameters
    ----------
    desk : Desk
    parent : QObject

    Attributes
    ----------
    rows_changed : Signal()
        Other candidates, another order, another field: what is in the queue.
    notes_changed : Signal()
        What is on record of the candidates.
    present_changed : Signal(bool)
        Another candidate is the present one; whether the camera should go there.
    said : Signal(str)
        Something to tell the reader; empty to take it back.
    """

    rows_changed = Signal()
    notes_changed = Signal()
    present_changed = Signal(bool)
    said = Signal(str)

    def __init__(self, desk: Desk, parent: QObject, order: str = "score", below: bool = False) -> None:
        super().__init__(parent)
        self.desk = desk
        self.order = order
        self.below = below
        self._queues: dict[Any, Queue] = {}
        self._none = Queue()
        self._stale: set[Any] = set()
        self.annotating = annotating_of(desk)
        self._judged: dict[Any, str] = {}
        self._judging = False
        self._finished = False
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE_MS)
        self._pause.timeout.connect(self.catch_up)
        session = desk.session
        session.result_changed.connect(self._result_changed)
        session.active_changed.connect(self._active_changed)
        session.closed.connect(self._field_closed)
        desk.notebook_changed.connect(self._notebook_changed)
        desk.noted.connect(self._noted)
        desk.agreement_changed.connect(self._result_changed)
        desk.fields.picked.connect(self._picked)
        self.annotating.selected.connect(self._figure_selected)
        self.annotating.blind.changed.connect(self._active_changed)
        for key in session:
            self._result_changed(key)
        self.catch_up()

    # What there is

    @property
    def key(self) -> Any:
        """The active field."""
        return self.desk.session.active

    @property
    def queue(self) -> Queue:
        """The queue of the active field; an empty one where nothing was detected, or while it is read blind."""
        return self._none if self.blind else self._queues.get(self.key, self._none)

    @property
    def blind(self) -> bool:
        """Whether the active field is read blind: nothing of the detector may be shown."""
        return self.annotating.blind.blind(self.key)

    @property
    def result(self) -> Result | None:
        """What was detected in the active field."""
        state = self.desk.session.current
        return state.result if state is not None else None

    @property
    def present(self) -> pd.Series[Any] | None:
        """The present candidate: `candidates.REVIEW_COLUMNS`."""
        row = self.queue.present
        return None if row is None else self.queue.frame.iloc[row]

    def note(self, row: int) -> dict[str, str]:
        """What is on record of a candidate: state, figure, phase, reader."""
        return {str(name): str(value) for name, value in self.queue.notes.iloc[row].items()}

    # What a reader does

    def say(self, label: str) -> None:
        """Put the label of the present candidate on record, and go on to the next that waits."""
        queue = self._ready()
        if queue is None:
            return
        if self._finished and queue.decided == len(queue):
            self.said.emit(f"{self._done()} Look at one again (click it, or go back) to change it.")
            return
        notebook, result, row = self.desk.current, self.result, queue.present
        if notebook is None or result is None or row is None:
            self.said.emit("The journal is still being opened: press again in a moment.")
            return
        place = queue.frame.iloc[row]
        self._judging = True  # what follows is told once, with the next candidate
        y_px, x_px, score = (float(place[name]) for name in ("y_px", "x_px", "score"))
        known, source = str(queue.notes["figure"].iloc[row]), result.evidence.model
        with self.annotating.later():
            figure = judge(notebook, y_px, x_px, label, source=source, score=score, figure=known)
        self._judging = False
        self._judged[self.key] = figure
        self._finished = False
        self._on(queue.next_undecided())

    def skip(self) -> None:
        """Put the present candidate off."""
        queue = self._ready()
        if queue is not None:
            self._on(queue.skip())

    def go(self, step: int) -> None:
        """The next candidate, whatever is on record of it, or back to the one before."""
        queue = self._ready()
        if queue is not None:
            if queue.go(step) is None:
                self.said.emit("This is the last one." if step > 0 else "This is the first one.")
                return
            self._moved()

    def look_at(self, row: int, move: bool = True) -> None:
        """Make a candidate the present one."""
        queue = self.queue
        if 0 <= row < len(queue.frame) and row != queue.present:
            before = queue.rows
            queue.look_at(row)
            if not np.array_equal(before, queue.rows):
                self.rows_changed.emit()
            self._finished = False
            self.said.emit("")
            self.present_changed.emit(move)
        elif move and row == queue.present:
            self._finished = False
            self.present_changed.emit(move)

    def turn(self, back: bool) -> None:
        """Undo this reader's last action in the field, or do it again; what it changes is looked at."""
        notebook = self.desk.current
        if notebook is None:
            return
        queue, before = self.queue, self.queue.notes["state"].to_numpy()
        action = notebook.undo() if back else notebook.redo()
        if action is None:
            self.said.emit("There is nothing to undo." if back else "There is nothing to do again.")
            return
        after = queue.notes["state"].to_numpy()
        self._finished = False
        changed = np.flatnonzero(before != after) if len(before) == len(after) else np.empty(0, dtype=int)
        if len(changed):
            self.look_at(int(changed[0]))
        self.said.emit("Undone." if back else "Done again.")

    def set_phase(self, phase: str) -> None:
        """The phase of the present mitosis, else of the one that was judged last; the same again takes it back."""
        figure, notebook = self.phase_figure(), self.desk.current
        if figure is None or notebook is None:
            self.said.emit("A phase belongs to a mitosis: judge one first.")
            return
        figures = notebook.figures
        known = figures.loc[figures["figure"] == figure, "phase"]
        notebook.relabel(figure, "mitosis", None if (known == phase).any() else phase)

    def phase_figure(self) -> str | None:
        """The figure that a phase would be that of: the present mitosis, else the mitosis that was judged last."""
        notes, row = self.queue.notes, self.queue.present
        if row is not None and notes["state"].iloc[row] == "mitosis":
            return str(notes["figure"].iloc[row])
        last = self._judged.get(self.key)
        mine = notes[(notes["figure"] == last) & (notes["state"] == "mitosis")] if last else notes.iloc[:0]
        return last if len(mine) else None

    def engage(self) -> None:
        """Start with the first candidate that waits, if none is the present one."""
        queue = self.queue
        if queue.present is None and len(queue):
            if queue.next_undecided() is None:
                queue.look_at(int(queue.rows[0]))
            self._moved()

    def set_order(self, order: str) -> None:
        """Another order, in every field."""
        self.order = order
        for queue in self._queues.values():
            queue.set_order(order)
        self.rows_changed.emit()

    def set_below(self, below: bool) -> None:
        """Whether candidates that the rule drops are in the queues."""
        self.below = below
        for queue in self._queues.values():
            queue.set_below(below)
        self.rows_changed.emit()

    def _ready(self) -> Queue | None:
        """The queue, when something can be done with its present candidate; else look at one, or say why not."""
        self.catch_up()
        queue = self.queue
        if not len(queue):
            blind = "This field is read blind: reveal it first."
            self.said.emit(blind if self.blind else "There is no candidate here: detect first.")
            return None
        if queue.present is None:
            self.engage()
            return None
        self.said.emit("")
        return queue

    def _on(self, row: int | None) -> None:
        if row is None:
            self._finished = self.queue.decided == len(self.queue)
            self.said.emit(self._done() if self._finished else "This is the last one that waits.")
        self.rows_changed.emit()
        self.present_changed.emit(True)

    def _done(self) -> str:
        return f"All {len(self.queue)} candidates are judged."

    def _moved(self) -> None:
        self._finished = False
        self.rows_changed.emit()
        self.present_changed.emit(True)

    # What follows

    def catch_up(self) -> None:
        """Bring the queues up to date with results that came since."""
        self._pause.stop()
        stale, self._stale = self._stale, set()
        session = self.desk.session
        for key in stale:
            result = session[key].result if key in session else None
            if result is None:
                self._queues.pop(key, None)
                continue
            queue = self._queues.get(key)
            if queue is None:
                queue = self._queues[key] = Queue(self.order, self.below)
                notebook = self.desk.notebook(key)
                if notebook is not None:
                    queue.set_figures(notebook.figures)
            queue.set_candidates(review_frame(result, self.desk.agreement.get(key)), result.evidence.mpp)
        if self.key in stale:
            self._finished = False
            self.rows_changed.emit()
            self.present_changed.emit(False)

    def _result_changed(self, key: Any) -> None:
        self._stale.add(key)
        self._pause.start()

    def _active_changed(self, _key: Any) -> None:
        self._finished = False
        self.said.emit("")  # what was said is about another field
        self.rows_changed.emit()
        self.present_changed.emit(False)

    def _field_closed(self, key: Any) -> None:
        self._queues.pop(key, None)
        self._judged.pop(key, None)

    def _notebook_changed(self, key: Any) -> None:
        notebook, queue = self.desk.notebook(key), self._queues.get(key)
        if notebook is not None and queue is not None:
            queue.set_figures(notebook.figures)
            if key == self.key and not self._judging:
                self.notes_changed.emit()

    def _noted(self, key: Any, _change: object) -> None:
        self._notebook_changed(key)

    def _picked(self, key: str, at: int) -> None:
        """A detection was selected in its layer: it is the present candidate; it is in view already."""
        if key != self.key:
            return
        self.catch_up()
        kept = np.flatnonzero(self.queue.frame["kept"].to_numpy(dtype=bool))
        if at < len(kept):
            self.look_at(int(kept[at]), move=False)

    def _figure_selected(self, figure: str) -> None:
        """A figure was selected in its layer: the candidate that it is is the present one."""
        row = self.queue.row_of(figure) if figure else None
        if row is not None:
            self.look_at(row, move=False)

    def stop(self) -> None:
        """Follow nothing any more."""
        self._pause.stop()
        session, desk = self.desk.session, self.desk
        session.result_changed.disconnect(self._result_changed)
        session.active_changed.disconnect(self._active_changed)
        session.closed.disconnect(self._field_closed)
        desk.notebook_changed.disconnect(self._notebook_changed)
        desk.noted.disconnect(self._noted)
        desk.agreement_changed.disconnect(self._result_changed)
        desk.fields.picked.disconnect(self._picked)
        self.annotating.selected.disconnect(self._figure_selected)
        self.annotating.blind.changed.disconnect(self._active_changed)
