"""The model card: everything about a set of weights that is not a number in them. Imports no torch."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..decision.decide import Rule
from ..errors import WeightsError


class Measure(BaseModel):
    """One measured result: precision, recall and F with its 95 % interval, and on what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="what was measured, such as 'icpr2012, protocol S, 4 folds pooled'")
    fields: int
    mitoses: int
    radius_um: float
    precision: float
    recall: float
    f: float
    f_low: float
    f_high: float
    command: str = Field(default="", description="the committed command that printed it")


class Member(BaseModel):
    """One detector of an ensemble, pinned to the version whose scores were calibrated.

    Attributes
    ----------
    model, verifier : str
        ``detector@version``; the verifier that looks at its candidates, or nothing.
    rule : dict
        Fields of `decide.Rule` that make its candidates; looser than the detector's own.
    calibration : tuple of (float, float)
        Knots of the map from its scores under that rule to probabilities.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    verifier: str = ""
    rule: dict[str, Any]
    calibration: tuple[tuple[float, float], ...]

    @property
    def name(self) -> str:
        """Its score column: the detector, with a plus and the verifier where there is one."""
        return "+".join(name.partition("@")[0] for name in (self.model, self.verifier) if name)

    def decision_rule(self) -> Rule:
        """The rule that makes its candidates."""
        return _rule(self.rule)


class ModelCard(BaseModel):
    """Name, origin, decision rule and measured quality of one model version.

    Attributes
    ----------
    detector : str
        Registered name of the detector (``segmitos``).
    config : str
        ``paper/32s``, ``paper/16s``, ``paper/8s`` or ``compact``.
    mpp : float
        um/px at which the network sees a field; fields are rescaled to it.
    rule : dict
        Fields of `decide.Rule`, chosen on the data that `rule_chosen_on` names.
    kind : str
        ``"detector"`` or ``"verifier"``.
    verified : dict
        The rule with a verifier behind the detector, chosen on the same data: ``{"verifier": name, "rule": {...}}``;
        of a fine-tuned verifier the rule behind the detector that it was tuned with: ``{"detector": name, ...}``.
    calibration : tuple of (float, float)
        Knots (score, probability) of the map from a detection's score to the probability that it is a mitosis;
        empty where nothing was measured.
    members : tuple of Member
        Of an ensemble, which has no weights of its own; of a chain (`presets`) the one detector with its verifier.
    finetuned : dict
        Of a version that learnt from a reader's corrections: how, from what, and how it compares with its parent.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    detector: str
    kind: Literal["detector", "verifier"] = "detector"
    config: str
    version: str
    parent: str | None = None
    title: str
    mpp: float = Field(gt=0)
    tile_px: int = Field(gt=0)
    halo_px: int = Field(ge=0)
    poses: int = Field(default=1, ge=1, le=8, description="rotations and mirror images whose scores are averaged")
    parameters: int
    rule: dict[str, Any]
    rule_chosen_on: str
    verified: dict[str, Any] = Field(default_factory=dict)
    calibration: tuple[tuple[float, float], ...] = ()
    members: tuple[Member, ...] = ()
    finetuned: dict[str, Any] = Field(default_factory=dict)
    trained_on: str
    split: str = ""
    seed: int = 0
    measures: tuple[Measure, ...] = ()
    terms: str
    notes: str = ""
    sha256: str = ""

    @property
    def name(self) -> str:
        """``detector@version``, the name that results carry."""
        return f"{self.detector}@{self.version}"

    @property
    def is_chain(self) -> bool:
        """Whether it names a detector with its verifier (`presets`) and no weights of its own."""
        return len(self.members) == 1

    def decision_rule(self) -> Rule:
        """The rule this card's thresholds make."""
        return _rule(self.rule)

    def verified_rule(self) -> Rule | None:
        """The rule for use of both together that `verified` holds, where one was chosen."""
        return _rule(self.verified["rule"]) if self.verified else None

    def with_rule(self, rule: Rule, chosen_on: str) -> ModelCard:
        """A copy with other thresholds, and what they were chosen on."""
        return self.model_copy(update={"rule": asdict(rule), "rule_chosen_on": chosen_on})

    def save(self, path: Path) -> None:
        """Write the card as JSON."""
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _rule(values: dict[str, Any]) -> Rule:
    # JSON knows no infinity: an absent upper bound comes back as null, and is the rule's own default.
    return Rule(**{name: value for name, value in values.items() if value is not None})


def read_card(path: Path) -> ModelCard:
    """Read a card.

    Raises
    ------
    WeightsError
        If the file is missing or is no model card.
    """
    try:
        return ModelCard.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError, ValueError) as error:
        raise WeightsError(f"{path.name} is not a readable model card: {error}") from error
