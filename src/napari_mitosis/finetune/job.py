"""A fine-tuning from plan to verdict, as one job that can be killed and resumed at any moment."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..datasets.sample import Sample
from ..decision.decide import Rule, decide
from ..decision.evidence import Evidence
from ..errors import DatasetError
from ..inference.device import choose_device
from ..inference.stain_guard import look_at
from ..jobs import Job, Progress
from ..models.card import ModelCard
from ..models.registry import Detector, detector_class
from ..models.weights import blend
from .budget import Budget
from .child_rule import Choice
from .claim import claim
from .folds import Unit, by_patient, folds, whole
from .gate import Judged, Verdict, judge
from .held_out import HeldOut, false_weight
from .lock import claimed
from .looking import Looking, looking
from .material import Known, Material, annotated, distilled, without
from .outcome import CHILD_FILE, OUTCOME_FILE, Outcome, read_outcome
from .plan import FinetunePlan
from .reference_figures import renew_references
from .tune import CHECKPOINT, WINDOW_PX, Limit, TuneRecipe, save_child, seconds_of, tune

RECIPE = TuneRecipe()
SPENT_FILE = "spent.json"
TISSUE_SHARE = 0.25
"""Tissue without annotations is looked at in the first quarter of the time only."""


def finetune(plan: FinetunePlan, folder: Path, recipe: TuneRecipe = RECIPE) -> Job[Outcome]:
    """`finetune_claimed`, with the folder kept from every other process until it ends.

    Raises
    ------
    MitosisError
        If another process fine-tunes in this folder, and as `finetune_claimed`.
    """
    with claimed(folder):
        return (yield from finetune_claimed(plan, folder, recipe))


def finetune_claimed(
    plan: FinetunePlan, folder: Path, recipe: TuneRecipe = RECIPE, began: float | None = None
) -> Job[Outcome]:
    """Train a child of the plan's parent, give it a rule, and compare both.

    For each fold of the annotated fields one network is trained on the others; what these make of the fields that
    they never saw chooses the child's rule and feeds the gate. The child itself then learns from all of them.

    Parameters
    ----------
    plan : FinetunePlan
    folder : Path
        Keeps everything that is done already; a run of the same plan goes on from it.
    began : float, optional
        `time.monotonic` from which the time budget counts; now if not given.

    Yields
    ------
    Progress
        Optimiser steps over all trainings, with the metrics ``loss`` and, once a fold is judged, ``f`` and
        ``parent_f``: F of both on the fields judged so far, the child under its rule of the moment.

    Returns
    -------
    Outcome

    Raises
    ------
    DatasetError
        If there is nothing to learn from, the folder belongs to another plan, or was changed since it was begun.
    WeightsError
        If the parent is not here or cannot be fine-tuned.
    FieldError
        If a field cannot be read or has other pixels than those that were annotated.
    """
    claim(plan, folder)
    if (folder / OUTCOME_FILE).exists():
        return read_outcome(folder)
    seconds = math.inf if plan.steps else plan.minutes * 60
    before = _spent(folder) + (0.0 if began is None else time.monotonic() - began)
    budget = Budget(seconds, before, time.monotonic)
    try:
        return (yield from _in_time(plan, folder, recipe, budget))
    finally:
        (folder / SPENT_FILE).write_text(json.dumps({"seconds": budget.used}), encoding="utf-8")


def _in_time(plan: FinetunePlan, folder: Path, recipe: TuneRecipe, budget: Budget) -> Job[Outcome]:
    yield Progress(0, 0, f"loading {plan.parent}")
    torch.manual_seed(plan.seed)
    device = choose_device(plan.device).type
    look = looking(plan.parent, Path(plan.parent_folder) if plan.parent_folder else None, plan.front, device)
    run = _Run(plan, folder, recipe, look, device, budget)
    yield from run.prepare()
    run.afford()
    for number in range(len(run.folds)):
        yield from run.fold(number)
    child, choice = yield from run.child()
    verdict = judge((yield from run.judged(child, choice)), plan.seed, run.held_out.weight)
    # The curve ends where the verdict is: so far the child was counted under its own rule only.
    metrics = {"f": verdict.child.f, "parent_f": verdict.parent.f}
    yield Progress(run.done, run.done, "parent and child compared", metrics)
    save_child(folder / CHILD_FILE, child)
    looks = [look_at(sample.field.loaded(), look.card.mpp) for sample in run.train]
    seen = None if look.card.seen is None else look.card.seen.with_looks(looks)
    card = child_card(look, plan, choice, verdict, run.steps).model_copy(update={"seen": seen})
    Outcome(folder, card, verdict, tuple(f.digest or f.path for f in plan.fields)).save()
    return read_outcome(folder)


def _spent(folder: Path) -> float:
    """Seconds that earlier starts of a run took."""
    try:
        return float(json.loads((folder / SPENT_FILE).read_text(encoding="utf-8"))["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def child_card(look: Looking, plan: FinetunePlan, choice: Choice, verdict: Verdict, steps: int) -> ModelCard:
    """The card of the child: the parent's, with its own rule and where that comes from."""
    parent = look.card
    count = len(plan.with_role("train"))
    figures = [f for field in plan.with_role("train") for f in field.figures]
    by = {label: sum(f.label == label for f in figures) for label in ("mitosis", "mimic", "unsure")}
    rule = asdict(choice.rule)
    # A verifier decides nothing by itself: its rule is that of both, behind the detector that it was tuned with.
    behind = {} if look.front is None else {"detector": look.front.card.detector, "rule": rule}
    return parent.model_copy(
        update={
            "version": plan.version,
            "parent": plan.parent,
            "rule": parent.rule if behind else rule,
            "rule_chosen_on": f"scores of {count} annotated fields by networks that did not learn from them",
            "trained_on": f"{parent.trained_on}; then {count} fields of a reader with {by['mitosis']} mitoses and "
            f"{by['mimic']} mimics",
            "calibration": (),
            "measures": (),
            "verified": behind,
            "seed": plan.seed,
            "sha256": "",
            "finetuned": {
                "snapshot": plan.snapshot,
                "plan": plan.digest,
                "blend": choice.blend,
                "steps": steps,
                "parent": asdict(verdict.parent),
                "child": asdict(verdict.child),
                "difference": [verdict.difference, verdict.low, verdict.high],
                "judged_on": {"fields": verdict.fields, "mitoses": verdict.mitoses},
                "fields": [f.digest for f in plan.fields if f.digest],
                "offered": verdict.offered,
                "offered_for": "others, too" if verdict.for_others else "the patient that it learned from",
                "patients": verdict.patients,
                "reason": verdict.reason,
            },
        }
    )


