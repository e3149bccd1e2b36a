"""Candidates of a slide: found region by region, joined over the seams, decided on at any threshold.

A blob of a score map depends on the threshold. So the candidates of each of a ladder of thresholds are kept, with
area and mean score: a threshold slider picks a rung, the others filter, and no score map is needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..decision.decide import Decider, Rule
from ..decision.evidence import CANDIDATE_COLUMNS, Evidence
from .slides_area import Region, ScanArea

LADDER: tuple[float, ...] = tuple(round(0.1 + 0.05 * step, 2) for step in range(18))
"""Thresholds 0.1 to 0.95 at which candidates of score maps are kept; that of the rule comes with them."""

SEAM_PX = 8
"""Two regions may place one figure a little apart: each keeps what lies so far beyond its edge, once both are joined
the better one stays."""

_MEAN = "mean"

COLUMNS: tuple[str, ...] = ("level", *CANDIDATE_COLUMNS)
"""Columns of candidates of a slide; their scores follow."""


def rungs(rule: Rule) -> tuple[float, ...]:
    """The thresholds to keep candidates at. Otsu's threshold of a slide depends on how much glass it shows, so there
    a rule with ``"otsu"`` means its floor."""
    return tuple(sorted({*LADDER, rule_threshold(rule)}))


def rule_threshold(rule: Rule) -> float:
    """The threshold that a rule means on a slide."""
    return rule.floor if rule.threshold == "otsu" else float(rule.threshold)


def found_in(evidence: Evidence, rule: Rule) -> pd.DataFrame:
    """Candidates of what was seen in a window, before area, score and distance are looked at.

    Parameters
    ----------
    evidence : Evidence
    rule : Rule
        Its smoothing, weights and method make the candidates of score maps.

    Returns
    -------
    DataFrame
        `COLUMNS`, ``level`` being the threshold, or 0 where candidates do not depend on one; then the scores: those
        of the evidence, or ``mean``, that of the blob.
    """
    if evidence.candidates is not None:
        names = [*CANDIDATE_COLUMNS, *evidence.scores]
        return evidence.candidates[names].astype(np.float64).assign(level=0.0)[["level", *names]]
    decider = Decider(evidence)
    by_threshold = rule.method == "blobs"
    levels = rungs(rule) if by_threshold else (min(LADDER[0], rule_threshold(rule)),)
    parts = []
    for level in levels:
        rows = decider.candidates(replace(rule, threshold=level))
        # Of a round box of this area; a hair less, so that rounding does not lift it above the same area in a rule.
        side = np.sqrt(rows["area_um2"].to_numpy() * 4 / math.pi) / evidence.mpp * (1 - 1e-12)
        table = rows[["y_px", "x_px"]].assign(height_px=side, width_px=side)
        table.insert(0, "level", level if by_threshold else 0.0)
        table[_MEAN] = rows["score"]
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def of_region(rows: pd.DataFrame, window: Region, region: Region) -> pd.DataFrame:
    """Candidates of a window in the frame of the slide: those of its region, and of a narrow band around it."""
    y, x = rows["y_px"].to_numpy() + window.y0, rows["x_px"].to_numpy() + window.x0
    depth = np.minimum.reduce([y + 0.5 - region.y0, region.y1 - 0.5 - y, x + 0.5 - region.x0, region.x1 - 0.5 - x])
    near = depth > -SEAM_PX
    kept: pd.DataFrame = rows.assign(y_px=y, x_px=x, depth_px=depth).loc[near]
    return kept.reset_index(drop=True)


def joined(parts: Sequence[pd.DataFrame], area: ScanArea) -> pd.DataFrame:
    """Candidates of all regions, none twice and none lost, that lie in the area.

    Parameters
    ----------
    parts : sequence of DataFrame
        What `of_region` gave, one for each region.
    area : ScanArea

    Returns
    -------
    DataFrame
        Without ``depth_px``; sorted by level, y and x.
    """
    rows = pd.concat(parts, ignore_index=True)
    part = np.repeat(np.arange(len(parts)), [len(table) for table in parts])
    keep = np.ones(len(rows), dtype=bool)
    depth = rows["depth_px"].to_numpy()
    near = np.flatnonzero(depth < SEAM_PX)
    level = rows["level"].to_numpy()
    for value in np.unique(level[near]):
        at = near[level[near] == value]
        keep[at] = _once(rows[["y_px", "x_px"]].to_numpy()[at], depth[at], part[at])
    keep &= area.holds(rows["y_px"], rows["x_px"])
    return rows[keep].drop(columns="depth_px").sort_values(["level", "y_px", "x_px"], ignore_index=True)


def _once(points: NDArray[np.float64], depth: NDArray[np.float64], part: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Of places nearer than the seam that two regions found, the one deepest in its own region."""
    keep = np.ones(len(points), dtype=bool)
    pairs = cKDTree(points).query_pairs(SEAM_PX, output_type="ndarray")
    pairs = pairs[part[pairs[:, 0]] != part[pairs[:, 1]]]
    apart = np.square(points[pairs[:, 0]] - points[pairs[:, 1]]).sum(axis=1)
    # The nearest pairs first: with three in a row, the two that mean one figure find each other.
    for a, b in pairs[np.argsort(apart, kind="stable")]:
        if keep[a] and keep[b]:
            keep[b if depth[a] >= depth[b] else a] = False
    return keep


