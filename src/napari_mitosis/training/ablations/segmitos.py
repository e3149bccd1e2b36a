"""Ablations of SegMitos: the steps of the decision (section 4.4) and the kind of label (section 4.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from ...datasets.crops import read_crops
from ...datasets.icpr import read_icpr2012
from ...decision.decide import Rule, decide_per_tile
from ...errors import WeightsError
from ...jobs import Job, retold
from ...measures.evaluate import Evaluation, FieldResult, evaluate
from ...measures.sweep import Grid
from ..augment import LABELS
from ..crossval import Scored, collect, count_all, cross_fitted_rules, cross_validate, measure
from ..segmitos import SegMitosSystem
from .rows import RADIUS_UM, as_row, saying

PATCH_PX = 521
"""Side of a patch in which the published code looks at ICPR 2012."""

_NO_OTSU: tuple[float, ...] = (0.2, 0.3, 0.4, 0.5)
DECISIONS: dict[str, Grid] = {
    "full": Grid(),
    "fixed thresholds only": Grid(threshold=_NO_OTSU),
    "Otsu over the field only": Grid(threshold=("otsu",)),
    "no smoothing": Grid(smoothing_um=(0.0,)),
    "no area filter": Grid(min_area_um2=(0.0,)),
    "no score filter": Grid(min_score=(0.0,)),
    "neither filter": Grid(min_area_um2=(0.0,), min_score=(0.0,)),
}


def ablation(runs: Path, data: Path) -> Job[pd.DataFrame]:
    """F of the held-out fields of protocol S without each step of the decision in turn.

    Every variant gets rules chosen for it, cross-fitted as everywhere: what a step is worth shows only when
    the others may make up for it.

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
    for name, grid in DECISIONS.items():
        counts = yield from retold(count_all(scored, Rule(), RADIUS_UM, grid), saying(name))
        rules = cross_fitted_rules(scored, counts, Rule(), grid)
        rows.append(as_row("decision", name, measure(scored, rules, RADIUS_UM)))
        if name == "Otsu over the field only":
            rows.append(as_row("decision", "Otsu in each patch only", _per_patch(scored, rules)))
    return pd.DataFrame(rows)


def trained_ablation(runs: Path, data: Path, out: Path, *, steps: int) -> Job[pd.DataFrame]:
    """F with each kind of labels, trained for `steps` on every fold of S.

    Parameters
    ----------
    runs : Path
        Holds the weights of stage 1, which saw crops with random concentric labels and none of these fields: only
        the second stage differs.
    out : Path
        A run folder for each kind of label is made in it.

    Raises
    ------
    WeightsError
        If `runs` holds no weights of stage 1: those of its folds know these fields by random rings.
    """
    base = runs / "base.safetensors"
    if not base.is_file():
        raise WeightsError(f"{base} is missing: labels are compared from stage 1 on ('train base --out {runs}')")
    samples = read_icpr2012(data / "icpr2012")
    crops = read_crops(data / "ami_br") + read_crops(data / "tupac_crops")
    rows = []
    for label in LABELS:
        system = SegMitosSystem().with_label(label)
        job = cross_validate(system, base, samples, [], crops, "S", out / label, steps=steps)
        yield from retold(job, saying(f"{label} labels"))
        scored = collect(out / label, samples, "S")
        counts = yield from retold(count_all(scored, Rule(), RADIUS_UM), saying(f"{label} labels"))
        rules = cross_fitted_rules(scored, counts, Rule())
        rows.append(as_row(f"labels, {steps} steps a fold", label, measure(scored, rules, RADIUS_UM)))
    return pd.DataFrame(rows)


def _per_patch(scored: Sequence[Scored], rules: Mapping[str, Rule]) -> Evaluation:
    results = []
    for s in scored:
        detections = decide_per_tile(s.evidence, rules[s.fold], PATCH_PX)
        truth = s.sample.centroids_yx()
        results.append(FieldResult(s.sample.field.name, s.sample.case, detections, truth, s.evidence.mpp))
    return evaluate(results, RADIUS_UM)
