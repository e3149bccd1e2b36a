"""From a mitotic count to density and mitotic score. A count is Poisson: every figure has its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import chi2

# A density that equals a limit but for rounding (0.274 mm2 is not exact in binary) counts as equal.
_EXACT = 1e-9

# Area of 10 fields of 0.59 mm diameter, for which the limits are 10 and 20 mitoses.
_REFERENCE_MM2 = 2.74


@dataclass(frozen=True)
class Density:
    """Mitotic density of an area, with its interval.

    Attributes
    ----------
    count : int
        Mitoses.
    area_mm2 : float
    per_mm2 : float
        Mitoses per mm2.
    low, high : float
        Exact Poisson interval of the density, per mm2.
    level : float
        Its coverage.
    """

    count: int
    area_mm2: float
    per_mm2: float
    low: float
    high: float
    level: float = 0.95


@dataclass(frozen=True)
class MitoticScore:
    """Mitotic score of a count, and how far it is from the next ones.

    Attributes
    ----------
    score : int
        1, 2 or 3.
    second_from, third_from : int
        Lowest count of score 2, of score 3. They are the same where the area is so small that score 2 is
        impossible.
    count : int
    """

    score: int
    second_from: int
    third_from: int
    count: int

    @property
    def to_higher(self) -> int | None:
        """How many more mitoses would make the score higher; None at score 3."""
        above = [limit for limit in (self.second_from, self.third_from) if limit > self.count]
        return min(above) - self.count if above else None

    @property
    def to_lower(self) -> int | None:
        """How many mitoses fewer would make the score lower; None at score 1."""
        below = [limit for limit in (self.second_from, self.third_from) if limit <= self.count]
        return self.count - max(below) + 1 if below else None


def poisson_interval(count: int, level: float = 0.95) -> tuple[float, float]:
    """Exact (Garwood) interval of the mean of a Poisson count.

    Parameters
    ----------
    count : int
    level : float
        Coverage, in (0, 1).

    Raises
    ------
    ValueError
        If the count is negative or no whole number, or `level` is not in (0, 1).
    """
    count = _checked(count)
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), not {level}")
    tail = (1 - level) / 2
    low = float(chi2.ppf(tail, 2 * count)) / 2 if count else 0.0
    return low, float(chi2.ppf(1 - tail, 2 * count + 2)) / 2


def mitotic_density(count: int, area_mm2: float, level: float = 0.95) -> Density:
    """Mitoses per mm2 with the exact Poisson interval.

    Parameters
    ----------
    count : int
        Mitoses in the area.
    area_mm2 : float
        Area that was looked at.
    level : float
        Coverage of the interval.

    Raises
    ------
    ValueError
        If the count is negative or no whole number, the area is not positive, or `level` is not in (0, 1).
    """
    _check_area(area_mm2)
    low, high = poisson_interval(count, level)
    return Density(int(count), area_mm2, count / area_mm2, low / area_mm2, high / area_mm2, level)


def nottingham_score(count: int, area_mm2: float) -> MitoticScore:
    """Nottingham mitotic score of a count in the total area of all fields counted.

    It reproduces the published table of 10 fields of 0.40 to 0.69 mm diameter.

    Parameters
    ----------
    count : int
        Mitoses in all fields together.
    area_mm2 : float
        Area of all fields together.

    Raises
    ------
    ValueError
        If the count is negative or no whole number, or the area is not positive.
    """
    _check_area(area_mm2)
    return _score(count, 10 * area_mm2 / _REFERENCE_MM2, 20 * area_mm2 / _REFERENCE_MM2)


def who_score(count: int, area_mm2: float) -> MitoticScore:
    """Mitotic score by density (WHO): 1 up to 3 per mm2, 2 for 4 to 7, 3 from 8 on.

    The table has whole numbers only. A density between two of them counts as the lower: 3.9 per mm2 has
    not reached 4.

    Parameters
    ----------
    count : int
        Mitoses in the area.
    area_mm2 : float

    Raises
    ------
    ValueError
        If the count is negative or no whole number, or the area is not positive.
    """
    _check_area(area_mm2)
    return _score(count, 4 * area_mm2, 8 * area_mm2)


def _score(count: int, second: float, third: float) -> MitoticScore:
    """Score of a count whose limits are the whole numbers from `second` and from `third` on."""
    count = _checked(count)
    # No mitosis is score 1, however small the area.
    second_from, third_from = (max(math.ceil(limit - _EXACT), 1) for limit in (second, third))
    return MitoticScore(1 + (count >= second_from) + (count >= third_from), second_from, third_from, count)


def _checked(count: int) -> int:
    if count != int(count) or count < 0:
        raise ValueError(f"a count must be a whole number from 0 on, not {count}")
    return int(count)


def _check_area(area_mm2: float) -> None:
    if not (math.isfinite(area_mm2) and area_mm2 > 0):
        raise ValueError(f"area_mm2 must be positive, not {area_mm2}")