@dataclass(frozen=True, eq=False)
class SlideCandidates:
    """All candidates of a slide, and how to decide on them.

    Attributes
    ----------
    rows : DataFrame
        What `joined` gave.
    shape : tuple of int
        (H, W) of the slide in pixels.
    mpp : float
    model : str
        Model version.
    digest : str
        Of the slide.
    rule : Rule
        The one that made them.
    """

    rows: pd.DataFrame
    shape: tuple[int, int]
    mpp: float
    model: str
    digest: str
    rule: Rule

    @property
    def scores(self) -> tuple[str, ...]:
        """Score columns; the first is that of the first stage."""
        return tuple(self.rows.columns[len(COLUMNS) :])

    @property
    def levels(self) -> tuple[float, ...]:
        """Rungs of the ladder: the thresholds that there are candidates of; (0,) where they depend on none."""
        return rungs(self.rule) if self.of_maps else (0.0,)

    @property
    def of_maps(self) -> bool:
        """Whether a threshold makes other candidates, instead of dropping some."""
        return self.rule.method == "blobs" and self.scores == (_MEAN,)

    def evidence(self, threshold: float) -> Evidence:
        """What was seen, as candidates of the highest rung that is not above a threshold."""
        levels = self.levels
        rung = max((level for level in levels if level <= threshold + 1e-9), default=levels[0])
        rows = self.rows[self.rows["level"] == rung].drop(columns="level").reset_index(drop=True)
        return Evidence({}, 1.0, self.shape, self.mpp, self.model, self.digest, candidates=rows, scores=self.scores)


class SlideDecider:
    """Many rules on one slide: each rung is sorted once, so that a slider costs milliseconds.

    Parameters
    ----------
    candidates : SlideCandidates
    """

    def __init__(self, candidates: SlideCandidates) -> None:
        self.candidates = candidates
        self._rungs: dict[float, Decider | _Rung] = {}

    def decide(self, rule: Rule) -> pd.DataFrame:
        """Detections: as `decision.decide.decide` of the whole slide, at the rung of the rule's threshold.

        Smoothing, and weights of score maps, are those of the scan.
        """
        threshold = max(
            (level for level in self.candidates.levels if level <= rule_threshold(rule) + 1e-9),
            default=self.candidates.levels[0],
        )
        if not self.candidates.of_maps:
            threshold = rule_threshold(rule)
        if self.candidates.scores != (_MEAN,):
            known = self._rungs.setdefault(threshold, Decider(self.candidates.evidence(threshold)))
            assert isinstance(known, Decider)
            return known.decide(rule)
        rung = self._rungs.get(threshold)
        if not isinstance(rung, _Rung) or rung.distance_um != rule.min_distance_um:
            # The threshold has made these candidates; it does not cut their means as well.
            cut = 0.0 if self.candidates.of_maps else threshold
            table = Decider(self.candidates.evidence(threshold)).candidates(Rule(threshold=cut)).drop(columns=_MEAN)
            rung = self._rungs[threshold] = _Rung(table, rule.min_distance_um)
        return rung.filtered(rule)

    def prepare(self) -> None:
        """Sort every rung now, so that the threshold is as quick as the other sliders."""
        for level in self.candidates.levels:
            self.decide(replace(self.candidates.rule, threshold=level))


class _Rung:
    """Candidates of one threshold, best first, and which of them are too near to one another to both stay."""

    def __init__(self, table: pd.DataFrame, distance_um: float) -> None:
        self.table, self.distance_um = table, distance_um
        self._score, self._area = table["score"].to_numpy(), table["area_um2"].to_numpy()
        points = table[["y_um", "x_um"]].to_numpy()
        pairs = np.zeros((0, 2), dtype=np.intp)
        if distance_um > 0 and len(points) > 1:
            pairs = cKDTree(points).query_pairs(distance_um * (1 + 1e-9), output_type="ndarray")
            apart = np.sqrt(np.square(points[pairs[:, 0]] - points[pairs[:, 1]]).sum(axis=1))
            pairs = pairs[apart < distance_um]
        self._better, self._worse = pairs.min(axis=1, initial=len(points)), pairs.max(axis=1, initial=-1)

    def filtered(self, rule: Rule) -> pd.DataFrame:
        """Those that pass area, score and distance, as `decision.decide` has it."""
        keep = (self._area > rule.min_area_um2) & (self._area <= rule.max_area_um2) & (self._score > rule.min_score)
        better, worse = self._better, self._worse
        while len(better):
            left = keep[better] & keep[worse]
            better, worse = better[left], worse[left]
            beaten = np.zeros(len(keep), dtype=bool)
            beaten[worse] = True
            keep[worse[~beaten[better]]] = False
        return self.table[keep].reset_index(drop=True)
