"""What the train dock does in workers: it reads journals, plans, weights and pixels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from qtpy.QtGui import QImage

from ...annotations.store import Journal, default_journal
from ...errors import JournalError, MitosisError
from ...finetune.gate import Spot, Verdict
from ...finetune.publish import publish_child
from ...finetune.runs import Run, dismiss, list_runs, new_folder, read_progress, read_run
from ...finetune.watch import Curves
from ...jobs import Job, Progress
from ...models.card import ModelCard
from ..review.thumbnails import as_image, crop

KINDS = ("found", "lost", "dropped_false", "new_false")
MOST_THUMBNAILS = 30
"""Of each kind."""


@dataclass(frozen=True)
class Choice:
    """What the reader chose in the dock.

    Attributes
    ----------
    parent : str
        ``detector@version``.
    fields, test : tuple of str
        Digests: all fields, and those of them that are not learnt from.
    minutes : float
    device : str
    """

    parent: str
    fields: tuple[str, ...]
    test: tuple[str, ...]
    minutes: float
    device: str


@dataclass(frozen=True)
class Begun:
    """A run that is ready to be started, and what was drawn of it before."""

    run: Run
    curves: Curves


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """One figure on which parent and child differ."""

    image: QImage
    field: str
    digest: str
    y_px: float
    x_px: float


@dataclass(frozen=True, eq=False)
class Judgement:
    """What came of a run, ready to be shown.

    Attributes
    ----------
    name : str
        Of the published child.
    card : ModelCard
    verdict : Verdict
    thumbnails : dict of str to list of Thumbnail
        By kind, one of `KINDS`.
    """

    name: str
    card: ModelCard
    verdict: Verdict
    thumbnails: dict[str, list[Thumbnail]]


@contextlib.contextmanager
def _opened(journal: Journal | None) -> Iterator[Journal]:
    """The journal that is open already, or the reader's own for a moment."""
    if journal is not None:
        yield journal
        return
    opened = Journal(default_journal(), create=False)
    try:
        yield opened
    finally:
        opened.close()


def fields_job(journal: Journal | None) -> Job[pd.DataFrame]:
    """The annotated fields, as `from_journal.journal_fields` lists them; none where there is no journal yet."""
    yield Progress(0, 1, "reading the journal")
    from ...finetune.journal import COLUMNS, journal_fields

    try:
        with _opened(journal) as opened:
            return journal_fields(opened)
    except JournalError:
        if journal is not None or Path(str(default_journal())).exists():
            raise
        return pd.DataFrame(columns=list(COLUMNS))


def runs_job() -> Job[list[Run]]:
    """Every fine-tuning of this reader, oldest first."""
    yield Progress(0, 1, "looking for trainings")
    return list_runs()


def begin_job(journal: Journal | None, choice: Choice) -> Job[Begun]:
    """Write the plan of a new run into a folder of its own."""
    yield Progress(0, 1, "planning")
    from ...finetune.journal import plan_from_journal

    with _opened(journal) as opened:
        plan = plan_from_journal(
            opened, choice.parent, choice.fields, choice.test, minutes=choice.minutes, device=choice.device
        )
    folder = new_folder(choice.parent)
    plan.save(folder)
    return Begun(_run(folder), Curves())


def continue_job(folder: Path) -> Job[Begun]:
    """A run that was begun before, with its curves so far."""
    yield Progress(0, 1, "reading what was done")
    return Begun(_run(folder), Curves.of(read_progress(folder)))


def dismiss_job(folder: Path) -> Job[None]:
    """Do not offer to go on with a run any more."""
    yield Progress(0, 1, "noting")
    dismiss(folder)


def _run(folder: Path) -> Run:
    run = read_run(folder)
    if run is None:
        raise MitosisError(f"{folder} holds no plan of a training any more.")
    return run


def judge_job(folder: Path) -> Job[Judgement]:
    """Keep the child of a finished run among the models, and read what the gate said of it."""
    yield Progress(0, 1, "reading the verdict")
    from ...finetune.outcome import read_outcome
    from ...finetune.plan import read_plan
    from ...models.registry import find_version

    name = publish_child(folder)
    verdict, plan = read_outcome(folder).verdict, read_plan(folder)
    card, _ = find_version(name)
    thumbnails: dict[str, list[Thumbnail]] = {kind: [] for kind in KINDS}
    for number, field_plan in enumerate(plan.fields):
        yield Progress(number, len(plan.fields), f"looking at {field_plan.name}")
        wanted = {kind: _of(getattr(verdict, kind), number) for kind in KINDS}
        if not any(wanted.values()):
            continue
        with contextlib.suppress(MitosisError):  # without its file a field has no thumbnails
            field = field_plan.sample().field.loaded()
            for kind, spots in wanted.items():
                for spot in spots[: MOST_THUMBNAILS - len(thumbnails[kind])]:
                    image = as_image(crop(field, round(spot.y_px), round(spot.x_px)))
                    digest = field_plan.digest or field.digest
                    thumbnails[kind].append(Thumbnail(image, field_plan.name, digest, spot.y_px, spot.x_px))
    return Judgement(name, card, verdict, thumbnails)


def _of(spots: Sequence[Spot], field: int) -> list[Spot]:
    return [spot for spot in spots if spot.field == field]
