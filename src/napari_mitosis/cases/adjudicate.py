"""Verdicts: what an adjudicator says of figures that readers dispute, as actions of the journal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..annotations.actions import LABELS_IT, Action, batched, new_id, timestamp, utc_now
from ..annotations.replay import replay
from ..annotations.store import Journal
from ..measures.readers import ReaderAgreement
from ..names import printable
from .case import CaseField
from .readings import ADJUDICATION

VERDICT_COLUMNS: tuple[str, ...] = ("field", "y_um", "x_um", "verdict", "adjudicator", "time")


def settle(
    journal: Journal, field: CaseField, place_px: tuple[float, float], figures: Sequence[str], label: str, reader: str
) -> str:
    """Put a verdict on record, in one transaction that is undone in one step; its figure's id.

    What the readers marked is one figure from now on: it gets the label, and what else they marked of it goes.

    Parameters
    ----------
    journal : Journal
    field : CaseField
    place_px : tuple of float
        y and x, where nobody's figure is left that could get the label.
    figures : sequence of str
        Ids of what the readers marked.
    label : str
        One of `tables.LABELS`.
    reader : str
        The adjudicator.

    Raises
    ------
    JournalError
        When it cannot be written.
    """
    state = replay(journal.actions(field.digest))
    there = [figure for figure in figures if state.figure(figure) is not None]
    common: dict[str, Any] = {
        "reader": printable(reader),
        "source": ADJUDICATION,
        "mpp": field.mpp,
        "time": timestamp(utc_now()),
    }
    if there:
        actions = [Action(new_id(), "relabel", field.digest, there[0], label=label, **common)]
        actions += [Action(new_id(), "delete", field.digest, figure, **common) for figure in there[1:]]
    else:
        y, x = place_px
        actions = [Action(new_id(), "add", field.digest, new_id(), y_px=y, x_px=x, label=label, **common)]
    journal.append(*batched(actions))
    return actions[0].figure


def verdicts(journal: Journal, fields: dict[str, CaseField]) -> pd.DataFrame:
    """All verdicts on fields that count.

    Parameters
    ----------
    journal : Journal
    fields : dict of str to CaseField
        By name: `Readings.fields`.

    Returns
    -------
    DataFrame
        `VERDICT_COLUMNS`, and ``figure``.

    Raises
    ------
    JournalError
        When the journal cannot be read.
    """
    rows = []
    for name, field in fields.items():
        state, mpp = replay(journal.actions(field.digest)), field.mpp or 1.0
        for figure in state.figures:
            said = [
                action
                for action in state.about(figure.id)
                if action.source == ADJUDICATION and action.kind in LABELS_IT
            ]
            if said:
                place = (figure.y_px + 0.5) * mpp, (figure.x_px + 0.5) * mpp
                rows.append((name, *place, said[-1].label, said[-1].reader, said[-1].time, figure.id))
    frame = pd.DataFrame(rows, columns=[*VERDICT_COLUMNS, "figure"])
    return frame.astype({"y_um": "float64", "x_um": "float64"})


def adjudicated(agreement: ReaderAgreement, given: pd.DataFrame) -> ReaderAgreement:
    """An agreement with the verdicts on its figures: columns ``verdict`` and ``adjudicator``; see `with_verdicts`."""
    union = with_verdicts(agreement.union, given, agreement.radius_um)
    return replace(agreement, union=union, disputed=with_verdicts(agreement.disputed, given, agreement.radius_um))


def with_verdicts(union: pd.DataFrame, given: pd.DataFrame, radius_um: float) -> pd.DataFrame:
    """Figures with the verdict on each, and whose it is; empty where there is none.

    A verdict is about the figures that it names; one on a figure that nobody's mark is left of, about what stands
    nearest within the radius.
    """
    verdict = np.full(len(union), "", dtype=object)
    judge = np.full(len(union), "", dtype=object)
    ids = [set(str(text).split()) for text in union.get("figures", pd.Series([""] * len(union)))]
    for verdict_row in given.to_dict("records"):
        named = [row for row, known in enumerate(ids) if verdict_row["figure"] in known]
        rows = named or _nearest(
            union, str(verdict_row["field"]), float(verdict_row["y_um"]), float(verdict_row["x_um"]), radius_um
        )
        verdict[rows], judge[rows] = verdict_row["verdict"], verdict_row["adjudicator"]
    return union.assign(verdict=verdict, adjudicator=judge)


def _nearest(union: pd.DataFrame, field: str, y_um: float, x_um: float, radius_um: float) -> list[int]:
    places: NDArray[np.float64] = union[["y_um", "x_um"]].to_numpy(dtype=np.float64)
    apart = np.where(union["field"] == field, np.hypot(*(places - [y_um, x_um]).T), np.inf)
    return [int(apart.argmin())] if len(apart) and apart.min() <= radius_um else []
