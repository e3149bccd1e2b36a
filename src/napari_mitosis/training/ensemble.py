"""An ensemble from the cross-validations of its members: calibrations, weights and threshold, and what it is worth.

For each fold all of these are chosen on fields outside the fold, with the members' networks that never saw the
field they are chosen on; the fold's own fields then measure them. What ships is chosen on all fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from ..datasets.sample import Sample
from ..decision.decide import Rule, decide
from ..decision.evidence import Evidence
from ..errors import DatasetError
from ..inference.ensemble import MIN_DISTANCE_UM, combine, ensemble_rule, with_probability
from ..jobs import Job, Progress
from ..measures.calibrate import Calibration, fit_calibration, uncut
from ..measures.evaluate import match
from .crossval import Protocol, Scored, collect
from .publish import read_report

PROTOCOLS: tuple[Protocol, ...] = ("S", "N")

# No member is left out: with free weights all but one fell to 0 on some folds, and what is then left is no ensemble.
_SHARES = (0.5, 1.0)
_MIN_SCORES = tuple(np.round(np.arange(0.02, 0.92, 0.02), 3).tolist())
# How far around weights and a threshold F is looked at: on some 140 mitoses the highest single F is luck.
_SCORE_SIGMA = 0.04
_WEIGHT_SIGMA = 0.15


@dataclass(frozen=True)
class Run:
    """The cross-validation of one member.

    Attributes
    ----------
    detector, verifier : str
        Registered names; no verifier: an empty one.
    folder : Path
        Of the detector's run, or of the verifier's.
    """

    detector: str
    folder: Path
    verifier: str = ""

    @property
    def name(self) -> str:
        """The member's score column."""
        return f"{self.detector}+{self.verifier}" if self.verifier else self.detector

    @property
    def kind(self) -> str:
        """Folder of the evidence within each fold's."""
        return f"verified-{self.detector}" if self.verifier else "evidence"

    @property
    def ending(self) -> str:
        """Ending of the names of its report and rules."""
        return f"-{self.kind}" if self.verifier else ""


def parse_run(text: str) -> Run:
    """``detector=FOLDER`` or ``detector+verifier=FOLDER``.

    Raises
    ------
    ValueError
        If it is neither.
    """
    name, sign, folder = text.partition("=")
    detector, _, verifier = name.partition("+")
    if not (detector and sign and folder):
        raise ValueError(f"'{text}' is no run; write detector=FOLDER, or detector+verifier=FOLDER")
    return Run(detector, Path(folder), verifier)


@dataclass(frozen=True, eq=False)
class Held:
    """A held-out field with what each member's network, which never saw it, made of it."""

    sample: Sample
    fold: str
    evidence: Mapping[str, Evidence]

    @property
    def truth(self) -> NDArray[np.float64]:
        """Centroids (y, x) of its mitoses, in pixels."""
        return self.sample.centroids_yx()


@dataclass(frozen=True, eq=False)
class Fitted:
    """What makes an ensemble of detectors: rules, calibrations and the rule on their weighted mean."""

    rules: Mapping[str, Rule]
    calibrations: Mapping[str, Calibration]
    rule: Rule


def loosened(rule: Rule) -> Rule:
    """A rule that gives an ensemble more to choose from: what one member doubts another may be sure of.

    A tenth where a score map was cut higher, half the area, any score.
    """
    if rule.method == "peaks":
        return uncut(rule)
    threshold = 0.1 if rule.threshold == "otsu" else min(0.1, rule.threshold)
    return replace(rule, threshold=threshold, floor=0.1, min_area_um2=rule.min_area_um2 / 2, min_score=0.0)


def gather(runs: Sequence[Run], samples: Sequence[Sample]) -> list[Held]:
    """The held-out fields that every member has scored, in both protocols.

    Raises
    ------
    DatasetError
        If there is none.
    """
    held: list[Held] = []
    for protocol in PROTOCOLS:
        scored: list[dict[str, Scored]] = [
            {scores.sample.field.name: scores for scores in collect(run.folder, samples, protocol, run.kind)}
            for run in runs
        ]
        shared = set.intersection(*(set(each) for each in scored)) if scored else set()
        for name in sorted(shared):
            evidence = {run.name: each[name].evidence for run, each in zip(runs, scored, strict=True)}
            held.append(Held(scored[0][name].sample, scored[0][name].fold, evidence))
    if not held:
        raise DatasetError("there is no held-out field that every member has scored; run 'train crossval' for each")
    return held


