"""Look at what was annotated since a version was adopted, with that version and with its parent."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..annotations.store import Journal
from ..decision.decide import decide
from ..errors import WeightsError
from ..inference.pipeline import load_pipeline
from ..jobs import Job, Progress
from ..models.registry import find_version
from .follow_up import FollowUp, follow_up
from .gate import Judged
from .journal import field_plans, freeze, journal_fields


def check_adopted(
    journal: Journal, detector: str, *, device: str = "auto", folder: Path | None = None
) -> Job[FollowUp]:
    """Compare the version in use with its parent on the complete fields of a journal that it did not learn from.

    Parameters
    ----------
    journal : Journal
    detector : str
        ``detector`` for the version in use, or ``detector@version``.
    device : str
    folder : Path, optional
        Of the models, instead of the shipped and the user's.

    Raises
    ------
    WeightsError
        If there is no such version, it is not fine-tuned, or its parent is gone.
    JournalError
        If the journal cannot be read.
    """
    card, _ = find_version(detector, folder)
    if not card.finetuned or not card.parent:
        raise WeightsError(f"{card.name} was not fine-tuned: there is no parent to compare it with")
    learned = set(card.finetuned.get("fields", ()))
    table = journal_fields(journal)
    usable = table[table["there"] & table["complete"] & (table["mpp"] > 0) & ~table["digest"].isin(learned)]
    if usable.empty:
        return follow_up(card.name, card.parent, [])
    plans = field_plans(freeze(journal, list(usable["digest"])))
    versions = [load_pipeline(name, folder) for name in (card.parent, card.name)]
    judged = []
    for i, plan in enumerate(plans):
        yield Progress(i, len(plans), f"both versions look at {plan.name}")
        sample = plan.sample()
        field = sample.field.loaded()
        tables = []
        for pipeline in versions:
            evidence = yield from pipeline.look(field, device=device)
            tables.append(decide(evidence, pipeline.rule))
        truth = np.asarray(sample.centroids_yx(), dtype=np.float64)
        judged.append(Judged(i, field.shape, plan.mpp, truth, tables[0], tables[1]))
    return follow_up(card.name, card.parent, judged)
