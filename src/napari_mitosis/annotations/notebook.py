"""The annotations of one open field, live: what a reader does goes to the journal before anything shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from psygnal import Signal

from ..errors import JournalCut, JournalError, MitosisError
from ..fields.field import Field
from ..names import printable
from .actions import Action, batched, in_order, new_id, rule_json, timestamp, utc_now
from .frames import FiguresTable, annotations_of, given_number, given_text
from .outbox import Outbox
from .replay import FieldState, Figure, Marks, history_of, replay
from .store import Journal

if TYPE_CHECKING:
    from ..decision.decide import Rule

_ASSUMED_MPP = 0.25


@dataclass(frozen=True)
class Change:
    """What a notebook tells about a change.

    Attributes
    ----------
    action : Action or None
        What this reader just did; None after actions of others were read, and after a reload.
    figures : tuple of str
        Ids of the figures that appeared, changed or went; after a reload: all that differ.
    """

    action: Action | None
    figures: tuple[str, ...]


class Notebook:
    """The annotations of one open field. No Qt; called from one thread.

    Every change is an action in the journal, written before the call returns. When the journal cannot be written,
    the action counts all the same, is kept in memory, in order, and is written by the next action or by `retry`.

    Parameters
    ----------
    journal : Journal
    field : Field
    reader : str
        The person; undo and redo go through this person's own actions in this field, across restarts.
    clock : callable
        Returns the time as an aware datetime.
    """

    changed = Signal(object)
    """Emits a `Change` after every action, and after actions of others were read."""

    trouble = Signal(str)
    """Emits a warning to show while actions are in memory only; an empty text once everything is on disk."""

    def __init__(self, journal: Journal, field: Field, reader: str, clock: Callable[[], datetime] = utc_now) -> None:
        self.journal = journal
        self.field = field
        self.reader = printable(reader)
        self._clock = clock
        self._model = ""
        self._rule = ""
        self._state = FieldState()
        self._outbox = Outbox(journal, self.trouble.emit)
        self._written: list[Action] = []  # as the journal has them, up to its row number _last
        self._last = 0
        self._generation = -1
        self._remembered = False
        self._writer, self._tick = new_id(), 0
        self._table = FiguresTable()
        self._read()

    def set_context(self, model: str, rule: Rule | None) -> None:
        """What is on screen: detector version and rule, noted with every action from now on."""
        self._model = printable(model)
        self._rule = rule_json(rule)

    def set_field(self, field: Field) -> None:
        """The same pixels with another um/px, name or file.

        Raises
        ------
        ValueError
            When it is another field.
        """
        if field.digest != self.field.digest:
            raise ValueError(f"{field.name} has other pixels than {self.field.name}")
        self.field = field
        self._remembered = False

    # ------------------------------------------------------------------ what a reader does

    def add(
        self,
        y_px: float,
        x_px: float,
        label: str = "mitosis",
        phase: str | None = None,
        *,
        source: str = "reader",
        score: float | None = None,
    ) -> str:
        """Mark a figure; its id is returned."""
        return self._make("add", y_px, x_px, label=label, phase=phase or None, source=source, score=score)

    def accept(self, y_px: float, x_px: float, *, source: str, score: float | None, label: str = "mitosis") -> str:
        """Judge a candidate a mitosis (or ``unsure``); the id of the figure that it becomes is returned."""
        return self._make("accept", y_px, x_px, label=label, source=source, score=score)

    def reject(self, y_px: float, x_px: float, *, source: str, score: float | None) -> str:
        """Judge a candidate a mimic; the id of the figure that it becomes is returned."""
        return self._make("reject", y_px, x_px, label="mimic", source=source, score=score)

    def move(self, figure: str, y_px: float, x_px: float) -> None:
        """Put a figure elsewhere.

        Raises
        ------
        MitosisError
            When the figure is not there (any more).
        """
        self._require(figure)
        self._act([self._action("move", figure=figure, y_px=float(y_px), x_px=float(x_px))])

    def relabel(self, figure: str, label: str, phase: str | None = None) -> None:
        """Give a figure another label and phase.

        Raises
        ------
        MitosisError
            When the figure is not there (any more).
        """
        self._require(figure)
        self._act([self._action("relabel", figure=figure, label=label, phase=phase or None)])

    def delete(self, figure: str) -> None:
        """Take a figure away; the journal keeps it.

        Raises
        ------
        MitosisError
            When the figure is not there (any more).
        """
        self._require(figure)
        self._act([self._action("delete", figure=figure)])

    def delete_all(self, figures: list[str]) -> None:
        """Take several figures away in one step, undone in one step.

        Raises
        ------
        MitosisError
            When one of them is not there (any more); none is taken away then.
        """
        for figure in figures:
            self._require(figure)
        self._act(batched([self._action("delete", figure=figure) for figure in figures]))

    def add_all(self, frame: pd.DataFrame, *, source: str = "reader") -> list[str]:
        """Mark several figures in one step, undone in one step, written in one transaction.

        Parameters
        ----------
        frame : DataFrame
            Columns y_px, x_px; optionally label, phase, score, and figure: an id that it has already.
        source : str
            Where they come from.

        Returns
        -------
        list of str
            Their ids, in the order of the rows.
        """
        actions = []
        for row in frame.to_dict("records"):
            values = {"label": row.get("label", "mitosis"), "phase": given_text(row.get("phase")), "source": source}
            place = {"y_px": float(row["y_px"]), "x_px": float(row["x_px"])}
            score = given_number(row.get("score"))
            actions.append(
                self._action("add", figure=given_text(row.get("figure")) or new_id(), score=score, **place, **values)
            )
        self._act(batched(actions))
        return [action.figure for action in actions]

    def set_complete(self, yes: bool) -> None:
        """Declare that everything in the field was looked at (or not): what is unmarked then is no mitosis."""
        if yes != self.complete:
            self._act([self._action("complete" if yes else "reopen")])

    def note(self, kind: str, target: str = "") -> None:
        """Say something of the field as a whole: it does ``join`` a case, ``leave`` it, or this ``area`` counts."""
        self._act([self._action(kind, target=target)])

    def undo(self) -> Action | None:
        """Undo this reader's last action in this field that counts; None when there is none."""
        return self._turn("undo", self._state.undoable(self.reader))

    def redo(self) -> Action | None:
        """Do again what this reader undid last; None when there is nothing, or something new was done since."""
        return self._turn("redo", self._state.redoable(self.reader))

    # ------------------------------------------------------------------ what there is

    @property
    def can_undo(self) -> bool:
        """Whether `undo` would do something."""
        return bool(self._state.undoable(self.reader))

    @property
    def can_redo(self) -> bool:
        """Whether `redo` would do something."""
        return bool(self._state.redoable(self.reader))

    @property
    def next_undo(self) -> Action | None:
        """The action that `undo` is about, for a tooltip."""
        return next(iter(self._state.undoable(self.reader)), None)

    @property
    def next_redo(self) -> Action | None:
        """The action that `redo` is about."""
        return next(iter(self._state.redoable(self.reader)), None)

    @property
    def pending(self) -> int:
        """How many actions are in memory only."""
        return len(self._outbox.pending)

    @property
    def warning(self) -> str:
        """The warning of `trouble` that holds now; empty when everything is on disk."""
        return self._outbox.warning

    @property
    def complete(self) -> bool:
        """Whether the field was declared complete."""
        return self._state.complete

    @property
    def figures(self) -> pd.DataFrame:
        """The figures that are there, in the order in which they were first marked; a copy.

        Returns
        -------
        DataFrame
            RangeIndex; columns `frames.FIGURE_COLUMNS`: id, centre in field pixels, label, phase (or empty), source,
            score (or NaN), and reader, time and kind of the newest action.
        """
        return self._table.of(self._state)

    @property
    def marks(self) -> Marks:
        """What is said of the field as a whole."""
        return self._state.marks

    def figure(self, figure: str) -> Figure | None:
        """One figure as it stands; None when it is not there (any more)."""
        return self._state.figure(figure)

    def knows(self, figure: str) -> bool:
        """Whether the field has, or ever had, this figure."""
        return self._state.ever(figure)

    def annotations(self) -> pd.DataFrame:
        """The figures as annotations, with `tables.ANNOTATION_COLUMNS`.

        The confidence is the one of the data set that a figure came from; a reader's own is 1.
        """
        return annotations_of(self._state.figures)

    def near(self, y_px: float, x_px: float, radius_um: float = 5.0) -> str | None:
        """Id of the nearest figure within a radius; None when there is none.

        Where um/px is unknown, that of a 40x scanner (0.25) is taken: here it only says what a click means.
        """
        figures = self._state.figures
        if not figures:
            return None
        places = np.array([(figure.y_px, figure.x_px) for figure in figures])
        distances = np.hypot(places[:, 0] - y_px, places[:, 1] - x_px)
        nearest = int(np.argmin(distances))
        within = distances[nearest] * (self.field.mpp or _ASSUMED_MPP) <= radius_um
        return figures[nearest].id if within else None

    def history(self, figure: str) -> list[Action]:
        """Everything that was ever done to a figure, oldest first, with undos and redos."""
        return history_of(figure, in_order([*self._written, *self._outbox.pending]))

    # ------------------------------------------------------------------ others, and trouble

    def refresh(self) -> None:
        """Read what other readers and processes wrote since; `changed` tells when there was something.

        When the journal cannot be read, `trouble` says so.
        """
        change = self._read()
        if change is not None:
            self.changed.emit(change)

    def retry(self) -> None:
        """Write what is kept in memory, if the journal lets us by now; fit to be called by a timer."""
        if self._outbox.warning and not self._outbox.resting and self._outbox.flush():
            self.refresh()

    # ------------------------------------------------------------------ inside

    def _action(self, kind: str, **values: Any) -> Action:
        given: dict[str, Any] = {"mpp": self.field.mpp, "reader": self.reader, "model": self._model, "rule": self._rule}
        given["source"] = "reader" if "figure" in values else ""
        given["time"] = timestamp(self._clock())
        self._tick = max(self._tick, self._state.tick) + 1
        if "source" in values:
            values["source"] = printable(values["source"])
        place = {"tick": self._tick, "writer": self._writer}
        return Action(new_id(), kind, self.field.digest, **(given | values | place))

    def _make(self, kind: str, y_px: float, x_px: float, **values: Any) -> str:
        place = {"y_px": float(y_px), "x_px": float(x_px)}
        values["score"] = given_number(values.get("score"))
        action = self._action(kind, figure=new_id(), **place, **values)
        self._act([action])
        return action.figure

    def _require(self, figure: str) -> None:
        if self._state.figure(figure) is None:
            reader = self._state.deleted_by(figure)
            raise MitosisError(f"This figure was deleted by {reader}." if reader else "This figure is not there.")

    def _turn(self, kind: str, unit: list[Action]) -> Action | None:
        if not unit:
            return None
        action = self._action(kind, target=unit[0].unit)
        self._act([action])
        return action

    def _act(self, actions: list[Action]) -> None:
        """Write actions; they count whether or not the journal takes them now."""
        if not actions:
            return
        touched: list[str] = []
        for action in actions:
            touched += self._state.apply(action)
        self._table.follow(self._state, touched)
        if self._outbox.put(actions) or self._outbox.cut:
            self._remember()
            others = self._read()
            touched += others.figures if others is not None else ()
        self.changed.emit(Change(actions[0], tuple(dict.fromkeys(touched))))

    def _remember(self) -> None:
        """Note where the pixels are, once somebody has annotated them."""
        if not self._remembered:
            try:
                self.journal.remember(self.field)
                self._remembered = True
            except JournalError as error:
                self._outbox.fail(error)

    def _read(self) -> Change | None:
        """Take in what the journal holds and we do not know; None when that changes nothing."""
        try:
            whole = self.journal.generation != self._generation
            rows = self.journal.rows(self.field.digest, 0 if whole else self._last)
            if not whole and self.journal.generation != self._generation:  # its file was put back: numbers have changed
                whole, rows = True, self.journal.rows(self.field.digest)
        except JournalError as error:
            if isinstance(error, JournalCut):
                self._outbox.again(self._written)
                self._written, self._last = [], 0
            self._outbox.fail(error)
            return None
        self._outbox.clear()
        self._generation = self.journal.generation
        self._written = in_order([*([] if whole else self._written), *(action for _, action in rows)])
        self._last = max((number for number, _ in rows), default=0 if whole else self._last)
        if not whole and all(self._state.knows(action.id) for _, action in rows):
            return None
        return self._rebuild()

    def _rebuild(self) -> Change | None:
        """The state anew: what others did may stand before what we did."""
        old, self._state = self._state, replay([*self._written, *self._outbox.pending])
        self._table.forget()
        was, now = ({figure.id: figure for figure in state.figures} for state in (old, self._state))
        differing = tuple(identity for identity in {**was, **now} if was.get(identity) != now.get(identity))
        same = not differing and old.marks == self._state.marks
        return None if same else Change(None, differing)
