"""A fine-tuning from plan to verdict, as one job that can be killed and resumed at any moment."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

import pandas as pd
import torch
from torch import Tensor, nn

from ..datasets.sample import Sample
from ..decision.decide import Rule, decide
from ..decision.evidence import Evidence
from ..errors import DatasetError
from ..inference.device import choose_device
from ..jobs import Job, Progress
from ..models.card import ModelCard
from ..models.registry import detector_class
from .child_rule import Choice, choose, count_unit, grid_about
from .claim import claim
from .folds import Unit, folds
from .gate import Judged, Verdict, judge
from .lock import claimed
from .looking import Looking, looking
from .material import Known, Material, annotated, distilled, without
from .outcome import CHILD_FILE, OUTCOME_FILE, Outcome, read_outcome
from .plan import FinetunePlan
from .tune import WINDOW_PX, TuneRecipe, blend, save_child, seconds_a_step, tune

T = TypeVar("T")

RECIPE = TuneRecipe()


def finetune(plan: FinetunePlan, folder: Path, recipe: TuneRecipe = RECIPE) -> Job[Outcome]:
    """`finetune_claimed`, with the folder kept from every other process until it ends.

    Raises
    ------
    MitosisError
        If another process fine-tunes in this folder, and as `finetune_claimed`.
    """
    with claimed(folder):
        return (yield from finetune_claimed(plan, folder, recipe))


def finetune_claimed(plan: FinetunePlan, folder: Path, recipe: TuneRecipe = RECIPE) -> Job[Outcome]:
    """Train a child of the plan's parent, give it a rule, and compare both.

    For each fold of the annotated fields one network is trained on the others; what these make of the fields that
    they never saw chooses the child's rule and feeds the gate. The child itself then learns from all of them.

    Parameters
    ----------
    plan : FinetunePlan
    folder : Path
        Keeps everything that is done already; a run of the same plan goes on from it.

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
    began = time.monotonic()
    yield Progress(0, 0, f"loading {plan.parent}")
    torch.manual_seed(plan.seed)
    device = choose_device(plan.device).type
    look = looking(plan.parent, Path(plan.parent_folder) if plan.parent_folder else None, plan.front, device)
    run = _Run(plan, folder, recipe, look, device)
    yield from run.prepare()
    schedule = run.schedule(plan.minutes * 60 - (time.monotonic() - began))
    for number in range(len(run.folds)):
        yield from run.fold(number, schedule)
    child, choice = yield from run.child(schedule)
    verdict = judge((yield from run.judged(child, choice)), plan.seed)
    # The curve ends where the verdict is: so far the child was counted under its own rule only.
    metrics = {"f": verdict.child.f, "parent_f": verdict.parent.f}
    yield Progress(run.done, run.done, "parent and child compared", metrics)
    save_child(folder / CHILD_FILE, child)
    card = child_card(look, plan, choice, verdict, schedule)
    Outcome(folder, card, verdict, tuple(f.digest or f.path for f in plan.fields)).save()
    return read_outcome(folder)


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
                "offered": verdict.offered,
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

    def __post_init__(self) -> None:
        self.train = [f.sample() for f in self.plan.with_role("train")]
        self.test = [f.sample() for f in self.plan.with_role("test")]
        if not any((s.annotations["label"] != "unsure").any() for s in self.train):
            raise DatasetError("there is nothing to learn from: annotate a mitosis or a mimic in a training field")
        self.folds = folds([s.field.shape for s in self.train])
        self.seen: dict[int, Evidence] = {}
        self.known: list[Known] = []
        self.tissue: list[Known] = []
        # Blend -> evidence of each training field by networks that did not learn from that part of it.
        self.unseen: dict[float, list[dict[Unit, Evidence]]] = {
            share: [{} for _ in self.train] for share in self.recipe.blends
        }
        self.done = 0
        self.metrics: dict[str, float] = {}
        self.look_seconds = 0.0

    def prepare(self) -> Job[None]:
        """Let the parent look at every field, and make material of what it sees."""
        parent = self.look.network(self.look.state)
        plans = [*self.plan.with_role("train"), *self.plan.with_role("test"), *self.plan.tissue]
        samples = [*self.train, *self.test, *(f.sample() for f in self.plan.tissue)]
        began = time.monotonic()
        for i, sample in enumerate(samples):
            yield Progress(i, len(samples), f"{self.look.card.name} looks at {sample.field.name}")
            path = self.folder / "parent" / f"{i}.npz"
            self.seen[i] = yield from self._quiet(self.look.look(sample.field.loaded(), parent, path))
        self.look_seconds = (time.monotonic() - began) / len(samples)
        first = len(self.train) + len(self.test)
        for i, (plan, sample) in enumerate(zip(plans, samples, strict=True)):
            if i < len(self.train):
                self.known.append(annotated(sample, plan.complete, self.seen[i], self.look.rule))
            elif i >= first:
                self.tissue.append(distilled(sample, self.seen[i], self.look.rule))

    def schedule(self, seconds: float) -> int:
        """Steps of each training: what the time allows, and no more than the recipe's. Kept for a resumed run."""
        path = self.folder / "schedule.json"
        if path.exists():
            return int(json.loads(path.read_text(encoding="utf-8"))["steps"])
        steps = self.plan.steps
        if not steps:
            shares = sum(share > 0 for share in self.recipe.blends)
            looks = self.look_seconds * (shares * len(self.train) + len(self.test))
            network = self._fresh()
            cls = detector_class(self.look.card.detector)
            each = seconds_a_step(network, cls, self._material(self.known), self.recipe, self.device)
            # A tenth for what is between: writing, choosing, comparing.
            steps = int(0.9 * max(0.0, seconds - looks) / each / (len(self.folds) + 1))
            steps = max(5, min(steps, self.recipe.fit.steps))
        path.write_text(json.dumps({"steps": steps}), encoding="utf-8")
        return steps

    def fold(self, number: int, steps: int) -> Job[None]:
        """Train without one fold, and look at it."""
        held = self.folds[number]
        parts = [[u.box_px for u in held if u.field == i] for i in range(len(self.known))]
        # A field of which nothing is left to learn is no material.
        known = [
            without(k, boxes) if boxes else k
            for k, boxes in zip(self.known, parts, strict=True)
            if not boxes or len(self.train) == 1
        ]
        place = self.folder / f"fold-{number}"
        trained = yield from self._trained(known, place, steps, f"fold {number + 1} of {len(self.folds)}")
        for share in self.recipe.blends:
            version = self.look.network(blend(self.look.state, trained, share)) if share > 0 else None
            for unit in held:
                self.metrics.pop("loss", None)
                message = f"judging fold {number + 1} of {len(self.folds)}"
                yield Progress(self.done, self._total(steps), message, dict(self.metrics))
                if version is None:
                    evidence = self.seen[unit.field]
                else:
                    field = self.train[unit.field].field.loaded()
                    path = place / f"{share:g}-{unit.field}.npz"
                    evidence = yield from self._quiet(self.look.look(field, version, path))
                self.unseen[share][unit.field][unit] = evidence
        self._tell()
        yield Progress(self.done, self._total(steps), f"fold {number + 1} judged", dict(self.metrics))

    def child(self, steps: int) -> Job[tuple[dict[str, Tensor], Choice]]:
        """Train on every annotated field; the rule and the blend are those of the folds."""
        trained = yield from self._trained(self.known, self.folder / "all", steps, "all fields")
        choice = self._choice(self._units())
        return blend(self.look.state, trained, choice.blend), choice

    def judged(self, child: Mapping[str, Tensor], choice: Choice) -> Job[list[Judged]]:
        """Every annotated field as parent and child decide on it, the child without having learnt from it."""
        found = [self._judged_unseen(i, sample, choice) for i, sample in enumerate(self.train)]
        version = self.look.network(child)
        for j, sample in enumerate(self.test):
            i = len(self.train) + j
            yield Progress(j, len(self.test), f"judging {sample.field.name}", dict(self.metrics))
            path = self.folder / "test" / f"{j}.npz"
            evidence = yield from self._quiet(self.look.look(sample.field.loaded(), version, path))
            found.append(self._judged(i, sample, decide(evidence, choice.rule)))
        # Spots count the fields of the plan, not those of a role.
        order = [i for role in ("train", "test") for i, f in enumerate(self.plan.fields) if f.role == role]
        return [replace(one, field=order[one.field]) for one in found]

    # What these are made of

    def _trained(self, known: Sequence[Known], place: Path, steps: int, name: str) -> Job[dict[str, Tensor]]:
        network = self._fresh()
        cls = detector_class(self.look.card.detector)
        job = tune(
            network, cls, self._material(known), self.recipe, place, steps=steps, seed=self.plan.seed,
            device=self.device,
        )  # fmt: skip
        before = self.done
        while True:
            try:
                p = next(job)
            except StopIteration:
                break
            self.done = before + p.done
            self.metrics |= {"loss": p.metrics["loss"]}
            yield Progress(self.done, self._total(steps), f"learning, {name}", dict(self.metrics))
        self.done = before + steps
        return {k: v.detach().cpu() for k, v in network.state_dict().items()}

    def _fresh(self) -> nn.Module:
        network = detector_class(self.look.card.detector).build(self.look.card.config)
        network.load_state_dict(dict(self.look.state))
        return network

    def _material(self, known: Sequence[Known]) -> Material:
        return Material(known, self.tissue, WINDOW_PX, self.recipe.shares)

    def _total(self, steps: int) -> int:
        return steps * (len(self.folds) + 1)

    def _quiet(self, job: Job[T]) -> Job[T]:
        """A job whose steps are told as one, so that the bar of the whole run does not jump; it can be cancelled."""
        while True:
            try:
                p = next(job)
            except StopIteration as stop:
                result: T = stop.value
                return result
            yield Progress(0, 0, p.message, dict(self.metrics))

    def _units(self) -> list[Unit]:
        return [unit for held in self.folds for unit in held if unit in self.unseen[self.recipe.blends[0]][unit.field]]

    def _choice(self, units: Sequence[Unit]) -> Choice:
        """Blend and rule by these units."""
        rule = self.look.rule
        truths = {u: self.train[u.field].centroids_yx() for u in units}
        counts = {
            share: [count_unit(self.unseen[share][u.field][u], truths[u], u, rule) for u in units]
            for share in self.recipe.blends
        }
        mitoses = sum(int(u.holds(truths[u]).sum()) for u in units)
        return choose(counts, mitoses, rule, grid_about(self.seen[0], rule))

    def _judged_unseen(self, i: int, sample: Sample, own: Choice) -> Judged:
        """A training field, each part by the network that did not see it: under this rule, and under others' rules."""
        parts: tuple[list[pd.DataFrame], ...] = ([], [])
        for held in self.folds:
            mine = [u for u in held if u.field == i]
            if not mine:
                continue
            other = self._choice([u for u in self._units() if u not in held])
            for unit in mine:
                for choice, tables in zip((own, other), parts, strict=True):
                    table = decide(self.unseen[choice.blend][i][unit], choice.rule)
                    tables.append(table[unit.holds(table[["y_px", "x_px"]].to_numpy())])
        child, crossed = (pd.concat(p).sort_values("score", ascending=False, ignore_index=True) for p in parts)
        return replace(self._judged(i, sample, child), crossed=crossed)

    def _judged(self, i: int, sample: Sample, child: pd.DataFrame) -> Judged:
        rule: Rule = self.look.rule
        parent = decide(self.seen[i], rule)
        return Judged(i, sample.field.shape, self.seen[i].mpp, sample.centroids_yx(), parent, child)

    def _tell(self) -> None:
        """F of parent and child on the fields judged so far, for the curve."""
        units = self._units()
        fields = {u.field for u in units}
        if len(self.train) > 1:
            choice = self._choice(units)
            so_far = [
                self._judged(i, self.train[i], decide(self.unseen[choice.blend][i][u], choice.rule))
                for i in sorted(fields)
                for u in units
                if u.field == i
            ]
            verdict = judge(so_far)
            self.metrics |= {"f": verdict.child.f, "parent_f": verdict.parent.f}
