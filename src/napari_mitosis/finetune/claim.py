"""A folder becomes one plan's own, and stays it: what was begun goes on only as it was begun."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ..annotations.snapshot import Snapshot
from ..errors import DatasetError, WeightsError, brief
from ..files import write_whole
from .journal import field_plans
from .plan import PLAN_FILE, FinetunePlan, read_plan

BEGUN_FILE = "begun.json"
SNAPSHOT_FILE = "snapshot.json"


class Begun(BaseModel):
    """What a run was begun with: hashes of its plan and of its snapshot (empty where it has none)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    plan: str
    snapshot: str


def claim(plan: FinetunePlan, folder: Path) -> None:
    """Make the folder this plan's own.

    The chain that is held to: the figures of the plan are those of the snapshot, the plan names the snapshot's hash,
    and a run that goes on has the hashes that it was begun with.

    Raises
    ------
    DatasetError
        If there is nothing to learn from, the folder belongs to another plan, or its files were changed.
    WeightsError
        If the child has no name.
    """
    if (folder / PLAN_FILE).exists():
        if read_plan(folder).digest != plan.digest:
            raise DatasetError(f"{folder} belongs to another fine-tuning; give this one a folder of its own")
    elif not plan.with_role("train"):
        raise DatasetError("a fine-tuning needs at least one field to learn from")
    elif not plan.version:
        raise WeightsError("the new version needs a name")
    else:
        plan.save(folder)
    _check_snapshot(plan, folder)
    _check_begun(plan, folder)


def _check_snapshot(plan: FinetunePlan, folder: Path) -> None:
    """The figures that teach must be those that the plan's hash stands for."""
    path = folder / SNAPSHOT_FILE
    if not path.exists():
        return
    snapshot = Snapshot.load(path)
    # Which fields the program drew is said by whoever plans, not by the journal.
    planned = tuple(field.model_copy(update={"drawn": False}) for field in plan.fields)
    if snapshot.sha256 != plan.snapshot or field_plans(snapshot) != planned:
        raise DatasetError(
            f"{folder.name}: its plan and its snapshot do not belong together; one was changed. "
            "Plan the fine-tuning anew, in a new folder."
        )


def _check_begun(plan: FinetunePlan, folder: Path) -> None:
    path = folder / BEGUN_FILE
    now = Begun(plan=plan.digest, snapshot=plan.snapshot)
    if not path.exists():
        write_whole(path, now.model_dump_json() + "\n")
        return
    try:
        begun = Begun.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DatasetError(f"{folder.name}: {BEGUN_FILE} cannot be read ({brief(error)})") from error
    if begun != now:
        raise DatasetError(
            f"{folder.name}: its plan was changed after the fine-tuning was begun, and what is done there belongs to "
            "the plan before. Plan it anew, in a new folder."
        )
