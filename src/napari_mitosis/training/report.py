"""Turn finished folds into figures: protocols S and N, JPEG, another data set, and the rule that ships."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..datasets.sample import Sample
from ..decision.decide import Rule, decide
from ..errors import DatasetError
from ..inference.cache import load_evidence
from ..jobs import Job
from ..measures.calibrate import fit_calibration, uncut
from ..measures.evaluate import Evaluation, FieldResult, evaluate, match
from ..measures.sweep import choose_rule, grid_for
from ..models.card import Measure
from ..tables import write_table
from .crossval import Scored, count_all, cross_fitted_rules, measure, write_rules
from .publish import as_measure, write_report

COMMAND = "napari-mitosis train report"


def make_report(
    both: Mapping[str, Sequence[Scored]],
    others: Sequence[Sample],
    start: Rule,
    out: Path,
    radius_um: float,
    *,
    detector: str = "segmitos",
    kind: str = "evidence",
) -> Job[list[Measure]]:
    """Measure, choose the shipped rule, write the report, the rules of each fold and tables of fields and scores.

    Parameters
    ----------
    both : mapping of str to sequence of Scored
        Protocol ("S", "N") to its scored fields.
    others : sequence of Sample
        Fields of another data set, on the slide of fold ``N-A03``: measured with that fold's network, the
        only one that never saw the slide.
    start : Rule
        What the grid of rules does not vary.
    out : Path
        Run folder; the files are called ``report.json`` and so on, with `kind` in their names where it is not
        ``evidence``.
    radius_um : float
        Matching radius of the measures.
    """
    ending = "" if kind == "evidence" else f"-{kind}"
    every = [s for scored in both.values() for s in scored]
    if not every:
        raise DatasetError(f"{out} holds no scores of a finished fold; run crossval first")
    counts = yield from count_all(every, start, radius_um)
    rules = cross_fitted_rules(every, counts, start)
    measures: list[Measure] = []
    for protocol, scored in both.items():
        if not scored:
            continue
        evaluation = measure(scored, rules, radius_um)
        folds = len({s.fold for s in scored})
        name = f"icpr2012, protocol {protocol}, {folds} folds pooled"
        measures.append(as_measure(name, evaluation, radius_um, f"{COMMAND} --detector {detector}"))
        strict = measure(scored, rules, 5.0)
        measures.append(as_measure(f"{name}, radius 5 um", strict, 5.0, f"{COMMAND} --detector {detector}"))
        if all(s.resaved is not None for s in scored):
            again = measure(scored, rules, radius_um, resaved=True)
            name = f"{name}, fields re-saved as JPEG 80"
            measures.append(as_measure(name, again, radius_um, f"{COMMAND} --detector {detector}"))
        write_table(out / f"fields-{protocol}{ending}.csv", evaluation.per_field)
        if protocol == "N":
            measures += _each_fold(scored, rules, radius_um, detector)
            other = _other(others, rules.get("N-A03"), out / "N-A03" / kind, detector)
            measures += [other] if other is not None else []
    write_rules(out / f"rules{ending}.json", rules)
    mitoses = sum(len(s.sample.centroids_yx()) for s in every)
    rule, table = choose_rule(counts, mitoses, start, grid_for(every[0].evidence, start))
    write_table(out / f"sweep{ending}.csv", table)
    scores = held_out_scores(every, rules, radius_um)
    write_table(out / f"scores{ending}.csv", scores)
    chosen = f"icpr2012: scores of the held-out fields of all folds of protocols {' and '.join(both)}"
    shipped = held_out_scores(every, dict.fromkeys(rules, rule), radius_um)
    calibration = fit_calibration(shipped["score"], shipped["hit"]).knots if len(shipped) else ()
    write_report(out / f"report{ending}.json", rule, chosen, measures, calibration)
    return measures


def held_out_scores(scored: Sequence[Scored], rules: Mapping[str, Rule], radius_um: float) -> pd.DataFrame:
    """Every candidate of the held-out fields with its score and whether it is a mitosis: what calibration needs.

    Returns
    -------
    DataFrame
        Columns fold, field, score, hit; candidates as the fold's rule makes them, whatever their score.
    """
    rows = []
    for s in scored:
        rule = rules[s.fold]
        table = decide(s.evidence, uncut(rule))
        hit: NDArray[np.bool_] = np.zeros(len(table), dtype=bool)
        hit[match(table, s.sample.centroids_yx(), radius_um, s.evidence.mpp).pairs[:, 0]] = True
        rows.append(pd.DataFrame({"fold": s.fold, "field": s.sample.field.name, "score": table["score"], "hit": hit}))
    return pd.concat(rows, ignore_index=True)


def mean_f(measures: Sequence[Measure]) -> float:
    """Mean F over the slides of protocol N; NaN where none was measured."""
    values = [m.f for m in measures if m.name.startswith("icpr2012, new slide")]
    return mean(values) if values else float("nan")


def _each_fold(scored: Sequence[Scored], rules: Mapping[str, Rule], radius_um: float, detector: str) -> list[Measure]:
    measures = []
    for fold in sorted({s.fold for s in scored}):
        evaluation = measure([s for s in scored if s.fold == fold], rules, radius_um)
        command = f"{COMMAND} --detector {detector}"
        measures.append(as_measure(f"icpr2012, new slide {fold[2:]}", evaluation, radius_um, command))
    return measures


def _other(
    others: Sequence[Sample], rule: Rule | None, folder: Path, detector: str, radius_um: float = 8.0
) -> Measure | None:
    """Fields of another data set with the network of fold N-A03 and that fold's rule; None if not scored."""
    results = []
    for sample in others:
        evidence = load_evidence(folder / f"{sample.field.name}.npz")
        if evidence is None or rule is None:
            return None
        detections = decide(evidence, rule)
        results.append(FieldResult(sample.field.name, sample.case, detections, sample.centroids_yx(), evidence.mpp))
    if not results:
        return None
    evaluation: Evaluation = evaluate(results, radius_um)
    name = f"{others[0].dataset} (slide A03, network of fold N-A03)"
    return as_measure(name, evaluation, radius_um, f"{COMMAND} --detector {detector}")
