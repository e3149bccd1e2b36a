"""Figures of protocol P: F on patients that no network saw, by scanner, with the false detections beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..datasets.crops import Crop
from ..datasets.sample import Sample
from ..decision.decide import Rule, decide
from ..decision.evidence import Evidence
from ..errors import DatasetError
from ..fields.field import Field
from ..inference.predict import predict
from ..jobs import Job, Progress
from ..measures.calibrate import cross_fitted, expected_calibration_error, fit_calibration
from ..measures.evaluate import FieldResult, evaluate
from ..measures.sweep import choose_rule, grid_for
from ..models.card import Measure
from ..models.registry import Detector
from ..tables import write_table
from .crossval import Scored, count_all, write_rules
from .patients import patient_interval, scanner
from .publish import as_measure, write_report
from .report import held_out_scores

COMMAND = "napari-mitosis train all"


@dataclass(frozen=True)
class Seen:
    """Which fields the weights that a run began with were trained on.

    Attributes
    ----------
    fields : frozenset of str
        Names of fields.
    """

    fields: frozenset[str] = frozenset()

    def group(self, sample: Sample, samples: Sequence[Sample]) -> str:
        """What a field may be measured as; "" where it may not."""
        if sample.field.name in self.fields:
            return ""
        if any(other.case == sample.case and other.field.name in self.fields for other in samples):
            return f"{scanner(sample)}, new fields of known slides"
        return f"{scanner(sample)}, new patients"


def report_patients(
    scored: Sequence[Scored], start: Rule, seen: Seen, out: Path, radius_um: float, learnt: Sequence[Sample] = ()
) -> Job[tuple[Rule, dict[str, Rule], list[Measure]]]:
    """Rules, measures and calibration from the held-out scores of protocol P; leaves ``report.json`` and tables.

    The rule of a fold is chosen on the new patients of the other folds, all patients weighed by the root of their
    mitoses; the one that ships on those of all folds. Where fields that the weights learnt from are not among the
    `scored`, they are `learnt`: other fields of their patients are not those of new ones.

    Returns
    -------
    Rule, dict of str to Rule, list of Measure
        The one that ships, those of the folds, and the figures.

    Raises
    ------
    DatasetError
        If no patient is new to all networks.
    """
    samples = [*(s.sample for s in scored), *learnt]
    group = {s.sample.field.name: seen.group(s.sample, samples) for s in scored}
    new = [s for s in scored if group[s.sample.field.name].endswith("new patients")]
    if not new:
        raise DatasetError(f"{out}: no held-out field is of a patient that is new to the weights it began with")
    counts = yield from count_all(new, start, radius_um)
    weights = patient_weights([s.sample for s in new])
    rules = {
        fold: _chosen(new, counts, weights, start, [i for i, s in enumerate(new) if s.fold != fold])
        for fold in sorted({s.fold for s in scored})
    }
    rule = _chosen(new, counts, weights, start, list(range(len(new))))
    decided = {s.sample.field.name: decide(s.evidence, rules[s.fold]) for s in scored}
    measures, table = measure_groups(
        [(s.sample, group[s.sample.field.name], s.evidence, decided[s.sample.field.name]) for s in scored], radius_um
    )
    out.mkdir(parents=True, exist_ok=True)
    write_table(out / "fields.csv", table)
    write_rules(out / "rules.json", rules)
    scores = held_out_scores(new, rules, radius_um)
    write_table(out / "scores.csv", scores)
    shipped = held_out_scores(new, dict.fromkeys(rules, rule), radius_um)
    calibration = fit_calibration(shipped["score"], shipped["hit"]).knots
    error = expected_calibration_error(cross_fitted(scores), scores["hit"])
    chosen = f"protocol P: held-out scores of {len(new)} fields of {len({s.sample.case for s in new})} new patients"
    write_report(out / "report.json", rule, chosen, measures, calibration)
    (out / "calibration.txt").write_text(f"{error:.4f}\n", encoding="utf-8")
    return rule, rules, measures


def measure_groups(
    decided: Sequence[tuple[Sample, str, Evidence, pd.DataFrame]], radius_um: float
) -> tuple[list[Measure], pd.DataFrame]:
    """Precision, recall, F and false detections for each mm2, of every group of fields and of all new patients.

    Parameters
    ----------
    decided : sequence of (Sample, str, Evidence, DataFrame)
        Field, its group ("" = not to be measured), evidence and detections.

    Returns
    -------
    list of Measure, DataFrame
        The table has a row for each field.
    """
    rows = [row for row in decided if row[1]]
    groups = {name: [row for row in rows if row[1] == name] for name in sorted({row[1] for row in rows})}
    new = [row for row in rows if row[1].endswith("new patients")]
    if len({row[1] for row in new}) > 1:
        groups["all scanners, new patients"] = new
    measures, tables = [], []
    for name, members in groups.items():
        results = [
            FieldResult(s.field.name, s.case, detections, s.centroids_yx(), evidence.mpp)
            for s, _, evidence, detections in members
        ]
        evaluation = evaluate(results, radius_um)
        low, high = patient_interval(evaluation.per_field)
        area = sum(e.shape[0] * e.shape[1] * e.mpp**2 for _, _, e, _ in members) / 1e6
        measure = as_measure(f"protocol P, {name}", evaluation, radius_um, COMMAND)
        figures = {
            "f_low": round(float(np.nan_to_num(low)), 4),
            "f_high": round(float(np.nan_to_num(high)), 4),
            "patients": evaluation.per_field["case"].nunique(),
            "false_per_mm2": round(evaluation.counts.fp / area, 3),
        }
        measures.append(measure.model_copy(update=figures))
        if name in {row[1] for row in rows}:
            tables.append(evaluation.per_field.assign(group=name))
    return measures, pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def patient_weights(samples: Sequence[Sample]) -> list[float]:
    """Weight of each field when a rule is chosen: a patient counts by the root of its mitoses, not by their number."""
    total: dict[str, int] = {}
    for sample in samples:
        total[sample.case] = total.get(sample.case, 0) + len(sample.centroids_yx())
    return [1.0 / max(1, total[sample.case]) ** 0.5 for sample in samples]


def false_on_tissue(tiles: Sequence[Crop], detector: Detector, rule: Rule) -> Job[tuple[int, float]]:
    """Detections on tissue in which nobody annotated a mitosis, and its area in mm2."""
    false, area = 0, 0.0
    for i, tile in enumerate(tiles):
        yield Progress(i, len(tiles), f"tissue without mitoses: {tile.path.name}")
        field = Field.from_array(tile.pixels(), tile.mpp, tile.path.stem)
        evidence = yield from predict(field, detector)
        false += len(decide(evidence, rule))
        area += tile.shape[0] * tile.shape[1] * tile.mpp**2 / 1e6
    return false, area


def _chosen(
    scored: Sequence[Scored],
    counts: Sequence[np.ndarray],
    weights: Sequence[float],
    start: Rule,
    members: Sequence[int],
) -> Rule:
    weighed = [weights[i] * counts[i] for i in members]
    mitoses = sum(weights[i] * len(scored[i].sample.centroids_yx()) for i in members)
    rule, _ = choose_rule(weighed, mitoses, start, grid_for(scored[0].evidence, start))
    return rule


def as_text(measures: Sequence[Measure], tissue: Mapping[str, float] | None = None) -> str:
    """Lines for a reader."""
    lines = [
        f"{m.name}: P {m.precision:.3f} R {m.recall:.3f} F {m.f:.3f} [{m.f_low:.3f}, {m.f_high:.3f}], "
        f"{m.false_per_mm2} false/mm2 ({m.patients} patients, {m.fields} fields, {m.mitoses} mitoses)"
        for m in measures
    ]
    return "\n".join([*lines, *(f"{name}: {value:.3f}" for name, value in (tissue or {}).items())]) + "\n"
