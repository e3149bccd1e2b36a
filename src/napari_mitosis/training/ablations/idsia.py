"""Ablation of IDSIA DNN: one network, both, and both in all poses (Ciresan et al. 2013, table 2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ...datasets.icpr import read_icpr2012
from ...datasets.sample import Sample
from ...decision.decide import Rule
from ...inference.cache import load_evidence, save_evidence
from ...inference.predict import predict
from ...jobs import Job, retold
from ...models.idsia import IdsiaNet
from ...models.registry import Detector
from ...models.weights import load_weights
from ..crossval import Scored, collect, count_all, cross_fitted_rules, folds, measure
from ..idsia import START_RULE, SYSTEM
from .rows import RADIUS_UM, as_row, saying

NETS = IdsiaNet.map_names
_START = replace(START_RULE, threshold=0.025)


def ablation(runs: Path, data: Path) -> Job[pd.DataFrame]:
    """F on the held-out fields of protocol S with 1, 2, 4 and 16 passes.

    Two tables: ``passes``, with rules chosen for each variant, cross-fitted as everywhere; and ``the paper's
    rule``, d = 10 px and t = 0.35 for all. Variants whose number of poses was not scored yet are scored, with
    each fold's network; their evidence is kept in ``runs/<fold>/poses-<n>``.

    Parameters
    ----------
    runs : Path
        Run folder of the cross-validation.

    Returns
    -------
    DataFrame
        See `rows.as_row`.
    """
    samples = read_icpr2012(data / "icpr2012")
    cards = SYSTEM.card(version="0.0.0", seed=0).poses
    rows = []
    for poses in (1, cards, 8):
        if poses != cards:
            yield from _scored_in_poses(runs, samples, poses)
        scored = collect(runs, samples, "S", "evidence" if poses == cards else _kind(poses))
        for what, weights in _variants(poses):
            base = replace(_START, weights=weights)
            counts = yield from retold(count_all(scored, base, RADIUS_UM), saying(what))
            rules = cross_fitted_rules(scored, counts, base)
            rows.append(as_row("passes", what, measure(scored, rules, RADIUS_UM)))
            rows.append(as_row("the paper's rule", what, measure(scored, _papers(scored, weights), RADIUS_UM)))
    return pd.DataFrame(rows).sort_values("table", kind="stable", ignore_index=True)


def _kind(poses: int) -> str:
    return f"poses-{poses}"


def _variants(poses: int) -> Iterator[tuple[str, tuple[tuple[str, float], ...]]]:
    """Name and fusion weights of each variant that evidence of both networks in so many poses can tell."""
    if poses == 1:
        for net in NETS:
            yield f"{net.upper()} alone, 1 pass", ((net, 1.0),)
    yield f"both networks, {len(NETS) * poses} passes", ()


def _papers(scored: Sequence[Scored], weights: tuple[tuple[str, float], ...]) -> dict[str, Rule]:
    rule = replace(START_RULE, weights=weights)
    return {s.fold: rule for s in scored}


def _scored_in_poses(runs: Path, samples: Sequence[Sample], poses: int) -> Job[None]:
    """Score the held-out fields of each finished fold in so many poses, where that is not done yet."""
    card = SYSTEM.card(version="0.0.0", seed=0)
    for name, test in folds(samples, "S").items():
        weights = runs / name / "model.safetensors"
        if not weights.exists():
            continue
        network = IdsiaNet()
        load_weights(network, weights)
        detector = Detector(card, network.eval())
        for field in [samples[i].field for i in test]:
            path = runs / name / _kind(poses) / f"{field.name}.npz"
            if load_evidence(path) is None:
                what = f"{name}, {poses} poses, {field.name}"
                save_evidence(path, (yield from retold(predict(field, detector, poses=poses), saying(what))))
