"""What an ensemble is worth, beside its members alone, and the card that it ships as."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from ..datasets.sample import Sample
from ..decision.decide import Rule
from ..jobs import Job
from ..measures.calibrate import Calibration, fit_calibration
from ..measures.evaluate import Evaluation, FieldResult, evaluate
from ..models.card import Measure, Member, ModelCard
from ..models.registry import list_cards
from ..tables import write_table
from .ensemble import PROTOCOLS, Fitted, Measured, Run, cross_fit, fit_ensemble, fold_rules, gather
from .publish import as_measure

COMMAND = "napari-mitosis train ensemble"


def measures(measured: Sequence[Measured], radius_um: float) -> Iterator[tuple[str, Measure]]:
    """Figures of the ensemble and of each member alone, on the same fields: (name, measure)."""
    for name in measured[0].detections:
        for protocol in PROTOCOLS:
            chosen = [each for each in measured if each.held.fold.startswith(protocol)]
            if chosen:
                folds = len({each.held.fold for each in chosen})
                text = f"icpr2012, protocol {protocol}, {folds} folds pooled"
                yield name, as_measure(text, _evaluation(chosen, name, radius_um), radius_um, COMMAND)
                if protocol == "N":
                    for fold in sorted({each.held.fold for each in chosen}):
                        slide = [each for each in chosen if each.held.fold == fold]
                        text = f"icpr2012, new slide {fold[2:]}"
                        yield name, as_measure(text, _evaluation(slide, name, radius_um), radius_um, COMMAND)


def _evaluation(measured: Sequence[Measured], name: str, radius_um: float) -> Evaluation:
    results = []
    for each in measured:
        sample = each.held.sample
        mpp = next(iter(each.held.evidence.values())).mpp
        results.append(FieldResult(sample.field.name, sample.case, each.detections[name], each.held.truth, mpp))
    return evaluate(results, radius_um)


def make_ensemble(
    runs: Sequence[Run], samples: Sequence[Sample], out: Path, radius_um: float, *, version: str = "1.0.0"
) -> Job[dict[str, list[Measure]]]:
    """Measure the ensemble of these runs, and write its card where all members are published.

    Leaves ``report.json`` (rule, calibrations, figures), ``scores.csv`` (cross-fitted scores of all candidates)
    and ``ensemble-<version>.json``.

    Raises
    ------
    DatasetError
        If the runs share no held-out field, or one has no report.
    """
    held = gather(runs, samples)
    measured = yield from cross_fit(held, runs, radius_um)
    shipped = {run.name: fold_rules(run)[""] for run in runs}
    fitted = yield from fit_ensemble(held, shipped, radius_um)
    by_name: dict[str, list[Measure]] = {}
    for name, measure in measures(measured, radius_um):
        by_name.setdefault(name, []).append(measure)
    scores = pd.concat(
        [result.scores.assign(fold=result.held.fold, field=result.held.sample.field.name) for result in measured],
        ignore_index=True,
    )
    calibration = fit_calibration(scores["score"], scores["hit"])
    out.mkdir(parents=True, exist_ok=True)
    write_table(out / "scores.csv", scores)
    members = [_member(run, fitted) for run in runs if run.name in fitted.rules]
    report = {
        "rule": _finite(fitted.rule),
        "members": [member.model_dump() for member in members],
        "measures": {name: [m.model_dump() for m in each] for name, each in by_name.items()},
    }
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    published = {card.name for card in list_cards()}
    if all(name in published for m in members for name in (m.model, m.verifier) if name):
        card = ensemble_card(members, fitted.rule, calibration, by_name["ensemble"], version)
        card.save(out / f"ensemble-{version}.json")
    return by_name


def _member(run: Run, fitted: Fitted) -> Member:
    return Member(
        model=_newest(run.detector),
        verifier=_newest(run.verifier) if run.verifier else "",
        rule=_finite(fitted.rules[run.name]),
        calibration=fitted.calibrations[run.name].knots,
    )


def _newest(detector: str) -> str:
    """The newest published version of a detector, as ``detector@version``."""
    names = [card.name for card in list_cards() if card.detector == detector]
    return names[-1] if names else f"{detector}@unpublished"


def _finite(rule: Rule) -> dict[str, object]:
    # JSON knows no infinity: a limit that is none is left out.
    return {name: value for name, value in asdict(rule).items() if value != math.inf}


def ensemble_card(
    members: Sequence[Member],
    rule: Rule,
    calibration: Calibration,
    figures: Sequence[Measure],
    version: str,
) -> ModelCard:
    """The card of an ensemble of published members."""
    cards = {card.name: card for card in list_cards()}
    used = [cards[name] for m in members for name in (m.model, m.verifier) if name]
    chosen = "icpr2012: calibrations, weights and threshold on the held-out fields of protocols S and N"
    return ModelCard(
        detector="ensemble",
        config="compact",
        version=version,
        title=f"Ensemble of {len(members)} (weighted mean of calibrated scores)",
        mpp=used[0].mpp,
        tile_px=max(card.tile_px for card in used),
        halo_px=max(card.halo_px for card in used),
        parameters=sum(card.parameters for card in used),
        rule=_finite(rule),
        rule_chosen_on=chosen,
        calibration=calibration.knots,
        members=tuple(members),
        trained_on=f"nothing of its own; {used[0].name} on {used[0].trained_on}",
        split="measures: each fold by calibrations, weights and threshold of the fields outside it",
        measures=tuple(figures),
        terms=" ".join(sorted({card.terms for card in used})),
        notes="Members: " + ", ".join("+".join(filter(None, (m.model, m.verifier))) for m in members),
    )
