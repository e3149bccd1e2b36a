"""Measure a recipe on fields that its networks did not train on.

Protocol S (same slides): the fields of each slide are dealt over four folds, as the papers split them.
Protocol N (new slide): each slide is a fold. Protocol P (new patient): three folds of patients, both contests and
scanners in each; the one that detectors are chosen and judged by. In all of them every field is scored once, by a
network that never saw it, and its decision rule is chosen on such scores of fields outside its fold, never on its own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ..datasets.crops import Crop
from ..datasets.sample import Sample
from ..decision.decide import Rule, decide
from ..decision.evidence import Evidence
from ..fields.field import Field
from ..inference.cache import load_evidence, save_evidence
from ..inference.predict import predict
from ..inference.verify import verify
from ..jobs import Job, Progress, retold
from ..measures.evaluate import Evaluation, FieldResult, evaluate
from ..measures.sweep import Grid, choose_rule, count_grid, grid_for
from ..models.registry import Detector, detector_class
from ..models.trunks import fold_batch_norms
from ..models.weights import load_weights
from .patients import patient_folds
from .systems import System, system

Protocol = Literal["S", "N", "P"]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Scored:
    """A field of a fold with what a network that never saw it made of it.

    Attributes
    ----------
    resaved : Evidence or None
        Of the same field after one more JPEG compression at quality 80, where that was scored.
    """

    sample: Sample
    fold: str
    evidence: Evidence
    resaved: Evidence | None = None


def folds(samples: Sequence[Sample], protocol: Protocol, count: int = 4) -> dict[str, list[int]]:
    """Indices of the test fields of each fold, by its name."""
    if protocol == "P":
        return {f"P-{k}": test for k, test in enumerate(patient_folds(samples))}
    if protocol == "N":
        cases = sorted({s.case for s in samples})
        return {f"N-{case}": [i for i, s in enumerate(samples) if s.case == case] for case in cases}
    places: dict[str, int] = {}
    dealt: dict[str, list[int]] = {f"S-{k}": [] for k in range(count)}
    for i in sorted(range(len(samples)), key=lambda i: (samples[i].case, samples[i].field.name)):
        case = samples[i].case
        # Slides start at different folds, so that all folds are of about the same size.
        first = sorted({s.case for s in samples}).index(case)
        k = (places.get(case, 0) + first) % count
        places[case] = places.get(case, 0) + 1
        dealt[f"S-{k}"].append(i)
    return {name: test for name, test in dealt.items() if test}


def cross_validate(
    recipe: System,
    start: Path | None,
    samples: Sequence[Sample],
    others: Sequence[Sample],
    crops: Sequence[Crop],
    protocol: Protocol,
    folder: Path,
    *,
    seed: int = 0,
    steps: int = 0,
    resave: bool = False,
) -> Job[None]:
    """Train one network for each fold and score the fold's fields with it.

    What is done already (weights, evidence) is kept in `folder`, so a killed run goes on.

    Parameters
    ----------
    recipe : System
    start : Path or None
        Weights to start each fold from, trained on none of `samples`; or a folder with those of each fold,
        ``<fold>/model.safetensors``, trained on none of the fold's fields.
    others : sequence of Sample
        Fields of other data sets, scored by each fold's network and written beside the rest.
    folder : Path
        One folder for each fold is made in it.
    steps : int
        Optimiser steps of each fold; 0 = the system's own number.
    resave : bool
        Score each field once more after another JPEG compression.
    """
    card = recipe.card(version="0.0.0", seed=seed)
    for name, test in folds(samples, protocol).items():
        place = folder / name
        network = detector_class(recipe.name).build(card.config)
        if (place / "model.safetensors").exists():
            load_weights(network, place / "model.safetensors")
        else:
            train = [s for i, s in enumerate(samples) if i not in test]
            fold_start = start / name / "model.safetensors" if start is not None and start.is_dir() else start
            network = yield from _named(recipe.fold(train, crops, fold_start, place, seed=seed, steps=steps), name)
        if card.kind == "verifier":  # scored behind a detector
            continue
        detector = Detector(card, fold_batch_norms(network.eval()))
        for sample in [*(samples[i] for i in test), *others]:
            yield from _score(sample.field, detector, place / "evidence", name)
        for sample in [samples[i] for i in test] if resave else []:
            yield from _score(_resave(sample.field), detector, place / "evidence", name)


def verify_folds(
    runs: Path, verifier_runs: Path, detector: str, verifier: str, samples: Sequence[Sample], others: Sequence[Sample]
) -> Job[None]:
    """What the verifier of each fold makes of a detector's candidates in the fold's held-out fields.

    Leaves ``<verifier_runs>/<fold>/verified-<detector>/<field>.npz``; what is there is not done again. Folds that
    either lacks are left out.

    Parameters
    ----------
    runs, verifier_runs : Path
        Run folders of the detector's and of the verifier's cross-validation.
    others : sequence of Sample
        Fields of other data sets that the detector scored in protocol N.
    """
    rule = system(detector).card(version="0.0.0", seed=0).decision_rule()
    card = system(verifier).card(version="0.0.0", seed=0)
    protocols: tuple[Protocol, Protocol] = ("S", "N")
    for protocol in protocols:
        for name, test in folds(samples, protocol).items():
            place = verifier_runs / name
            if not (place / "model.safetensors").exists():
                continue
            network = detector_class(verifier).build(card.config)
            load_weights(network, place / "model.safetensors")
            loaded = Detector(card, fold_batch_norms(network.eval()))
            for sample in [*(samples[i] for i in test), *(others if protocol == "N" else [])]:
                evidence = load_evidence(runs / name / "evidence" / f"{sample.field.name}.npz")
                path = place / f"verified-{detector}" / f"{sample.field.name}.npz"
                if evidence is None or path.exists():
                    continue
                job = verify(sample.field.loaded(), evidence, loaded, rule)
                save_evidence(path, (yield from _named(job, f"{name}: {sample.field.name}")))


def collect(folder: Path, samples: Sequence[Sample], protocol: Protocol, kind: str = "evidence") -> list[Scored]:
    """What `cross_validate` left of the folds that are finished.

    Parameters
    ----------
    kind : str
        Folder of the evidence within each fold's.
    """
    scored = []
    for name, test in folds(samples, protocol).items():
        for sample in [samples[i] for i in test]:
            evidence = load_evidence(folder / name / kind / f"{sample.field.name}.npz")
            if evidence is not None:
                resaved = load_evidence(folder / name / kind / f"{sample.field.name}-jpeg80.npz")
                scored.append(Scored(sample, name, evidence, resaved))
    return scored


def _named(job: Job[T], name: str) -> Job[T]:
    """The same job, saying which fold it is."""
    return retold(job, lambda p: replace(p, message=f"{name}: {p.message}"))


def _score(field: Field, detector: Detector, folder: Path, name: str) -> Job[Evidence]:
    path = folder / f"{field.name}.npz"
    known = load_evidence(path)
    if known is not None:
        return known
    evidence = yield from _named(predict(field, detector), f"{name}: {field.name}")
    save_evidence(path, evidence)
    return evidence


def _resave(field: Field, quality: int = 80) -> Field:
    """The field after one more JPEG compression."""
    coded = imagecodecs.jpeg8_encode(np.ascontiguousarray(field.numpy()), level=quality)
    return Field.from_array(imagecodecs.jpeg8_decode(coded), field.mpp, f"{field.name}-jpeg{quality}")


def count_all(
    scored: Sequence[Scored], start: Rule, radius_um: float, grid: Grid | None = None
) -> Job[list[NDArray[np.int64]]]:
    """Counts of every field under every rule of `grid`, or of the grid for its kind; see `sweep.count_grid`."""
    counts = []
    for i, s in enumerate(scored):
        searched = grid or grid_for(s.evidence, start)
        counts.append(count_grid(s.evidence, s.sample.centroids_yx(), start, radius_um, searched))
        yield Progress(i + 1, len(scored), f"rules on {s.sample.field.name}")
    return counts


def cross_fitted_rules(
    scored: Sequence[Scored], counts: Sequence[NDArray[np.int64]], start: Rule, grid: Grid | None = None
) -> dict[str, Rule]:
    """For each fold the rule that is best on all fields that are not in it.

    Parameters
    ----------
    scored : sequence of Scored
        Of one protocol or of both; a field of the fold is left out in either.
    counts : sequence of ndarray
        Of `count_all`, in the same order.
    grid : Grid, optional
        The one they were counted under, where it is not that of their kind.
    """
    rules = {}
    for name in sorted({s.fold for s in scored}):
        held_out = {s.sample.field.name for s in scored if s.fold == name}
        rest = [i for i, s in enumerate(scored) if s.sample.field.name not in held_out]
        mitoses = sum(len(scored[i].sample.centroids_yx()) for i in rest)
        own_grid = grid or grid_for(scored[0].evidence, start)
        rules[name], _ = choose_rule([counts[i] for i in rest], mitoses, start, own_grid)
    return rules


def measure(
    scored: Sequence[Scored], rules: Mapping[str, Rule], radius_um: float, *, resaved: bool = False
) -> Evaluation:
    """Pooled precision, recall and F of all folds, each decided by its own rule."""
    results = []
    for s in scored:
        evidence = s.resaved if resaved else s.evidence
        if evidence is None:
            raise ValueError(f"{s.sample.field.name} was not scored after another compression")
        detections = decide(evidence, rules[s.fold])
        truth = s.sample.centroids_yx()
        results.append(FieldResult(s.sample.field.name, s.sample.case, detections, truth, evidence.mpp))
    return evaluate(results, radius_um)


def write_rules(path: Path, rules: Mapping[str, Rule]) -> None:
    """Keep the rules of the folds as JSON."""
    table = {name: {k: v for k, v in asdict(rule).items() if v != math.inf} for name, rule in rules.items()}
    path.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
