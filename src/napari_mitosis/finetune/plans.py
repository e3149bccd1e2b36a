"""Plans of fine-tunings from what a reader chose."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from ..annotations.store import Journal
from ..models.registry import find_version
from ..models.versions import next_version
from ..names import text_path
from .from_journal import field_plans, freeze
from .plan import FieldPlan, FinetunePlan

MOST_TISSUE = 4
"""So many fields without a part in the training keep the child from forgetting, at the most."""


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


def _tissue(journal: Journal, chosen: Sequence[str]) -> tuple[FieldPlan, ...]:
    rows = journal.fields().to_dict("records")
    others = [
        FieldPlan(path=row["path"], name=row["name"], mpp=row["mpp"], digest=row["digest"])
        for row in rows
        if row["digest"] not in chosen and row["mpp"] > 0 and row["path"] and text_path(row["path"]).is_file()
    ]
    return tuple(others[:MOST_TISSUE])
