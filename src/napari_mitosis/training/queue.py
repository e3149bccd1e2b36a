"""The queue that trains, measures and publishes all systems: one job, resumable, the most valuable part first."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from ..datasets.sample import Sample
from ..datasets.scale import at_scale
from ..decision.decide import Rule, decide
from ..errors import DatasetError, WeightsError
from ..inference.cache import load_evidence, save_evidence
from ..inference.predict import predict
from ..jobs import Job, Progress, retold
from ..measures.evaluate import FieldResult, average_precision, pr_curve
from ..models.registry import Detector, detector_class, load_detector
from ..models.trunks import fold_batch_norms
from ..models.weights import blend, load_state, publish, read_state
from ..tables import write_table
from .checkpoint import load_tensors
from .crossval import Scored, folds
from .final import with_reports
from .material import TrainingData
from .patient_report import Seen, as_text, false_on_tissue, measure_groups, report_patients
from .publish import describe
from .seen import seen_in_training
from .stages import Stage
from .systems import system

RADIUS_UM = 7.5
_LOOKED_AT = 18


@dataclass(frozen=True)
class QueuePlan:
    """What the queue is to do.

    Attributes
    ----------
    out : Path
        Run folder.
    init : Path or None
        Weights of the trunk that the base begins with.
    start : Path or None
        Whole weights to begin the fields with, instead of a base trained here.
    seen : tuple of str
        Names of fields that `start` was trained on: they are trained on, too, but never measured.
    base_steps, fold_steps, final_steps : int
        A longer run than the last goes on from its checkpoint. Without steps of final weights none are published.
    round_steps : int
        Steps of a fold between two points of its learning curve.
    final_from : str
        Stage whose weights the final training begins with: ``base``, or a fold, whose network has seen most patients
        already.
    blend : float
        What is measured and published lies on the way from the weights that the fields begin with (0) to the trained
        ones (1): between them a network keeps more of what it knew of the slides of `start`.
    version : str
        Of what is published.
    seed : int
    """

    out: Path
    init: Path | None = None
    start: Path | None = None
    seen: tuple[str, ...] = ()
    base_steps: int = 2000
    fold_steps: int = 600
    final_steps: int = 900
    round_steps: int = 200
    final_from: str = "base"
    blend: float = 1.0
    version: str = "1.1.0"
    seed: int = 0

    @property
    def measured(self) -> str:
        """What the folds are measured with, as the name of their folder says it."""
        return f"{self.fold_steps}" if self.blend == 1.0 else f"{self.fold_steps}-{self.blend:g}"


def stages(data: TrainingData, plan: QueuePlan, name: str = "segmitos") -> list[Stage]:
    """Base, folds and final weights of one system, in the order of what they are worth."""
    base = Stage(f"{name}/base", _base_target(plan), lambda: _base(data, plan, name))
    parts = [base]
    for fold, test in folds(data.samples, "P").items():

        def run(fold: str = fold, test: Sequence[int] = tuple(test)) -> Job[None]:
            return _fold(data, plan, name, fold, test)

        parts.append(Stage(f"{name}/{fold}", f"{plan.measured} steps", run, (base.name,)))
    folds_done = tuple(stage.name for stage in parts)
    begun_with = f"{name}/{plan.final_from}"
    final = Stage(f"{name}/final", f"{plan.final_steps} steps", lambda: _final(data, plan, name), (begun_with,))
    figures = Stage(
        f"{name}/report", f"{plan.measured} steps", lambda: _without_text(report(data, plan, name)), folds_done
    )
    target = f"{plan.version}, {plan.measured} and {plan.final_steps} steps"
    published = Stage(f"{name}/published", target, lambda: _publish(data, plan, name), (figures.name, final.name))
    parts += [final, figures, published] if plan.final_steps else [figures]
    if plan.start is not None:
        parts.append(Stage(f"{name}/parent", plan.start.name, lambda: _parent(data, plan, name)))
    return parts


def _base_target(plan: QueuePlan) -> str:
    return f"{plan.base_steps} steps" if plan.start is None else f"from {plan.start.name}"


def _base(data: TrainingData, plan: QueuePlan, name: str) -> Job[None]:
    place = plan.out / name / "base"
    if plan.start is not None:
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(plan.start, place / "base.safetensors")
        return
    yield from system(name).base(data.crops, place, init=plan.init, seed=plan.seed, steps=plan.base_steps)


def _fold(data: TrainingData, plan: QueuePlan, name: str, fold: str, test: Sequence[int]) -> Job[None]:
    """Train a fold in rounds, look at held-out fields after each, and score all of them in the end."""
    place = plan.out / name / fold
    train = at_scale([s for i, s in enumerate(data.samples) if i not in set(test)], 0.25)
    held_out = [data.samples[i] for i in test]
    start = plan.out / name / "base" / "base.safetensors"
    for steps in _rounds(plan):
        if _steps_of(place / "model.safetensors") < steps:
            yield from system(name).fold(train, data.crops, start, place, seed=plan.seed, steps=steps)
        yield from _look(name, place, held_out, steps)
    detector = _measured(plan, name, fold)
    for sample in held_out:
        yield from _score(sample, detector, place / f"evidence-{plan.measured}")


def _final(data: TrainingData, plan: QueuePlan, name: str) -> Job[None]:
    place = plan.out / name / "final"
    first = plan.out / name / plan.final_from
    start = first / ("base.safetensors" if plan.final_from == "base" else "model.safetensors")
    if _steps_of(place / "model.safetensors") < plan.final_steps:
        samples = at_scale(data.samples, 0.25)
        yield from system(name).fold(samples, data.crops, start, place, seed=plan.seed, steps=plan.final_steps)


def report(data: TrainingData, plan: QueuePlan, name: str) -> Job[str]:
    """Rules and figures from the folds that are finished; leaves ``report/`` in the system's folder.

    Returns
    -------
    str
        The figures, a line for each group of fields.

    Raises
    ------
    DatasetError
        If fewer than two folds are finished: the rule of one is chosen on the others.
    """
    scored, finished = [], []
    for fold, test in folds(data.samples, "P").items():
        place = plan.out / name / fold / f"evidence-{plan.measured}"
        evidence = {i: load_evidence(place / f"{data.samples[i].field.name}.npz") for i in test}
        if all(evidence.values()):
            finished.append(fold)
            scored += [Scored(data.samples[i], fold, e) for i, e in evidence.items() if e is not None]
    if len(finished) < 2:
        raise DatasetError(f"{plan.out / name}: two folds of {plan.fold_steps} steps must be finished for a report")
    start = system(name).card(version="0.0.0", seed=0).decision_rule()
    out = plan.out / name / "report"
    _, rules, measures = yield from report_patients(scored, start, Seen(frozenset(plan.seen)), out, RADIUS_UM)
    false, area = 0, 0.0
    for fold in finished:
        detector = _measured(plan, name, fold)
        more, tissue = yield from false_on_tissue(data.tissue_reserve, detector, rules[fold])
        false, area = false + more, area + tissue
    text = as_text(measures, {"false/mm2 on tissue set aside": false / area} if area else None)
    (out / "report.txt").write_text(text, encoding="utf-8")
    return text


def _parent(data: TrainingData, plan: QueuePlan, name: str) -> Job[None]:
    """The weights that the run began with, on the same fields: by the rule of their card, and by those of other folds.

    What the second is better by needs no training, only another threshold.
    """
    assert plan.start is not None
    detector = load_detector(plan.start.stem.replace("-", "@", 1), plan.start.parent)
    place, seen, rows = plan.out / name / "parent", Seen(frozenset(plan.seen)), []
    fold_of = {i: fold for fold, test in folds(data.samples, "P").items() for i in test}
    scored = []
    for i, sample in enumerate(data.samples):
        group = seen.group(sample, data.samples)
        if group:
            yield from _score(sample, detector, place / "evidence")
            evidence = load_evidence(place / "evidence" / f"{sample.field.name}.npz")
            assert evidence is not None
            rows.append((sample, group, evidence, decide(evidence, detector.card.decision_rule())))
            scored.append(Scored(sample, fold_of[i], evidence))
    measures, table = measure_groups(rows, RADIUS_UM)
    write_table(place / "fields.csv", table)
    false, area = yield from false_on_tissue(data.tissue_reserve, detector, detector.card.decision_rule())
    text = as_text(measures, {"false/mm2 on tissue set aside": false / area} if area else None)
    start = system(name).card(version="0.0.0", seed=0).decision_rule()
    learnt = [sample for sample in data.samples if sample.field.name in seen.fields]
    _, _, chosen = yield from report_patients(scored, start, seen, place / "other-rules", RADIUS_UM, learnt)
    text = f"by the rule of its card\n{text}by rules chosen on the patients of other folds\n{as_text(chosen)}"
    (place / "report.txt").write_text(text, encoding="utf-8")


def _publish(data: TrainingData, plan: QueuePlan, name: str) -> Job[None]:
    """Final weights with a card that holds the figures of the folds."""
    yield Progress(0, 1, "publishing")
    card = system(name).card(version=plan.version, seed=plan.seed)
    network = detector_class(name).build(card.config)
    load_state(network, _blended(plan, name, "final"), name)
    update: dict[str, object] = {
        "poses": 1,
        "parent": plan.start.stem.replace("-", "@", 1) if plan.start is not None else None,
        "trained_on": f"{describe(data.samples)}; {len(data.crops)} crops of other slides and tissue",
    }
    update["seen"] = yield from seen_in_training(data.samples, data.crops, card.mpp)
    card = with_reports(card.model_copy(update=update), plan.out / name / "report" / "report.json", None)
    publish(network, card, plan.out / name / "published")


def _without_text(job: Job[str]) -> Job[None]:
    yield from job


def write_plan(plan: QueuePlan) -> None:
    """Keep the plan in the run folder, for commands that look at the run later."""
    plan.out.mkdir(parents=True, exist_ok=True)
    values = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(plan).items()}
    (plan.out / "plan.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def read_plan(out: Path) -> QueuePlan:
    """What `write_plan` kept in a run folder.

    Raises
    ------
    DatasetError
        If there is none.
    """
    try:
        values = json.loads((out / "plan.json").read_text(encoding="utf-8"))
        paths = {key: Path(values[key]) if values[key] else None for key in ("init", "start")}
        return QueuePlan(**{**values, **paths, "out": out, "seen": tuple(values["seen"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{out} holds no plan of a queue: {error}; 'train all' writes one") from error


def _rounds(plan: QueuePlan) -> list[int]:
    return [*range(plan.round_steps, plan.fold_steps, plan.round_steps), plan.fold_steps]


def _steps_of(path: Path) -> int:
    """Steps of stage 2 that weights had; 0 where there are none."""
    if not path.exists():
        return 0
    return int(load_tensors(path)[1].get("steps", 0))


def _blended(plan: QueuePlan, name: str, stage: str) -> dict[str, Tensor]:
    """Weights of a stage as they are measured and published."""
    trained = read_state(plan.out / name / stage / "model.safetensors")
    if plan.blend == 1.0:
        return trained
    return blend(read_state(plan.out / name / "base" / "base.safetensors"), trained, plan.blend)


def _measured(plan: QueuePlan, name: str, fold: str) -> Detector:
    return _with_state(name, _blended(plan, name, fold))


def _detector(name: str, weights: Path) -> Detector:
    return _with_state(name, read_state(weights))


def _with_state(name: str, state: Mapping[str, Tensor]) -> Detector:
    card = system(name).card(version="0.0.0", seed=0)
    network = detector_class(name).build(card.config)
    load_state(network, state, name)
    return Detector(card.model_copy(update={"poses": 1}), fold_batch_norms(network.eval()))


def _score(sample: Sample, detector: Detector, folder: Path) -> Job[None]:
    path = folder / f"{sample.field.name}.npz"
    if load_evidence(path) is None:
        save_evidence(path, (yield from predict(sample.field, detector)))


def _look(name: str, place: Path, held_out: Sequence[Sample], steps: int) -> Job[None]:
    """A point of the learning curve: ranking and best F on a few held-out fields of every case."""
    path = place / "curve.json"
    curve = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    if any(point["steps"] == steps for point in curve):
        return
    detector = _detector(name, place / "model.safetensors")
    results = []
    for sample in _some(held_out):
        evidence = yield from retold(predict(sample.field, detector), lambda p: replace(p, message="held-out fields"))
        detections = decide(evidence, Rule(threshold=0.1, floor=0.1, min_score=0.0, min_area_um2=15.0))
        truth = sample.centroids_yx()
        results.append(FieldResult(sample.field.name, sample.case, detections, truth, evidence.mpp))
    table = pr_curve(results, RADIUS_UM)
    point = {
        "steps": steps,
        "fields": len(results),
        "mitoses": sum(len(r.truth_yx) for r in results),
        "average_precision": round(average_precision(table), 4),
        "best_f": round(float(np.nanmax(table["f"].to_numpy(), initial=0.0)), 4),
    }
    path.write_text(json.dumps([*curve, point], indent=1), encoding="utf-8")


def _some(samples: Sequence[Sample]) -> list[Sample]:
    """A few fields of every case, spread over it."""
    cases = sorted({s.case for s in samples})
    each = max(1, _LOOKED_AT // max(1, len(cases)))
    chosen: list[Sample] = []
    for case in cases:
        of_case = [s for s in samples if s.case == case]
        chosen += of_case[:: max(1, len(of_case) // each)][:each]
    return chosen


def require_start(plan: QueuePlan) -> None:
    """Say at once, not after an hour, that there is nothing to begin with.

    Raises
    ------
    WeightsError
        If a named file is missing.
    """
    for path in (plan.init, plan.start):
        if path is not None and not path.is_file():
            raise WeightsError(f"there is no file {path} to start from")
