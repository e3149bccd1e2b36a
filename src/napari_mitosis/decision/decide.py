"""Evidence + rule -> detections.

Score maps: fuse, smooth, Otsu, blobs, area, score (SegMitos, section 3.3), or disc mean and greedy maxima
(IDSIA DNN, section 2). Candidates: fuse their scores, area, score.

`decide` is a pure function. `Decider` gives the same answers for one evidence and many rules, remembering
fused map, smoothed map and blobs, so that a slider costs milliseconds.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from ..tables import DETECTION_COLUMNS
from .blobs import Blobs, ScoreMap, Table, measure
from .candidates import candidate_table
from .evidence import BOX_SIZE, Evidence
from .filters import best_first, in_field, passing
from .peaks import disc_mean, greedy_peaks
from .rule import Rule
from .sensitivity import (
    Found,
    first_blobs,
    first_listed,
    loosened,
    more_blobs,
    more_listed,
    steps_of,
    strictness,
    with_rejected,
)

__all__ = ["Decider", "Rule", "decide", "decide_per_tile", "threshold_per_tile"]

_PEAK_FLOOR = 0.05


def decide(evidence: Evidence, rule: Rule) -> pd.DataFrame:
    """Detections of one field.

    Parameters
    ----------
    evidence : Evidence
    rule : Rule

    Returns
    -------
    DataFrame
        Columns y_px, x_px, y_um, x_um, score (mean of the blob, or fused score of the candidate), area_um2; best
        score first, then by y, x. Of candidates, height_px and width_px of the box follow, then their score and
        information columns.

    Raises
    ------
    ValueError
        If the rule weighs a score map that the evidence does not hold, the evidence holds none, or a value in
        one is no probability.
    """
    return Decider(evidence).decide(rule)


class Decider:
    """Many rules on one evidence. Not for several threads at a time.

    Each answer is the same, to the bit, as that of a new decider: what is remembered are the last fused map,
    smoothed map with its Otsu threshold, cells and links of its blobs, and table of candidates.

    Parameters
    ----------
    evidence : Evidence
    """

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        boxes = () if evidence.candidates is None else BOX_SIZE + evidence.scores + evidence.information
        self._columns = DETECTION_COLUMNS + boxes
        self._fused: tuple[object, ScoreMap] | None = None
        self._smoothed: tuple[object, ScoreMap] | None = None
        self._otsu: tuple[object, float] | None = None
        self._blobs: tuple[object, Blobs] | None = None
        self._peaks: tuple[object, Table] | None = None
        self._table: tuple[object, Table] | None = None
        self._grown: tuple[Rule, Found] | None = None

    def decide(self, rule: Rule) -> pd.DataFrame:
        """As the function `decide`."""
        table, kept = self._judged(rule)
        return _frame(table[kept], self._columns)

    def candidates(self, rule: Rule) -> pd.DataFrame:
        """All blobs above the threshold, before area, score and distance are looked at, and whatever was kept."""
        return _frame(self._judged(rule)[0], self._columns)

    def kept(self, rule: Rule) -> NDArray[np.bool_]:
        """Which of `candidates` are the detections, in the same order."""
        return self._judged(rule)[1]

    def least_score(self, rule: Rule) -> float:
        """The lowest `Rule.min_score` that changes anything: blobs and peaks score above the threshold anyway."""
        return 0.0 if self.evidence.candidates is not None else self.threshold(rule)

    def threshold(self, rule: Rule) -> float:
        """The threshold that the rule means in this field."""
        if rule.threshold != "otsu":
            return float(rule.threshold)
        if self.evidence.candidates is not None:
            return rule.floor
        key = _map_key(rule)
        if self._otsu is None or self._otsu[0] != key:
            self._otsu = (key, _otsu(self.smoothed(rule)))
        return max(self._otsu[1], rule.floor)

    def smoothed(self, rule: Rule) -> ScoreMap:
        """The fused and smoothed score map, shape (h, w), read-only."""
        key = _map_key(rule)
        if self._smoothed is None or self._smoothed[0] != key:
            smooth = fused = self._fuse(rule.weights)
            if rule.method == "peaks":
                smooth = disc_mean(fused, rule.disc_um / (self.evidence.stride * self.evidence.mpp))
                smooth.flags.writeable = False
            elif rule.smoothing_um > 0 and fused.size:
                sigma = rule.smoothing_um / (self.evidence.stride * self.evidence.mpp)
                # Rounding must not make a probability of 1.0000001.
                smooth = np.minimum(ndimage.gaussian_filter(fused, sigma, mode="nearest"), np.float32(1))
                smooth.flags.writeable = False
            self._smoothed = (key, smooth)
        return self._smoothed[1]

    def _fuse(self, weights: tuple[tuple[str, float], ...]) -> ScoreMap:
        """Weighted mean of the score maps."""
        if self._fused is None or self._fused[0] != weights:
            self._fused = (weights, _fuse(self.evidence, weights))
        return self._fused[1]

    def _judged(self, rule: Rule) -> tuple[Table, NDArray[np.bool_]]:
        """The candidates, and which of them are detections."""
        table = self._candidates(rule)
        steps = steps_of(rule.sensitivity)
        if steps == 0:
            if rule.sensitivity < 0.5:
                rule = replace(rule, min_score=strictness(rule, self.least_score(rule)))
            return table, passing(table, rule)
        return with_rejected(self._found(rule, steps).upto(steps), table, rule.min_distance_um)

    def _found(self, rule: Rule, steps: int) -> Found:
        """What the rule finds as it stands and in so many steps beyond; steps made before are not made again."""
        rule = replace(rule, sensitivity=0.5)
        threshold = self.threshold(rule)
        blobs = self._blobs_of(rule) if self.evidence.candidates is None and rule.method == "blobs" else None
        if self._grown is None or self._grown[0] != rule:
            if blobs is not None:
                self._grown = (rule, first_blobs(blobs, self.evidence, rule, threshold))
            else:
                self._grown = (rule, first_listed(self._find(rule, threshold), rule))
        grown = self._grown[1]
        for step in range(len(grown.ends), steps + 1):
            if blobs is not None:
                grown = more_blobs(grown, blobs, self.evidence, loosened(rule, threshold, step))
            else:
                loose = loosened(rule, threshold, step, 0.0 if self.evidence.candidates is not None else _PEAK_FLOOR)
                grown = more_listed(grown, partial(self._find, loose), loose)
            self._grown = (rule, grown)
        return grown

    def _candidates(self, rule: Rule) -> Table:
        threshold = self.threshold(rule)
        key = (_map_key(rule), threshold)
        if self._table is None or self._table[0] != key:
            self._table = (key, self._find(rule, threshold))
        return self._table[1]

    def _find(self, rule: Rule, threshold: float) -> Table:
        if self.evidence.candidates is not None:
            return candidate_table(self.evidence, rule.weights, threshold)
        if rule.method == "peaks":
            return self._peaks_above(rule, threshold)
        return _sorted(in_field(self._blobs_of(rule).above(threshold), self.evidence))

    def _blobs_of(self, rule: Rule) -> Blobs:
        key = _map_key(rule)
        if self._blobs is None or self._blobs[0] != key:
            self._blobs = (key, Blobs(self.smoothed(rule)))
        return self._blobs[1]

    def _peaks_above(self, rule: Rule, threshold: float) -> Table:
        # Peaks are taken best first, so a lower threshold only adds some at the end: found once down to a
        # floor, the threshold merely cuts.
        key = (_map_key(rule), min(threshold, _PEAK_FLOOR))
        if self._peaks is None or self._peaks[0] != key:
            radius = rule.disc_um / (self.evidence.stride * self.evidence.mpp)
            self._peaks = (key, greedy_peaks(self.smoothed(rule), key[1], 2 * radius))
        score, y, x = self._peaks[1].T
        cells = np.full(len(score), math.pi * rule.disc_um**2 / self.evidence.cell_um2)
        return _sorted(in_field(np.stack([cells, score, y, x], axis=1)[score > threshold], self.evidence))


def _fuse(evidence: Evidence, weights: tuple[tuple[str, float], ...]) -> ScoreMap:
    """Weighted mean of the score maps; the plain mean where there are no weights."""
    maps = evidence.maps
    unknown = [name for name, _ in weights if name not in maps]
    if unknown:
        raise ValueError(f"there is no score map '{unknown[0]}'; there are: {', '.join(maps)}")
    shares = dict(weights) or dict.fromkeys(maps, 1.0)
    if not shares:
        raise ValueError("there is no score map to decide on")
    total = sum(shares.values())
    fused = np.zeros(next(iter(maps.values())).shape, dtype=np.float32)
    for name, share in shares.items():
        if share == 0:
            continue
        score = maps[name].astype(np.float32)
        # nan fails both comparisons: it would spread over the field and look like an empty one.
        if score.size and not (score.min() >= 0 and score.max() <= 1):
            raise ValueError(f"score map '{name}' of {evidence.model} holds values that are no probabilities")
        fused += score * np.float32(share / total)
    np.minimum(fused, np.float32(1), out=fused)
    fused.flags.writeable = False
    return fused


def _otsu(score: ScoreMap) -> float:
    """Otsu's threshold; 1 for a flat map, which nothing is above."""
    if score.size == 0 or score.min() == score.max():
        return 1.0
    return float(threshold_otsu(score))  # type: ignore[no-untyped-call]


