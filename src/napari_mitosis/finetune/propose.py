"""Which fields to annotate next: those with candidates of which a version is unsure, and which are unlike each other.

A reader's minutes are the scarce thing. A candidate teaches most where the version could as well say the other
thing, and where nothing like it was judged or chosen before. Fields that are found this way are no sample of the
slide: two fields drawn at random (`draw_blind`) belong beside them, so that a gate can tell what a child is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PER_FIELD = 12
"""Candidates of a field that count: a reader judges about so many in a minute and a half."""

BLIND_FIELDS = 2


@dataclass(frozen=True, eq=False)
class FieldCandidates:
    """What a version sees in a field that is not annotated.

    Attributes
    ----------
    name : str
    probability : ndarray of float, shape (n,)
        Of each candidate to be a mitosis, those below the threshold too.
    features : ndarray of float, shape (n, d), optional
        Of each candidate in the network; without them candidates are unlike each other by their probability only.
    """

    name: str
    probability: NDArray[np.float64]
    features: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Proposal:
    """A field worth annotating.

    Attributes
    ----------
    field : int
        Its number among those given.
    value : float
        How much it is expected to teach: the sum over its candidates of what is unsure and new in them, in units of
        one candidate of probability 1/2 that is like no other.
    candidates : tuple of int
        Rows of its candidates, the most instructive first.
    """

    field: int
    value: float
    candidates: tuple[int, ...]


def unsure(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """How unsure each is: the entropy in bits, 1 at probability 1/2 and 0 at 0 and 1."""
    p = np.clip(probability, 1e-9, 1 - 1e-9)
    return np.asarray(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)))


def propose(
    fields: Sequence[FieldCandidates],
    count: int,
    *,
    judged: NDArray[np.float64] | None = None,
    per_field: int = PER_FIELD,
) -> list[Proposal]:
    """Choose fields one after the other; each is worth what those before it leave unsaid.

    Parameters
    ----------
    fields : sequence of FieldCandidates
    count : int
        How many to choose.
    judged : ndarray of float, shape (m, d), optional
        Features of candidates that a reader judged already.
    per_field : int
        Candidates of a field that count.

    Returns
    -------
    list of Proposal
        At most `count`, the most instructive first. Fields without a candidate are never among them.
    """
    if count < 1:
        raise ValueError("at least one field must be asked for")
    features = _comparable([_features(field) for field in fields], judged)
    known, features = features[-1], features[:-1]
    left = {i for i, field in enumerate(fields) if len(field.probability)}
    chosen: list[Proposal] = []
    while left and len(chosen) < count:
        offers = [_offer(i, unsure(fields[i].probability), features[i], known, per_field) for i in sorted(left)]
        best = max(offers, key=lambda proposal: proposal.value)
        chosen.append(best)
        left.remove(best.field)
        known = np.concatenate([known, features[best.field][list(best.candidates)]])
    return chosen


def draw_blind(names: Sequence[str], seed: int, count: int = BLIND_FIELDS) -> list[int]:
    """Fields for an honest comparison: drawn without a look at what any network sees in them.

    The same names and seed give the same fields, in whatever order the names come.
    """
    order = sorted(range(len(names)), key=lambda i: names[i])
    drawn = np.random.default_rng(seed).permutation(len(order))[:count]
    return sorted(order[int(i)] for i in drawn)


def _features(field: FieldCandidates) -> NDArray[np.float64]:
    return field.probability[:, None] if field.features is None else field.features


def _comparable(
    features: Sequence[NDArray[np.float64]], judged: NDArray[np.float64] | None
) -> list[NDArray[np.float64]]:
    """The features of each field, then those that were judged, on a scale where usual distances are 1."""
    width = max((f.shape[1] for f in features if len(f)), default=1 if judged is None else judged.shape[1])
    empty = np.empty((0, width))  # a field without candidates does not know how wide its features would be
    parts = [*(f if len(f) else empty for f in features), empty if judged is None else judged]
    pooled = np.concatenate(parts)
    spread = np.maximum(pooled.std(axis=0), 1e-6) if len(pooled) else np.ones(width)
    return [part / spread / np.sqrt(width) for part in parts]


def _offer(
    field: int, worth: NDArray[np.float64], features: NDArray[np.float64], known: NDArray[np.float64], per_field: int
) -> Proposal:
    """The candidates of one field, greedily: each is worth less where something like it is known."""
    newness = np.ones(len(worth)) if not len(known) else _unlike(features, known).min(axis=1)
    rows: list[int] = []
    value = 0.0
    for _ in range(min(per_field, len(worth))):
        gain = worth * newness
        gain[rows] = -1.0
        row = int(np.argmax(gain))
        rows.append(row)
        value += float(gain[row])
        newness = np.minimum(newness, _unlike(features, features[row][None])[:, 0])
    return Proposal(field, value, tuple(rows))


def _unlike(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """From 0 (the same) to 1 (farther apart than is usual), shape (len(a), len(b))."""
    squares = ((a[:, None] - b[None]) ** 2).sum(axis=2)
    return np.asarray(1.0 - np.exp(-squares))