@dataclass(eq=False)
class _Run:
    """The parts of one run, in the order in which `finetune` calls them."""

    plan: FinetunePlan
    folder: Path
    recipe: TuneRecipe
    look: Looking
    device: str
    budget: Budget

    def __post_init__(self) -> None:
        self.train = [f.sample() for f in self.plan.with_role("train")]
        self.test = [f.sample() for f in self.plan.with_role("test")]
        if not any((s.annotations["label"] != "unsure").any() for s in self.train):
            raise DatasetError("there is nothing to learn from: annotate a mitosis or a mimic in a training field")
        self.folds = folds([s.field.shape for s in self.train], self._cases("train"))
        self.blends = self.recipe.blends
        self.seen: list[Evidence] = []
        self.known: list[Known] = []
        self.tissue: list[Known] = []
        self.steps = 0  # of the first training: the others make as many, if the time is enough
        self.done, self.total = 0, 0
        self.metrics: dict[str, float] = {}

    def prepare(self) -> Job[None]:
        """Let the parent look at every field, and make material of what it sees."""
        parent = self.look.network(self.look.state)
        plans = [*self.plan.with_role("train"), *self.plan.with_role("test")]
        samples = [*self.train, *self.test, *(f.sample() for f in self.plan.tissue)]
        per_mm2: list[float] = []
        for i, sample in enumerate(samples):
            if i >= len(plans) and self.budget.used > TISSUE_SHARE * self.budget.seconds:
                break
            yield Progress(i, len(samples), f"{self.look.card.name} looks at {sample.field.name}", self._told())
            evidence = yield from self._look(sample, parent, self.folder / "parent" / f"{i}.npz")
            per_mm2.append(_per_mm2(evidence, self.look.rule))
            if i < len(plans):
                self.seen.append(evidence)
            else:
                self.tissue.append(distilled(sample, evidence, self.look.rule))
        for plan, sample, evidence in zip(plans, self.train, self.seen, strict=False):
            self.known.append(annotated(sample, plan.complete, evidence, self.look.rule))
        unlike_chosen = [
            density
            for tissue, density in zip(self.tissue, per_mm2[len(plans) :], strict=True)
            if _same_scanner(tissue.sample, self.train)
        ]
        unlike_chosen += [per_mm2[i] for i in range(len(self.train)) if plans[i].drawn]
        chosen = [per_mm2[i] for i in range(len(self.train)) if not plans[i].drawn]
        weight = false_weight(chosen, unlike_chosen)
        self.held_out = HeldOut(self.train, self.seen, self.look.rule, self.folds, weight)

    def afford(self) -> None:
        """Judge on fewer blends and fewer fields where looking would leave no time to learn."""
        looks = self.budget.affordable_looks() - len(self.test)
        trained = [share for share in self.blends if share > 0]
        if looks < len(trained) * len(self.train):
            self.blends = tuple(sorted({min(self.blends), max(self.blends)}))
        if looks < len(self.train):
            order = np.random.default_rng(self.plan.seed).permutation(len(self.train))
            judged = set(order[: max(2, looks)].tolist())
            self.folds = [kept for held in self.folds if (kept := tuple(u for u in held if u.field in judged))]
            self.held_out.folds = self.folds

    def fold(self, number: int) -> Job[None]:
        """Train without one fold, and look at it."""
        held = self.folds[number]
        left_out = [*held, *self._others_of_the_patients(held)]
        parts = [[u.box_px for u in left_out if u.field == i] for i in range(len(self.known))]
        # A field of which nothing is left to learn is no material.
        known = [
            without(k, boxes) if boxes else k
            for k, boxes in zip(self.known, parts, strict=True)
            if not boxes or len(self.train) == 1
        ]
        place = self.folder / f"fold-{number}"
        trainings = len(self.folds) + 1 - number
        trained = yield from self._trained(known, place, trainings, f"fold {number + 1} of {len(self.folds)}")
        self.metrics.pop("loss", None)
        for share in self.blends:
            version = self.look.network(blend(self.look.state, trained, share)) if share > 0 else None
            for unit in held:
                yield Progress(self.done, self.total, f"judging fold {number + 1} of {len(self.folds)}", self._told())
                if version is None:
                    evidence = self.seen[unit.field]
                elif self.budget.left < 0:
                    break
                else:
                    path = place / f"{share:g}-{unit.field}.npz"
                    evidence = yield from self._look(self.train[unit.field], version, path)
                self.held_out.put(share, unit, evidence)
        self._judge_so_far()
        yield Progress(self.done, self.total, f"fold {number + 1} judged", self._told())

    def child(self) -> Job[tuple[dict[str, Tensor], Choice]]:
        """Train on every annotated field; the rule and the blend are those of the folds."""
        trained = yield from self._trained(self.known, self.folder / "all", 1, "all fields")
        choice = self.held_out.choice(self.blends, self.held_out.units(self.blends))
        return blend(self.look.state, trained, choice.blend), choice

    def judged(self, child: Mapping[str, Tensor], choice: Choice) -> Job[list[Judged]]:
        """Every annotated field as parent and child decide on it, the child without having learnt from it."""
        fields = self.held_out.judged(self.blends, choice)
        version = self.look.network(child)
        for j, sample in enumerate(self.test):
            if self.budget.left < 0:
                break
            yield Progress(self.done, self.total, f"judging {sample.field.name}", self._told())
            evidence = yield from self._look(sample, version, self.folder / "test" / f"{j}.npz")
            before, truth = self.seen[len(self.train) + j], sample.centroids_yx()
            decided = decide(before, self.look.rule), decide(evidence, choice.rule)
            fields.append(Judged(len(self.train) + j, sample.field.shape, before.mpp, truth, *decided))
        # Spots count the fields of the plan, not those of a role.
        order = [i for role in ("train", "test") for i, f in enumerate(self.plan.fields) if f.role == role]
        new_to = self._patients_left_out()
        return [replace(field, field=order[field.field], patient=new_to[field.field]) for field in fields]

    def _others_of_the_patients(self, held: Sequence[Unit]) -> list[Unit]:
        """Fields of the same patients for the judging of which there was no time: nothing is learned from them."""
        cases, fields = self._cases("train"), {unit.field for unit in held}
        if not by_patient(cases):
            return []
        patients = {cases[i] for i in fields}
        others = [i for i, case in enumerate(cases) if case in patients and i not in fields]
        return [whole(i, self.train[i].field.shape) for i in others]

    def _cases(self, role: str) -> list[str]:
        return [field.case for field in self.plan.with_role(role)]

    def _patients_left_out(self) -> list[str]:
        """The patient of each field, training first, where what judges it learned nothing of the patient; else ""."""
        learned = self._cases("train")
        train_cases = learned if by_patient(learned) else [""] * len(learned)
        # A field without a case may be of any patient.
        return [*train_cases, *("" if case in learned or "" in learned else case for case in self._cases("test"))]

    # What these are made of

    def _look(self, sample: Sample, version: Detector, path: Path) -> Job[Evidence]:
        """One look, timed; told as one step, so that the bar of the whole run does not jump."""
        began, fresh = time.monotonic(), not path.exists()
        job = self.look.look(sample.field.loaded(), version, path)
        while True:
            try:
                progress = next(job)
            except StopIteration as stop:
                evidence: Evidence = stop.value
                break
            yield Progress(0, 0, progress.message, self._told())
        if fresh:
            self.budget.looked(time.monotonic() - began)
        return evidence

    def _trained(self, known: Sequence[Known], place: Path, trainings: int, name: str) -> Job[dict[str, Tensor]]:
        """One of the trainings that are left, in its share of the time."""
        network = self._fresh()
        cls = detector_class(self.look.card.detector)
        material = Material(known, self.tissue, WINDOW_PX, self.recipe.shares)
        job = tune(
            network, cls, material, self.recipe, place, limit=self._limit(place, trainings), seed=self.plan.seed,
            device=self.device,
        )  # fmt: skip
        before = self.done
        while True:
            try:
                progress = next(job)
            except StopIteration as stop:
                steps = int(stop.value)
                break
            self.done = before + progress.done
            self.total = before + trainings * progress.total
            self.metrics |= {"loss": progress.metrics["loss"]}
            yield Progress(self.done, self.total, f"learning, {name}", self._told())
        self.done, self.steps = before + steps, self.steps or steps
        renew_references(network, self._fresh(), known, WINDOW_PX, torch.device(self.device))
        return {k: v.detach().cpu() for k, v in network.state_dict().items()}

    def _limit(self, place: Path, trainings: int) -> Limit:
        """Steps that were asked for, or the share of the time that is left; a resumed training keeps its own."""
        if self.plan.steps:
            return Limit(self.plan.steps)
        # Each fold to come looks at its fields once more for each blend.
        number = len(self.folds) + 1 - trainings
        units = sum(len(held) for held in self.folds[number:])
        looks = units * sum(share > 0 for share in self.blends) + len(self.test)
        kept = place / CHECKPOINT
        seconds = self.budget.for_training(trainings, looks) + (seconds_of(kept) if kept.exists() else 0.0)
        return Limit(self.steps or self.recipe.most_steps, max(seconds, 1e-3))

    def _fresh(self) -> nn.Module:
        network = detector_class(self.look.card.detector).build(self.look.card.config)
        network.load_state_dict(dict(self.look.state))
        return network

    def _told(self) -> dict[str, float]:
        """What every progress tells beside its step."""
        if self.plan.steps:
            return dict(self.metrics)
        return {**self.metrics, "left_s": max(0.0, self.budget.seconds - self.budget.used)}

    def _judge_so_far(self) -> None:
        """F of parent and child on the fields judged so far, for the curve."""
        units = self.held_out.units(self.blends)
        if len(self.train) < 2 or not units:
            return
        judged = self.held_out.judged_by(self.blends, self.held_out.choice(self.blends, units))
        verdict = judge(judged, false_weight=self.held_out.weight)
        self.metrics |= {"f": verdict.child.f, "parent_f": verdict.parent.f}


def _per_mm2(evidence: Evidence, rule: Rule) -> float:
    """Detections for each mm2."""
    height, width = evidence.shape
    return len(decide(evidence, rule)) / (height * width * (evidence.mpp / 1000) ** 2)


def _same_scanner(sample: Sample, others: Sequence[Sample]) -> bool:
    """Whether a field has the pixel size of one of these, within 2 %: scanners differ by more."""
    mpp = sample.field.require_mpp("Fine-tuning")
    return any(abs(mpp / other.field.require_mpp("Fine-tuning") - 1) < 0.02 for other in others)