def _sorted(table: Table) -> Table:
    return table[best_first(table)]


def _map_key(rule: Rule) -> tuple[object, ...]:
    """Whatever of a rule changes the smoothed map."""
    return (rule.weights, rule.method, rule.disc_um if rule.method == "peaks" else rule.smoothing_um)


def _frame(table: Table, columns: tuple[str, ...] = DETECTION_COLUMNS) -> pd.DataFrame:
    """A detections frame of its own: whoever changes it changes no cache."""
    return pd.DataFrame(table.copy(), columns=list(columns))


def threshold_per_tile(score: ScoreMap, tile_cells: int, floor: float = 0.0) -> NDArray[np.float64]:
    """Otsu's threshold of each tile, at each cell: the ablation of SegMitos (Otsu by patch), never a rule.

    It fails where a tile holds no mitosis: its noise is split in two.

    Parameters
    ----------
    score : ndarray of float32, shape (h, w)
    tile_cells : int
        Side of a tile; those at the lower and right border may be smaller.
    floor : float
        Lowest threshold of a tile.

    Returns
    -------
    ndarray of float64, shape (h, w)

    Raises
    ------
    ValueError
        If `tile_cells` is not positive.
    """
    if tile_cells < 1:
        raise ValueError(f"tile_cells must be positive, not {tile_cells}")
    thresholds = np.empty(score.shape, dtype=np.float64)
    for y in range(0, score.shape[0], tile_cells):
        for x in range(0, score.shape[1], tile_cells):
            tile = np.s_[y : y + tile_cells, x : x + tile_cells]
            thresholds[tile] = max(_otsu(score[tile]), floor)
    return thresholds


def decide_per_tile(evidence: Evidence, rule: Rule, tile_px: int) -> pd.DataFrame:
    """Detections with Otsu's threshold in each tile instead of the whole field: the ablation, never a rule.

    Parameters
    ----------
    evidence : Evidence
    rule : Rule
        Its threshold is not used; its floor is that of each tile.
    tile_px : int
        Side of a tile in field pixels, rounded to cells.
    """
    score = Decider(evidence).smoothed(rule)
    tile_cells = max(1, round(tile_px / evidence.stride))
    mask = score > threshold_per_tile(score, tile_cells, rule.floor)
    table = _sorted(in_field(measure(mask, score), evidence))
    return _frame(table[passing(table, rule)])
