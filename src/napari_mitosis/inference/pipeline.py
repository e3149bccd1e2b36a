"""Detector, verifier and rule as one object: what looks at a field, and how it decides on what it saw.

A pipeline is a detector, a verifier behind another pipeline, or an ensemble of pipelines; whoever holds one need
not know which.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import pandas as pd

from ..decision.decide import Decider, Rule, decide
from ..decision.evidence import BOX_SIZE, Evidence
from ..fields.field import Field
from ..jobs import Job, Progress, retold
from ..measures.calibrate import Calibration
from ..models.card import Member, ModelCard
from ..models.presets import VERIFIED_SCORES, verified_rule
from ..models.registry import BoxNetwork, Detector, JoiningNetwork, find_version, installed, load_detector
from .cache import EvidenceCache
from .device import choose_device
from .ensemble import combine, with_probability
from .predict import in_memory, predict
from .verify import load_verifier, verify

__all__ = [
    "DetectorPipeline",
    "EnsemblePipeline",
    "Pipeline",
    "VerifiedPipeline",
    "load_pipeline",
    "pipeline_of",
    "verified_pipeline",
]

_STEPS = 100
_VERIFYING = 10
"""Of `_STEPS`, those that the look at the candidates takes."""


@dataclass(frozen=True, eq=False)
class Pipeline(ABC):
    """What looks at a field and decides. Frozen; safe to share between threads that take turns.

    Attributes
    ----------
    card : ModelCard
        What is known of it: origin, quality, terms.
    rule : Rule
        How it decides: the rule that ships, or the one that `with_rule` set.
    """

    card: ModelCard
    rule: Rule

    @property
    @abstractmethod
    def name(self) -> str:
        """The model version that its evidence carries: ``detector@version``, a plus and the verifier's version."""

    @property
    @abstractmethod
    def cards(self) -> tuple[ModelCard, ...]:
        """Cards of all networks in it, in the order in which they look."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Sha256 of all that changes the evidence: weights, and the rules by which candidates are made."""

    @property
    @abstractmethod
    def extra_columns(self) -> tuple[str, ...]:
        """Columns of its detections beyond `tables.DETECTION_COLUMNS`: box sizes, and the scores that are weighed."""

    @abstractmethod
    def _look(
        self, field: Field, device: str, cache: EvidenceCache | None, tile_px: int | None, poses: int | None
    ) -> Job[Evidence]:
        """What `look` does when the evidence is not known."""

    def look(
        self,
        field: Field,
        *,
        device: str = "auto",
        cache: EvidenceCache | None = None,
        tile_px: int | None = None,
        poses: int | None = None,
    ) -> Job[Evidence]:
        """Let every network look at a field. A job: run it with `jobs.run`, or in a worker.

        Parameters
        ----------
        field : Field
        device : str
            ``"auto"``, ``"cuda"``, ``"mps"`` or ``"cpu"``.
        cache : EvidenceCache, optional
            Evidence found there is returned at once, and new evidence is put there: that of each part, too.
        tile_px, poses : int, optional
            See `predict.predict`; for each detector.

        Yields
        ------
        Progress

        Returns
        -------
        Evidence

        Raises
        ------
        UnknownResolution
            If the field does not know its um/px.
        FieldError
            If its pixels cannot be read.
        MitosisError
            If there is no such device.
        """
        mpp = field.require_mpp(f"Detection with {self.card.name}")
        place = choose_device(device)
        field = in_memory(field)
        if cache is None:
            return (yield from self._look(field, device, cache, tile_px, poses))
        key = f"{field.digest}-{self.fingerprint}-{mpp:.6f}-{tile_px}-{poses}-{place.type}-chain"
        known = cache.get(key)
        if known is not None:
            yield Progress(1, 1, "known from before")
            return known
        evidence = yield from self._look(field, device, cache, tile_px, poses)
        cache.put(key, evidence)
        return evidence

    def decide(self, evidence: Evidence, rule: Rule | None = None) -> pd.DataFrame:
        """Detections: see `decision.decide.decide`. Milliseconds; no network runs.

        Parameters
        ----------
        evidence : Evidence
            What `look` gave.
        rule : Rule, optional
            Instead of the pipeline's own.
        """
        return decide(evidence, rule or self.rule)

    def decider(self, evidence: Evidence) -> Decider:
        """Decides on one evidence under many rules, remembering what they share."""
        return Decider(evidence)

    def with_rule(self, rule: Rule) -> Self:
        """The same pipeline, deciding otherwise."""
        return replace(self, rule=rule)


