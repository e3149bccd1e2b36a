"""A simulated reader: what fine-tuning on a few fields is worth in a laboratory that no network has seen.

The reader annotates all mitoses of some fields and marks every false detection as a mimic; the network is fine-tuned
on them. Parent and child are then compared on the patient's other fields, on other patients of that scanner, and on
fields of the scanner that the parent learned from (what is forgotten). Neither saw a label of any of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..datasets.sample import Sample
from ..decision.decide import Rule, decide
from ..decision.evidence import Evidence
from ..errors import DatasetError
from ..jobs import Job, Progress
from ..measures.calibrate import Calibration, uncut
from ..measures.evaluate import Counts, match
from ..measures.recalibrate import recalibrate
from ..models.weights import file_sha256, read_state
from .child_rule import RADIUS_UM, choose, count_unit, grid_about
from .folds import whole
from .held_out import false_weight
from .job import RECIPE, finetune
from .looking import Looking, looking
from .outcome import CHILD_FILE
from .plan import FieldPlan, Figure, FinetunePlan
from .tune import TuneRecipe

TISSUE_FIELDS, OPEN_FIELDS = 3, 3
OTHERS_PER_CASE = 2

Pick = Literal["random", "mistaken"]


@dataclass(frozen=True)
class Setting:
    """One run of the experiment.

    Attributes
    ----------
    case : str
        Patient or slide.
    annotated : int
        How many of its fields are annotated.
    seed : int
        Draws them.
    pick : {"random", "mistaken"}
        ``mistaken``: a reader in a hurry opens the fields with most false detections; the seed then decides only
        what else is drawn.
    """

    case: str
    annotated: int
    seed: int
    pick: Pick = "random"

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.case}-k{self.annotated}-{self.pick}-s{self.seed}"


@dataclass(frozen=True)
class Draw:
    """Numbers of the fields of one setting: annotated, open in the viewer but not annotated, and compared on."""

    chosen: tuple[int, ...]
    opened: tuple[int, ...]
    own: tuple[int, ...]
    others: tuple[int, ...]


def drawn(samples: Sequence[Sample], setting: Setting, false: Mapping[int, int]) -> Draw:
    """Which fields take which part.

    Parameters
    ----------
    false : mapping of int to int
        False detections of the parent in each field of the case.
    """
    case = [i for i, s in enumerate(samples) if s.case == setting.case]
    if len(case) < setting.annotated + 2:
        raise DatasetError(f"{setting.case} has {len(case)} fields: too few to annotate {setting.annotated} of them")
    rng = np.random.default_rng([setting.seed, setting.annotated, len(case)])
    order = [case[i] for i in rng.permutation(len(case))]
    if setting.pick == "mistaken":
        order.sort(key=lambda i: -false[i])  # the order of equals stays random
    chosen, rest = order[: setting.annotated], order[setting.annotated :]
    rest = [rest[i] for i in rng.permutation(len(rest))]
    opened = rest[: min(OPEN_FIELDS, len(rest) // 3)]
    fixed = np.random.default_rng(0)  # other patients are compared on the same fields in every run
    others: list[int] = []
    for name in sorted({s.case for s in samples} - {setting.case}):
        fields = [i for i, s in enumerate(samples) if s.case == name]
        others += [fields[i] for i in fixed.permutation(len(fields))[:OTHERS_PER_CASE]]
    return Draw(*(tuple(sorted(part)) for part in (chosen, opened, rest[len(opened) :], others)))


def reader_figures(sample: Sample, detections: pd.DataFrame) -> tuple[Figure, ...]:
    """All mitoses of a field, and every false detection as a mimic."""
    truth = sample.centroids_yx()
    wrong = match(detections, truth, RADIUS_UM, sample.field.require_mpp("Annotating")).false_positives
    false = detections.iloc[wrong][["y_px", "x_px"]].to_numpy(dtype=np.float64)
    figures = [Figure(y_px=float(y), x_px=float(x), label="mitosis") for y, x in truth]
    return (*figures, *(Figure(y_px=float(y), x_px=float(x), label="mimic") for y, x in false))


class Seen:
    """What one version sees in the fields of an experiment, kept on disk."""

    def __init__(self, look: Looking, state: Mapping[str, object], folder: Path) -> None:
        self.look, self.folder = look, folder
        self._network = look.network(state)  # type: ignore[arg-type]

    def evidence(self, sample: Sample) -> Job[Evidence]:
        """Of one field."""
        return (yield from self.look.look(sample.field, self._network, self.folder / f"{sample.field.name}.npz"))

    def counts(self, samples: Sequence[Sample], rule: Rule) -> Job[Counts]:
        """True and false detections, and missed mitoses, over these fields."""
        counts = Counts()
        for i, sample in enumerate(samples):
            yield Progress(i, len(samples), f"comparing on {sample.field.name}")
            evidence = yield from self.evidence(sample)
            counts += match(decide(evidence, rule), sample.centroids_yx(), RADIUS_UM, evidence.mpp).counts
        return counts


def setting_plan(
    samples: Sequence[Sample], old: Sequence[Sample], setting: Setting, draw: Draw, base: FinetunePlan,
    figures: Mapping[int, tuple[Figure, ...]],
) -> FinetunePlan:  # fmt: skip
    """What the reader of this setting asks for.

    Parameters
    ----------
    old : sequence of Sample
        Fields of another laboratory; some join as tissue without labels.
    base : FinetunePlan
        Parent, time and device.
    figures : mapping
        What the reader writes into each annotated field.
    """
    earlier = np.random.default_rng(setting.seed).permutation(len(old))[:TISSUE_FIELDS]
    tissue = [*(samples[i] for i in draw.opened), *(old[int(i)] for i in earlier)]
    fields = tuple(_field_plan(samples[i], figures[i], complete=True) for i in draw.chosen)
    return base.model_copy(
        update={
            "version": setting.name,
            "fields": fields,
            "tissue": tuple(_field_plan(sample, (), complete=False) for sample in tissue),
            "seed": setting.seed,
        }
    )


def simulate(
    samples: Sequence[Sample], old: Sequence[Sample], setting: Setting, base: FinetunePlan, folder: Path, seen: Path,
    recipe: TuneRecipe = RECIPE,
) -> Job[dict[str, object]]:  # fmt: skip
    """Annotate, fine-tune and compare.

    Parameters
    ----------
    samples : sequence of Sample
        All patients of the laboratory.
    old : sequence of Sample
        Fields of the laboratory that the parent learned from; the last half of them is compared on.
    base : FinetunePlan
        Parent, time and device.
    folder, seen : Path
        Of this run, and of what the parent sees.

    Returns
    -------
    dict
        A row of the table.
    """
    look = looking(base.parent, Path(base.parent_folder) if base.parent_folder else None, base.front, base.device)
    parent = Seen(look, look.state, seen)
    figures: dict[int, tuple[Figure, ...]] = {}
    for i in (i for i, s in enumerate(samples) if s.case == setting.case):
        yield Progress(0, 0, f"{look.card.name} looks at {samples[i].field.name}")
        evidence = yield from parent.evidence(samples[i])
        figures[i] = reader_figures(samples[i], decide(evidence, look.rule))
    draw = drawn(samples, setting, {i: sum(f.label == "mimic" for f in figures[i]) for i in figures})
    half = len(old) // 2
    plan = setting_plan(samples, old[:half], setting, draw, base, figures)
    outcome = yield from finetune(plan, folder / "run", recipe)
    child = Seen(look, read_state(folder / "run" / CHILD_FILE), folder / "child")
    rules = look.rule, look.rule_of(outcome.card)
    groups = {"own": [samples[i] for i in draw.own], "others": [samples[i] for i in draw.others], "old": old[half:]}
    row = _described(setting, plan, outcome.card.finetuned)
    for name, fields in groups.items():
        before = yield from parent.counts(fields, rules[0])
        after = yield from child.counts(fields, rules[1])
        row |= {f"{name}_{who}_{v}": getattr(c, v) for who, c in (("parent", before), ("child", after))
                for v in ("tp", "fp", "fn", "precision", "recall", "f")}  # fmt: skip
        row[f"{name}_gain"] = after.f - before.f
    threshold = yield from _recalibrated([samples[i] for i in draw.chosen], parent, look)
    same = yield from parent.counts(groups["own"], replace(rules[0], min_score=threshold))
    row |= {"recalibrated_score": threshold, "own_recalibrated_f": same.f}
    verdict = outcome.verdict
    return row | {
        "gate_difference": verdict.difference, "false_weight": verdict.false_weight, "offered": verdict.offered,
        "reason": verdict.reason, "child_sha256": file_sha256(folder / "run" / CHILD_FILE)[:16],
    }  # fmt: skip


def thresholds_only(
    samples: Sequence[Sample], setting: Setting, base: FinetunePlan, seen: Path
) -> Job[dict[str, object]]:
    """What the same annotations are worth without any training: the parent under other thresholds.

    Returns
    -------
    dict
        A row: F of the parent on the case's other fields under its own rule, under the one that a fine-tuning would
        choose for it, and under the one that `recalibrate` offers.
    """
    look = looking(base.parent, Path(base.parent_folder) if base.parent_folder else None, base.front, base.device)
    parent, rule = Seen(look, look.state, seen), look.rule
    evidence: dict[int, Evidence] = {}
    for i in (i for i, s in enumerate(samples) if s.case == setting.case):
        evidence[i] = yield from parent.evidence(samples[i])
    detections = {i: decide(e, rule) for i, e in evidence.items()}
    false = {i: sum(f.label == "mimic" for f in reader_figures(samples[i], t)) for i, t in detections.items()}
    draw = drawn(samples, setting, false)
    weight = false_weight([len(detections[i]) for i in draw.chosen], [len(detections[i]) for i in draw.opened])
    truths = {i: samples[i].centroids_yx() for i in draw.chosen}
    counts = [count_unit(evidence[i], truths[i], whole(0, evidence[i].shape), rule) for i in draw.chosen]
    grid, mitoses = grid_about(evidence[draw.chosen[0]], rule), sum(len(t) for t in truths.values())
    chosen = choose({0.0: counts}, mitoses, rule, grid, weight).rule
    offered = yield from _recalibrated([samples[i] for i in draw.chosen], parent, look)
    left_out = [samples[i] for i in draw.own]
    row: dict[str, object] = {"slide": setting.case, "annotated": setting.annotated, "pick": setting.pick}
    row |= {"seed": setting.seed, "mitoses": mitoses, "mimics": sum(false[i] for i in draw.chosen), "weight": weight}
    for name, tried in (("parent", rule), ("chosen", chosen), ("offered", replace(rule, min_score=offered))):
        row[f"{name}_score"] = tried.min_score
        row[f"{name}_f"] = (yield from parent.counts(left_out, tried)).f
    return row


def _recalibrated(fields: Sequence[Sample], parent: Seen, look: Looking) -> Job[float]:
    """The threshold that the same judgements give without training; the present one where none is offered."""
    scores: list[NDArray[np.float64]] = []
    labels: list[NDArray[np.float64]] = []
    missed = 0
    for sample in fields:
        evidence = yield from parent.evidence(sample)
        table = decide(evidence, uncut(look.rule))
        matching = match(table, sample.centroids_yx(), RADIUS_UM, evidence.mpp)
        label = np.zeros(len(table))
        label[matching.pairs[:, 0]] = 1.0
        scores.append(table["score"].to_numpy(dtype=np.float64))
        labels.append(label)
        missed += len(matching.false_negatives)
    present = look.rule.min_score
    answer = recalibrate(
        np.concatenate(scores), np.concatenate(labels), present, Calibration(look.card.calibration), missed=missed
    )
    return answer.best.min_score if answer.offered and answer.best is not None else present


def _described(setting: Setting, plan: FinetunePlan, finetuned: Mapping[str, object]) -> dict[str, object]:
    figures = [f for field in plan.fields for f in field.figures]
    return {
        "detector": plan.parent.partition("@")[0],
        "parent": plan.parent,
        "slide": setting.case,
        "annotated": setting.annotated,
        "pick": setting.pick,
        "seed": setting.seed,
        "mitoses": sum(f.label == "mitosis" for f in figures),
        "mimics": sum(f.label == "mimic" for f in figures),
        "steps": finetuned["steps"],
        "blend": finetuned["blend"],
    }


def _field_plan(sample: Sample, figures: tuple[Figure, ...], complete: bool) -> FieldPlan:
    field = sample.field
    return FieldPlan(
        path=str(field.path),
        name=field.name,
        mpp=field.require_mpp("Annotating"),
        complete=complete,
        case=sample.case,
        figures=figures,
    )
