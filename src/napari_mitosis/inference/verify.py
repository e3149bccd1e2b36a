"""A verifier behind any detector: each candidate is looked at once more (DeepMitosis, section 3.2)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..decision.candidates import side_px
from ..decision.decide import Decider, Rule
from ..decision.evidence import CANDIDATE_COLUMNS, Evidence
from ..errors import WeightsError
from ..fields.field import Field
from ..jobs import Job
from ..models.presets import CANDIDATE_FLOOR, VERIFIED_SCORES
from ..models.registry import Detector, load_detector
from ..tables import DETECTION_COLUMNS
from .examine import examine


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
        ``verifier``: what both weigh is up to the rule that decides on it, see `presets.verified_rule`.

    Raises
    ------
    UnknownResolution
        If the field does not know its um/px.
    WeightsError
        If the network cannot examine candidates.
    """
    listed = Decider(evidence).candidates(_for_candidates(evidence, rule))
    points = listed[["y_px", "x_px"]].to_numpy()
    seen = yield from examine(field, points, verifier, device=device)
    if evidence.candidates is None:  # blobs have no box: a square about a circle of their area
        side = side_px(listed["area_um2"].to_numpy(np.float64), evidence.mpp)
        listed = listed.assign(height_px=side, width_px=side)
    frame = listed[list(CANDIDATE_COLUMNS)].copy()
    frame["detector"] = listed["score"]
    frame["verifier"] = seen[:, 0].astype(np.float64)
    for name in listed.columns:
        if name not in (*DETECTION_COLUMNS, *CANDIDATE_COLUMNS, *VERIFIED_SCORES):
            frame[name] = listed[name]
    model = f"{evidence.model}+{verifier.card.name}"
    return replace(evidence, candidates=frame, scores=VERIFIED_SCORES, model=model)


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


def _for_candidates(evidence: Evidence, rule: Rule) -> Rule:
    if evidence.candidates is not None:
        return replace(rule, threshold=CANDIDATE_FLOOR)
    return rule
