"""Choose a decision rule on validation fields.

Every field is counted once under every rule of a grid (`count_grid`); choosing the best rule for any set of
fields (`choose_rule`) then only adds up counts. Never give it fields that the result is measured on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from ..decision.decide import Decider, Rule
from ..decision.evidence import Evidence
from .evaluate import match

# How far around a rule F is looked at: on halves of annotated fields, rules chosen so did better on the other
# half than rules of the highest single F, and than those of a mean over half the distance.
_SCORE_SIGMA = 0.05
_AREA_SIGMA_UM2 = 3.5


@dataclass(frozen=True)
class Grid:
    """The rules that are tried: every combination of these values."""

    smoothing_um: tuple[float, ...] = (0.5, 1.0, 1.5)
    threshold: tuple[float | Literal["otsu"], ...] = ("otsu", 0.2, 0.3, 0.4, 0.5)
    min_distance_um: tuple[float, ...] = (6.0, 9.0)
    min_area_um2: tuple[float, ...] = (5.0, 15.0, 25.0, 35.0, 45.0, 55.0, 65.0)
    min_score: tuple[float, ...] = tuple(np.round(np.arange(0.2, 0.96, 0.025), 3).tolist())
    weights: tuple[tuple[tuple[str, float], ...], ...] = ((),)
    disc_um: tuple[float, ...] = (2.5,)

    @property
    def maps(self) -> list[tuple[tuple[tuple[str, float], ...], float, float]]:
        """Fusion weights, smoothing and disc: the first axis, the choices that change the map decided on."""
        return list(product(self.weights, self.smoothing_um, self.disc_um))

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of choices: maps, threshold, distance, area, score."""
        axes = (self.maps, self.threshold, self.min_distance_um, self.min_area_um2, self.min_score)
        return tuple(len(axis) for axis in axes)

    def rule(self, base: Rule, index: Sequence[int]) -> Rule:
        """The rule at a place of the grid; what the grid does not vary is `base`'s."""
        a, b, c, d, e = (int(i) for i in index)
        weights, smoothing, disc = self.maps[a]
        return replace(
            base,
            weights=weights or base.weights,
            smoothing_um=smoothing,
            disc_um=disc,
            threshold=self.threshold[b],
            min_distance_um=self.min_distance_um[c],
            min_area_um2=self.min_area_um2[d],
            min_score=self.min_score[e],
        )


def grid_for(evidence: Evidence, base: Rule) -> Grid:
    """The rules worth trying on evidence of this kind.

    Two maps or score columns are fused with every weight from 0 to 1 in steps of 0.1 (PartMitosis, section 4.3;
    DeepMitosis, section 3.2); more keep the weights of `base`.
    """
    names = evidence.weighable
    weights: tuple[tuple[tuple[str, float], ...], ...] = ((),)
    if len(names) == 2 and base.method == "blobs":
        weights = tuple(((names[0], round(w, 1)), (names[1], round(1 - w, 1))) for w in np.arange(0, 1.05, 0.1))
    fine = tuple(np.round(np.arange(0.025, 0.99, 0.025), 3).tolist())
    if evidence.candidates is not None:
        return Grid(
            smoothing_um=(0.0,),
            # 0 lets later scores decide alone: any one sub-model of MSSN suffices, and the mean of four is low then.
            threshold=(0.0, 0.05, 0.1, 0.2, 0.3, 0.5),
            min_area_um2=(0.0,),
            min_score=fine,
            weights=weights,
        )
    if base.method == "peaks":
        # The threshold of the peaks is found along the axis of scores: what it drops changes nothing above it.
        return Grid(
            smoothing_um=(0.0,), threshold=(0.025,), min_area_um2=(0.0,), min_score=fine, disc_um=(2.0, 2.5, 3.0)
        )
    if len(weights) > 1:
        return Grid(smoothing_um=(1.0,), threshold=(0.2, 0.3, 0.4, 0.5), min_distance_um=(6.0,), weights=weights)
    return Grid()


