"""Evidence + rule -> detections: fuse, smooth, Otsu, blobs, area, score (SegMitos, section 3.3).

`decide` is a pure function. `Decider` gives the same answers for one evidence and many rules, remembering
fused map, smoothed map and blobs, so that a slider costs milliseconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.filters import threshold_otsu

from .blobs import Blobs
from .evidence import Evidence
from .tables import DETECTION_COLUMNS, check_detections

ScoreMap = NDArray[np.float32]

# Blobs are collected from this level on, or from a lower threshold once one is asked for.
_LEVEL = 0.1


@dataclass(frozen=True)
class Rule:
    """How score maps become detections. Lengths and areas are those of tissue.

    Attributes
    ----------
    smoothing_um : float
        Standard deviation of the Gaussian filter; 0 = none.
    threshold : float or "otsu"
        A cell belongs to a blob where the smoothed score is above it. ``"otsu"``: Otsu's threshold of the
        whole field, but never below `floor`.
    floor : float
        Lowest value that Otsu may give. A field without mitosis has only noise to split in two.
    min_area_um2, max_area_um2 : float
        A blob stays if its area is above the one (the paper's a1) and not above the other.
    min_score : float
        A blob stays if its mean smoothed score is above it (the paper's s1).
    min_distance_um : float
        Of two blobs nearer than this only the better one stays: the plates of a late telophase are one
        mitosis.
    weights : tuple of (str, float)
        Weight of each score map in the fused one; empty = all alike. Maps that are not named count 0.

    Raises
    ------
    ValueError
        If a value cannot be meant; the message names it.
    """

    smoothing_um: float = 0.5
    threshold: float | Literal["otsu"] = "otsu"
    floor: float = 0.2
    min_area_um2: float = 10.0
    max_area_um2: float = math.inf
    min_score: float = 0.5
    min_distance_um: float = 6.0
    weights: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", tuple((str(k), float(v)) for k, v in self.weights))
        for name in ("smoothing_um", "min_area_um2", "min_distance_um"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be a number from 0 on, not {value}")
        for name in ("floor", "min_score", "threshold"):
            value = getattr(self, name)
            if value != "otsu" and not (isinstance(value, int | float) and 0 <= value <= 1):
                raise ValueError(f"{name} must lie in [0, 1], not {value}")
        if not self.max_area_um2 >= self.min_area_um2:
            raise ValueError(f"max_area_um2 must not be below min_area_um2, not {self.max_area_um2}")
        if any(not (math.isfinite(w) and w >= 0) for _, w in self.weights):
            raise ValueError("weights must be numbers from 0 on")
        if self.weights and sum(w for _, w in self.weights) <= 0:
            raise ValueError("weights must not all be 0")


def decide(evidence: Evidence, rule: Rule) -> pd.DataFrame:
    """Detections of one field.

    Parameters
    ----------
    evidence : Evidence
    rule : Rule

    Returns
    -------
    DataFrame
        Columns y_px, x_px, y_um, x_um, score (mean of the blob), area_um2; best score first.

    Raises
    ------
    ValueError
        If the rule weighs a score map that the evidence does not hold.
    """
    return Decider(evidence).decide(rule)


class Decider:
    """Many rules on one evidence. Not for several threads at a time.

    Parameters
    ----------
    evidence : Evidence
    """

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self._fused: tuple[object, ScoreMap] | None = None
        self._smoothed: tuple[object, ScoreMap, float] | None = None
        self._blobs: tuple[object, Blobs] | None = None
        self._table: tuple[object, pd.DataFrame] | None = None

    def decide(self, rule: Rule) -> pd.DataFrame:
        """As the function `decide`."""
        table = self.candidates(rule)
        area, score = table["area_um2"].to_numpy(), table["score"].to_numpy()
        keep = (area > rule.min_area_um2) & (area <= rule.max_area_um2) & (score > rule.min_score)
        table = table[keep]
        apart = _far_enough(table[["y_um", "x_um"]].to_numpy(), rule.min_distance_um)
        return check_detections(table[apart].reset_index(drop=True))

    def candidates(self, rule: Rule) -> pd.DataFrame:
        """All blobs above the threshold, before area, score and distance are looked at."""
        threshold = self.threshold(rule)
        key = (rule.weights, rule.smoothing_um, threshold)
        if self._table is None or self._table[0] != key:
            self._table = (key, self._measure(self._known_blobs(rule, threshold).above(threshold)))
        return self._table[1]

    def threshold(self, rule: Rule) -> float:
        """The threshold that the rule means in this field."""
        if rule.threshold != "otsu":
            return float(rule.threshold)
        self.smoothed(rule)
        assert self._smoothed is not None
        return max(self._smoothed[2], rule.floor)

    def smoothed(self, rule: Rule) -> ScoreMap:
        """The fused and smoothed score map, shape (h, w)."""
        key = (rule.weights, rule.smoothing_um)
        if self._smoothed is None or self._smoothed[0] != key:
            cell_um = self.evidence.stride * self.evidence.mpp
            fused = self._fuse(rule.weights)
            smooth = fused
            if rule.smoothing_um > 0:
                smooth = ndimage.gaussian_filter(fused, rule.smoothing_um / cell_um, mode="nearest")
            self._smoothed = (key, smooth, _otsu(smooth))
        return self._smoothed[1]

    def _fuse(self, weights: tuple[tuple[str, float], ...]) -> ScoreMap:
        """Weighted mean of the score maps."""
        if self._fused is None or self._fused[0] != weights:
            maps = self.evidence.maps
            unknown = [name for name, _ in weights if name not in maps]
            if unknown:
                raise ValueError(f"there is no score map '{unknown[0]}'; there are: {', '.join(maps)}")
            shares = dict(weights) or dict.fromkeys(maps, 1.0)
            total = sum(shares.values())
            fused = sum(maps[k].astype(np.float32) * np.float32(w / total) for k, w in shares.items())
            self._fused = (weights, np.asarray(fused, dtype=np.float32))
        return self._fused[1]

    def _known_blobs(self, rule: Rule, threshold: float) -> Blobs:
        key = (rule.weights, rule.smoothing_um)
        known = self._blobs
        if known is None or known[0] != key or threshold < known[1].level:
            known = (key, Blobs(self.smoothed(rule), min(threshold, _LEVEL)))
            self._blobs = known
        return known[1]

    def _measure(self, blobs: NDArray[np.float64]) -> pd.DataFrame:
        """Blobs in cells -> a table in pixels and micrometres, best score first."""
        evidence = self.evidence
        cells, score = blobs[:, 0], blobs[:, 1]
        y_px, x_px = ((blobs[:, i] + 0.5) * evidence.stride - 0.5 for i in (2, 3))
        order = np.lexsort((x_px, y_px, -score))
        columns = [y_px, x_px, y_px * evidence.mpp, x_px * evidence.mpp, score, cells * evidence.cell_um2]
        return pd.DataFrame(np.stack(columns, axis=1)[order], columns=list(DETECTION_COLUMNS))


def _otsu(score: ScoreMap) -> float:
    """Otsu's threshold; 1 for a flat map, which nothing is above."""
    low, high = float(score.min()), float(score.max())
    return float(threshold_otsu(score)) if low < high else 1.0


def _far_enough(points_um: NDArray[np.float64], distance_um: float) -> NDArray[np.bool_]:
    """Which of the points, the best first, are not nearer than `distance_um` to a better one that stays."""
    keep = np.ones(len(points_um), dtype=bool)
    if distance_um <= 0 or len(points_um) < 2:
        return keep
    pairs = cKDTree(points_um).query_pairs(distance_um, output_type="ndarray")
    nearer = np.linalg.norm(points_um[pairs[:, 0]] - points_um[pairs[:, 1]], axis=1) < distance_um
    for better, worse in sorted(map(tuple, np.sort(pairs[nearer], axis=1).tolist())):
        if keep[better]:
            keep[worse] = False
    return keep


def otsu_per_tile(score: ScoreMap, tile_cells: int, floor: float = 0.0) -> NDArray[np.bool_]:
    """Cells above the Otsu threshold of their own tile: the ablation of SegMitos, table 1; never a rule.

    Parameters
    ----------
    score : ndarray of float32, shape (h, w)
    tile_cells : int
        Side of a tile.
    floor : float
        Lowest threshold of a tile.
    """
    above = np.zeros(score.shape, dtype=bool)
    for y in range(0, score.shape[0], tile_cells):
        for x in range(0, score.shape[1], tile_cells):
            tile = score[y : y + tile_cells, x : x + tile_cells]
            above[y : y + tile_cells, x : x + tile_cells] = tile > max(_otsu(tile), floor)
    return above
