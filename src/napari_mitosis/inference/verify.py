"""A verifier behind any detector: each candidate is looked at once more (DeepMitosis, section 3.2)."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..decision.decide import Decider, Rule
from ..decision.evidence import CANDIDATE_COLUMNS, Evidence
from ..errors import WeightsError
from ..fields.field import Field
from ..jobs import Job, Progress, retold
from ..models.card import ModelCard
from ..models.registry import Detector, load_detector
from ..tables import DETECTION_COLUMNS
from .examine import examine
from .predict import predict

VERIFIED_SCORES = ("detector", "verifier")
# Candidates of a detector of boxes below this first score are not worth a second look.
_FLOOR = 0.05


def verify(field: Field, evidence: Evidence, verifier: Detector, rule: Rule, *, device: str = "auto") -> Job[Evidence]:
    """Examine the candidates of any detector.

    Parameters
    ----------
    field : Field
        The one that `evidence` is of.
    evidence : Evidence
    verifier : Detector
        Of kind ``"verifier"``.
    rule : Rule
        The detector's own: how it makes candidates of its evidence. Its filters by score and area are not
        applied.
    device : str
        See `predict.predict`.

    Yields
    ------
    Progress
        One for each batch of candidates.

    Returns
    -------
    Evidence
        With the same maps, and candidates with the scores ``detector`` (as `rule` fuses them) and
        ``verifier``: what both weigh is up to the rule that decides on it, see `verified_rule`.

    Raises
    ------
    UnknownResolution
        If the field does not know its um/px.
    WeightsError
        If the network cannot examine candidates.
    """
    found = Decider(evidence).candidates(_for_candidates(evidence, rule))
    points = found[["y_px", "x_px"]].to_numpy()
    seen = yield from examine(field, points, verifier, device=device)
    frame = _boxes(found, evidence)
    frame["detector"] = found["score"]
    frame["verifier"] = seen[:, 0].astype(np.float64)
    for name in found.columns:
        if name not in DETECTION_COLUMNS and name not in VERIFIED_SCORES:
            frame[name] = found[name]
    model = f"{evidence.model}+{verifier.card.name}"
    return replace(evidence, candidates=frame, scores=VERIFIED_SCORES, model=model)


def predict_verified(
    field: Field, detector: Detector, verifier: Detector | None, *, device: str = "auto"
) -> Job[Evidence]:
    """`predict.predict`, then `verify` where there is a verifier; candidates are made by the detector's own rule.

    Yields
    ------
    Progress
        In hundredths; those of the candidates are the last ten.
    """
    if verifier is None:
        return (yield from predict(field, detector, device=device))
    # Both read pixels; a field that is decoded whole at each read is decoded once.
    field = field.loaded()
    evidence = yield from retold(predict(field, detector, device=device), lambda p: _part(p, 0, 90))
    job = verify(field, evidence, verifier, detector.card.decision_rule(), device=device)
    return (yield from retold(job, lambda p: _part(p, 90, 10)))


def load_verifier(name: str, folder: Path | None = None) -> Detector:
    """As `models.registry.load_detector`, for what examines candidates only.

    Raises
    ------
    WeightsError
        If there is no such version here, or it is no verifier.
    """
    loaded = load_detector(name, folder)
    if loaded.card.kind != "verifier":
        raise WeightsError(f"{loaded.card.name} is a detector; it cannot verify what another one found")
    return loaded


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
    own = verifier.verified.get("detector") == card.detector
    known = verifier.verified_rule() if own else card.verified_rule()
    if known is not None:
        return known
    weights = tuple((name, 0.5) for name in VERIFIED_SCORES)
    return Rule(threshold=_FLOOR, min_score=0.5, min_area_um2=0.0, weights=weights)


def _for_candidates(evidence: Evidence, rule: Rule) -> Rule:
    if evidence.candidates is not None:
        return replace(rule, threshold=_FLOOR)
    return rule


def _part(step: Progress, first: int, share: int) -> Progress:
    done = share * min(1.0, step.done / step.total) if step.total else 0.0
    return replace(step, done=first + int(done), total=100)


def _boxes(found: pd.DataFrame, evidence: Evidence) -> pd.DataFrame:
    """Places with squares of the same area as an ellipse in them would have."""
    side = np.sqrt(found["area_um2"].to_numpy() * 4 / math.pi) / evidence.mpp
    columns = (found["y_px"], found["x_px"], side, side)
    return pd.DataFrame(dict(zip(CANDIDATE_COLUMNS, columns, strict=True)))
