"""What a fine-tuning left: the child, its card and the verdict, as a file."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import DatasetError
from ..models.card import ModelCard
from .gate import Figures, Spot, Verdict

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
        partial = self.folder / f"{OUTCOME_FILE}.{os.getpid()}.partial"
        verdict = asdict(self.verdict)
        for kind in ("found", "lost", "new_false", "dropped_false"):
            verdict[kind] = [{**spot, "digest": self.fields[spot["field"]]} for spot in verdict[kind]]
        content: dict[str, Any] = {
            "status": "finished",
            "child": CHILD_FILE,
            "card": json.loads(self.card.model_dump_json()),
            "fields": self.fields,
            "verdict": verdict,
        }
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        os.replace(partial, self.folder / OUTCOME_FILE)


def read_outcome(folder: Path) -> Outcome:
    """Read what `Outcome.save` wrote.

    Raises
    ------
    DatasetError
        If it is missing or damaged.
    """
    try:
        content = json.loads((folder / OUTCOME_FILE).read_text(encoding="utf-8"))
        verdict = dict(content["verdict"])
        for side in ("parent", "child"):
            verdict[side] = Figures(**verdict[side])
        for kind in ("found", "lost", "new_false", "dropped_false"):
            verdict[kind] = tuple(Spot(s["field"], s["y_px"], s["x_px"]) for s in verdict[kind])
        card = ModelCard.model_validate(content["card"])
        return Outcome(folder, card, Verdict(**verdict), tuple(content["fields"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{folder.name} holds no readable outcome of a fine-tuning: {error}") from error
