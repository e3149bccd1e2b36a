"""What the reader said of each candidate, read off the journal: nothing is kept twice, so nothing can disagree."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ..tables import LABELS

if TYPE_CHECKING:
    from ..annotations.notebook import Notebook

LINK_UM = 5.0
"""A figure of the journal and a candidate nearer than this may be the same thing."""

UNDECIDED, SKIPPED = "undecided", "skipped"

STATES: tuple[str, ...] = (UNDECIDED, *LABELS, SKIPPED)
"""What a candidate can be to its reader; a skipped one is not in the journal: it waits in the queue."""

LETTERS: Mapping[str, str] = MappingProxyType(
    {UNDECIDED: "", "mitosis": "M", "mimic": "X", "unsure": "?", SKIPPED: "–"}
)
"""A mark beside the colour, for those who cannot tell the colours apart."""

NO_FIGURES = pd.DataFrame(
    {
        "figure": np.empty(0, dtype=object),
        "y_px": np.empty(0),
        "x_px": np.empty(0),
        "label": np.empty(0, dtype=object),
        "phase": np.empty(0, dtype=object),
        "reader": np.empty(0, dtype=object),
    }
)
"""What is on record of a field of which nothing is."""


def places_of(table: pd.DataFrame) -> NDArray[np.float64]:
    """Places (n, 2) of a table with y_px and x_px. Column by column: pandas takes longer for both at once."""
    return np.column_stack([table[name].to_numpy(dtype=np.float64) for name in ("y_px", "x_px")])


def link(candidates_px: ArrayLike, figures_px: ArrayLike, mpp: float, radius_um: float = LINK_UM) -> NDArray[np.int64]:
    """Which figure each candidate is, one to one: the nearest pair first, then the nearest of what is left.

    Parameters
    ----------
    candidates_px : array_like of float, shape (n, 2)
        y and x.
    figures_px : array_like of float, shape (m, 2)
    mpp : float
        um/px.
    radius_um : float
        Pairs farther apart are none.

    Returns
    -------
    ndarray of int64, shape (n,)
        Row of the figure, or -1.
    """
    ours = np.asarray(candidates_px, dtype=np.float64).reshape(-1, 2)
    theirs = np.asarray(figures_px, dtype=np.float64).reshape(-1, 2)
    linked = np.full(len(ours), -1, dtype=np.int64)
    if len(ours) == 0 or len(theirs) == 0:
        return linked
    candidate, figure, apart = _near(ours * mpp, theirs * mpp, radius_um)
    order = np.argsort(apart)
    if (np.diff(apart[order]) == 0).any():  # rows settle what is equally far; seldom, and it takes long
        order = np.lexsort((figure, candidate, apart))
    candidate, figure = candidate[order], figure[order]
    taken = np.zeros(len(theirs), dtype=bool)
    while len(candidate):
        # A pair that is the nearest one left to both of its members is one, whatever becomes of the others.
        mutual = _is_first(candidate, len(ours)) & _is_first(figure, len(theirs))
        linked[candidate[mutual]] = figure[mutual]
        taken[figure[mutual]] = True
        free = (linked[candidate] < 0) & ~taken[figure]
        candidate, figure = candidate[free], figure[free]
    return linked


def _near(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], radius: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Rows and distances of all pairs within a radius, on a grid of squares of that side: quicker than trees."""
    corner = np.minimum(ours.min(axis=0), theirs.min(axis=0))
    squares = [((places - corner) / (radius * (1 + 1e-9))).astype(np.int64) for places in (ours, theirs)]
    width = int(max(square[:, 1].max() for square in squares)) + 3  # squares beside the edge are empty
    mine, other = (square[:, 0] * width + square[:, 1] + 1 for square in squares)
    by_mine, by_other = np.argsort(mine), np.argsort(other)
    mine, other = mine[by_mine], other[by_other]
    pairs = []
    for line in (-width, 0, width):  # three squares of a line follow one another
        low = np.searchsorted(other, mine + (line - 1))
        count = np.searchsorted(other, mine + (line + 1), side="right") - low
        row = np.repeat(np.arange(len(mine)), count)
        at = np.repeat(low - np.cumsum(count) + count, count) + np.arange(len(row))
        pairs.append((by_mine[row], by_other[at]))
    first, second = (np.concatenate(rows) for rows in zip(*pairs, strict=True))
    apart = np.hypot(*(ours[first] - theirs[second]).T)
    within = apart <= radius
    return first[within], second[within], apart[within]


def _is_first(numbers: NDArray[np.intp], count: int) -> NDArray[np.bool_]:
    """Where each number below `count` stands for the first time."""
    at = np.arange(len(numbers))
    first = np.empty(count, dtype=np.intp)
    first[numbers[::-1]] = at[::-1]
    return np.asarray(first[numbers] == at)


def nearest(place: NDArray[np.float64], places: NDArray[np.float64], mpp: float) -> int:
    """Row of the place that is nearest, or -1 where none is near enough to be the same thing."""
    if len(places) == 0:
        return -1
    apart = np.hypot(*(places - place).T) * mpp
    row = int(np.argmin(apart))
    return row if apart[row] <= LINK_UM else -1


def decisions(linked: NDArray[np.int64], figures: pd.DataFrame) -> pd.DataFrame:
    """What is on record of each candidate.

    Parameters
    ----------
    linked : ndarray of int64, shape (n,)
        Of `link`.
    figures : DataFrame
        `Notebook.figures`.

    Returns
    -------
    DataFrame
        n rows; columns ``state`` (`STATES` without skipped), ``figure`` (id, or empty), ``phase``, ``reader``.
    """
    known = linked >= 0
    columns: dict[str, pd.Series[Any]] = {}
    for name, source, missing in (
        *(("state", "label", UNDECIDED), ("figure", "figure", "")),
        *(("phase", "phase", ""), ("reader", "reader", "")),
    ):
        values = np.full(len(linked), missing, dtype=object)
        values[known] = figures[source].to_numpy(dtype=object)[linked[known]]
        columns[name] = pd.Series(values, dtype=object)  # pandas' own strings take longer to make and to read
    return pd.DataFrame(columns, copy=False)


def judge(
    notebook: Notebook, y_px: float, x_px: float, label: str, *, source: str, score: float | None, figure: str = ""
) -> str:
    """Put on record what the reader says of a candidate; its figure's id.

    A candidate that is no figure yet is accepted (mitosis, unsure) or rejected (mimic); one that is gets the new
    label, and keeps its history. Saying the same again notes nothing.

    Parameters
    ----------
    notebook : Notebook
        Of the candidate's field.
    y_px, x_px : float
        The candidate.
    label : str
        ``mitosis``, ``mimic`` or ``unsure``.
    source : str
        The detector that found it, ``name@version``.
    score : float or None
    figure : str
        Id of the figure that it is linked with, if any.

    Raises
    ------
    ValueError
        If the label is none of these.
    """
    if label not in LABELS:
        raise ValueError(f"a candidate is one of {', '.join(LABELS)}, not '{label}'")
    if figure:
        figures = notebook.figures
        known = figures.loc[figures["figure"] == figure, "label"]
        if len(known) and known.iloc[0] != label:
            notebook.relabel(figure, label)
        if len(known):
            return figure
    if label == "mimic":
        return notebook.reject(y_px, x_px, source=source, score=score)
    return notebook.accept(y_px, x_px, source=source, score=score, label=label)
