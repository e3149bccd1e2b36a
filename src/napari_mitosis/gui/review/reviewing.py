"""Reviewing, without its widgets: the queue of each field, what a key does, what follows from what."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from ...jobs import Job
from ...review.candidates import review_frame
from ...review.judge import judge
from ...review.queue import SECOND_COUNT, Queue
from ...review.second_look import looking
from ...review.target import CANDIDATES, SECOND, Target
from ...session import Result
from ..annotate.annotating import annotating_of
from ..desk import Desk

PAUSE_MS = 60
"""While a slider moves the queue follows in its pauses."""


class Reviewing(QObject):
    """The queues of all open fields, and what a reader does with the target of the active one.

    Attributes
    ----------
    rows_changed : Signal()
        Other candidates, another order, another field: what is in the lists.
    notes_changed : Signal()
        What is on record of the candidates.
    target_changed : Signal(bool)
        Another target, or it is elsewhere; whether the camera should go there.
    finished : Signal(bool)
        Whether nothing of the list in front waits any more.
    said : Signal(str)
        Something to tell the reader; empty to take it back.
    judging : bool
        Whether a judgement is being noted.
    """

    rows_changed = Signal()
    notes_changed = Signal()
    target_changed = Signal(bool)
    finished = Signal(bool)
    said = Signal(str)

    def __init__(self, desk: Desk, parent: QObject, order: str = "score", below: bool = False) -> None:
        super().__init__(parent)
        self.desk = desk
        self.order = order
        self.below = below
        self.second_count = SECOND_COUNT
        self._queues: dict[Any, Queue] = {}
        self._none = Queue()
        self._stale: set[Any] = set()
        self.annotating = annotating_of(desk)
        self._judged: dict[Any, str] = {}
        self.judging = False
        self._finished, self._front = False, CANDIDATES
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
        self.annotating.aimed.connect(self._aimed)
        self.annotating.blind.changed.connect(self._active_changed)
        for key in session:
            self._result_changed(key)
        self.catch_up()

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
    def target(self) -> Target | None:
        """What keys judge, the crosshair marks and the thumbnail shows; None where there is nothing to judge."""
        return self.queue.target

    def queues(self) -> dict[Any, Queue]:
        """The queues of all fields where something was detected, but for those that are read blind."""
        return {key: queue for key, queue in self._queues.items() if not self.annotating.blind.blind(key)}

    # What a reader does

    def say(self, label: str) -> None:
        """Put the label of the target on record, and go on to the next that waits."""
        queue = self._ready()
        if queue is None:
            return
        if self._finished and queue.decided == len(queue.listed()):
            self.said.emit(f"{self._done()} Look at one again (click it, or go back) to change it.")
            return
        notebook, result, target = self.desk.current, self.result, queue.target
        if notebook is None or result is None or target is None:
            self.said.emit("The journal is still being opened: press again in a moment.")
            return
        rows, self.judging = queue.rows, True  # what follows is told once, with the next candidate
        with self.annotating.later():
            figure = judge(
                notebook, *target.place, label, source=result.evidence.model, score=target.score, figure=target.figure
            )
        self.judging = False
        self._judged[self.key] = figure
        self._finished = False
        self._on(queue.next_undecided(), rows)

    def skip(self) -> None:
        """Put the target off."""
        queue = self._ready()
        rows = self.queue.rows
        if queue is not None:
            self._on(queue.skip(), rows)

    def go(self, step: int) -> None:
        """The next candidate, whatever is on record of it, or back to the one before."""
        queue = self._ready()
        rows = self.queue.rows
        if queue is not None and queue.go(step) is None:
            self.said.emit("This is the last one." if step > 0 else "This is the first one.")
        elif queue is not None:
            self._again()
            self._on(queue.present, rows)

    def look_at(self, row: int, move: bool = True) -> None:
        """Make a candidate the target."""
        queue = self.queue
        if 0 <= row < len(queue.frame) and row != queue.present:
            with self._aiming(move):
                queue.look_at(row)
        elif move and row == queue.present:
            self._again()
            self.target_changed.emit(move)

    def bring(self, name: str) -> None:
        """Bring a list to the front; the target is one of its own then."""
        queue = self.queue
        self._front = name
        if queue.front != name:
            with self._aiming(True):
                queue.bring(name)

    @contextmanager
    def _aiming(self, move: bool) -> Iterator[None]:
        """Tell of what becomes of lists and target in here."""
        queue = self.queue
        frame, rows, spot = queue.frame, queue.listed(), _spot(queue)
        yield
        if queue.frame is not frame or not np.array_equal(rows, queue.listed()):
            self.rows_changed.emit()
        if _spot(queue) != spot:
            self._again()
            self.target_changed.emit(move)

    def _again(self) -> None:
        """There is something to look at (again)."""
        self._finished = False
        self.finished.emit(False)
        self.said.emit("")

    def turn(self, back: bool) -> None:
        """Undo this reader's last action in the field, or do it again; what it changes is looked at."""
        notebook, queue, before = self.desk.current, self.queue, self.queue.notes["state"].to_numpy()
        if notebook is None or (notebook.undo() if back else notebook.redo()) is None:
            self.said.emit("There is nothing to undo." if back else "There is nothing to do again.")
            return
        after = queue.notes["state"].to_numpy()
        self._finished = False
        changed = np.flatnonzero(before != after) if len(before) == len(after) else np.empty(0, dtype=int)
        if len(changed):
            self.look_at(int(changed[0]))
        self.said.emit("Undone." if back else "Done again.")

    def set_phase(self, phase: str) -> None:
        """Give `phase_figure` a phase; the same again takes it back."""
        figure, notebook = self.phase_figure(), self.desk.current
        if figure is None or notebook is None:
            self.said.emit("A phase belongs to a mitosis: judge one first.")
            return
        figures = notebook.figures
        known = figures.loc[figures["figure"] == figure, "phase"]
        notebook.relabel(figure, "mitosis", None if (known == phase).any() else phase)

    def phase_figure(self) -> str | None:
        """The mitosis that a phase would be that of: the target, else the one that was judged last."""
        notes, target = self.queue.notes, self.target
        if target is not None and target.state == "mitosis":
            return target.figure
        last = self._judged.get(self.key)
        mine = notes[(notes["figure"] == last) & (notes["state"] == "mitosis")] if last else notes.iloc[:0]
        return last if len(mine) else None

    def engage(self) -> None:
        """Start with the first that waits of the list in front, if there is no target."""
        queue = self.queue
        if queue.present is None and len(queue.listed()):
            if queue.next_undecided() is None:
                queue.look_at(int(queue.listed()[0]))
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

    def set_second_count(self, count: int) -> None:
        """How many of the best that the rule leaves out are to be looked at."""
        self.second_count = count
        for queue in self._queues.values():
            queue.second_count = count
        self.rows_changed.emit()

    def _ready(self) -> Queue | None:
        """The queue, when something can be done with its target; else look at one, or say why not."""
        self.catch_up()
        queue = self.queue
        if not len(queue.listed()) and queue.present is None:
            blind = "This field is read blind: reveal it first."
            self.said.emit(blind if self.blind else "There is no candidate here: detect first.")
            return None
        if queue.present is None:
            self.engage()
            return None
        self.said.emit("")
        return queue

    def _on(self, row: int | None, rows: NDArray[np.int64]) -> None:
        """Tell of the next one, and of the rows of the queue only where they are others: that takes longer."""
        queue = self.queue
        if queue.rows is not rows:
            self.rows_changed.emit()
        self.target_changed.emit(True)
        if row is None:
            self._finished = queue.decided == len(queue.listed())
            self.said.emit(self._done() if self._finished else "This is the last one that waits.")
            self.finished.emit(self._finished)

    def _done(self) -> str:
        count = len(self.queue.listed())
        where = " that the settings leave out" if self.queue.front == SECOND else ""
        return f"The one candidate{where} is judged." if count == 1 else f"All {count} candidates{where} are judged."

    def _moved(self) -> None:
        self._again()
        self.rows_changed.emit()
        self.target_changed.emit(True)

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
                queue = self._queues[key] = Queue(self.order, self.below, self.second_count)
                queue.front = self._front
                notebook = self.desk.notebook(key)
                if notebook is not None:
                    queue.set_figures(notebook.figures)
            queue.set_candidates(review_frame(result, self.desk.agreement.get(key)), result.evidence.mpp)
            self.desk.workers.start(_left_out(key, result), succeeded=self._left_out_found)
        if self.key in stale:
            self._finished = False
            self.rows_changed.emit()
            self.target_changed.emit(False)

    def _left_out_found(self, content: tuple[Any, Result, pd.DataFrame]) -> None:
        key, result, looks = content
        session, queue = self.desk.session, self._queues.get(key)
        if queue is None or key not in session or session[key].result is not result:
            return
        if key == self.key and not self.blind:
            with self._aiming(False):
                queue.set_left_out(looks)
        else:
            queue.set_left_out(looks)

    def _result_changed(self, key: Any) -> None:
        self._stale.add(key)
        self._pause.start()

    def _active_changed(self, _key: Any) -> None:
        self._again()  # what was said is about another field
        self.queue.bring(self._front)
        self.rows_changed.emit()
        self.target_changed.emit(False)

    def _field_closed(self, key: Any) -> None:
        self._queues.pop(key, None)
        self._judged.pop(key, None)

    def _notebook_changed(self, key: Any) -> None:
        notebook, queue = self.desk.notebook(key), self._queues.get(key)
        if notebook is None or queue is None:
            return
        if key != self.key or self.blind or self.judging:
            queue.set_figures(notebook.figures)
            return
        with self._aiming(False):
            queue.set_figures(notebook.figures)
        self.notes_changed.emit()

    def _noted(self, key: Any, _change: object) -> None:
        self._notebook_changed(key)

    def _picked(self, key: str, at: int) -> None:
        """A detection was selected in its layer: it is the target; it is in view already."""
        if key != self.key:
            return
        self.catch_up()
        kept = np.flatnonzero(self.queue.frame["kept"].to_numpy(dtype=bool))
        if at < len(kept):
            self.look_at(int(kept[at]), move=False)

    def _figure_selected(self, figure: str) -> None:
        """A figure was selected in its layer: it is the target, be it a candidate or one marked by hand."""
        if figure and self.queue is not self._none:
            with self._aiming(False):
                self.queue.look_at_figure(figure)

    def _aimed(self, y_px: float, x_px: float, figure: str) -> None:
        """Another part of the review looks at a place."""
        row = self.queue.row_at(y_px, x_px)
        if figure:
            self._figure_selected(figure)
        elif row is not None:
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
        self.annotating.aimed.disconnect(self._aimed)
        self.annotating.blind.changed.disconnect(self._active_changed)


def _spot(queue: Queue) -> tuple[str, tuple[float, float]] | None:
    """Where the target is, whatever is said of it."""
    target = queue.target
    return None if target is None else (target.origin, target.place)


def _left_out(key: Any, result: Result) -> Job[tuple[Any, Result, pd.DataFrame]]:
    """What the rule leaves out, of which field, and of which result."""
    return key, result, (yield from looking(result.evidence, result.rule))
