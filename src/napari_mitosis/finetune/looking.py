"""What versions make of the fields of a plan, kept on disk so that a killed run need not look again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..decision.decide import Rule
from ..decision.evidence import Evidence
from ..errors import WeightsError
from ..fields.field import Field
from ..inference.cache import load_evidence, save_evidence
from ..inference.pipeline import Pipeline, load_pipeline, pipeline_of, verified_pipeline
from ..jobs import Job
from ..models.card import ModelCard
from ..models.presets import verified_rule
from ..models.registry import Detector, detector_class, find_version
from ..models.trunks import fold_batch_norms
from ..models.weights import read_state

FRONT = "deepdet"
"""The detector whose candidates a verifier examines, where none is named: its partner in the paper."""


@dataclass(frozen=True, eq=False)
class Looking:
    """How the fields of a plan are looked at.

    Attributes
    ----------
    card : ModelCard
        The parent's.
    state : mapping of str to Tensor
        The parent's weights.
    rule : Rule
        How the parent decides.
    front : Pipeline or None
        What finds the candidates that a verifier examines.
    device : str
    """

    card: ModelCard
    state: Mapping[str, Tensor]
    rule: Rule
    front: Pipeline | None
    device: str

    def rule_of(self, card: ModelCard) -> Rule:
        """How another version of the parent decides."""
        return card.decision_rule() if self.front is None else verified_rule(self.front.card, card)

    def network(self, state: Mapping[str, Tensor]) -> Detector:
        """A version with these weights, ready to look."""
        network = detector_class(self.card.detector).build(self.card.config)
        network.load_state_dict(dict(state))
        return Detector(self.card.model_copy(update={"sha256": ""}), fold_batch_norms(network.eval()))

    def look(self, field: Field, version: Detector, path: Path) -> Job[Evidence]:
        """What a version makes of a field; what is kept under `path` is not computed again."""
        known = load_evidence(path)
        if known is not None:
            return known
        pipeline = pipeline_of(version) if self.front is None else verified_pipeline(self.front, version)
        evidence = yield from pipeline.look(field, device=self.device)
        save_evidence(path, evidence)
        return evidence


def looking(parent: str, folder: Path | None, front: str, device: str) -> Looking:
    """The parent of a plan, and how it is used.

    Raises
    ------
    WeightsError
        If it is not here, or cannot be fine-tuned.
    """
    card, path = find_version(parent, folder)
    if card.members:
        members = ", ".join(sorted({m.model for m in card.members}))
        raise WeightsError(f"{card.name} has no weights of its own to train; fine-tune one of its members: {members}")
    first = load_pipeline(front or FRONT, folder) if card.kind == "verifier" else None
    rule = card.decision_rule() if first is None else verified_rule(first.card, card)
    return Looking(card, read_state(path), rule, first, device)
