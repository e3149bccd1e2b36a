"""The number that goes into the report: mitoses of all fields, area, density and score, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..measures.chances import Outlook, outlook
from ..measures.doubles import WITHIN_UM, possible_doubles
from ..measures.grade import Convention, Density, MitoticScore, mitotic_density
from .areas import Area
from .case import CaseField

MOST_DOUBLES = 50
"""Of a field: more pairs than that nobody looks through."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Counted:
    """One field as it is counted.

    Attributes
    ----------
    name : str
    shape : tuple of int
        (H, W) in pixels.
    mpp : float or None
        um/px.
    area : Area
    yx_px : ndarray of float64, shape (n, 2)
        Figures on record.
    labels : ndarray of object, shape (n,)
        Of `tables.LABELS`.
    pending_yx_px : ndarray of float64, shape (m, 2)
        Candidates that wait to be judged.
    pending : ndarray of float64, shape (m,)
        Their calibrated probabilities.
    """

    name: str
    shape: tuple[int, int]
    mpp: float | None
    area: Area
    yx_px: Floats
    labels: NDArray[np.object_]
    pending_yx_px: Floats
    pending: Floats

    @classmethod
    def of(cls, field: CaseField, pending_yx_px: Floats | None = None, pending: Floats | None = None) -> Counted:
        """A field of a case, and what waits in it, if anything is known to."""
        places, labels = figure_arrays(field.figures)
        waiting = np.empty((0, 2)) if pending_yx_px is None else pending_yx_px
        chances = np.empty(0) if pending is None else pending
        return cls(field.name, field.shape, field.mpp, field.area, places, labels, waiting, chances)


def figure_arrays(figures: pd.DataFrame) -> tuple[Floats, NDArray[np.object_]]:
    """Places, shape (n, 2), and labels, shape (n,), of a table of figures."""
    return places_of(figures), figures["label"].to_numpy(dtype=object)


def places_of(table: pd.DataFrame) -> Floats:
    """y_px and x_px of a table, shape (n, 2)."""
    return np.column_stack([table[name].to_numpy(dtype=np.float64) for name in ("y_px", "x_px")])


@dataclass(frozen=True, eq=False)
class Tally:
    """What there is to say of all fields together.

    Attributes
    ----------
    accepted, rejected, unsure, pending : int
        Figures within the areas: mitoses, mimics, neither for sure; candidates that wait.
    outside : int
        Mitoses outside of the areas: they are not counted.
    area_mm2 : float or None
        None where um/px of a field is not known; then there is no density and no score.
    density : Density or None
    score : MitoticScore or None
    outlook : Outlook or None
        What can still become of the score. Its ``change`` is in the order of the fields and of their candidates.
    doubles : tuple of (str, int, int, float)
        Field, rows of two mitoses that may be one, and their distance in um.
    unknown : tuple of str
        Names of the fields whose um/px is not known.
    """

    accepted: int
    rejected: int
    unsure: int
    pending: int
    outside: int
    area_mm2: float | None
    density: Density | None
    score: MitoticScore | None
    outlook: Outlook | None
    doubles: tuple[tuple[str, int, int, float], ...]
    unknown: tuple[str, ...]


def tally(fields: Sequence[Counted], convention: Convention, doubles_um: float = WITHIN_UM) -> Tally:
    """Count fields together.

    Parameters
    ----------
    fields : sequence of Counted
    convention : Convention
        Of the score.
    doubles_um : float
        Mitoses nearer than this may have been counted twice.
    """
    counts = dict.fromkeys(("mitosis", "mimic", "unsure"), 0)
    outside, area, waiting = 0, 0.0, []
    doubles: list[tuple[str, int, int, float]] = []
    for field in fields:
        inside = field.area.holds(field.yx_px, field.shape)
        is_label = {label: field.labels == label for label in counts}
        mitosis = is_label["mitosis"]
        for label, of_label in is_label.items():
            counts[label] += int(np.count_nonzero(inside & of_label))
        outside += int(np.count_nonzero(mitosis & ~inside))
        within = field.area.holds(field.pending_yx_px, field.shape)
        waiting.append(np.where(within, field.pending, 0.0))
        if field.mpp is not None:
            area += field.area.mm2(field.shape, field.mpp)
            rows = np.flatnonzero(inside & mitosis)
            pairs, apart = possible_doubles(field.yx_px[rows] * field.mpp, doubles_um)
            named = zip(rows[pairs[:MOST_DOUBLES]], apart[:MOST_DOUBLES], strict=True)
            doubles += [(field.name, int(i), int(j), float(um)) for (i, j), um in named]
    unknown = tuple(field.name for field in fields if field.mpp is None)
    known = not unknown and area > 0
    pending = np.concatenate(waiting) if waiting else np.empty(0)
    accepted = counts["mitosis"]
    return Tally(
        accepted=accepted,
        rejected=counts["mimic"],
        unsure=counts["unsure"],
        pending=int((pending > 0).sum()),
        outside=outside,
        area_mm2=area if known else None,
        density=mitotic_density(accepted, area) if known else None,
        score=convention.score(accepted, area) if known else None,
        outlook=outlook(accepted, area, pending, convention) if known else None,
        doubles=tuple(doubles),
        unknown=unknown,
    )


def whatever_words(tally: Tally) -> str:
    """That no decision on what waits can change the score; nothing where one can, or nothing waits."""
    if tally.outlook is None or not tally.outlook.settled or not tally.pending:
        return ""
    return f"Score {tally.outlook.score} whatever you decide now."


def in_words(tally: Tally) -> str:
    """What the score is and what would change it, in a sentence or two."""
    if tally.score is None or tally.outlook is None:
        if tally.unknown:
            return f"No density and no score: um/px of {', '.join(tally.unknown)} is not known."
        return "No density and no score: nothing is counted."
    score, future = tally.score, tally.outlook
    if future.settled:
        now = whatever_words(tally) or f"Score {score.score}."
    else:
        chances = ", ".join(f"{at}: {_percent(p)}" for at, p in enumerate(future.probability, start=1) if p > 0)
        now = f"Score {score.score} so far. Once all is judged: {chances}."
    steps = []
    if score.to_higher is not None:
        steps.append(f"{score.to_higher} more {_figures(score.to_higher)}: score {_score_at(score, score.to_higher)}")
    if score.to_lower is not None:
        steps.append(f"{score.to_lower} fewer: score {_score_at(score, -score.to_lower)}")
    return now + (f" {'; '.join(steps)}." if steps else "")


def _score_at(score: MitoticScore, step: int) -> int:
    return 1 + sum(score.count + step >= limit for limit in score.limits)


def _figures(count: int) -> str:
    return "figure" if count == 1 else "figures"


def _percent(probability: float) -> str:
    """Never 0 % or 100 % of what is not certain."""
    if 0 < probability < 0.005:
        return "< 1 %"
    return "> 99 %" if 0.995 < probability < 1 else f"{100 * probability:.0f} %"
