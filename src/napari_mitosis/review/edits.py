"""What was done to a table of figures, told from how it was and how it is now. Pure.

Whatever a viewer lets its user do to a layer of points (add, drag, delete, paste, assign other data), what counts is
the difference to the figures that the layer showed before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..annotations.actions import PHASES
from ..tables import LABELS


@dataclass(frozen=True)
class Edits:
    """Changes of figures, in pixels of the field.

    Attributes
    ----------
    deleted : tuple of str
        Ids.
    moved : tuple of (str, float, float)
        Id, and the new y and x.
    relabelled : tuple of (str, str, str)
        Id, and the new label and phase (may be empty).
    added : tuple of (float, float, str, str)
        y, x, label, phase of figures that have no id yet.
    refused : str
        Why something of it cannot be; empty when all can.
    """

    deleted: tuple[str, ...] = ()
    moved: tuple[tuple[str, float, float], ...] = ()
    relabelled: tuple[tuple[str, str, str], ...] = ()
    added: tuple[tuple[float, float, str, str], ...] = ()
    refused: str = ""

    def __bool__(self) -> bool:
        return bool(self.deleted or self.moved or self.relabelled or self.added)


def edits_between(
    before: pd.DataFrame,
    points_yx: NDArray[np.float64],
    features: pd.DataFrame,
    shape: tuple[int, int],
    label: str = "mitosis",
) -> Edits:
    """Tell what was done.

    A row is the figure whose id it carries if that figure stood there before; else the figure that stood there;
    else the figure whose id it carries, moved. A row of which none holds is a new figure: so a pasted copy is new,
    and rows that shifted because others were taken out keep their identity.

    Parameters
    ----------
    before : DataFrame
        Columns figure, y_px, x_px, label, phase: what was shown.
    points_yx : ndarray, shape (n, 2)
        What is there now, in pixels of the field.
    features : DataFrame
        n rows; the columns figure, label and phase are read where they are there.
    shape : tuple of int
        (H, W) of the field: nothing can be put beyond it.
    label : str
        Of new figures that carry none.
    """
    ids, labels, phases = (_column(features, name, len(points_yx)) for name in ("figure", "label", "phase"))
    owners = _owners(before, points_yx, ids)
    known = {row.figure: row for row in _shown(before)}
    moved, relabelled, added = [], [], []
    refused = ""
    for at, owner in enumerate(owners):
        y, x = float(points_yx[at, 0]), float(points_yx[at, 1])
        inside = bool(-0.5 <= y <= shape[0] - 0.5 and -0.5 <= x <= shape[1] - 0.5)
        if not inside:
            refused = "Figures lie within their field."
        if owner is None:
            if inside:
                stated = labels[at] if labels[at] in LABELS else label
                added.append((y, x, stated, phases[at] if phases[at] in PHASES else ""))
            continue
        row = known[owner]
        if inside and (y, x) != (row.y_px, row.x_px):
            moved.append((owner, y, x))
        # A row that carries another figure's id has its label, too: then only the place counts.
        if ids[at] != owner and ids[at] in known:
            continue
        new = (labels[at] or row.label, phases[at] if "phase" in features else row.phase)
        if new == (row.label, row.phase):
            continue
        if new[0] in LABELS and (not new[1] or new[1] in PHASES):
            relabelled.append((owner, *new))
        else:
            refused = f"A figure is one of {', '.join(LABELS)}; its phase one of {', '.join(PHASES)}, or none."
    gone = tuple(figure for figure in known if figure not in set(owners))
    return Edits(gone, tuple(moved), tuple(relabelled), tuple(added), refused)


class _Shown(NamedTuple):
    figure: str
    y_px: float
    x_px: float
    label: str
    phase: str


def _shown(before: pd.DataFrame) -> list[_Shown]:
    columns = [before[name].tolist() for name in _Shown._fields]
    return [_Shown(*values) for values in zip(*columns, strict=True)]


def _owners(before: pd.DataFrame, points_yx: NDArray[np.float64], ids: list[str]) -> list[str | None]:
    """For each row the id of the figure that it is, or None where it is a new one."""
    free = {row.figure: (row.y_px, row.x_px) for row in _shown(before)}
    owners: list[str | None] = [None] * len(ids)
    spots = [(float(y), float(x)) for y, x in points_yx]
    for at, figure in enumerate(ids):
        if figure in free and free[figure] == spots[at]:
            owners[at] = figure
            del free[figure]
    standing: dict[tuple[float, float], list[str]] = {}
    for figure, spot in free.items():
        standing.setdefault(spot, []).append(figure)
    for at, spot in enumerate(spots):
        if owners[at] is None and standing.get(spot):
            figure = standing[spot].pop(0)
            owners[at] = figure
            del free[figure]
    for at, figure in enumerate(ids):
        if owners[at] is None and figure in free:
            owners[at] = figure
            del free[figure]
    return owners


def _column(features: pd.DataFrame, name: str, count: int) -> list[str]:
    if name not in features or len(features) != count:
        return [""] * count
    return ["" if pd.isna(value) else str(value) for value in features[name]]
