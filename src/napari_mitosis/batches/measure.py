"""Detections against annotated fields: from samples to tables, figures and a curve on disk."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..datasets.sample import Sample
from ..decision.decide import Rule
from ..errors import DatasetError
from ..jobs import Job, Progress
from ..measures.evaluate import Evaluation, FieldResult, average_precision, evaluate, pr_curve
from ..tables import empty_detections, write_table
from .batch import STEPS_PER_FIELD, scaled

if TYPE_CHECKING:
    from ..inference.pipeline import Pipeline


@dataclass(frozen=True, eq=False)
class Measured:
    """What a comparison gave.

    Attributes
    ----------
    model : str
        Model version, or the table that the detections came from.
    rule : Rule or None
        Thresholds, where this package applied them.
    radius_um : float
        A detection within it of a mitosis is one.
    evaluation : Evaluation
        Counts, figures and intervals.
    curve : DataFrame
        Precision and recall at every score.
    """

    model: str
    rule: Rule | None
    radius_um: float
    evaluation: Evaluation
    curve: pd.DataFrame


def measure_model(
    samples: Sequence[Sample],
    pipeline: Pipeline,
    radius_um: float,
    *,
    mpp: float | None = None,
    device: str = "auto",
) -> Job[Measured]:
    """Run a model over annotated fields and compare.

    Parameters
    ----------
    samples : sequence of Sample
        Fields without mitoses count, too: what is detected there is false.
    pipeline : Pipeline
    radius_um : float
        Of the matching, in um.
    mpp : float, optional
        um/px of all fields, whatever they say themselves.
    device : str
        As for `Pipeline.look`.

    Yields
    ------
    Progress
        In steps of a hundredth of a field.

    Raises
    ------
    DatasetError
        When there is no sample.
    UnknownResolution, FieldError
        For any of the fields: figures of the others alone would mislead.
    """
    rule = pipeline.rule
    _require_samples(samples)
    kept, everything = [], []
    for number, sample in enumerate(samples):
        field = sample.field if mpp is None else sample.field.with_mpp(mpp)
        job = pipeline.look(field.loaded(), device=device)
        decider = pipeline.decider((yield from scaled(job, number, len(samples), field.name)))
        size = field.require_mpp("The comparison")
        kept.append(_result(sample, decider.decide(rule), size))
        everything.append(_result(sample, decider.decide(replace(rule, min_score=0.0)), size))
        total = len(samples) * STEPS_PER_FIELD
        yield Progress((number + 1) * STEPS_PER_FIELD, total, f"{field.name} done")
    curve = pr_curve(everything, radius_um)
    return Measured(pipeline.name, rule, radius_um, evaluate(kept, radius_um), curve)


def measure_table(
    samples: Sequence[Sample],
    detections: Mapping[str, pd.DataFrame],
    radius_um: float,
    *,
    source: str = "detections.csv",
    mpp: float | None = None,
) -> Measured:
    """Compare a table of detections with annotated fields.

    Parameters
    ----------
    samples : sequence of Sample
    detections : mapping of str to DataFrame
        What `batch.read_detections` gave. A field that it does not name has no detections.
    radius_um : float
        Of the matching, in um.
    source : str
        Name of the table, for a person.
    mpp : float, optional
        um/px of all fields, whatever they say themselves.

    Raises
    ------
    DatasetError
        When there is no sample, or the table names a file that is none of the samples.
    UnknownResolution
        When a field does not know its um/px.
    """
    _require_samples(samples)
    names = {label: _sample_of(label, samples) for label in detections}
    strangers = sorted(label for label, index in names.items() if index is None)
    if strangers:
        raise DatasetError(f"{source} names {strangers[0]}, which is none of the annotated fields")
    tables = {index: detections[label] for label, index in names.items()}
    results = []
    for index, sample in enumerate(samples):
        field = sample.field if mpp is None else sample.field.with_mpp(mpp)
        results.append(_result(sample, tables.get(index, empty_detections()), field.require_mpp("The comparison")))
    return Measured(source, None, radius_um, evaluate(results, radius_um), pr_curve(results, radius_um))


def _require_samples(samples: Sequence[Sample]) -> None:
    if not samples:
        raise DatasetError("there is no annotated field to compare with")


def _result(sample: Sample, detections: pd.DataFrame, mpp: float) -> FieldResult:
    return FieldResult(sample.field.name, sample.case, detections, sample.centroids_yx(), mpp)


def _sample_of(label: str, samples: Sequence[Sample]) -> int | None:
    """Index of the sample whose file a label means: by its path from the end, else by its name."""
    parts = Path(label).parts
    for index, sample in enumerate(samples):
        if sample.field.path is not None and sample.field.path.parts[-len(parts) :] == parts:
            return index
    stems = [index for index, sample in enumerate(samples) if sample.field.name == Path(label).stem]
    return stems[0] if len(stems) == 1 else None


def as_dict(measured: Measured) -> dict[str, Any]:
    """The content of ``evaluation.json``."""
    evaluation = measured.evaluation
    counts = evaluation.counts
    rule = None if measured.rule is None else asdict(measured.rule)
    if rule is not None and rule["max_area_um2"] == float("inf"):
        rule["max_area_um2"] = None
    return {
        "model": measured.model,
        "rule": rule,
        "radius_um": measured.radius_um,
        "fields": len(evaluation.per_field),
        "mitoses": counts.tp + counts.fn,
        "tp": counts.tp,
        "fp": counts.fp,
        "fn": counts.fn,
        "precision": _number(counts.precision),
        "recall": _number(counts.recall),
        "f": _number(counts.f),
        "interval_95": {name: [_number(end) for end in ends] for name, ends in evaluation.interval.items()},
        "average_precision": _number(average_precision(measured.curve)),
        "per_field": json.loads(evaluation.per_field.to_json(orient="records")),
    }


def _number(value: float) -> float | None:
    """None for what JSON cannot say: a precision where nothing was detected."""
    return value if math.isfinite(value) else None


def save(measured: Measured, out: Path) -> None:
    """Write ``evaluation.json``, ``pr_curve.csv`` and ``pr_curve.png`` into a folder, which is made.

    Raises
    ------
    OSError
        When they cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(as_dict(measured), indent=2) + "\n"
    (out / "evaluation.json").write_text(text, encoding="utf-8")
    write_table(out / "pr_curve.csv", measured.curve)
    plot(measured, out / "pr_curve.png")


def plot(measured: Measured, path: Path) -> None:
    """Draw precision over recall, with the point that the rule works at, as a PNG of 800 x 800 px."""
    # Not pyplot: a figure of its own needs no display and leaves no state behind.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(measured.curve["recall"], measured.curve["precision"], color="#3b528b")
    counts = measured.evaluation.counts
    axes.plot([counts.recall], [counts.precision], "o", color="#d1495b", label=f"F {counts.f:.3f}")
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="recall", ylabel="precision", aspect="equal")
    axes.set_title(f"{measured.model}, {measured.radius_um:g} um", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    figure.savefig(path, dpi=160)
