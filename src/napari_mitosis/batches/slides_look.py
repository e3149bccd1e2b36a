"""What a scan needs of a pipeline, and how a model's name becomes one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..decision.decide import Rule
from ..decision.evidence import Evidence
from ..fields.field import Field
from ..jobs import Job

if TYPE_CHECKING:
    from ..models.card import ModelCard
    from ..models.registry import Detector


class Looks(Protocol):
    """What looks at a field: `inference.pipeline.Pipeline`, as far as a scan needs it."""

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def rule(self) -> Rule: ...
    @property
    def cards(self) -> tuple[ModelCard, ...]: ...
    def look(self, field: Field, *, device: str = "auto") -> Job[Evidence]: ...


@dataclass(frozen=True, eq=False)
class Alone:
    """A detector with the rule of its card."""

    detector: Detector

    @property
    def name(self) -> str:
        return self.detector.card.name

    @property
    def fingerprint(self) -> str:
        return self.detector.fingerprint

    @property
    def rule(self) -> Rule:
        return self.detector.card.decision_rule()

    @property
    def cards(self) -> tuple[ModelCard, ...]:
        return (self.detector.card,)

    def look(self, field: Field, *, device: str = "auto") -> Job[Evidence]:
        from ..inference.predict import predict  # imports torch

        return predict(field, self.detector, device=device)


def load_looks(name: str, folder: Path | None = None) -> Looks:
    """Load a model by its name.

    Raises
    ------
    WeightsError
        If there is no such model.
    """
    from ..models.registry import load_detector

    return Alone(load_detector(name, folder))
