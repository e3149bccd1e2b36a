"""A simulated reader: what fine-tuning is worth on a slide that no network has seen.

A network that never saw a slide detects in some of its fields; the reader annotates all of their mitoses and marks
every false detection as a mimic; the network is fine-tuned on them. Parent and child are then compared on the
slide's other fields, of which neither saw a label.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..datasets.sample import Sample
from ..decision.decide import Rule, decide
from ..decision.evidence import Evidence
from ..errors import DatasetError
from ..inference.cache import load_evidence
from ..jobs import Job, Progress, retold
from ..measures.evaluate import Counts, match
from ..models.card import read_card
from ..models.registry import detector_class
from ..models.weights import file_sha256, load_weights, publish, read_state
from ..training.systems import system
from .child_rule import RADIUS_UM
from .job import RECIPE, finetune
from .looking import looking
from .outcome import CHILD_FILE
from .plan import FieldPlan, Figure, FinetunePlan
from .tune import TuneRecipe

TISSUE_FIELDS = 6


@dataclass(frozen=True)
class Setting:
    """One run of the experiment: a slide, how many of its fields are annotated, and a seed that draws them."""

    case: str
    annotated: int
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.case}-k{self.annotated}-s{self.seed}"


def drawn(samples: Sequence[Sample], setting: Setting) -> tuple[list[int], list[int]]:
    """Fields of the slide that are annotated, and the others.

    Different seeds draw different fields as long as there are any.
    """
    own = [i for i, s in enumerate(samples) if s.case == setting.case]
    every = list(combinations(own, setting.annotated))
    order = np.random.default_rng([len(own), setting.annotated]).permutation(len(every))
    chosen = list(every[order[setting.seed % len(every)]])
    return chosen, [i for i in own if i not in chosen]


def reader_figures(sample: Sample, detections: pd.DataFrame) -> tuple[Figure, ...]:
    """All mitoses of a field, and every false detection as a mimic."""
    truth = sample.centroids_yx()
    wrong = match(detections, truth, RADIUS_UM, sample.field.require_mpp("Annotating")).false_positives
    false = detections.iloc[wrong][["y_px", "x_px"]].to_numpy(dtype=np.float64)
    figures = [Figure(y_px=float(y), x_px=float(x), label="mitosis") for y, x in truth]
    return (*figures, *(Figure(y_px=float(y), x_px=float(x), label="mimic") for y, x in false))


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
    made = {}
    for case in cases:
        made[case] = place = folder / case
        if next(place.glob("*.json"), None) is not None:
            continue
        card = system(detector).card(version=f"0.0.0.{case}", seed=0)
        network = detector_class(detector).build(card.config)
        load_weights(network, runs / f"N-{case}" / "model.safetensors")
        values = {k: v for k, v in rules[f"N-{case}"].items() if v is not None}
        rule = Rule(**{**values, "weights": tuple((n, w) for n, w in values.get("weights", ()))})
        publish(network, card.with_rule(rule, "fields of the other slides"), place)
    return made


def see(samples: Sequence[Sample], case: str, parent: str, parents: Path, seen: Path) -> Job[Rule]:
    """What the parent sees in each field of a slide, kept in `seen`; returns how it decides."""
    look = looking(parent, parents, "", "cpu")
    version = look.network(look.state)
    for sample in (s for s in samples if s.case == case):
        yield from look.look(sample.field.loaded(), version, seen / f"{sample.field.name}.npz")
    return look.rule


def experiment(
    detector: str, samples: Sequence[Sample], runs: Path, out: Path, settings: Sequence[Setting], minutes: float,
    threads: int, steps: int = 0,
) -> Job[pd.DataFrame]:  # fmt: skip
    """Run these settings one after another; what is finished is not run again.

    Returns
    -------
    DataFrame
        A row for each setting.
    """
    parents = publish_parents(detector, runs, out / "parents", sorted({s.case for s in settings}))
    rows = []
    for setting in settings:
        place = parents[setting.case]
        name = read_card(next(iter(place.glob("*.json")))).name
        seen = out / "seen" / setting.case
        rule = yield from see(samples, setting.case, name, place, seen)
        plan = setting_plan(samples, setting, name, place, rule, seen, minutes, threads, steps)
        job = simulate(samples, setting, plan, out / "runs" / setting.name, seen)
        rows.append((yield from retold(job, lambda p, s=setting: replace(p, message=f"{s.name}: {p.message}"))))  # type: ignore[misc]
        pd.DataFrame(rows).to_csv(out / f"reader-{detector}.csv", index=False)
    return pd.DataFrame(rows)


def setting_plan(
    samples: Sequence[Sample], setting: Setting, parent: str, parents: Path, rule: Rule, seen: Path, minutes: float,
    threads: int, steps: int = 0,
) -> FinetunePlan:  # fmt: skip
    """What the reader of this setting asks for.

    Parameters
    ----------
    parents : Path
        Folder with the parent's card and weights.
    seen : Path
        Folder with the parent's evidence of the slide, ``<field>.npz``.
    """
    chosen, _ = drawn(samples, setting)
    fields = []
    for i in chosen:
        evidence = load_evidence(seen / f"{samples[i].field.name}.npz")
        assert evidence is not None
        figures = reader_figures(samples[i], decide(evidence, rule))
        fields.append(_field_plan(samples[i], figures, complete=True))
    others = [i for i, s in enumerate(samples) if s.case != setting.case]
    tissue = np.random.default_rng(setting.seed).choice(others, min(TISSUE_FIELDS, len(others)), replace=False)
    return FinetunePlan(
        parent=parent,
        parent_folder=str(parents),
        version=setting.name,
        fields=tuple(fields),
        tissue=tuple(_field_plan(samples[int(i)], (), complete=False) for i in tissue),
        minutes=minutes,
        device="cpu",
        threads=threads,
        seed=setting.seed,
        steps=steps,
    )


def simulate(
    samples: Sequence[Sample], setting: Setting, plan: FinetunePlan, folder: Path, seen: Path,
    recipe: TuneRecipe = RECIPE,
) -> Job[dict[str, object]]:  # fmt: skip
    """Fine-tune as planned and compare on the slide's other fields.

    Returns
    -------
    dict
        A row of the table: the setting, F of parent and child on the other fields, what the gate said.
    """
    outcome = yield from finetune(plan, folder, recipe)
    look = looking(plan.parent, Path(plan.parent_folder), plan.front, plan.device)
    version = look.network(read_state(folder / CHILD_FILE))
    _, others = drawn(samples, setting)
    counts = {"parent": Counts(), "child": Counts(), "parent_new_rule": Counts()}
    child_rule = look.rule_of(outcome.card)
    for n, i in enumerate(others):
        yield Progress(n, len(others), f"comparing on {samples[i].field.name}")
        before = load_evidence(seen / f"{samples[i].field.name}.npz")
        assert before is not None
        after = yield from look.look(samples[i].field.loaded(), version, folder / "others" / f"{i}.npz")
        truth = samples[i].centroids_yx()
        counts["parent"] += _counted(before, look.rule, truth)
        counts["child"] += _counted(after, child_rule, truth)
        counts["parent_new_rule"] += _counted(before, child_rule, truth)
    verdict = outcome.verdict
    figures = [f for field in plan.fields for f in field.figures]
    return {
        "detector": plan.parent.partition("@")[0],
        "slide": setting.case,
        "annotated": setting.annotated,
        "seed": setting.seed,
        "mitoses": sum(f.label == "mitosis" for f in figures),
        "mimics": sum(f.label == "mimic" for f in figures),
        "steps": outcome.card.finetuned["steps"],
        "blend": outcome.card.finetuned["blend"],
        **{f"{who}_{what}": getattr(c, what) for who, c in counts.items() for what in ("tp", "fp", "fn", "f")},
        "gain": counts["child"].f - counts["parent"].f,
        "gate_difference": verdict.difference,
        "offered": verdict.offered,
        "reason": verdict.reason,
        "child_sha256": file_sha256(folder / CHILD_FILE)[:16],
    }


def summary(table: pd.DataFrame, draws: int = 10_000) -> pd.DataFrame:
    """Mean gain for each number of annotated fields, with a 95 % bootstrap interval over runs within slides.

    ``adopted`` is the gain where the reader follows the gate: 0 where it offers nothing.
    """
    rows = []
    for k, part in table.groupby("annotated"):
        gains = {"gain": part["gain"], "adopted": part["gain"].where(part["offered"], 0.0)}
        row: dict[str, object] = {"annotated": k, "slides": part["slide"].nunique(), "runs": len(part)}
        row |= {"before": _slide_mean(part, part["parent_f"]), "after": _slide_mean(part, part["child_f"])}
        for name, values in gains.items():
            low, high = _interval(part, values, draws)
            row |= {name: _slide_mean(part, values), f"{name}_low": low, f"{name}_high": high}
        offered = part[part["offered"]]
        row |= {"offered": len(offered), "worst_offered": float(offered["gain"].min()) if len(offered) else np.nan}
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


def _field_plan(sample: Sample, figures: tuple[Figure, ...], complete: bool) -> FieldPlan:
    field = sample.field
    return FieldPlan(
        path=str(field.path),
        name=field.name,
        mpp=field.require_mpp("Annotating"),
        complete=complete,
        figures=figures,
    )


def _counted(evidence: Evidence, rule: Rule, truth: NDArray[np.float64]) -> Counts:
    return match(decide(evidence, rule), truth, RADIUS_UM, evidence.mpp).counts
