"""From a journal to a plan: the annotated fields, what readers wrote in them, frozen, and the fine-tuning on it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..annotations.replay import replay
from ..annotations.snapshot import Role, Snapshot, take_snapshot
from ..annotations.store import Journal
from ..errors import DatasetError
from ..models.registry import find_version
from ..models.versions import next_version
from ..names import path_text, text_path
from .plan import FieldPlan, Figure, FinetunePlan

COLUMNS = (
    "digest", "name", "path", "mpp", "height_px", "width_px", "mitosis", "mimic", "unsure", "complete", "there"
)  # fmt: skip

MOST_TISSUE = 4
"""So many fields without a part in the training keep the child from forgetting, at the most."""


def journal_fields(journal: Journal) -> pd.DataFrame:
    """The fields that have annotations, in the order in which they were last opened.

    Returns
    -------
    DataFrame
        `COLUMNS`: mitosis, mimic, unsure are numbers of figures; there, whether the image file is where it was.

    Raises
    ------
    JournalError
        If the journal cannot be read.
    """
    rows = []
    for field in journal.fields().to_dict("records"):
        state = replay(journal.actions(field["digest"]))
        labels = [figure.label for figure in state.figures]
        if not labels and not state.complete:
            continue
        counts = {label: labels.count(label) for label in ("mitosis", "mimic", "unsure")}
        there = bool(field["path"]) and text_path(field["path"]).is_file()
        row: dict[str, object] = {str(name): value for name, value in field.items()}
        rows.append(row | counts | {"complete": state.complete, "there": there})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def judged_figures(journal: Journal) -> dict[str, NDArray[np.float64]]:
    """The figures of every annotated field, by its digest: centres (y, x) in pixels, shape (n, 2).

    Raises
    ------
    JournalError
        If the journal cannot be read.
    """
    table = journal_fields(journal)
    states = {digest: replay(journal.actions(digest)) for digest in table["digest"]}
    places = {digest: [(f.y_px, f.x_px) for f in state.figures] for digest, state in states.items()}
    return {digest: np.array(points, dtype=np.float64).reshape(-1, 2) for digest, points in places.items()}


def plan_from_journal(
    journal: Journal,
    parent: str,
    chosen: Sequence[str],
    test: Collection[str] = (),
    *,
    minutes: float,
    device: str = "auto",
    folder: Path | None = None,
) -> FinetunePlan:
    """A fine-tuning on these fields of a journal.

    Other fields that were once open, and whose files are still there, join as tissue without annotations.

    Parameters
    ----------
    parent : str
        ``detector@version``.
    chosen, test : of str
        Digests of the fields that take part, and of those that are not learnt from.
    minutes : float
    device : str
    folder : Path, optional
        Of the models, instead of the shipped and the user's.

    Raises
    ------
    DatasetError
        If a field cannot take part.
    JournalError
        If the journal cannot be read.
    WeightsError
        If the parent is not here.
    """
    name = find_version(parent, folder)[0].name
    frozen = freeze(journal, chosen, test)
    return FinetunePlan(
        parent=name,
        parent_folder="" if folder is None else str(folder),
        version=next_version(name, folder),
        fields=field_plans(frozen),
        tissue=_tissue(journal, chosen),
        minutes=minutes,
        device=device,
        snapshot=frozen.sha256,
    )


def freeze(journal: Journal, chosen: Sequence[str] = (), test: Collection[str] = ()) -> Snapshot:
    """Freeze fields of a journal for a fine-tuning.

    Parameters
    ----------
    chosen : sequence of str
        Names, digests or paths; empty = every field that has annotations and whose file is there.
    test : collection of str
        Those of them that are not learnt from: parent and child are compared on them.

    Raises
    ------
    DatasetError
        If a field is not in the journal, its file is gone, or its um/px is unknown.
    JournalError
        If the journal cannot be read.
    """
    known = journal_fields(journal)
    table = known[known["there"]] if not chosen else pd.concat([_named(known, name) for name in chosen])
    if table.empty:
        raise DatasetError("the journal holds no annotated field whose image file is still there")
    split: dict[str, Role] = {}
    for row in table.to_dict("records"):
        if not row["there"]:
            raise DatasetError(f"the image file of {row['name']} is not where it was: {row['path'] or 'it had none'}")
        if not row["mpp"] > 0:
            raise DatasetError(f"{row['name']}: its um/px is unknown; open it and enter the pixel size")
        names = {row["name"], row["digest"], row["path"]}
        split[row["digest"]] = "test" if names & set(test) else "train"
    return take_snapshot(journal, list(split), split)


def field_plans(snapshot: Snapshot, drawn: Collection[str] = ()) -> tuple[FieldPlan, ...]:
    """The fields of a snapshot as a fine-tuning takes them, by name.

    Parameters
    ----------
    drawn : collection of str
        Names of those that the program drew at random (`propose.draw_blind`).

    Raises
    ------
    DatasetError
        If one of them is no field of the snapshot.
    """
    strangers = sorted(set(drawn) - {field.name for field in snapshot.fields})
    if strangers:
        raise DatasetError(f"{strangers[0]} was said to be drawn at random, but is none of the annotated fields")
    plans = []
    for field in sorted(snapshot.fields, key=lambda field: (field.name, field.digest)):
        assert field.mpp is not None  # `freeze` refuses such fields
        figures = tuple(Figure(y_px=f.y_px, x_px=f.x_px, label=f.label) for f in field.figures)
        plans.append(
            FieldPlan(
                path=field.path,
                name=field.name,
                mpp=field.mpp,
                digest=field.digest,
                complete=field.complete,
                case=field.case,
                role=field.role,
                drawn=field.name in drawn,
                figures=figures,
            )
        )
    return tuple(plans)


def _named(known: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of a field by its name, its path or the beginning of its digest."""
    path = path_text(Path(name).absolute())
    hit = known[(known["name"] == name) | (known["path"] == path) | known["digest"].str.startswith(name)]
    if hit.empty:
        there = ", ".join(known["name"]) or "none"
        raise DatasetError(f"the journal holds no annotated field '{name}'; it holds: {there}")
    return hit


def _tissue(journal: Journal, chosen: Sequence[str]) -> tuple[FieldPlan, ...]:
    rows = journal.fields().to_dict("records")
    others = [
        FieldPlan(path=row["path"], name=row["name"], mpp=row["mpp"], digest=row["digest"])
        for row in rows
        if row["digest"] not in chosen and row["mpp"] > 0 and row["path"] and text_path(row["path"]).is_file()
    ]
    return tuple(others[:MOST_TISSUE])
