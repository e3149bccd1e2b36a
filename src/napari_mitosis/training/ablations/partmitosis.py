"""Ablations of PartMitosis: the fusion weight (section IV-C), the training strategy and the form of the transfer
function (tables 1 and 2 of Sebai et al. 2020).

End-to-end training whose strong loss reaches the concentric branch, the paper's worse variant, is left out:
the gradient always stops there.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...datasets.crops import read_crops
from ...datasets.icpr import read_icpr2012
from ...decision.decide import Rule
from ...errors import WeightsError
from ...inference.predict import predict
from ...jobs import Job, Progress, retold
from ...measures.evaluate import Evaluation
from ...measures.sweep import Grid, grid_for
from ...models.partmitosis import CompactPartMitosis
from ...models.registry import Detector
from ...models.transfer import FORMS, PAPER_FORM
from ...models.trunks import fold_batch_norms
from ...models.weights import load_weights
from ..crossval import Protocol, Scored, collect, count_all, cross_fitted_rules, folds, measure
from ..partmitosis import PartMitosisSystem, PartRecipe
from .rows import RADIUS_UM, as_row, saying

PROTOCOLS: tuple[Protocol, ...] = ("S", "N")
TRAINED: Mapping[str, PartRecipe] = {
    **{f"stage-wise, {form}": PartRecipe(form=form) for form in FORMS},
    f"end-to-end, {PAPER_FORM}": PartRecipe(strategy="end-to-end"),
}
"""What is trained: every form stage-wise, and the paper's form end-to-end, too."""


def ablation(runs: Path, data: Path) -> Job[pd.DataFrame]:
    """F of the held-out fields at each fusion weight, under both protocols as far as they are scored.

    Each weight gets rules chosen for it, cross-fitted as everywhere. At w = 1 the concentric branch decides
    alone: the SegMitos network that the fold started from. The last row's weight is chosen with the rule.

    Parameters
    ----------
    runs : Path
        Run folder of the cross-validation of PartMitosis.

    Returns
    -------
    DataFrame
        See `rows.as_row`.

    Raises
    ------
    WeightsError
        If no fold is scored.
    """
    samples = read_icpr2012(data / "icpr2012")
    start = _start()
    rows = []
    for protocol in PROTOCOLS:
        scored = collect(runs, samples, protocol)
        if not scored:
            continue
        grid = grid_for(scored[0].evidence, start)
        counts = yield from retold(count_all(scored, start, RADIUS_UM, grid), saying(f"protocol {protocol}"))
        table = f"fusion weight, protocol {protocol}"
        for k, weights in enumerate(grid.weights):
            name = f"w = {dict(weights)['concentric']:g}"
            rows.append(as_row(table, name, _measured(scored, counts, start, grid, slice(k, k + 1))))
        rows.append(as_row(table, "w chosen", _measured(scored, counts, start, grid, slice(None))))
    if not rows:
        raise WeightsError(f"{runs} holds no scored fold of PartMitosis; run `napari-mitosis train crossval` first")
    return pd.DataFrame(rows)


def trained_ablation(runs: Path, data: Path, out: Path, *, steps: int) -> Job[pd.DataFrame]:
    """F on the first fold of protocol S of networks of other strategies and forms, each trained for `steps`.

    The rule of each field is chosen on the fold's other fields: figures compare with one another only.

    Parameters
    ----------
    runs : Path
        Run folder of the compact SegMitos: its network and its hard negatives start all variants.
    out : Path
        A folder for each variant is made in it; a killed run goes on from there.

    Returns
    -------
    DataFrame
        See `rows.as_row`; for each variant both maps, weight chosen, and the strong map alone.
    """
    samples = read_icpr2012(data / "icpr2012")
    crops = read_crops(data / "ami_br") + read_crops(data / "tupac_crops")
    fold, test = next(iter(folds(samples, "S").items()))
    train = [s for i, s in enumerate(samples) if i not in test]
    start = _start()
    rows = []
    for name, recipe in TRAINED.items():
        place = out / name.replace(", ", "-").replace(" ", "-")
        # The hard negatives of SegMitos serve every variant alike, and cost no look at the training fields.
        system = PartMitosisSystem(recipe=replace(recipe, mine_at=()))
        network = CompactPartMitosis(recipe.form)
        if (place / "model.safetensors").exists():
            load_weights(network, place / "model.safetensors")
        else:
            place.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(runs / fold / "mined.json", place / "mined.json")
            job = system.fold(train, crops, runs / fold / "model.safetensors", place, seed=0, steps=steps)
            trained = yield from retold(job, saying(name))
            network.load_state_dict(trained.state_dict())
        detector = Detector(system.card(version="0.0.0", seed=0), fold_batch_norms(network.eval()))
        scored = []
        for i in test:
            evidence = yield from retold(predict(samples[i].field, detector), saying(name))
            # Every field is a fold of its own: the rule of each is chosen on the others.
            scored.append(Scored(samples[i], samples[i].field.name, evidence))
        grid = grid_for(scored[0].evidence, start)
        counts = yield from retold(count_all(scored, start, RADIUS_UM, grid), saying(name))
        table = f"strategy and form, fold {fold}, {steps} steps"
        rows.append(as_row(table, name, _measured(scored, counts, start, grid, slice(None))))
        rows.append(as_row(table, f"{name}, strong map alone", _measured(scored, counts, start, grid, slice(0, 1))))
        yield Progress(len(rows) // 2, len(TRAINED), name)
    return pd.DataFrame(rows)


def _start() -> Rule:
    """What the grid does not vary: the rule of the card, as in the report of the cross-validation."""
    return PartMitosisSystem().card(version="0.0.0", seed=0).decision_rule()


def _measured(
    scored: Sequence[Scored], counts: Sequence[NDArray[np.int64]], start: Rule, grid: Grid, weights: slice
) -> Evaluation:
    """Cross-fitted measures where the rule may choose among these of the grid's fusion weights."""
    # The first axis of the counts holds weights, smoothing and disc; the last two have one value each.
    narrow = replace(grid, weights=grid.weights[weights])
    rules = cross_fitted_rules(scored, [c[weights] for c in counts], start, narrow)
    return measure(scored, rules, RADIUS_UM)
