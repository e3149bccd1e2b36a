"""The simulated reader over patients, ways of choosing fields and seeds: a table that grows while it is measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..datasets.sample import Sample
from ..decision.decide import Rule
from ..errors import DatasetError
from ..jobs import Job, Progress, retold
from ..models.card import read_card
from ..models.registry import detector_class
from ..models.weights import load_weights, publish
from ..tables import write_table
from ..training.systems import system
from .plan import FinetunePlan
from .simulated_reader import Setting, simulate, thresholds_only

ROW_FILE = "row.json"


def publish_parents(detector: str, runs: Path, folder: Path, cases: Sequence[str]) -> dict[str, Path]:
    """A model version for each slide that has never seen it, from the folds of protocol N.

    Parameters
    ----------
    runs : Path
        Run folder of the cross-validation, with ``N-<case>/model.safetensors`` and ``rules.json``.
    folder : Path
        One folder for each slide is made in it.

    Raises
    ------
    WeightsError
        If a fold is not finished.
    DatasetError
        If the report that chooses the rules of the folds was not made.
    """
    try:
        rules = json.loads((runs / "rules.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{runs} holds no rules of its folds; run train report first") from error
    parents = {}
    for case in cases:
        parents[case] = place = folder / case
        if next(place.glob("*.json"), None) is not None:
            continue
        card = system(detector).card(version=f"0.0.0.{case}", seed=0)
        network = detector_class(detector).build(card.config)
        load_weights(network, runs / f"N-{case}" / "model.safetensors")
        values = {k: v for k, v in rules[f"N-{case}"].items() if v is not None}
        rule = Rule(**{**values, "weights": tuple((n, w) for n, w in values.get("weights", ()))})
        publish(network, card.with_rule(rule, "fields of the other slides"), place)
    return parents


def experiment(
    samples: Sequence[Sample], old: Sequence[Sample], parents: Mapping[str, FinetunePlan], out: Path,
    settings: Sequence[Setting],
) -> Job[pd.DataFrame]:  # fmt: skip
    """Run these settings one after another; what is finished is not run again.

    Parameters
    ----------
    samples, old : sequence of Sample
        Fields of the laboratory, and of the one that the parent knows; see `simulated_reader.simulate`.
    parents : mapping of str to FinetunePlan
        For each case the parent that never saw it, with time and device; fields are put in by each setting.
    out : Path
        The rows so far are in ``reader-<detector>.csv``.

    Returns
    -------
    DataFrame
        A row for each setting.
    """
    rows: list[dict[str, object]] = []
    for setting in settings:
        base, folder = parents[setting.case], out / "runs" / setting.name
        kept = folder / ROW_FILE
        if kept.exists():
            rows.append(json.loads(kept.read_text(encoding="utf-8")))
            continue
        job = simulate(samples, old, setting, base, folder, out / "seen" / base.parent)
        row = yield from retold(job, lambda p, s=setting: replace(p, message=f"{s.name}: {p.message}"))  # type: ignore[misc]
        kept.write_text(json.dumps(row), encoding="utf-8")
        rows.append(row)
        write_table(out / f"reader-{row['detector']}.csv", pd.DataFrame(rows))
    return pd.DataFrame(rows)


def thresholds(
    samples: Sequence[Sample], parents: Mapping[str, FinetunePlan], out: Path, settings: Sequence[Setting]
) -> Job[pd.DataFrame]:
    """What the same annotations are worth without training; the rows are in ``thresholds.csv``."""
    rows = []
    for number, setting in enumerate(settings):
        base = parents[setting.case]
        yield Progress(number, len(settings), setting.name)
        rows.append((yield from thresholds_only(samples, setting, base, out / "seen" / base.parent)))
        write_table(out / "thresholds.csv", pd.DataFrame(rows))
    return pd.DataFrame(rows)


def bases(parents: Mapping[str, Path], minutes: float, threads: int, steps: int) -> dict[str, FinetunePlan]:
    """A plan without fields for each case, from the folder with its parent."""
    plans = {}
    for case, folder in parents.items():
        name = read_card(next(iter(sorted(folder.glob("*.json"))))).name
        plans[case] = base_plan(name, str(folder), minutes, threads, steps)
    return plans


def base_plan(parent: str, folder: str, minutes: float, threads: int, steps: int) -> FinetunePlan:
    """A plan without fields."""
    return FinetunePlan(
        parent=parent, parent_folder=folder, version="simulated", fields=(), minutes=minutes, device="cpu",
        threads=threads, steps=steps,
    )  # fmt: skip


def summary(table: pd.DataFrame, draws: int = 10_000) -> pd.DataFrame:
    """Mean gain on the slide's other fields for each number of annotated fields and way to choose them.

    Intervals are 95 % bootstraps over runs within slides.

    ``adopted`` is the gain where the reader follows the gate: 0 where it offers nothing.
    """
    rows = []
    for (k, pick), part in table.groupby(["annotated", "pick"]):
        gains = {"gain": part["own_gain"], "adopted": part["own_gain"].where(part["offered"], 0.0)}
        row: dict[str, object] = {"annotated": k, "pick": pick, "slides": part["slide"].nunique(), "runs": len(part)}
        means = {"before": "own_parent_f", "recalibrated": "own_recalibrated_f", "after": "own_child_f"}
        means |= {"others": "others_gain", "old": "old_gain"}
        row |= {name: _slide_mean(part, part[column]) for name, column in means.items()}
        for name, values in gains.items():
            low, high = _interval(part, values, draws)
            row |= {name: _slide_mean(part, values), f"{name}_low": low, f"{name}_high": high}
        offered = part[part["offered"]]
        row |= {"offered": len(offered), "worst_offered": float(offered["own_gain"].min()) if len(offered) else np.nan}
        rows.append(row)
    return pd.DataFrame(rows)


def _slide_mean(part: pd.DataFrame, values: pd.Series) -> float:
    return float(values.groupby(part["slide"]).mean().mean())


def _interval(part: pd.DataFrame, values: pd.Series, draws: int) -> tuple[float, float]:
    """Slides are few and given: runs are drawn anew within each of them."""
    rng = np.random.default_rng(0)
    groups = [v.to_numpy() for _, v in values.groupby(part["slide"])]
    means = np.mean([rng.choice(g, (draws, len(g))).mean(axis=1) for g in groups], axis=0)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