def fold_rules(run: Run) -> dict[str, Rule]:
    """The rule of each fold that ``train report`` left, and the shipped one under an empty name.

    Raises
    ------
    DatasetError
        If there was no report yet.
    """
    try:
        table = json.loads((run.folder / f"rules{run.ending}.json").read_text(encoding="utf-8"))
        shipped = read_report(run.folder / f"report{run.ending}.json")["rule"]
    except OSError as error:
        raise DatasetError(f"{run.name} has no report in {run.folder}; run 'train report' first") from error
    return {name: _rule(values) for name, values in {**table, "": shipped}.items()}


def _rule(values: Mapping[str, object]) -> Rule:
    weights = tuple((str(k), v) for k, v in values.get("weights", ()))  # type: ignore[attr-defined]
    return Rule(**{**values, "weights": weights})  # type: ignore[arg-type]


def combined(tables: Mapping[str, pd.DataFrame], calibrations: Mapping[str, Calibration], like: Evidence) -> Evidence:
    """Candidates of all members of one field in one table of probabilities."""
    sure = {name: with_probability(table, calibrations[name]) for name, table in tables.items()}
    return combine(sure, like.shape, like.mpp, "ensemble@0.0.0", like.field_digest)


class Candidates:
    """Candidates of fields and members under rules, each made once: most folds share their rules."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str, Rule], pd.DataFrame] = {}

    def of(self, held: Held, rules: Mapping[str, Rule]) -> dict[str, pd.DataFrame]:
        """The candidates of every member in a field."""
        tables = {}
        for name, rule in rules.items():
            key = (held.fold, held.sample.field.name, name, rule)
            if key not in self._known:
                self._known[key] = decide(held.evidence[name], rule)
            tables[name] = self._known[key]
        return tables


def hits(table: pd.DataFrame, held: Held, radius_um: float, mpp: float) -> NDArray[np.bool_]:
    """Which rows of a table of detections are mitoses."""
    hit = np.zeros(len(table), dtype=bool)
    hit[match(table, held.truth, radius_um, mpp).pairs[:, 0]] = True
    return hit


def fit_calibrations(
    held: Sequence[Held], tables: Sequence[Mapping[str, pd.DataFrame]], radius_um: float
) -> dict[str, Calibration]:
    """The calibration of each member on these fields; one without any candidate has none.

    Raises
    ------
    DatasetError
        If a member has no candidate in all of these fields.
    """
    calibrations = {}
    for name in tables[0]:
        scores = np.concatenate([table[name]["score"].to_numpy() for table in tables])
        hit = [hits(t[name], h, radius_um, h.evidence[name].mpp) for t, h in zip(tables, held, strict=True)]
        if len(scores) == 0:
            raise DatasetError(f"{name} has no candidate in any field; it cannot be calibrated")
        calibrations[name] = fit_calibration(scores, np.concatenate(hit))
    return calibrations


def weight_grid(names: Sequence[str]) -> list[dict[str, float]]:
    """Weights that are tried: each member half or full, up to their common factor."""
    distinct: dict[tuple[float, ...], dict[str, float]] = {}
    for shares in product(_SHARES, repeat=len(names)):
        if sum(shares) > 0:
            weights = tuple(np.round(np.array(shares) / sum(shares), 4).tolist())
            distinct[weights] = dict(zip(names, weights, strict=True))
    return list(distinct.values())


def choose(held: Sequence[Held], evidence: Sequence[Evidence], radius_um: float) -> Rule:
    """Weights and threshold in the middle of the best plateau of pooled F."""
    weights = weight_grid(evidence[0].scores[1:])
    points = np.array([list(each.values()) for each in weights])
    cuts = np.array(_MIN_SCORES)
    counts = np.zeros((2, len(weights), len(cuts)))
    for held_out, pooled in zip(held, evidence, strict=True):
        counts += count_weights(pooled, held_out.truth, points, cuts, radius_um)
    mitoses = sum(len(held_out.truth) for held_out in held)
    f = 2 * counts[0] / np.maximum(counts.sum(axis=0) + mitoses, 1)
    plateau = ndimage.gaussian_filter1d(f, _SCORE_SIGMA / (cuts[1] - cuts[0]), axis=1, mode="nearest")
    near = np.exp(-((points[:, None] - points[None]) ** 2).sum(axis=-1) / (2 * _WEIGHT_SIGMA**2))
    plateau = (near / near.sum(axis=1, keepdims=True)) @ plateau
    best, cut = np.unravel_index(int(np.argmax(plateau)), plateau.shape)
    return ensemble_rule(weights[int(best)], float(cuts[cut]))


def count_weights(
    evidence: Evidence,
    truth_yx: NDArray[np.float64],
    weights: NDArray[np.float64],
    cuts: NDArray[np.float64],
    radius_um: float,
) -> NDArray[np.float64]:
    """True and false positives of one field for all weights and thresholds at once.

    What `decide` and `match` give, but for one thing: a candidate near two mitoses may stand for both.

    Parameters
    ----------
    weights : ndarray, shape (w, members)
    cuts : ndarray, shape (c,)

    Returns
    -------
    ndarray, shape (2, w, c)
    """
    frame = evidence.candidates
    assert frame is not None
    places = frame[["y_px", "x_px"]].to_numpy() * evidence.mpp
    fused = frame[list(evidence.scores[1:])].to_numpy() @ weights.T
    for i, j in cKDTree(places).query_pairs(MIN_DISTANCE_UM * (1 - 1e-9)) if len(places) else ():
        # Of two that are too near the worse goes.
        first = fused[i] >= fused[j]
        fused[j] = np.where(first, 0.0, fused[j])
        fused[i] = np.where(first, fused[i], 0.0)
    hit = np.zeros(fused.shape, dtype=bool)
    for near in cdist(truth_yx * evidence.mpp, places) <= radius_um:
        rows = np.flatnonzero(near)
        if len(rows):
            hit[rows[np.argmax(fused[rows], axis=0)], np.arange(fused.shape[1])] = True
    above = fused[..., None] > cuts
    return np.stack([(above & hit[..., None]).sum(axis=0), (above & ~hit[..., None]).sum(axis=0)]).astype(np.float64)


def fit_ensemble(
    held: Sequence[Held], rules: Mapping[str, Rule], radius_um: float, known: Candidates | None = None
) -> Job[Fitted]:
    """Calibrations, weights and threshold on these fields.

    Parameters
    ----------
    rules : mapping of str to Rule
        Of each member alone; they are loosened.
    known : Candidates, optional
        Of other folds, to be used again.
    """
    known = Candidates() if known is None else known
    loose = {name: loosened(rule) for name, rule in rules.items()}
    tables = []
    for i, held_out in enumerate(held):
        tables.append(known.of(held_out, loose))
        yield Progress(i + 1, len(held), f"candidates of {held_out.sample.field.name}")
    calibrations = fit_calibrations(held, tables, radius_um)
    evidence = [combined(t, calibrations, _any(h)) for t, h in zip(tables, held, strict=True)]
    return Fitted(loose, calibrations, choose(held, evidence, radius_um))


def _any(held: Held) -> Evidence:
    return next(iter(held.evidence.values()))


@dataclass(frozen=True, eq=False)
class Measured:
    """What the ensemble and each member made of one held-out field.

    Attributes
    ----------
    detections : mapping of str to DataFrame
        By ``"ensemble"`` and the members' names.
    scores : DataFrame
        Candidates of the ensemble, whatever their score: columns score, hit.
    """

    held: Held
    detections: Mapping[str, pd.DataFrame]
    scores: pd.DataFrame


def cross_fit(held: Sequence[Held], runs: Sequence[Run], radius_um: float) -> Job[list[Measured]]:
    """Measure on each fold what was chosen outside it; its fields are left out in the other protocol, too.

    Raises
    ------
    DatasetError
        If a member's report is older than its evidence, or missing.
    """
    rules = {run.name: fold_rules(run) for run in runs}
    known = Candidates()
    measured = []
    for fold in sorted({held_out.fold for held_out in held}):
        left_out = [held_out for held_out in held if held_out.fold == fold]
        names = {held_out.sample.field.name for held_out in left_out}
        rest = [held_out for held_out in held if held_out.sample.field.name not in names]
        outdated = [name for name, each in rules.items() if fold not in each]
        if outdated:
            raise DatasetError(f"the report of {outdated[0]} knows no fold {fold}; run 'train report' again")
        cut = {name: each[fold] for name, each in rules.items()}
        fitted = yield from fit_ensemble(rest, cut, radius_um, known)
        for held_out in left_out:
            evidence = combined(known.of(held_out, fitted.rules), fitted.calibrations, _any(held_out))
            everything = decide(evidence, replace(fitted.rule, min_score=0.0))
            scores = pd.DataFrame(
                {"score": everything["score"], "hit": hits(everything, held_out, radius_um, evidence.mpp)}
            )
            detections = {name: decide(held_out.evidence[name], rule) for name, rule in cut.items()}
            measured.append(Measured(held_out, {"ensemble": decide(evidence, fitted.rule), **detections}, scores))
    return measured