def count_grid(
    evidence: Evidence, truth_yx: NDArray[np.float64], base: Rule, radius_um: float, grid: Grid
) -> NDArray[np.int64]:
    """True and false positives of one field under every rule.

    Returns
    -------
    ndarray of int, shape (*grid.shape, 2)
        tp and fp.
    """
    counts = np.zeros((*grid.shape, 2), dtype=np.int64)
    decider = Decider(evidence)
    scores = np.asarray(grid.min_score)
    for index in product(*(range(n) for n in grid.shape[:-1])):
        # Suppression and matching both go best score first, so what a higher score threshold drops never
        # changes what stays: one matching serves the whole score axis.
        rule = replace(grid.rule(base, (*index, 0)), min_score=0.0)
        table = decider.decide(rule)
        hit = np.zeros(len(table), dtype=bool)
        hit[match(table, truth_yx, radius_um, evidence.mpp).pairs[:, 0]] = True
        above = table["score"].to_numpy()[None, :] > scores[:, None]
        counts[index][:, 0] = (above & hit).sum(axis=1)
        counts[index][:, 1] = (above & ~hit).sum(axis=1)
    return counts


def choose_rule(
    counts: Sequence[NDArray[np.int64]] | Sequence[NDArray[np.float64]], mitoses: float, base: Rule, grid: Grid
) -> tuple[Rule, pd.DataFrame]:
    """The rule in the middle of the best plateau of pooled F.

    F is averaged over neighbouring areas and scores (Gaussian weights, 3.5 um2 and 0.05 wide) before its
    maximum is taken: on few fields the highest single point is luck, and a rule must survive a scanner that
    shifts all scores a little. Of rules that are equal even so, the one in their middle is taken.

    Parameters
    ----------
    counts : sequence of ndarray
        Of `count_grid`, one a field; they may be weighed, if `mitoses` is so, too.
    mitoses : float
        In all of these fields.

    Returns
    -------
    rule : Rule
    table : DataFrame
        The best 50 rules with precision, recall, F and the averaged F.

    Raises
    ------
    ValueError
        If there is no field, or no mitosis in any of them.
    """
    if not counts or mitoses == 0:
        raise ValueError("a rule can only be chosen on fields with mitoses")
    total = np.sum(counts, axis=0)
    tp, fp = total[..., 0], total[..., 1]
    f = 2 * tp / np.maximum(tp + fp + mitoses, 1e-9)
    sigma = (0, 0, 0, _AREA_SIGMA_UM2 / _step(grid.min_area_um2), _SCORE_SIGMA / _step(grid.min_score))
    plateau = ndimage.gaussian_filter(f, sigma, mode="nearest")
    plateau[:, _idle(grid)[:, None, None, :].repeat(grid.shape[2], 1).repeat(grid.shape[3], 2)] = -1
    order = np.lexsort((_from_middle(plateau), -plateau.round(9).ravel()))[:50]
    places = [np.unravel_index(i, grid.shape) for i in order]
    rows = []
    for place in places:
        rule = grid.rule(base, [int(i) for i in place])
        rows.append(
            {
                "weights": " ".join(f"{name}={share:g}" for name, share in rule.weights),
                "smoothing_um": rule.smoothing_um,
                "disc_um": rule.disc_um,
                "threshold": rule.threshold,
                "min_distance_um": rule.min_distance_um,
                "min_area_um2": rule.min_area_um2,
                "min_score": rule.min_score,
                "precision": tp[place] / max(1, tp[place] + fp[place]),
                "recall": tp[place] / mitoses,
                "f": f[place],
                "plateau_f": plateau[place],
            }
        )
    return as_stated(grid.rule(base, [int(i) for i in places[0]])), pd.DataFrame(rows)


def _idle(grid: Grid) -> NDArray[np.bool_]:
    """Score thresholds below the map's own, which nothing can fail, but for the highest; (thresholds, scores)."""
    cuts = np.array([0.0 if value == "otsu" else value for value in grid.threshold])
    following = np.append(np.asarray(grid.min_score)[1:], np.inf)
    return np.asarray(following[None, :] <= cuts[:, None])


def as_stated(rule: Rule) -> Rule:
    """The same decisions as a reader would state them: peaks have one threshold, not a floor and a score."""
    if rule.method == "peaks" and rule.threshold != "otsu":
        return replace(rule, threshold=max(rule.threshold, rule.min_score), min_score=0.0)
    return rule


def _step(values: tuple[float, ...]) -> float:
    """Usual distance of neighbouring values of an axis."""
    return float(np.median(np.diff(values))) if len(values) > 1 else 1.0


def _from_middle(plateau: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each place, in steps of area and score, from the middle of the best ones; shape (n,)."""
    best = np.argwhere(plateau >= plateau.max() - 1e-9)
    # The middle within one choice of smoothing, threshold and distance: those are no scale to be between on.
    best = best[(best[:, :3] == best[0, :3]).all(axis=1)]
    every = np.indices(plateau.shape).reshape(plateau.ndim, -1).T
    return np.asarray(np.abs(every - best.mean(axis=0)).sum(axis=1))
