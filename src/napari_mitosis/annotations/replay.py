"""What a sequence of actions adds up to. Pure: no clock, no disk.

An action that is undone counts as if it had never been done; the rest is applied in the order of the actions.
So the state follows from the rows alone, whoever wrote them and in how many sittings. Of two readers who change
the same figure the later row wins, and a deleted figure stays deleted until its deletion is undone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from .actions import ABOUT_ACTION, ABOUT_FIELD, FILES, MAKES_FIGURE, MARKS, Action, in_order

_AREA = frozenset({"area"})


@dataclass(frozen=True)
class Figure:
    """One annotated thing, as it stands.

    Attributes
    ----------
    id : str
        It never changes.
    y_px, x_px : float
        Centre in pixels of the full-resolution field.
    label, phase : str
        One of `tables.LABELS`; one of `actions.PHASES` or nothing.
    source : str
        Where it came from: ``reader``, ``dataset NAME`` or ``detector@version``.
    score : float or None
        The candidate's score, or the data set's confidence.
    reader, time, kind : str
        Of the newest action that counts.
    """

    id: str
    y_px: float
    x_px: float
    label: str
    phase: str
    source: str
    score: float | None
    reader: str
    time: str
    kind: str


@dataclass(frozen=True)
class Marks:
    """What is said of a field as a whole.

    Attributes
    ----------
    complete : bool
        Whether somebody declared that everything in it was looked at.
    case : str
        Name of the case that it belongs to; nothing when it belongs to none.
    area : str
        What of it is counted, as it was stated last; nothing when nobody has.
    """

    complete: bool = False
    case: str = ""
    area: str = ""


class FieldState:
    """The figures of one field, whether it is complete, and what each reader can undo and redo.

    Built by `apply`, one action after the other, in their order.

    Attributes
    ----------
    tick : int
        The highest of the actions that were applied.
    """

    def __init__(self) -> None:
        self._figures: dict[str, Figure | None] = {}  # None: not there now; its place in the order stays
        self._about: dict[str, list[Action]] = defaultdict(list)
        self._marks: list[Action] = []
        self._undone: set[str] = set()
        self._known: set[str] = set()
        self._done: dict[str, list[list[Action]]] = defaultdict(list)
        self._redoable: dict[str, list[list[Action]]] = defaultdict(list)
        self.tick = 0

    @property
    def figures(self) -> list[Figure]:
        """The figures that are there, in the order in which they were first marked."""
        return [figure for figure in self._figures.values() if figure is not None]

    def figure(self, figure: str) -> Figure | None:
        """One figure; None when it is not there (any more)."""
        return self._figures.get(figure)

    def about(self, figure: str) -> list[Action]:
        """The actions about a figure that count, oldest first."""
        return [action for action in self._about.get(figure, []) if action.id not in self._undone]

    @property
    def known_figures(self) -> list[str]:
        """Ids of all figures that ever were, in the order in which they were first marked."""
        return list(self._about)

    def is_newest(self, figure: str) -> bool:
        """Whether a figure is the last of `figures`."""
        there = (id_ for id_, now in reversed(self._figures.items()) if now is not None)
        return next(there, None) == figure

    def ever(self, figure: str) -> bool:
        """Whether anything was ever done to a figure of this id."""
        return figure in self._about

    def deleted_by(self, figure: str) -> str:
        """The reader whose deletion counts; nothing when there is none."""
        for action in reversed(self._about.get(figure, [])):
            if action.kind == "delete" and action.id not in self._undone:
                return action.reader
        return ""

    @property
    def complete(self) -> bool:
        """Whether somebody declared the field complete: what is unmarked in it is no mitosis."""
        return self.marks.complete

    @property
    def marks(self) -> Marks:
        """What is said of the field as a whole."""
        mark, file, area = (self._newest(kinds) for kinds in (MARKS, FILES, _AREA))
        return Marks(
            complete=mark is not None and mark.kind == "complete",
            case=file.target if file is not None else "",
            area=area.target if area is not None else "",
        )

    def _newest(self, kinds: frozenset[str]) -> Action | None:
        """The newest action of these kinds about the field that counts."""
        counting = (
            action for action in reversed(self._marks) if action.kind in kinds and action.id not in self._undone
        )
        return next(counting, None)

    def undoable(self, reader: str) -> list[Action]:
        """What this reader would undo next: one action, several of a batch, or nothing."""
        units = self._done.get(reader)
        return list(units[-1]) if units else []

    def redoable(self, reader: str) -> list[Action]:
        """What this reader would redo next."""
        units = self._redoable.get(reader)
        return list(units[-1]) if units else []

    def knows(self, action_id: str) -> bool:
        """Whether this action was applied."""
        return action_id in self._known

    def apply(self, action: Action) -> tuple[str, ...]:
        """Take in the next action of the journal; one that is known already changes nothing.

        Returns
        -------
        tuple of str
            Ids of the figures that it touched.
        """
        if action.id in self._known:
            return ()
        self._known.add(action.id)
        self.tick = max(self.tick, action.tick)
        if action.kind in ABOUT_ACTION:
            return self._turn(action)
        self._remember(action)
        return self._count([action])

    def _remember(self, action: Action) -> None:
        units = self._done[action.reader]
        if action.batch and units and units[-1][0].unit == action.unit:
            units[-1].append(action)
        else:
            units.append([action])
        self._redoable[action.reader].clear()
        if action.kind in ABOUT_FIELD:
            self._marks.append(action)
        else:
            self._about[action.figure].append(action)

    def _turn(self, action: Action) -> tuple[str, ...]:
        """Undo or redo what `action` names; nothing when it is not there, or somebody else's."""
        done, redoable = self._done[action.reader], self._redoable[action.reader]
        source, sink = (done, redoable) if action.kind == "undo" else (redoable, done)
        for position in range(len(source) - 1, -1, -1):
            if source[position][0].unit == action.target:
                unit = source.pop(position)
                sink.append(unit)
                ids = {each.id for each in unit}
                if action.kind == "undo":
                    self._undone |= ids
                else:
                    self._undone -= ids
                return self._count(unit)
        return ()

    def _count(self, actions: list[Action]) -> tuple[str, ...]:
        touched = tuple(dict.fromkeys(action.figure for action in actions if action.figure))
        for figure in touched:
            counting = (action for action in self._about[figure] if action.id not in self._undone)
            self._figures[figure] = fold(counting)
        return touched


