"""How score maps and candidates become detections, in numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Literal


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
    sensitivity : float
        From 0 to 1; at 0.5 the rule stands as it is. More never shows fewer figures: see `sensitivity`.

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
    sensitivity: float = 0.5

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
            "sensitivity",
        ):
            object.__setattr__(self, name, _number(name, getattr(self, name)))
        if self.threshold != "otsu":
            object.__setattr__(self, "threshold", _number("threshold", self.threshold))
        object.__setattr__(self, "weights", tuple((str(k), _number("weights", v)) for k, v in self.weights))
        for name in ("smoothing_um", "min_area_um2", "min_distance_um"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be a number from 0 on, not {value}")
        for name in ("min_score", "threshold", "sensitivity"):
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
