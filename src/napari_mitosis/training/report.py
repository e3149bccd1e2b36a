"""Turn finished folds into figures: protocols S and N, JPEG, another data set, and the rule that ships."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from ..datasets.sample import Sample
from ..decide import Rule, decide
from ..errors import DatasetError
from ..evaluate import Evaluation, FieldResult, evaluate
from ..inference.cache import load_evidence
from ..jobs import Job
from ..models.card import Measure
from ..sweep import Grid, choose_rule
from .crossval import Scored, count_all, cross_fitted_rules, measure, write_rules
from .publish import as_measure, write_report

COMMAND = "napari-mitosis train report"


def make_report(
    both: Mapping[str, Sequence[Scored]], others: Sequence[Sample], out: Path, radius_um: float
) -> Job[list[Measure]]:
    """Measure, choose the shipped rule, write ``report.json``, the rules of each fold and a table of fields.

    Parameters
    ----------
    both : mapping of str to sequence of Scored
        Protocol ("S", "N") to its scored fields.
    others : sequence of Sample
        Fields of another data set, on the slide of fold ``N-A03``: measured with that fold's network, the
        only one that never saw the slide.
    out : Path
    radius_um : float
        Matching radius of the measures.
    """
    every = [s for scored in both.values() for s in scored]
    counts = yield from count_all(every, Rule(), radius_um)
    rules = cross_fitted_rules(every, counts, Rule())
    measures: list[Measure] = []
    for protocol, scored in both.items():
        evaluation = measure(scored, rules, radius_um)
        folds = len({s.fold for s in scored})
        name = f"icpr2012, protocol {protocol}, {folds} folds pooled"
        measures.append(as_measure(name, evaluation, radius_um, COMMAND))
        strict = measure(scored, rules, 5.0)
        measures.append(as_measure(f"{name}, radius 5 um", strict, 5.0, COMMAND))
        again = measure(scored, rules, radius_um, resaved=True)
        measures.append(as_measure(f"{name}, fields re-saved as JPEG 80", again, radius_um, COMMAND))
        (out / f"fields-{protocol}.csv").write_text(evaluation.per_field.to_csv(index=False), encoding="utf-8")
        if protocol == "N":
            measures += _each_fold(scored, rules, radius_um)
            if others:
                measures.append(_other(others, rules["N-A03"], out))
    write_rules(out / "rules.json", rules)
    mitoses = sum(len(s.sample.centroids_yx()) for s in every)
    rule, table = choose_rule(counts, mitoses, Rule(), Grid())
    table.to_csv(out / "sweep.csv", index=False)
    chosen = "icpr2012: scores of the held-out fields of all folds of protocols S and N"
    write_report(out / "report.json", rule, chosen, measures)
    return measures


def mean_f(measures: Sequence[Measure]) -> float:
    """Mean F over the slides of protocol N."""
    return mean(m.f for m in measures if m.name.startswith("icpr2012, new slide"))


def _each_fold(scored: Sequence[Scored], rules: Mapping[str, Rule], radius_um: float) -> list[Measure]:
    measures = []
    for fold in sorted({s.fold for s in scored}):
        evaluation = measure([s for s in scored if s.fold == fold], rules, radius_um)
        measures.append(as_measure(f"icpr2012, new slide {fold[2:]}", evaluation, radius_um, COMMAND))
    return measures


def _other(others: Sequence[Sample], rule: Rule, out: Path, radius_um: float = 8.0) -> Measure:
    """Fields of another data set with the network of fold N-A03 and that fold's rule."""
    results = []
    for sample in others:
        evidence = load_evidence(out / "N-A03" / "evidence" / f"{sample.field.name}.npz")
        if evidence is None:
            raise DatasetError(f"{sample.field.name} was not scored by fold N-A03; run crossval again")
        detections = decide(evidence, rule)
        results.append(FieldResult(sample.field.name, sample.case, detections, sample.centroids_yx(), evidence.mpp))
    evaluation: Evaluation = evaluate(results, radius_um)
    return as_measure(f"{others[0].dataset} (slide A03, network of fold N-A03)", evaluation, radius_um, COMMAND)