@dataclass(frozen=True, eq=False)
class DetectorPipeline(Pipeline):
    """One detector.

    Attributes
    ----------
    detector : Detector
    """

    detector: Detector

    @property
    def name(self) -> str:
        return self.detector.card.name

    @property
    def cards(self) -> tuple[ModelCard, ...]:
        return (self.detector.card,)

    @property
    def fingerprint(self) -> str:
        return self.detector.fingerprint

    @property
    def extra_columns(self) -> tuple[str, ...]:
        return BOX_SIZE if isinstance(self.detector.network, BoxNetwork | JoiningNetwork) else ()

    def look(
        self,
        field: Field,
        *,
        device: str = "auto",
        cache: EvidenceCache | None = None,
        tile_px: int | None = None,
        poses: int | None = None,
    ) -> Job[Evidence]:
        """See `Pipeline.look`; `predict.predict` knows the cache itself."""
        return self._look(field, device, cache, tile_px, poses)

    def _look(
        self, field: Field, device: str, cache: EvidenceCache | None, tile_px: int | None, poses: int | None
    ) -> Job[Evidence]:
        return predict(field, self.detector, device=device, tile_px=tile_px, poses=poses, cache=cache)


@dataclass(frozen=True, eq=False)
class VerifiedPipeline(Pipeline):
    """A verifier behind another pipeline: each of its candidates is looked at once more (DeepMitosis, section 3.2).

    Attributes
    ----------
    first : Pipeline
        Its own rule makes the candidates.
    verifier : Detector
        Of kind ``"verifier"``.
    """

    first: Pipeline
    verifier: Detector

    @property
    def name(self) -> str:
        return f"{self.first.name}+{self.verifier.card.name}"

    @property
    def cards(self) -> tuple[ModelCard, ...]:
        return (*self.first.cards, self.verifier.card)

    @property
    def fingerprint(self) -> str:
        return _digest(self.first.fingerprint, repr(self.first.rule), self.verifier.fingerprint)

    @property
    def extra_columns(self) -> tuple[str, ...]:
        return BOX_SIZE + VERIFIED_SCORES

    def _look(
        self, field: Field, device: str, cache: EvidenceCache | None, tile_px: int | None, poses: int | None
    ) -> Job[Evidence]:
        seen = self.first.look(field, device=device, cache=cache, tile_px=tile_px, poses=poses)
        evidence = yield from _part(seen, 0, _STEPS - _VERIFYING, _STEPS)
        verified = verify(field, evidence, self.verifier, self.first.rule, device=device)
        return (yield from _part(verified, _STEPS - _VERIFYING, _VERIFYING, _STEPS))


