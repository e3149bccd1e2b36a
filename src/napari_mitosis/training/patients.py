"""Folds by patient: no patient is trained on and measured on, whichever contest or scanner a field comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..datasets.sample import Sample


def scanner(sample: Sample) -> str:
    """``Hamamatsu`` or ``Aperio``: both contests name the images of a slide H05_... or A03_... by the scanner."""
    return "Hamamatsu" if sample.field.name.startswith("H") else "Aperio"


def patient_folds(samples: Sequence[Sample], count: int = 3) -> list[list[int]]:
    """Indices of the fields of each fold.

    The patients of each scanner are dealt in the order of their mitoses, each to the fold that has the fewest of
    that scanner, so that every fold holds about as many mitoses of either.

    Parameters
    ----------
    samples : sequence of Sample
        Fields with the same `case` are of one patient.
    count : int
        Folds; those that no patient is left for are dropped.
    """
    mitoses: Counter[tuple[str, str]] = Counter()
    for sample in samples:
        mitoses[sample.case, scanner(sample)] += len(sample.centroids_yx())
    held: Counter[tuple[int, str]] = Counter()
    total: Counter[int] = Counter()
    place: dict[str, int] = {}
    for (case, device), n in sorted(mitoses.items(), key=lambda item: (-item[1], item[0])):
        if case not in place:
            place[case] = min(range(count), key=lambda k: (held[k, device], total[k], k))
        held[place[case], device] += n
        total[place[case]] += n
    folds = [[i for i, s in enumerate(samples) if place[s.case] == k] for k in range(count)]
    return [fold for fold in folds if fold]


def patient_interval(
    per_field: pd.DataFrame, *, samples: int = 2000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of pooled F when patients, and fields of each, are drawn with replacement.

    Parameters
    ----------
    per_field : DataFrame
        Columns case, tp, fp, fn: `measures.evaluate.Evaluation.per_field`.

    Returns
    -------
    tuple of float
        nan where nothing was there or found in any draw.
    """
    rng = np.random.default_rng(seed)
    tables: list[NDArray[np.float64]] = [
        fields[["tp", "fp", "fn"]].to_numpy(np.float64) for _, fields in per_field.groupby("case")
    ]
    values = []
    for _ in range(samples if tables else 0):
        drawn = [tables[i] for i in rng.integers(len(tables), size=len(tables))]
        tp, fp, fn = sum(t[rng.integers(len(t), size=len(t))].sum(axis=0) for t in drawn)
        if tp + fp + fn:
            values.append(2 * tp / (2 * tp + fp + fn))
    if not values:
        return float("nan"), float("nan")
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)
