"""The queue of candidates: in which order they are looked at, which is the present one, what comes next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .candidates import REVIEW_COLUMNS
from .judge import LINK_UM, SKIPPED, UNDECIDED, decisions, link

ORDERS: Mapping[str, str] = MappingProxyType(
    {
        "score": "best score first",
        "uncertainty": "least sure first",
        "disagreement": "most disputed first",
        "reading": "line by line, like reading",
    }
)
"""Orders of the queue, and what they mean."""

ROW_UM = 64.0
"""Height of a line, when the field is read line by line."""


def reading_order(yx_um: NDArray[np.float64], row_um: float = ROW_UM) -> NDArray[np.int64]:
    """Rows of places in the order of the shortest way of the eye: line by line, every other line backwards.

    Parameters
    ----------
    yx_um : ndarray of float64, shape (n, 2)
    row_um : float
        Height of a line.

    Returns
    -------
    ndarray of int64, shape (n,)
    """
    line = np.floor(yx_um[:, 0] / row_um).astype(np.int64)
    along = np.where(line % 2 == 0, yx_um[:, 1], -yx_um[:, 1])
    return np.lexsort((yx_um[:, 0], along, line))


class Queue:
    """The candidates of one field, in an order, with a present one.

    The present candidate stays present whatever happens around it: another order, another rule, even another
    detection. What was skipped stays skipped.

    Attributes
    ----------
    frame : DataFrame
        All candidates: `REVIEW_COLUMNS`.
    notes : DataFrame
        A row for each: state, figure, phase, reader; see `judge.decisions`. The state may be ``skipped``.
    rows : ndarray of int64, shape (n,)
        Rows of `frame` that are in the queue, in their order.
    order : str
        One of `ORDERS`.
    below : bool
        Whether candidates are in the queue that the rule drops.
    row_um : float
        Height of a line of reading order.
    """

    def __init__(self, order: str = "score", below: bool = False) -> None:
        self.order = order
        self.below = below
        self.row_um = ROW_UM
        self.mpp = 1.0
        self.frame = _empty()
        self.rows: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._skipped = np.zeros(0, dtype=bool)
        self._recorded = decisions(np.empty(0, dtype=np.int64), _NO_FIGURES)
        self._figures = _NO_FIGURES
        self.notes = self._recorded
        self._present = -1
        self._trail: list[int] = []

    def __len__(self) -> int:
        return len(self.rows)

    # What is in it

    def set_candidates(self, frame: pd.DataFrame, mpp: float) -> None:
        """Other candidates: another rule, or another detection.

        Parameters
        ----------
        frame : DataFrame
            Of `candidates.review_frame`.
        mpp : float
            um/px of the field.
        """
        before, present, trail = self.frame, self._present, self._trail
        skipped = np.flatnonzero(self._skipped)
        self.mpp = mpp
        places = ["y_px", "x_px"]
        new = link(before[places], frame[places], mpp)
        if present >= 0 and new[present] < 0:  # two blobs became one: it is what the reader looks at all the same
            new[present] = _nearest(before[places].to_numpy()[present], frame[places].to_numpy(), mpp)
        if present >= 0 and new[present] < 0:  # gone: the reader is still looking at it
            frame = pd.concat([frame, before.iloc[[present]].assign(kept=False)], ignore_index=True)
            new[present] = len(frame) - 1
        self.frame = frame.reset_index(drop=True)
        self._skipped = np.zeros(len(frame), dtype=bool)
        self._skipped[new[skipped][new[skipped] >= 0]] = True
        self._present = int(new[present]) if present >= 0 else -1
        self._trail = [int(new[row]) for row in trail if new[row] >= 0]
        self.set_figures(self._figures)
        self._sort()

    def clear(self) -> None:
        """No candidates any more: another field."""
        self._present, self._trail = -1, []
        self._skipped = np.zeros(0, dtype=bool)
        self._figures = _NO_FIGURES
        self.frame = _empty()
        self.set_figures(_NO_FIGURES)
        self._sort()

    def set_figures(self, figures: pd.DataFrame) -> None:
        """The figures on record, `Notebook.figures`; they decide what each candidate is."""
        self._figures = figures
        places = ["y_px", "x_px"]
        linked = link(self.frame[places], figures[places], self.mpp, LINK_UM)
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

    def set_below(self, below: bool) -> None:
        """Whether candidates that the rule drops are in the queue."""
        self.below = below
        self._sort()

    def _note(self) -> None:
        """A candidate that was skipped and then judged is judged."""
        state = self._recorded["state"].to_numpy(copy=True)
        state[self._skipped & (state == UNDECIDED)] = SKIPPED
        self.notes = self._recorded.assign(state=state)

    def _sort(self) -> None:
        frame = self.frame
        inside = np.ones(len(frame), dtype=bool) if self.below else frame["kept"].to_numpy(dtype=bool).copy()
        if self._present >= 0:
            inside[self._present] = True
        rows = np.flatnonzero(inside)
        # Equal ones stay in the order of their score, which is that of the frame.
        if self.order == "reading":
            order = reading_order(frame[["y_px", "x_px"]].to_numpy(dtype=np.float64)[rows] * self.mpp, self.row_um)
        else:
            column = frame[self.order].to_numpy(dtype=np.float64)[rows]
            order = np.argsort(column if self.order == "uncertainty" else -column, kind="stable")
        self.rows = rows[order]

    # Where one is

    @property
    def present(self) -> int | None:
        """Row of `frame` of the present candidate, or None."""
        return self._present if self._present >= 0 else None

    @property
    def position(self) -> int | None:
        """Place of the present candidate in the queue, from 0; None where there is none."""
        return self.place_of(self._present)

    def place_of(self, row: int) -> int | None:
        """Place of a candidate in the queue, from 0; None where it is not in it."""
        at = np.flatnonzero(self.rows == row)
        return int(at[0]) if len(at) else None

    def row_of(self, figure: str) -> int | None:
        """Row of the candidate that is this figure of the journal, or None."""
        at = np.flatnonzero(self.notes["figure"].to_numpy() == figure)
        return int(at[0]) if len(at) else None

    @property
    def decided(self) -> int:
        """How many candidates of the queue have been judged."""
        state = self._states()
        return int(((state != UNDECIDED) & (state != SKIPPED)).sum())

    def count(self, state: str) -> int:
        """How many candidates of the queue are in this state."""
        return int((self._states() == state).sum())

    def with_state(self, wanted: str | None) -> NDArray[np.int64]:
        """Rows of the queue, in order: all of them, or those in a state."""
        return self.rows if wanted is None else self.rows[self._states() == wanted]

    def look_at(self, row: int) -> None:
        """Make a candidate the present one.

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

    def go(self, step: int) -> int | None:
        """Go on (1) in the queue, or back (-1) to what was looked at before; the row, or None where it ends."""
        if step < 0:
            return self._back()
        at = self.position
        return self._go_to(lambda later: True, 0 if at is None else at + 1, wrap=False)

    def next_undecided(self) -> int | None:
        """Go to the next candidate that waits to be judged, past the end from the start again; None: none is left.

        Skipped ones come once all the others are judged.
        """
        at = self.position
        start = 0 if at is None else at + 1
        state = self.notes["state"].to_numpy()
        for wanted in (UNDECIDED, SKIPPED):
            row = self._go_to(lambda row, wanted=wanted: bool(state[row] == wanted), start, wrap=True)  # type: ignore[misc]
            if row is not None:
                return row
        return None

    def skip(self) -> int | None:
        """Put the present candidate off, and go on to the next that waits."""
        if self._present >= 0:
            self._skipped[self._present] = True
            self._note()
        return self.next_undecided()

    def _back(self) -> int | None:
        while self._trail:
            row = self._trail.pop()
            if row in self.rows and row != self._present:
                self._leave(row)
                return row
        at = self.position
        if at is None or at == 0:
            return None
        self._leave(int(self.rows[at - 1]))
        return self.present

    def _go_to(self, fits: Callable[[int], bool], start: int, wrap: bool) -> int | None:
        places = [*range(start, len(self.rows)), *(range(start) if wrap else ())]
        for at in places:
            row = int(self.rows[at])
            if row != self._present and fits(row):
                self.look_at(row)
                return row
        return None

    def _leave(self, row: int) -> None:
        """Look at another one; the one before stays in the queue only if it belongs there."""
        before, self._present = self._present, row
        stays = before < 0 or self.below or bool(self.frame["kept"].iloc[before])
        if not stays or row not in self.rows:
            self._sort()

    def _states(self) -> NDArray[np.object_]:
        states: NDArray[np.object_] = self.notes["state"].to_numpy()[self.rows]
        return states


def _nearest(place: NDArray[np.float64], places: NDArray[np.float64], mpp: float) -> int:
    """Row of the place that is nearest, or -1 where none is near enough to be the same thing."""
    if len(places) == 0:
        return -1
    apart = np.hypot(*(places - place).T) * mpp
    row = int(np.argmin(apart))
    return row if apart[row] <= LINK_UM else -1


def _empty() -> pd.DataFrame:
    frame = pd.DataFrame({name: np.empty(0, dtype=np.float64) for name in REVIEW_COLUMNS})
    return frame.astype({"kept": bool})


_NO_FIGURES = pd.DataFrame(
    {
        "figure": np.empty(0, dtype=object),
        "y_px": np.empty(0),
        "x_px": np.empty(0),
        "label": np.empty(0, dtype=object),
        "phase": np.empty(0, dtype=object),
        "reader": np.empty(0, dtype=object),
    }
)