@dataclass(frozen=True, eq=False)
class EnsemblePipeline(Pipeline):
    """Several pipelines whose calibrated scores are weighed: see `ensemble`.

    Attributes
    ----------
    members : tuple of Pipeline
        Each with the loose rule that makes its candidates, in the order of the card's members.
    """

    members: tuple[Pipeline, ...]

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def cards(self) -> tuple[ModelCard, ...]:
        return tuple(card for member in self.members for card in member.cards)

    @property
    def fingerprint(self) -> str:
        stated = [member.model_dump_json() for member in self.card.members]
        return _digest(*(member.fingerprint for member in self.members), *stated)

    @property
    def extra_columns(self) -> tuple[str, ...]:
        return BOX_SIZE + tuple(member.name for member in self.card.members)

    def _look(
        self, field: Field, device: str, cache: EvidenceCache | None, tile_px: int | None, poses: int | None
    ) -> Job[Evidence]:
        tables: dict[str, pd.DataFrame] = {}
        total = _STEPS * len(self.members)
        for number, (stated, member) in enumerate(zip(self.card.members, self.members, strict=True)):
            seen = member.look(field, device=device, cache=cache, tile_px=tile_px, poses=poses)
            evidence = yield from _part(seen, _STEPS * number, _STEPS, total)
            tables[stated.name] = with_probability(member.decide(evidence), Calibration(stated.calibration))
        mpp = field.require_mpp(f"Detection with {self.card.name}")
        return combine(tables, field.shape, mpp, self.card.name, field.digest)


def pipeline_of(detector: Detector, verifier: Detector | None = None) -> Pipeline:
    """The pipeline of a loaded detector, with the rule of its card, and of a verifier behind it."""
    alone = DetectorPipeline(detector.card, detector.card.decision_rule(), detector)
    return alone if verifier is None else verified_pipeline(alone, verifier)


def verified_pipeline(first: Pipeline, verifier: Detector) -> VerifiedPipeline:
    """A verifier behind a pipeline, with the rule that was chosen for both (`presets.verified_rule`)."""
    return VerifiedPipeline(first.card, verified_rule(first.card, verifier.card), first, verifier)


def load_pipeline(name: str = "segmitos", folder: Path | None = None) -> Pipeline:
    """Load a model by its name.

    Parameters
    ----------
    name : str
        A detector or an ensemble (``segmitos``, ``segmitos@1.0.0``, ``ensemble``), a chain that has a name
        (``deepmitosis``: DeepDet with DeepVer behind it, as its paper has it), or any of these with a plus and a
        verifier (``partmitosis+deepver``). Without a version it is the adopted one, else the newest that is not
        fine-tuned.
    folder : Path, optional
        Where to look, instead of the shipped and the user's models.

    Returns
    -------
    Pipeline

    Raises
    ------
    WeightsError
        If there is no such version, its file is damaged or does not fit the network.
    """
    first, verifier = split_verifier(name, folder)
    if verifier:
        return verified_pipeline(load_pipeline(first, folder), load_verifier(verifier, folder))
    card, _ = find_version(first, folder)
    if not card.members:
        return pipeline_of(load_detector(card.name, folder))
    members = tuple(_load_member(member, folder) for member in card.members)
    if card.is_chain:
        return replace(members[0], card=card, rule=card.decision_rule())
    return EnsemblePipeline(card, card.decision_rule(), members)


def split_verifier(name: str, folder: Path | None = None) -> tuple[str, str]:
    """``deepdet@1.0.0+deepver`` -> ``deepdet@1.0.0`` and ``deepver``; the second is empty where there is none.

    Versions hold a plus themselves (``1.0.0+tuned.2``): what follows the one that counts is the name of a model.
    """
    models = {card.detector for card, _ in installed(folder)}
    parts = name.split("+")
    for at in range(len(parts) - 1, 0, -1):
        if parts[at].partition("@")[0] in models:
            return "+".join(parts[:at]), "+".join(parts[at:])
    return name, ""


def _load_member(member: Member, folder: Path | None) -> Pipeline:
    """A member of an ensemble or the one of a chain, with the rule that makes its candidates."""
    first = load_pipeline(member.model, folder)
    if member.verifier:
        first = verified_pipeline(first, load_verifier(member.verifier, folder))
    return first.with_rule(member.decision_rule())


def _part(job: Job[Evidence], begin: int, share: int, total: int) -> Job[Evidence]:
    """A job, told as the steps from `begin` on, `share` of `total`."""

    def tell(step: Progress) -> Progress:
        done = min(1.0, step.done / step.total) if step.total else 0.0
        return Progress(begin + int(share * done), total, step.message, step.metrics)

    return retold(job, tell)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
