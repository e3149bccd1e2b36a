"""Ablation of MSSN: each window alone, joined, and with the Siamese network (Ma et al. 2018, figures 6, 9, 10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ...datasets.icpr import read_icpr2012
from ...decision.decide import Rule
from ...decision.evidence import CANDIDATE_COLUMNS, Evidence
from ...jobs import Job, retold
from ...models.mssn_stage1 import SUB_MODELS
from ..crossval import Scored, collect, count_all, cross_fitted_rules, measure
from .rows import RADIUS_UM, as_row, saying

_START = Rule(threshold=0.2, min_score=0.5, min_area_um2=0.0)
JOINED = "joined"


def ablation(runs: Path, data: Path) -> Job[pd.DataFrame]:
    """Stage 1 by each sub-model alone and joined, without and with stage 2, on the held-out fields of protocol S.

    Every variant has rules chosen for it, cross-fitted. Two tables: ``decision``, and ``every candidate``, where
    nothing but the sub-model's own low threshold is asked, which shows what stage 1 loses for good.

    Parameters
    ----------
    runs : Path
        Run folder of the cross-validation.

    Returns
    -------
    DataFrame
        See `rows.as_row`.
    """
    scored = collect(runs, read_icpr2012(data / "icpr2012"), "S")
    rows = []
    for name in (*SUB_MODELS, JOINED):
        for second in (False, True):
            what = f"{name}, {'with' if second else 'without'} stage 2"
            variant = [replace(s, evidence=narrowed(s.evidence, name, second), resaved=None) for s in scored]
            counts = yield from retold(count_all(variant, _START, RADIUS_UM), saying(what))
            rules = cross_fitted_rules(variant, counts, _START)
            rows.append(as_row("decision", what, measure(variant, rules, RADIUS_UM)))
            if not second:
                rows.append(as_row("every candidate", name, measure(variant, _everything(variant), RADIUS_UM)))
    rows += _similarity_alone(scored)
    return pd.DataFrame(rows)


def narrowed(evidence: Evidence, name: str, second: bool) -> Evidence:
    """The candidates that one sub-model, or any of them, names, scored by it and, if wanted, by stage 2.

    Parameters
    ----------
    name : str
        One of `SUB_MODELS`, or ``"joined"``.
    second : bool
        Whether the similarity of stage 2 stays.
    """
    frame = evidence.candidates
    assert frame is not None
    score = "stage1"
    if name != JOINED:
        bit = 2 ** SUB_MODELS.index(name)
        frame = frame[frame["fired"].astype(int) & bit > 0]
        score = name
    scores = (score, "similarity") if second else (score,)
    return replace(evidence, candidates=frame[[*CANDIDATE_COLUMNS, *scores]].reset_index(drop=True), scores=scores)


def _everything(scored: Sequence[Scored]) -> dict[str, Rule]:
    rule = Rule(threshold=0.0, min_score=0.0, min_area_um2=0.0)
    return {s.fold: rule for s in scored}


def _similarity_alone(scored: Sequence[Scored]) -> list[dict[str, object]]:
    """The paper's own decision: every joined candidate whose summed similarity to mitoses is larger."""
    rule = Rule(threshold=0.0, min_score=0.5, min_area_um2=0.0, weights=(("similarity", 1.0),))
    rules = {s.fold: rule for s in scored}
    return [as_row("decision", "joined, similarity above 0.5 (the paper's vote)", measure(scored, rules, RADIUS_UM))]
