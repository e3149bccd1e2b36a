"""How sure a mitotic score is while candidates wait to be judged, and which of them can still change it.

Each waiting candidate is a mitosis with its calibrated probability, independent of the others: the number of
mitoses among them follows a Poisson binomial distribution. It is worked out exactly, as a product of the
polynomials (1 - p) + p x, pairwise; only the counts up to the highest limit of the score are kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfft, next_fast_len, rfft

from .grade import Convention

_DIRECT = 48
"""Up to so many coefficients a product term by term is quicker than one by Fourier transform."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Outlook:
    """What can still become of a score.

    Attributes
    ----------
    score : int
        Of the counted mitoses alone.
    probability : ndarray of float64, shape (scores,)
        Of score 1, 2, ... once all that waits is judged.
    lowest, highest : int
        Score if everything that waits is no mitosis, and if all of it is.
    change : ndarray of float64, shape (n,)
        Of each waiting candidate: by how much judging it is expected to move the expected score; 0 = it cannot.
    """

    score: int
    probability: Floats
    lowest: int
    highest: int
    change: Floats

    @property
    def settled(self) -> bool:
        """Whether the score stands whatever is decided now."""
        return self.lowest == self.highest

    @property
    def expected(self) -> float:
        """Mean of the score."""
        return float(self.probability @ np.arange(1, len(self.probability) + 1))


def count_probabilities(probabilities: ArrayLike, most: int | None = None) -> Floats:
    """Probability of each number of successes of independent trials (Poisson binomial), exactly.

    Parameters
    ----------
    probabilities : array_like of float, shape (n,)
        Of success, each in [0, 1].
    most : int, optional
        The highest number that is asked for; n by default.

    Returns
    -------
    ndarray of float64, shape (min(n, most) + 1,)
        Of 0, 1, 2, ... successes.

    Raises
    ------
    ValueError
        If a probability is none.
    """
    p = _checked(probabilities)
    keep = (len(p) if most is None else max(0, min(most, len(p)))) + 1
    product: Floats = _tree(_prefixes(_in_groups(p), keep)[-1], keep)[-1][0]
    return product[: len(p) + 1]


def outlook(count: int, area_mm2: float, pending: ArrayLike, convention: Convention) -> Outlook:
    """What can still become of the score of a count while candidates wait.

    Parameters
    ----------
    count : int
        Mitoses counted already.
    area_mm2 : float
    pending : array_like of float, shape (n,)
        Calibrated probability of each candidate that waits in the area.
    convention : Convention

    Raises
    ------
    ValueError
        If a probability, the count or the area is none.
    """
    p = _checked(pending)
    now = convention.score(count, area_mm2)
    most = convention.score(count + len(p), area_mm2)
    # How many of the waiting ones it takes to reach each limit that is not reached yet.
    missing = [limit - count for limit in now.limits]
    open_limits = sorted({need for need in missing if 1 <= need <= len(p)})
    change = np.zeros(len(p))
    exact = np.ones(1)
    if open_limits:
        keep = open_limits[-1]  # coefficients 0 .. keep - 1 decide all limits
        exact, others = _product_and_without_each(p, keep, [need - 1 for need in open_limits])
        # With one limit more reached, the expected score is one higher.
        gain = others @ np.array([missing.count(need) for need in open_limits], dtype=np.float64)
        change = 2 * p * (1 - p) * gain
    reached = [_tail(exact, need, len(p)) for need in missing]
    probability = -np.diff(np.array([1.0, *reached, 0.0]))
    return Outlook(now.score, np.clip(probability, 0.0, 1.0), now.score, most.score, change)


def _tail(pmf: Floats, need: int, n: int) -> float:
    """Probability of at least `need` successes."""
    if need <= 0:
        return 1.0
    return 0.0 if need > n else float(np.clip(1.0 - pmf[:need].sum(), 0.0, 1.0))


def _checked(probabilities: ArrayLike) -> Floats:
    p = np.asarray(probabilities, dtype=np.float64).reshape(-1)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("probabilities must lie in [0, 1]")
    return p


def _in_groups(p: Floats) -> Floats:
    """Probabilities as a table of steps x groups, filled up with impossible ones, which change nothing."""
    groups = 1 << max(0, math.isqrt(max(len(p), 1)).bit_length())
    steps = max(1, -(-len(p) // groups))
    return np.pad(p, (0, steps * groups - len(p))).reshape(steps, groups)


def _prefixes(table: Floats, keep: int) -> Floats:
    """Product of the first 0, 1, 2, ... factors of each group, shape (steps + 1, groups, keep); powers ascend."""
    steps, groups = table.shape
    prefix = np.zeros((steps + 1, groups, min(keep, steps + 1)))
    prefix[0, :, 0] = 1.0
    for step, p in enumerate(table):
        _grow(prefix[step], p, out=prefix[step + 1])
    return prefix


def _grow(polynomials: Floats, p: Floats, out: Floats) -> None:
    """Multiply each row by its (1 - p) + p x."""
    np.multiply(polynomials, (1 - p)[:, None], out=out)
    out[:, 1:] += polynomials[:, :-1] * p[:, None]


def _tree(leaves: Floats, keep: int) -> list[Floats]:
    """Levels of the tree of products of the rows of `leaves`, a power of two of them."""
    levels = [leaves]
    while len(levels[-1]) > 1:
        levels.append(_multiplied(levels[-1][0::2], levels[-1][1::2], keep))
    return levels


def _product_and_without_each(p: Floats, keep: int, powers: list[int]) -> tuple[Floats, Floats]:
    """The whole product, and coefficients of the product of all factors but one, shape (n, powers).

    What comes before a factor in its group, times what comes after it, times all other groups. Nothing is ever
    divided, so nothing is lost where a probability is near 0 or 1.
    """
    table = _in_groups(p)
    prefix = _prefixes(table, keep)
    levels = _tree(prefix[-1], keep)
    after = np.ones((1, 1))
    for level in levels[-2::-1]:
        siblings = level.reshape(-1, 2, level.shape[1])[:, ::-1].reshape(level.shape)
        after = _multiplied(np.repeat(after, 2, axis=0), siblings, keep)
    after = np.pad(after, ((0, 0), (0, keep - after.shape[1])))
    others = np.empty((*table.shape, len(powers)))
    later = np.empty_like(after)
    for step in range(len(table) - 1, -1, -1):
        for column, power in enumerate(powers):
            before = prefix[step, :, : power + 1]
            others[step, :, column] = np.einsum("gk,gk->g", before, after[:, power::-1][:, : before.shape[1]])
        _grow(after, table[step], out=later)
        after, later = later, after
    return levels[-1][0], others.reshape(-1, len(powers))[: len(p)]


def _multiplied(left: Floats, right: Floats, keep: int) -> Floats:
    """Products of polynomials, row by row, cut to `keep` coefficients."""
    if left.shape[1] < right.shape[1]:
        left, right = right, left
    length = min(left.shape[1] + right.shape[1] - 1, keep)
    if right.shape[1] <= _DIRECT:
        product = np.zeros((len(left), length))
        for power in range(min(right.shape[1], length)):
            wide = min(left.shape[1], length - power)
            product[:, power : power + wide] += left[:, :wide] * right[:, power, None]
        return product
    size = next_fast_len(left.shape[1] + right.shape[1] - 1, real=True)
    transformed = rfft(left, size, axis=1) * rfft(right, size, axis=1)
    return np.asarray(np.maximum(irfft(transformed, size, axis=1)[:, :length], 0.0), dtype=np.float64)
