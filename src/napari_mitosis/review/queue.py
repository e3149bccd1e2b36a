"""The candidates of a field in their lists, and the one target among them: what is looked at, and what comes next."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .candidates import dropped_candidates, no_candidate_at, no_candidates
from .judge import LINK_UM, NO_FIGURES, SKIPPED, UNDECIDED, decisions, link, nearest, places_of
from .orders import CHANGE, ORDERS, ROW_UM, ordered
from .target import CANDIDATES, FIGURE, SECOND, Target

SECOND_COUNT = 20
"""How many of the best that the rule leaves out a second look shows."""


class Queue:
    """The candidates of one field in two lists, and a target that is one of them, or a figure that is neither.

    One list is in front: the queue of candidates that the rule keeps, in an order, or the best of what it leaves out
    (the second look). The target stays whatever happens around it: another order, another rule, even another
    detection; what was skipped stays skipped. A figure on record that is no candidate can be the target, too: for as
    long as it is, it has the last row of `frame`.

    Attributes
    ----------
    frame : DataFrame
        All candidates: `REVIEW_COLUMNS`. Those of the queue first, then those only the second look has.
    notes : DataFrame
        A row for each: state, figure, phase, reader; see `judge.decisions`. The state may be ``skipped``.
    rows : ndarray of int64, shape (n,)
        Rows of `frame` that are in the queue, in their order.
    front : str
        The list that is gone through: `CANDIDATES` or `SECOND`.
    order : str
        One of `ORDERS`.
    below : bool
        Whether candidates are in the queue that the rule drops.
    row_um : float
        Height of a line of reading order.
    """

    def __init__(self, order: str = "score", below: bool = False, second_count: int = SECOND_COUNT) -> None:
        self.order = order
        self.below = below
        self.second_count = second_count
        self.row_um = ROW_UM
        self.mpp = 1.0
        self.front = CANDIDATES
        self.clear()

    def clear(self) -> None:
        """No candidates any more: another field."""
        self.frame = self._candidates = self._left_out = no_candidates()
        self.rows: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._second: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._skipped = np.zeros(0, dtype=bool)
        self._figures = NO_FIGURES
        self._recorded = decisions(np.empty(0, dtype=np.int64), NO_FIGURES)
        self.notes = self._recorded
        self._present = -1
        self._origin = CANDIDATES
        self._guest = ""  # the figure that is the target and no candidate
        self._known = 0  # rows of the frame that are candidates; at most one more follows
        self._trail: list[int] = []
        self._last: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.rows)

    # What is in it

    def set_candidates(self, frame: pd.DataFrame, mpp: float) -> None:
        """Other candidates: another rule, or another detection. What it leaves out is not known until it is set.

        Parameters
        ----------
        frame : DataFrame
            Of `candidates.review_frame`.
        mpp : float
            um/px of the field.
        """
        self.mpp = mpp
        self._candidates, self._left_out = frame.reset_index(drop=True), no_candidates()
        self._rebuild(np.empty(0, dtype=np.int64))

    def set_left_out(self, looks: pd.DataFrame) -> None:
        """What the rule of the present candidates leaves out.

        Parameters
        ----------
        looks : DataFrame
            Of `second_look.left_out`, best first. Those that are candidates, dropped by the rule, are not added twice.
        """
        places = ["y_px", "x_px"]
        dropped = np.flatnonzero(~self._candidates["kept"].to_numpy(dtype=bool))
        linked = link(looks[places], self._candidates[places].iloc[dropped], self.mpp)
        new = linked < 0
        rows = np.empty(len(looks), dtype=np.int64)
        rows[~new] = dropped[linked[~new]]
        rows[new] = len(self._candidates) + np.arange(int(new.sum()))
        self._left_out = dropped_candidates(looks[new])
        self._rebuild(rows)

    def _rebuild(self, second: NDArray[np.int64]) -> None:
        """Put the frame together anew, and find in it what was looked at, where it went and what was skipped."""
        before, present = self.frame, self._present
        skipped = np.flatnonzero(self._skipped)
        parts = [part for part in (self._candidates, self._left_out) if len(part)]
        frame = pd.concat(parts, ignore_index=True) if parts else no_candidates()
        places = ["y_px", "x_px"]
        new = link(before[places], frame[places], self.mpp)
        if present >= 0 and self._guest:  # no candidate until one is linked with it
            linked = link(frame[places], self._figures[places], self.mpp, LINK_UM)
            rows = np.flatnonzero((self._figures["figure"].to_numpy() == self._guest)[linked] & (linked >= 0))
            new[present] = rows[0] if len(rows) else -1
            self._guest = "" if len(rows) else self._guest
        elif present >= 0 and new[present] < 0:  # two blobs became one: it is what the reader looks at all the same
            new[present] = nearest(before[places].to_numpy()[present], frame[places].to_numpy(), self.mpp)
        self._known = len(frame)
        if present >= 0 and new[present] < 0:  # gone: the reader is still looking at it
            frame = pd.concat([frame, before.iloc[[present]].assign(kept=False)], ignore_index=True)
            new[present] = len(frame) - 1
        self.frame = frame
        self._skipped = np.zeros(len(frame), dtype=bool)
        self._skipped[new[skipped][new[skipped] >= 0]] = True
        self._present = int(new[present]) if present >= 0 else -1
        self._trail = [int(new[row]) for row in self._trail if new[row] >= 0]
        self._last = {name: int(new[row]) for name, row in self._last.items() if 0 <= new[row] < self._known}
        self._second = second
        if (
            self._present >= 0
            and not self._guest
            and (self._origin == FIGURE or self.frame["kept"].iloc[self._present])
        ):
            self._origin = CANDIDATES
        self.set_figures(self._figures)
        self._sort()

    def set_figures(self, figures: pd.DataFrame) -> None:
        """The figures on record, `Notebook.figures`; they decide what each candidate is."""
        self._figures = figures
        if self._guest:
            at = np.flatnonzero((figures["figure"] == self._guest).to_numpy())
            if len(at):
                place = figures[["y_px", "x_px"]].iloc[at[0]].to_numpy(dtype=np.float64)
                self.frame.loc[self._known, ["y_px", "x_px"]] = place
            else:
                self._drop_guest(self._trail.pop() if self._trail else -1)
                return
        linked = link(places_of(self.frame), places_of(figures), self.mpp, LINK_UM)
        self._recorded = decisions(linked, figures)
        self._note()

    def set_order(self, order: str) -> None:
        """Another order.

        Raises
        ------
        ValueError
            If it is none of `ORDERS`.
        """
        if order not in ORDERS:
            raise ValueError(f"there is no order '{order}'; there are {', '.join(ORDERS)}")
        self.order = order
        self._sort()

    def set_change(self, change: NDArray[np.float64]) -> bool:
        """By how much judging each candidate that the rule keeps can change the score; whether the rows are others."""
        values, rows = np.zeros(len(self.frame)), self.rows
        values[np.flatnonzero(self._candidates["kept"].to_numpy(dtype=bool))] = change
        self.frame["change"] = values
        self._candidates["change"] = values[: len(self._candidates)]
        if self.order == CHANGE:
            self._sort()
        return not np.array_equal(rows, self.rows)

    def set_below(self, below: bool) -> None:
        """Whether candidates that the rule drops are in the queue."""
        self.below = below
        self._sort()

    def _note(self) -> None:
        """A candidate that was skipped and then judged is judged."""
        state = self._recorded["state"].to_numpy(copy=True)
        state[self._skipped & (state == UNDECIDED)] = SKIPPED
        self.notes = self._recorded.assign(state=pd.Series(state, dtype=object))

    def _sort(self) -> None:
        frame = self.frame
        inside = frame["kept"].to_numpy(dtype=bool).copy()
        if self.below:
            inside[: len(self._candidates)] = True
        if self._present >= 0 and self._origin == CANDIDATES:
            inside[self._present] = True
        rows = np.flatnonzero(inside)
        self.rows = ordered(frame, rows, self.order, self.mpp, self.row_um)

    # Lists

    @property
    def second(self) -> NDArray[np.int64]:
        """Rows of `frame` that the second look shows, best first."""
        return self._second[: self.second_count]

    @property
    def left_out_count(self) -> int:
        """How many candidates the rule leaves out, shown or not."""
        return len(self._second)

    def listed(self, name: str | None = None) -> NDArray[np.int64]:
        """Rows of a list, in its order; of the one in front by default."""
        return self.second if (name or self.front) == SECOND else self.rows

    def bring(self, name: str) -> bool:
        """Bring a list to the front; whether its target is another one than before.

        The target is then what was looked at last in that list, else the first there that waits, else the first.
        """
        self.front = name
        if self._present >= 0 and self._origin == name:
            return False
        rows = self.listed()
        last = self._last.get(name, -1)
        if last in rows:
            self.look_at(last)
        elif len(rows) and self.next_undecided() is None:
            self.look_at(int(rows[0]))
        return bool(len(rows))

    # The target

    @property
    def present(self) -> int | None:
        """Row of `frame` of the target, or None."""
        return self._present if self._present >= 0 else None

    @property
    def target(self) -> Target | None:
        """The target with all that is known of it."""
        if self._present < 0:
            return None
        number, origin = self.place_of(self._present, self._origin), self._origin
        place = (0, 0) if number is None else (number + 1, len(self.listed(origin)))
        return Target.of_row(self.frame.iloc[self._present], self.notes.iloc[self._present], origin, *place)

    @property
    def position(self) -> int | None:
        """Place of the target in the list in front, from 0; None where it is not in it."""
        return self.place_of(self._present)

    def place_of(self, row: int, name: str | None = None) -> int | None:
        """Place of a candidate in a list, from 0; None where it is not in it."""
        at = np.flatnonzero(self.listed(name) == row)
        return int(at[0]) if len(at) and row >= 0 else None

    def row_of(self, figure: str) -> int | None:
        """Row of the candidate that is this figure of the journal, or None."""
        at = np.flatnonzero(self.notes["figure"].to_numpy() == figure)
        return int(at[0]) if len(at) else None

    def row_at(self, y_px: float, x_px: float) -> int | None:
        """Row of the candidate at a place, or None where none is near."""
        row = nearest(np.array([y_px, x_px]), self.frame[["y_px", "x_px"]].to_numpy(), self.mpp)
        return row if row >= 0 else None

    @property
    def decided(self) -> int:
        """How many candidates of the list in front have been judged."""
        state = self._states()
        return int(((state != UNDECIDED) & (state != SKIPPED)).sum())

    def count(self, state: str, name: str | None = None) -> int:
        """How many candidates of a list are in this state."""
        return int((self._states(name) == state).sum())

    def with_state(self, wanted: str | None, name: str | None = None) -> NDArray[np.int64]:
        """Rows of a list, in order: all of them, or those in a state."""
        rows = self.listed(name)
        return rows if wanted is None else rows[self._states(name) == wanted]

    def look_at(self, row: int) -> None:
        """Make a candidate the target.

        Raises
        ------
        ValueError
            If there is no such row.
        """
        if not 0 <= row < len(self.frame):
            raise ValueError(f"there is no candidate {row}")
        if row == self._present:
            return
        if self._present >= 0:
            self._trail.append(self._present)
        self._leave(row)

    def look_at_figure(self, figure: str) -> bool:
        """Make a figure on record the target; whether there is such a figure."""
        row = self.row_of(figure)
        if row is not None:
            self.look_at(row)
            return True
        at = np.flatnonzero((self._figures["figure"] == figure).to_numpy())
        if not len(at):
            return False
        if self._present >= self._known:
            self._drop_guest(-1)
        elif self._present >= 0:
            self._trail.append(self._present)
        guest = no_candidate_at(*(float(self._figures[name].iloc[at[0]]) for name in ("y_px", "x_px")))
        self.frame = pd.concat([self.frame, guest], ignore_index=True) if len(self.frame) else guest
        self._skipped = np.append(self._skipped, False)
        self._present, self._origin, self._guest = self._known, FIGURE, figure
        self.set_figures(self._figures)
        self._sort()
        return True

    def _drop_guest(self, present: int) -> None:
        """The last row is nobody's any more; another one is the target."""
        self._guest = ""
        self.frame = self.frame.iloc[: self._known].copy()
        self._skipped = self._skipped[: self._known]
        self._trail = [row for row in self._trail if row < self._known]
        self._present = present if present < self._known else -1
        self._origin = self._origin_of(self._present)
        self.set_figures(self._figures)
        self._sort()

    def _origin_of(self, row: int) -> str:
        if row in self.listed():
            return self.front
        return next((name for name in (CANDIDATES, SECOND) if row in self.listed(name)), CANDIDATES)

    def go(self, step: int) -> int | None:
        """Go on (1) in the list in front, or back (-1) to what was looked at before; the row, or None at its end."""
        if step < 0:
            return self._back()
        at = self.position
        return self._go_to(lambda later: True, 0 if at is None else at + 1, wrap=False)

    def next_undecided(self) -> int | None:
        """Go to the next of the list in front that waits, round the end, skipped ones last; None: none is left."""
        at = self.position
        start = 0 if at is None or self.order == CHANGE else at + 1  # what matters most now stands at the top
        state = self.notes["state"].to_numpy()
        for wanted in (UNDECIDED, SKIPPED):
            row = self._go_to(lambda row, wanted=wanted: bool(state[row] == wanted), start, wrap=True)  # type: ignore[misc]
            if row is not None:
                return row
        return None

    def skip(self) -> int | None:
        """Put the target off, and go on to the next that waits."""
        if 0 <= self._present < self._known:
            self._skipped[self._present] = True
            self._note()
        return self.next_undecided()

    def _back(self) -> int | None:
        rows = self.listed()
        while self._trail:
            row = self._trail.pop()
            if row in rows and row != self._present:
                self._leave(row)
                return row
        at = self.position
        if at is None or at == 0:
            return None
        self._leave(int(rows[at - 1]))
        return self.present

    def _go_to(self, fits: Callable[[int], bool], start: int, wrap: bool) -> int | None:
        rows = self.listed()
        places = [*range(start, len(rows)), *(range(start) if wrap else ())]
        for at in places:
            row = int(rows[at])
            if row != self._present and fits(row):
                self.look_at(row)
                return row
        return None

    def _leave(self, row: int) -> None:
        """Look at another one; the one before stays in the queue only if it belongs there."""
        before, self._present = self._present, row
        origin, self._origin = self._origin, self._origin_of(row)
        stays = before < 0 or origin != CANDIDATES or self.below or bool(self.frame["kept"].iloc[before])
        if before >= self._known:
            self._drop_guest(row)
        elif not stays or (self._origin == CANDIDATES and row not in self.rows):
            self._sort()
        self._last[self._origin] = self._present

    def _states(self, name: str | None = None) -> NDArray[np.object_]:
        states: NDArray[np.object_] = self.notes["state"].to_numpy()[self.listed(name)]
        return states
