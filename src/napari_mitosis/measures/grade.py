"""From a mitotic count to density and mitotic score. A count is Poisson: every figure has its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from scipy.stats import chi2

# A density that equals a limit but for rounding (0.274 mm2 is not exact in binary) counts as equal.
_EXACT = 1e-9


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
        From 1 on.
    limits : tuple of int
        Lowest count of score 2, of score 3 and so on. Two are the same where the area is so small that the score
        between them is impossible.
    count : int
    """

    score: int
    limits: tuple[int, ...]
    count: int

    @property
    def to_higher(self) -> int | None:
        """How many more mitoses would make the score higher; None at the highest."""
        above = [limit for limit in self.limits if limit > self.count]
        return min(above) - self.count if above else None

    @property
    def to_lower(self) -> int | None:
        """How many mitoses fewer would make the score lower; None at score 1."""
        below = [limit for limit in self.limits if limit <= self.count]
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


@dataclass(frozen=True)
class Convention:
    """A way from a count in an area to a mitotic score.

    Attributes
    ----------
    name : str
        Short, as it is chosen by.
    title : str
        For a person.
    source : str
        Who published it.
    area_mm2 : float
        Area for which `from_counts` are stated.
    from_counts : tuple of float
        Count in that area from which score 2 begins, score 3 and so on; they grow in proportion to the area.
    above : tuple of bool
        Of each limit: whether the count must exceed it (a published "more than"), not only reach it.
    """

    name: str
    title: str
    source: str
    area_mm2: float
    from_counts: tuple[float, ...]
    above: tuple[bool, ...] = (False, False)

    def limits(self, area_mm2: float) -> tuple[int, ...]:
        """Lowest whole count of score 2, of score 3 and so on, in an area.

        Raises
        ------
        ValueError
            If the area is not positive.
        """
        _check_area(area_mm2)
        counts = []
        for limit, above in zip(self.from_counts, self.above, strict=True):
            reached = limit * area_mm2 / self.area_mm2
            lowest = math.floor(reached + _EXACT) + 1 if above else math.ceil(reached - _EXACT)
            counts.append(max(lowest, 1))  # no mitosis is score 1, however small the area
        return tuple(counts)

    def score(self, count: int, area_mm2: float) -> MitoticScore:
        """Mitotic score of a count in the total area of all fields counted.

        Raises
        ------
        ValueError
            If the count is negative or no whole number, or the area is not positive.
        """
        limits = self.limits(area_mm2)
        count = _checked(count)
        return MitoticScore(1 + sum(count >= limit for limit in limits), limits, count)


NOTTINGHAM = Convention(
    "nottingham",
    "Nottingham, by area counted",
    "Elston and Ellis, Histopathology 1991; 10 fields of 0.59 mm diameter (2.74 mm²): 2 from 10, 3 from 20",
    2.74,
    (10.0, 20.0),
)
"""Score 1 up to ceil(10 A / 2.74) - 1, score 3 from ceil(20 A / 2.74) on, for an area A in mm2. It reproduces the
table of 10 fields of 0.40 to 0.69 mm diameter (`field_table`)."""

WHO = Convention(
    "who",
    "WHO, per mm²",
    "WHO Classification of Breast Tumours, 5th edition, 2019; per mm²: 1 up to 3, 2 from 4, 3 from 8",
    1.0,
    (4.0, 8.0),
)
"""The table has whole numbers only. A density between two of them counts as the lower: 3.9 has not reached 4."""

NEUROENDOCRINE = Convention(
    "neuroendocrine",
    "Neuroendocrine tumours (WHO), per 2 mm²",
    "WHO Classification of Digestive System Tumours, 5th edition, 2019; per 2 mm²: G1 below 2, G2 2 to 20, G3 above 20",
    2.0,
    (2.0, 20.0),
    (False, True),
)

SARCOMA = Convention(
    "sarcoma",
    "Soft tissue sarcoma (FNCLCC), per 10 fields",
    "FNCLCC (Trojani 1984; Guillou 1997); 10 fields of 0.1734 mm²: 1 up to 9, 2 from 10, 3 from 20",
    1.734,
    (10.0, 20.0),
)

CONVENTIONS: Mapping[str, Convention] = MappingProxyType(
    {convention.name: convention for convention in (NOTTINGHAM, WHO, NEUROENDOCRINE, SARCOMA)}
)
"""Every convention by name."""


def field_area_mm2(diameter_mm: float, fields: float = 1) -> float:
    """Area of round fields of view of a diameter."""
    return fields * math.pi * (diameter_mm / 2) ** 2


def field_diameter_mm(area_mm2: float, fields: float = 10) -> float:
    """Diameter of the round fields of view, so many of which have an area."""
    return 2 * math.sqrt(area_mm2 / fields / math.pi)


def field_table(convention: Convention = NOTTINGHAM, fields: int = 10) -> list[tuple[float, int, int]]:
    """Diameter in mm, highest count of score 1 and lowest of score 3, for field diameters of 0.40 to 0.69 mm."""
    rows = []
    for hundredths in range(40, 70):
        second, third = convention.limits(field_area_mm2(hundredths / 100, fields))[:2]
        rows.append((hundredths / 100, second - 1, third))
    return rows


def nottingham_score(count: int, area_mm2: float) -> MitoticScore:
    """`NOTTINGHAM`'s score."""
    return NOTTINGHAM.score(count, area_mm2)


def who_score(count: int, area_mm2: float) -> MitoticScore:
    """`WHO`'s score."""
    return WHO.score(count, area_mm2)


def _checked(count: int) -> int:
    if count != int(count) or count < 0:
        raise ValueError(f"a count must be a whole number from 0 on, not {count}")
    return int(count)


def _check_area(area_mm2: float) -> None:
    if not (math.isfinite(area_mm2) and area_mm2 > 0):
        raise ValueError(f"area_mm2 must be positive, not {area_mm2}")
