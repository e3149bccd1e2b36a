"""Evidence + rule -> detections.

Score maps: fuse, smooth, Otsu, blobs, area, score (SegMitos, section 3.3), or disc mean and greedy maxima
(IDSIA DNN, section 2). Candidates: fuse their scores, area, score.

`decide` is a pure function. `Decider` gives the same answers for one evidence and many rules, remembering
fused map, smoothed map and blobs, so that a slider costs milliseconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.filters import threshold_otsu

from ..tables import DETECTION_COLUMNS
from .blobs import Blobs, ScoreMap, Table, measure
from .candidates import candidate_table
from .evidence import BOX_SIZE, Evidence
from .peaks import disc_mean, greedy_peaks


@dataclass(frozen=True)
class Rule:
    """How score maps become detections. Lengths and areas are those of tissue.

    Attributes
    ----------
    smoothing_um : float
        Standard deviation of the Gaussian filter; 0 = none.
    threshold : float or "otsu"
        A cell belongs to a blob where the smoothed score is above it. ``"otsu"``: Otsu's threshold of the
        whole field, but never below `floor`. Of candidates, those count whose first score is above it;
        ``"otsu"`` is `floor` there.
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
        Weight of each score map, or score column of the candidates, in the fused one; empty = all alike.
        Those that are not named count 0.
    method : {"blobs", "peaks"}
        How a score map becomes candidates. ``"peaks"``: mean within a disc, then repeatedly the largest cell
        above the threshold, nothing else within twice the disc's radius (IDSIA DNN, section 2).
    disc_um : float
        Radius of that disc.

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
    method: Literal["blobs", "peaks"] = "blobs"
    disc_um: float = 2.5

    def __post_init__(self) -> None:
        # Plain floats, whatever came in: a rule is hashed, compared and written as JSON.
        for name in (
            "smoothing_um",
            "min_area_um2",
            "max_area_um2",
            "min_distance_um",
            "floor",
            "min_score",
            "disc_um",
        ):
            object.__setattr__(self, name, _number(name, getattr(self, name)))
        if self.threshold != "otsu":
            object.__setattr__(self, "threshold", _number("threshold", self.threshold))
        object.__setattr__(self, "weights", tuple((str(k), _number("weights", v)) for k, v in self.weights))
        for name in ("smoothing_um", "min_area_um2", "min_distance_um"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be a number from 0 on, not {value}")
        for name in ("min_score", "threshold"):
            value = getattr(self, name)
            if value != "otsu" and not 0 <= value <= 1:
                raise ValueError(f"{name} must lie in [0, 1], not {value}")
        if self.method not in ("blobs", "peaks"):
            raise ValueError(f"method must be 'blobs' or 'peaks', not {self.method!r}")
        if not (math.isfinite(self.disc_um) and self.disc_um > 0):
            raise ValueError(f"disc_um must be a number above 0, not {self.disc_um}")
        if not 0 <= self.floor < 1:
            raise ValueError(f"floor must lie in [0, 1), not {self.floor}")
        if not self.max_area_um2 >= self.min_area_um2:
            raise ValueError(f"max_area_um2 must not be below min_area_um2, not {self.max_area_um2}")
        if any(not (math.isfinite(w) and w >= 0) for _, w in self.weights):
            raise ValueError("weights must be numbers from 0 on")
        if len({k for k, _ in self.weights}) < len(self.weights):
            raise ValueError("weights must name each score map once")
        if self.weights and sum(w for _, w in self.weights) <= 0:
            raise ValueError("weights must not all be 0")


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{name} must be a number, not {value!r}")
    return float(value)


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

    def decide(self, rule: Rule) -> pd.DataFrame:
        """As the function `decide`."""
        table = self._candidates(rule)
        return _frame(table[_passing(table, rule)], self._columns)

    def candidates(self, rule: Rule) -> pd.DataFrame:
        """All blobs above the threshold, before area, score and distance are looked at."""
        return _frame(self._candidates(rule), self._columns)

    def kept(self, rule: Rule) -> NDArray[np.bool_]:
        """Which of `candidates` are the detections, in the same order."""
        return _passing(self._candidates(rule), rule)

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
        key = _map_key(rule)
        if self._blobs is None or self._blobs[0] != key:
            self._blobs = (key, Blobs(self.smoothed(rule)))
        return _in_field(self._blobs[1].above(threshold), self.evidence)

    def _peaks_above(self, rule: Rule, threshold: float) -> Table:
        # Peaks are taken best first, so a lower threshold only adds some at the end: found once down to a
        # floor, the threshold merely cuts.
        key = (_map_key(rule), min(threshold, _PEAK_FLOOR))
        if self._peaks is None or self._peaks[0] != key:
            radius = rule.disc_um / (self.evidence.stride * self.evidence.mpp)
            self._peaks = (key, greedy_peaks(self.smoothed(rule), key[1], 2 * radius))
        score, y, x = self._peaks[1].T
        cells = np.full(len(score), math.pi * rule.disc_um**2 / self.evidence.cell_um2)
        return _in_field(np.stack([cells, score, y, x], axis=1)[score > threshold], self.evidence)


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


def _in_field(blobs: Table, evidence: Evidence) -> Table:
    """Blobs in cells -> rows of `DETECTION_COLUMNS`, best score first, then by y and x."""
    cells, score, y, x = blobs.T
    y_px, x_px = ((i + 0.5) * evidence.stride - 0.5 for i in (y, x))
    order = np.lexsort((x_px, y_px, -score))
    columns = (y_px, x_px, y_px * evidence.mpp, x_px * evidence.mpp, score, cells * evidence.cell_um2)
    return np.stack(columns, axis=1)[order]


def _map_key(rule: Rule) -> tuple[object, ...]:
    """Whatever of a rule changes the smoothed map."""
    return (rule.weights, rule.method, rule.disc_um if rule.method == "peaks" else rule.smoothing_um)


def _frame(table: Table, columns: tuple[str, ...] = DETECTION_COLUMNS) -> pd.DataFrame:
    """A detections frame of its own: whoever changes it changes no cache."""
    return pd.DataFrame(table.copy(), columns=list(columns))


def _passing(table: Table, rule: Rule) -> NDArray[np.bool_]:
    """Which of the candidates pass area, score and distance."""
    score, area = table[:, 4], table[:, 5]
    keep = (area > rule.min_area_um2) & (area <= rule.max_area_um2) & (score > rule.min_score)
    keep[keep] = _far_enough(table[keep, 2:4], rule.min_distance_um)
    return np.asarray(keep)


def _far_enough(points_um: Table, distance_um: float) -> NDArray[np.bool_]:
    """Which of the points, the best first, are not nearer than `distance_um` to a better one that stays."""
    keep = np.ones(len(points_um), dtype=bool)
    if distance_um <= 0 or len(points_um) < 2:
        return keep
    # The tree compares squares; a hair more, and the plain distance decides.
    pairs = cKDTree(points_um).query_pairs(distance_um * (1 + 1e-9), output_type="ndarray")
    apart = points_um[pairs[:, 0]] - points_um[pairs[:, 1]]
    pairs = pairs[np.sqrt((apart**2).sum(axis=1)) < distance_um]
    better, worse = pairs.min(axis=1), pairs.max(axis=1)
    # All at once what one by one, best first, would give: who has no better neighbour left stays, and its
    # neighbours go.
    while len(better):
        beaten = np.zeros(len(keep), dtype=bool)
        beaten[worse] = True
        keep[worse[~beaten[better]]] = False
        left = keep[better] & keep[worse]
        better, worse = better[left], worse[left]
    return keep


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
    table = _in_field(measure(mask, score), evidence)
    return _frame(table[_passing(table, rule)])
