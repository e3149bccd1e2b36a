"""The model card: everything about a set of weights that is not a number in them. Imports no torch."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, field_validator

from ..decision.decide import Rule
from ..errors import WeightsError, brief
from .adoption import ADOPTED_FILE
from .seen import Seen

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
"""Of a detector: it becomes part of a file's name, so nothing in it may lead elsewhere."""

VERSION = r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$"

MAX_CARD_BYTES = 2**20
"""Cards are some kilobytes long; what is larger is no card."""


class Measure(BaseModel):
    """One measured result: precision, recall and F with its 95 % interval, and on what."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

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
    patients: int = Field(default=0, ge=0, description="patients that the interval draws from; 0: it draws fields")
    false_per_mm2: FiniteFloat | None = Field(default=None, ge=0, description="false detections for each mm2 of them")


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

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: str
    verifier: str = ""
    rule: dict[str, Any]
    calibration: tuple[tuple[float, float], ...]

    @field_validator("rule")
    @classmethod
    def _rule_can_be_meant(cls, values: dict[str, Any]) -> dict[str, Any]:
        _rule(values)
        return values

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
    seen : Seen, optional
        The stains of its training; without it no stain is called unusual.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    detector: str = Field(max_length=60, pattern=NAME)
    kind: Literal["detector", "verifier"] = "detector"
    config: str
    version: str = Field(max_length=100, pattern=VERSION)
    parent: str | None = None
    title: str
    # Bounds far beyond any network, within which a field still ends in bearable time and memory.
    mpp: FiniteFloat = Field(ge=0.05, le=10)
    tile_px: int = Field(ge=32, le=16_384)
    halo_px: int = Field(ge=0, le=2_048)
    poses: int = Field(default=1, ge=1, le=8, description="rotations and mirror images whose scores are averaged")
    parameters: int = Field(ge=0)
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
    seen: Seen | None = None
    sha256: str = ""

    @field_validator("rule")
    @classmethod
    def _rule_can_be_meant(cls, values: dict[str, Any]) -> dict[str, Any]:
        _rule(values)
        return values

    @field_validator("verified")
    @classmethod
    def _verified_can_be_meant(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values:
            names = [values.get(key, "") for key in ("verifier", "detector")]
            if not isinstance(values.get("rule"), dict) or not all(isinstance(name, str) for name in names):
                raise ValueError("it must name a verifier or a detector, and hold the rule of both")
            _rule(values["rule"])
        return values

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
    try:
        return Rule(**{name: value for name, value in values.items() if value is not None})
    except (TypeError, OverflowError) as error:  # an unknown name, or the wrong type
        raise ValueError(f"its rule cannot be read: {error}") from error


def read_card(path: Path) -> ModelCard:
    """Read a card.

    Raises
    ------
    WeightsError
        If the file is missing or is no model card.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CARD_BYTES + 1)
        if len(text) > MAX_CARD_BYTES:
            raise ValueError(f"it is larger than {MAX_CARD_BYTES:,} bytes")
        return ModelCard.model_validate_json(text)
    except (OSError, ValidationError, ValueError) as error:
        raise WeightsError(f"{path.name} is not a readable model card: {brief(error)}") from error


def cards_in(folder: Path) -> tuple[list[tuple[Path, ModelCard]], list[str]]:
    """The cards of a folder, and why other JSON files in it are none: a stray file takes no model away.

    Returns
    -------
    cards : list of (Path, ModelCard)
        By file name.
    strays : list of str
        A sentence for each.
    """
    cards, strays = [], []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        if path.name == ADOPTED_FILE or not path.is_file():
            continue
        try:
            cards.append((path, read_card(path)))
        except WeightsError as error:
            strays.append(str(error))
    return cards, strays
