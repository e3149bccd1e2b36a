"""The stains that a version has seen, on its card: how far a field lies from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from ..fields.appearance import NUMBERS

MOST_LOOKS = 32
Look = tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]


class Seen(BaseModel):
    """What the material of a training looked like.

    Attributes
    ----------
    looks : tuple of tuple of float
        `fields.appearance.appearance` of fields and slides, those that are most unlike each other.
    usual : float
        So far from the nearest of them lie 95 % of that material itself, each seen as if its slide were unknown.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    looks: tuple[Look, ...] = Field(min_length=2, max_length=4 * MOST_LOOKS)
    usual: FiniteFloat = Field(gt=0)

    def distance(self, look: NDArray[np.float64]) -> float:
        """How far a field's look lies from the nearest of these, in units of the usual: above 1 it is unusual."""
        table = np.array(self.looks)
        return float(_nearest(look[None], table, _scale(table))[0] / self.usual)

    def with_looks(self, looks: Sequence[NDArray[np.float64]]) -> Seen:
        """The same with these learned, too; the newest are kept where there is no room for all."""
        rows = [*self.looks, *([round(float(v), 4) for v in look] for look in looks)]
        return Seen.model_validate({"looks": rows[-4 * MOST_LOOKS :], "usual": self.usual})


def seen_from(looks: NDArray[np.float64], slides: Sequence[str], most: int = MOST_LOOKS) -> Seen:
    """What to put on a card.

    Parameters
    ----------
    looks : ndarray of float64, shape (n, 7)
        Of every field or slide of the training.
    slides : sequence of str
        The slide of each: fields of one slide look alike, and say nothing about another.
    most : int
        So many looks are kept.

    Raises
    ------
    ValueError
        If there are fewer than two slides.
    """
    if len(set(slides)) < 2:
        raise ValueError("the looks of two slides at least are needed to know what is usual")
    scale = _scale(looks)
    kept = [int(np.argmax(np.linalg.norm((looks - looks.mean(axis=0)) / scale, axis=1)))]
    while len(kept) < min(most, len(looks)):
        far = _nearest(looks, looks[kept], scale)
        if far.max() <= 0:
            break
        kept.append(int(np.argmax(far)))
    table, slide_of = looks[kept], np.array(slides, dtype=object)
    scale = _scale(table)
    others = [slide_of[kept] != slide for slide in slide_of]
    away = [_nearest(look[None], table[other], scale)[0] for look, other in zip(looks, others, strict=True)]
    rounded = [[round(float(v), 4) for v in row] for row in table]
    return Seen.model_validate({"looks": rounded, "usual": float(np.quantile(away, 0.95))})


def _scale(table: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.maximum(table.std(axis=0), 0.01))


def _nearest(looks: NDArray[np.float64], table: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each look from the nearest of a table, in root mean square of the scaled numbers; shape (n,)."""
    squares = (((looks[:, None] - table[None]) / scale) ** 2).sum(axis=2)
    return np.asarray(np.sqrt(squares.min(axis=1) / NUMBERS))
