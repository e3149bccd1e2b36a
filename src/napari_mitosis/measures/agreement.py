"""Which detectors found which figure: tables of several detectors of one field, put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SAME_UM = 6.0
"""Two detectors within so many um of each other mean the same figure; nearer than two mitoses ever stand."""

PLACE_COLUMNS: tuple[str, ...] = ("y_px", "x_px", "y_um", "x_um")


def agree(tables: Mapping[str, pd.DataFrame], radius_um: float = SAME_UM) -> pd.DataFrame:
    """One row for each figure, with what each detector made of it.

    The surest detection that is left becomes a figure; each other detector adds its nearest detection within
    `radius_um` of it. So a figure has at most one detection of each detector, none is in two figures, and no chain
    of neighbours grows beyond the radius. The order of tables and rows does not matter.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        For each detector its detections in the field: `PLACE_COLUMNS` and ``probability``.
    radius_um : float

    Returns
    -------
    DataFrame
        `PLACE_COLUMNS` (those of the surest detection), a column with the probability for each detector (NaN where
        it found nothing), ``found_by`` and ``of`` (numbers of detectors); most found first, then by the highest
        probability and by place.

    Raises
    ------
    ValueError
        If the radius is negative, a table lacks a column or its detector is called like a column of the result.
    """
    pooled = _pooled(tables)
    figures = group(tables, radius_um)
    names = list(tables)
    scores = np.full((len(figures), len(names)), np.nan)
    for row, members in enumerate(figures):
        scores[row, pooled.detector[members]] = pooled.probability[members]
    seeds = np.array([members[0] for members in figures], dtype=np.intp)
    places = pooled.places[seeds]
    found_by = np.isfinite(scores).sum(axis=1)
    order = np.lexsort((places[:, 1], places[:, 0], -pooled.probability[seeds], -found_by))
    frame = pd.DataFrame(np.hstack([places, scores])[order], columns=[*PLACE_COLUMNS, *names])
    return frame.assign(found_by=found_by[order].astype(np.int64), of=np.int64(len(names)))


def group(tables: Mapping[str, pd.DataFrame], radius_um: float = SAME_UM) -> list[list[int]]:
    """The figures of `agree` as rows of the tables put below one another in their order; the surest row first.

    Raises
    ------
    ValueError
        As `agree`.
    """
    if not radius_um >= 0:
        raise ValueError(f"the radius must be a number from 0 on, not {radius_um}")
    taken = {*PLACE_COLUMNS, "found_by", "of"} & set(tables)
    if taken:
        raise ValueError(f"a detector cannot be called '{sorted(taken)[0]}'")
    pooled = _pooled(tables)
    # Names, not the order of the tables, settle ties between detectors.
    detector = np.argsort(np.argsort(np.array(list(tables), dtype=np.str_)))[pooled.detector]
    y, x = pooled.places[:, 2], pooled.places[:, 3]
    free = np.ones(len(y), dtype=bool)
    figures: list[list[int]] = []
    for seed in np.lexsort((detector, x, y, -pooled.probability)):
        if free[seed]:
            figures.append([int(seed), *_partners(int(seed), free, detector, pooled, radius_um)])
            free[figures[-1]] = False
    return figures


def _partners(
    seed: int,
    free: NDArray[np.bool_],
    detector: NDArray[np.intp],
    pooled: _Pooled,
    radius_um: float,
) -> list[int]:
    """The nearest free detection of each other detector within the radius of the seed.

    Of several at the same place the surest is taken: the order of rows must not matter.
    """
    y, x = pooled.places[:, 2], pooled.places[:, 3]
    distance = np.hypot(y - y[seed], x - x[seed])
    near = np.flatnonzero(free & (distance <= radius_um) & (detector != detector[seed]))
    near = near[np.lexsort((-pooled.probability[near], x[near], y[near], distance[near]))]
    _, first = np.unique(detector[near], return_index=True)
    return [int(i) for i in near[first]]


@dataclass(frozen=True, eq=False)
class _Pooled:
    """All tables below one another: number of the table, `PLACE_COLUMNS`, probability."""

    detector: NDArray[np.intp]
    places: NDArray[np.float64]
    probability: NDArray[np.float64]


def _pooled(tables: Mapping[str, pd.DataFrame]) -> _Pooled:
    columns = [*PLACE_COLUMNS, "probability"]
    for name, table in tables.items():
        missing = [column for column in columns if column not in table.columns]
        if missing:
            raise ValueError(f"detections of {name} lack the column '{missing[0]}'")
    values = [table[columns].to_numpy(np.float64) for table in tables.values()]
    every = np.concatenate(values) if values else np.zeros((0, len(columns)))
    detector = np.repeat(np.arange(len(values)), [len(part) for part in values])
    return _Pooled(detector.astype(np.intp), every[:, :4], every[:, 4])


def pairwise_agreement(tables: Mapping[str, pd.DataFrame], radius_um: float = SAME_UM) -> pd.DataFrame:
    """F of each detector against each other: twice the figures both found, over what each found.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        As for `agree`.
    radius_um : float

    Returns
    -------
    DataFrame
        Detectors by detectors, symmetric; 1 for the same figures, 0 for none in common, NaN where neither of the
        two found any.
    """
    names = list(tables)
    frame = pd.DataFrame(np.nan, index=names, columns=names)
    for first, second in combinations_with_replacement(names, 2):
        total = len(tables[first]) + len(tables[second])
        if total:
            pair = {first: tables[first], second: tables[second]}
            both = len(tables[first]) if first == second else sum(len(rows) == 2 for rows in group(pair, radius_um))
            frame.loc[first, second] = frame.loc[second, first] = 2 * both / total
    return frame
