"""What a fine-tuning left: the child, its card and the verdict, as a file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from ..errors import DatasetError, brief
from ..files import write_whole
from ..models.card import ModelCard
from ..names import inside
from .gate import Verdict

OUTCOME_FILE = "outcome.json"
CHILD_FILE = "child.safetensors"


@dataclass(frozen=True)
class Outcome:
    """A finished fine-tuning.

    Attributes
    ----------
    folder : Path
        With ``child.safetensors`` and ``outcome.json``.
    card : ModelCard
        Of the child.
    verdict : Verdict
    fields : tuple of str
        Digest of each field of the plan, or its path where that is not known; a `Spot` counts them.
    """

    folder: Path
    card: ModelCard
    verdict: Verdict
    fields: tuple[str, ...]

    def save(self) -> None:
        """Write ``outcome.json``, whole or not at all."""
        verdict = asdict(self.verdict)
        for kind in ("found", "lost", "new_false", "dropped_false"):
            verdict[kind] = [{**spot, "digest": self.fields[spot["field"]]} for spot in verdict[kind]]
        content: dict[str, Any] = {
            "status": "finished",
            "child": CHILD_FILE,
            "child_sha256": file_sha256(self.folder / CHILD_FILE),
            "card": json.loads(self.card.model_dump_json()),
            "fields": self.fields,
            "verdict": verdict,
        }
        write_whole(self.folder / OUTCOME_FILE, json.dumps(content, indent=2) + "\n")


def read_outcome(folder: Path) -> Outcome:
    """Read what `Outcome.save` wrote.

    Raises
    ------
    DatasetError
        If it is missing or damaged.
    """
    try:
        written = _Written.model_validate_json((folder / OUTCOME_FILE).read_bytes())
        child = inside(folder, written.child)
        if child is None or not child.is_file():
            raise ValueError(f"{CHILD_FILE} is missing")
        sha256 = file_sha256(child)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{folder.name} holds no readable outcome of a fine-tuning: {brief(error)}") from error
    if sha256 != written.child_sha256:
        raise DatasetError(f"{folder.name}: {CHILD_FILE} is not the file that its outcome describes (sha256 differs)")
    return Outcome(folder, written.card, written.verdict, written.fields)


class _Written(BaseModel):
    """The content of ``outcome.json``; the wrong type of anything in it is an error by construction."""

    model_config = ConfigDict(frozen=True)

    status: Literal["finished"]
    child: Literal["child.safetensors"]
    child_sha256: str
    card: ModelCard
    fields: tuple[str, ...]
    verdict: Verdict

    @model_validator(mode="after")
    def _spots_are_of_the_fields(self) -> Self:
        verdict = self.verdict
        spots = (*verdict.found, *verdict.lost, *verdict.new_false, *verdict.dropped_false)
        if any(not 0 <= spot.field < len(self.fields) for spot in spots):
            raise ValueError("a figure of the verdict lies in a field that the plan does not have")
        return self


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
