"""Chains that have a name of their own, such as DeepMitosis: a detector with a verifier behind it. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType

from ..decision.decide import Rule
from .card import Member, ModelCard

PRESETS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {"deepmitosis": ("deepdet", "deepver", "DeepMitosis: DeepDet finds candidates, DeepVer verifies them")}
)
"""Name of a chain: its detector, its verifier and its title."""

VERIFIED_SCORES = ("detector", "verifier")
"""Score columns of verified candidates: the detector's fused score, and the verifier's."""

# Candidates of a detector of boxes below this first score are not worth a second look.
CANDIDATE_FLOOR = 0.05


def verified_rule(card: ModelCard, verifier: ModelCard) -> Rule:
    """How to decide on verified candidates of a detector.

    As the card of a verifier says that was fine-tuned behind this detector, else as the detector's card says, else
    both scores weigh alike.

    Parameters
    ----------
    card : ModelCard
        The detector's.
    verifier : ModelCard
    """
    tuned_behind = verifier.verified.get("detector") == card.detector
    known = verifier.verified_rule() if tuned_behind else card.verified_rule()
    if known is not None:
        return known
    weights = tuple((name, 0.5) for name in VERIFIED_SCORES)
    return Rule(threshold=CANDIDATE_FLOOR, min_score=0.5, min_area_um2=0.0, weights=weights)


def preset_cards(preferred: Mapping[str, ModelCard]) -> list[ModelCard]:
    """Cards of the chains whose parts are all here.

    Parameters
    ----------
    preferred : mapping of str to ModelCard
        Of each detector and verifier the version that its plain name means.
    """
    chains: Sequence[tuple[str, tuple[str, str, str]]] = tuple(PRESETS.items())
    return [
        _chain_card(name, title, preferred[detector], preferred[verifier])
        for name, (detector, verifier, title) in chains
        if detector in preferred and verifier in preferred
    ]


def _chain_card(name: str, title: str, detector: ModelCard, verifier: ModelCard) -> ModelCard:
    """The card of a chain, put together from those of its parts; its one member pins their versions."""
    same = detector.version == verifier.version
    rule = asdict(detector.decision_rule())
    return detector.model_copy(
        update={
            "detector": name,
            "version": detector.version if same else f"{detector.version}-{verifier.version}",
            "title": title,
            "parent": None,
            "parameters": detector.parameters + verifier.parameters,
            "rule": asdict(verified_rule(detector, verifier)),
            "verified": {},
            "calibration": (),
            "members": (Member(model=detector.name, verifier=verifier.name, rule=rule, calibration=()),),
            "finetuned": {},
            "trained_on": f"{detector.trained_on}; the verifier: {verifier.trained_on}",
            "measures": tuple(m for m in detector.measures if f"verified by {verifier.detector}" in m.name),
            "sha256": "",
        }
    )
