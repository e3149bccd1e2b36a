"""Parts of fields that a network is judged on without having learnt from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..decision.evidence import Evidence


@dataclass(frozen=True)
class Unit:
    """A rectangle of one field.

    Attributes
    ----------
    field : int
        Number of the field in the plan.
    box_px : tuple of float
        y0, x0, y1, x1; a point with y0 <= y < y1 and x0 <= x < x1 is in it.
    """

    field: int
    box_px: tuple[float, float, float, float]

    def holds(self, points_yx: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which points, shape (n, 2), lie in it."""
        y0, x0, y1, x1 = self.box_px
        y, x = points_yx[:, 0], points_yx[:, 1]
        return np.asarray((y >= y0) & (y < y1) & (x >= x0) & (x < x1))


def whole(field: int, shape: tuple[int, int]) -> Unit:
    """The whole field, and a margin for centres that lie on its edge."""
    return Unit(field, (-1.0, -1.0, shape[0] + 1.0, shape[1] + 1.0))


def quarters(field: int, shape: tuple[int, int]) -> tuple[Unit, ...]:
    """Its four quarters; together they are the whole field."""
    h, w = shape
    ys, xs = (-1.0, h / 2, h + 1.0), (-1.0, w / 2, w + 1.0)
    return tuple(Unit(field, (ys[i], xs[j], ys[i + 1], xs[j + 1])) for i in (0, 1) for j in (0, 1))


def by_patient(cases: Sequence[str]) -> bool:
    """Whether these fields are known to be of two patients or more."""
    return len(set(cases) - {""}) > 1


MOST_FOLDS = 3
"""Each fold is one more training: with three the child has a fourth of the time, a fold two thirds of the fields."""


def folds(shapes: Sequence[tuple[int, int]], cases: Sequence[str] = ()) -> list[tuple[Unit, ...]]:
    """What is left out of each training, so that every field is once judged by a network that never saw it.

    Fields of two patients or more: groups of patients, so that a field is judged by a network that never saw its
    patient. Else up to three fields: each by itself; more: three groups of fields. A single field: its two halves;
    the other half is then the same tissue on the same slide, so the judgement flatters.

    Parameters
    ----------
    shapes : sequence of tuple of int
        (H, W) of each field.
    cases : sequence of str, optional
        The case of each; fields without one ("") are taken for one patient's.
    """
    if by_patient(cases):
        numbers = {case: k for k, case in enumerate(dict.fromkeys(cases))}
        count = min(MOST_FOLDS, len(numbers))
        held = [[i for i, case in enumerate(cases) if numbers[case] % count == k] for k in range(count)]
        return [tuple(whole(i, shapes[i]) for i in fields) for fields in held]
    if len(shapes) == 1:
        (h, w) = shapes[0]
        left = Unit(0, (-1.0, -1.0, h + 1.0, w / 2))
        right = Unit(0, (-1.0, w / 2, h + 1.0, w + 1.0))
        return [(left,), (right,)]
    count = min(MOST_FOLDS, len(shapes))
    return [tuple(whole(i, shapes[i]) for i in range(k, len(shapes), count)) for k in range(count)]


def within(evidence: Evidence, unit: Unit) -> Evidence:
    """The evidence with nothing in it outside of the unit."""
    maps = {}
    for name, scores in evidence.maps.items():
        ys, xs = (np.arange(n) * evidence.stride + (evidence.stride - 1) / 2 for n in scores.shape)
        y0, x0, y1, x1 = unit.box_px
        keep = ((ys >= y0) & (ys < y1))[:, None] & ((xs >= x0) & (xs < x1))[None, :]
        maps[name] = np.where(keep, scores, scores.dtype.type(0))
    candidates = evidence.candidates
    if candidates is not None:
        inside = unit.holds(candidates[["y_px", "x_px"]].to_numpy(dtype=np.float64))
        candidates = candidates[inside].reset_index(drop=True)
    return replace(evidence, maps=maps, candidates=candidates)