def fold(actions: Iterable[Action]) -> Figure | None:
    """One figure after these actions on it, all of which count; None when it is not there.

    A deletion is final: what comes after it shows once the deletion is undone. What comes before the figure
    was made, because its making was undone, has no effect.
    """
    figure: Figure | None = None
    for action in actions:
        if action.kind in MAKES_FIGURE:
            assert action.y_px is not None  # an Action has checked itself
            assert action.x_px is not None
            assert action.label is not None
            place, label = (action.y_px, action.x_px), (action.label, action.phase or "")
            newest = (action.reader, action.time, action.kind)
            figure = Figure(action.figure, *place, *label, action.source, action.score, *newest)
        elif action.kind == "delete" and figure is not None:
            return None
        elif figure is not None:
            figure = replace(figure, reader=action.reader, time=action.time, kind=action.kind)
            if action.kind == "move":
                assert action.y_px is not None
                assert action.x_px is not None
                figure = replace(figure, y_px=action.y_px, x_px=action.x_px)
            elif action.kind == "relabel":
                assert action.label is not None
                figure = replace(figure, label=action.label, phase=action.phase or "")
    return figure


def replay(actions: Iterable[Action]) -> FieldState:
    """The state of one field after all of its actions, in whatever sequence they are given."""
    state = FieldState()
    for action in in_order(actions):
        state.apply(action)
    return state


def history_of(figure: str, actions: Iterable[Action]) -> list[Action]:
    """All that was done to one figure, out of the actions of its field: undos and redos, too."""
    history: list[Action] = []
    units: set[str] = set()
    for action in actions:
        if action.figure == figure or action.target in units:
            history.append(action)
            units.add(action.unit)
    return history
