"""Several readers, or readers and a detector, on the same fields: how far they agree, and on what they do not.

Marks of different readers that lie within a radius are one figure; the figures that anybody marked are the union.
There is no count of what everybody left out, so kappa is that of the union: it is lower than where agreement on
empty tissue counts, and never to be compared with one that counts it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from .agreement import group

RADII_UM: tuple[float, ...] = (5.0, 7.5, 8.0)
"""Of ICPR 2012; of AMIDA13, TUPAC16 and MIDOG; of ICPR 2014."""

NOTHING = "not marked"
READER_COLUMNS: tuple[str, ...] = ("field", "y_px", "x_px", "y_um", "x_um", "label", "phase")
"""What a reader marked: field, centre, label (mitosis, mimic, unsure), phase or empty."""
_FEATURES = ("field", "y_px", "x_px", "y_um", "x_um")

Floats = NDArray[np.float64]


def union_of(readers: Mapping[str, pd.DataFrame], radius_um: float) -> pd.DataFrame:
    """One row for each figure that anybody marked.

    Parameters
    ----------
    readers : mapping of str to DataFrame
        For each reader `READER_COLUMNS`.
    radius_um : float

    Returns
    -------
    DataFrame
        field, y_px, x_px, y_um, x_um (of the first who marked it), then for each reader the label, or `NOTHING`, and
        the phase in a column ``phase NAME``; where tables have a column ``figure``, ``figures``: what is in it, with
        blanks between.
    """
    names = list(readers)
    identified = any("figure" in table for table in readers.values())
    rows = []
    for field in _fields(readers):
        in_field = {name: table[table["field"] == field] for name, table in readers.items()}
        pooled = pd.concat([in_field[name].assign(reader=name) for name in names], ignore_index=True)
        places = {name: table.assign(probability=1.0) for name, table in in_field.items()}
        for members in group(places, radius_um):
            marks = pooled.iloc[members]
            first = marks.iloc[0]
            row = {column: first[column] for column in _FEATURES} | dict.fromkeys(names, NOTHING)
            row |= {f"phase {name}": "" for name in names}
            for mark in marks.to_dict("records"):
                row[mark["reader"]] = mark["label"]
                row[f"phase {mark['reader']}"] = mark["phase"]
            if identified:
                row["figures"] = " ".join(dict.fromkeys(marks["figure"].dropna().loc[lambda ids: ids != ""]))
            rows.append(row)
    columns = [*_FEATURES, *names, *(f"phase {name}" for name in names), *(["figures"] if identified else [])]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.sort_values(["field", "y_um", "x_um"], ignore_index=True)


def _fields(readers: Mapping[str, pd.DataFrame]) -> list[str]:
    return sorted({str(field) for table in readers.values() for field in table["field"]})


def says_mitosis(union: pd.DataFrame, names: Sequence[str]) -> NDArray[np.bool_]:
    """Who called which figure a mitosis, shape (figures, readers)."""
    return np.asarray(union[list(names)].to_numpy() == "mitosis")


def pair_table(readers: Mapping[str, pd.DataFrame], radii_um: Sequence[float] = RADII_UM) -> pd.DataFrame:
    """F and Cohen's kappa of each pair of readers, at each radius.

    Returns
    -------
    DataFrame
        first, second, radius_um, both, only_first, only_second (mitoses), f, kappa (on the union of what the two
        marked; NaN where it is not defined).
    """
    rows = []
    for first, second in combinations(readers, 2):
        for radius in radii_um:
            said = says_mitosis(union_of({first: readers[first], second: readers[second]}, radius), [first, second])
            both = int(said.all(axis=1).sum())
            alone = [int((said[:, i] & ~said[:, 1 - i]).sum()) for i in (0, 1)]
            marked = 2 * both + sum(alone)
            f = 2 * both / marked if marked else float("nan")
            rows.append((first, second, radius, both, *alone, f, cohen_kappa(said[:, 0], said[:, 1])))
    columns = ["first", "second", "radius_um", "both", "only_first", "only_second", "f", "kappa"]
    return pd.DataFrame(rows, columns=columns)


def cohen_kappa(first: ArrayLike, second: ArrayLike) -> float:
    """Cohen's kappa of two readers' words; NaN where chance alone would make them agree always."""
    words_a, words_b = (np.asarray(words).reshape(-1) for words in (first, second))
    if len(words_a) == 0 or len(words_a) != len(words_b):
        return float("nan")
    expected = sum(float((words_a == word).mean() * (words_b == word).mean()) for word in np.unique([words_a, words_b]))
    return _kappa(float((words_a == words_b).mean()), expected)


def fleiss_kappa(words: ArrayLike) -> float:
    """Fleiss' kappa, shape (things, readers); NaN where it is not defined."""
    table = np.asarray(words)
    if table.size == 0 or table.shape[1] < 2:
        return float("nan")
    count = np.stack([(table == word).sum(axis=1) for word in np.unique(table)], axis=1).astype(np.float64)
    raters = table.shape[1]
    observed = float(((count**2).sum(axis=1) - raters).mean() / (raters * (raters - 1)))
    share = count.sum(axis=0) / count.sum()
    return _kappa(observed, float((share**2).sum()))


def _kappa(observed: float, expected: float) -> float:
    return float("nan") if expected >= 1 - 1e-12 else (observed - expected) / (1 - expected)


@dataclass(frozen=True)
class BlandAltman:
    """Differences of two readers' counts.

    Attributes
    ----------
    bias, low, high : float
        Mean of first less second, and limits of agreement (1.96 standard deviations); NaN for fewer than two fields.
    mean, difference : tuple of float
        Of each field: what is plotted.
    """

    bias: float
    low: float
    high: float
    mean: tuple[float, ...]
    difference: tuple[float, ...]


def bland_altman(first: ArrayLike, second: ArrayLike) -> BlandAltman:
    """Bland and Altman's comparison of two series of counts, shape (fields,)."""
    counts_a, counts_b = (np.asarray(counts, dtype=np.float64).reshape(-1) for counts in (first, second))
    difference, mean = counts_a - counts_b, (counts_a + counts_b) / 2
    bias = float(difference.mean()) if len(counts_a) else float("nan")
    spread = 1.96 * float(difference.std(ddof=1)) if len(counts_a) > 1 else float("nan")
    return BlandAltman(bias, bias - spread, bias + spread, tuple(mean.tolist()), tuple(difference.tolist()))


def icc(counts: ArrayLike) -> dict[str, float]:
    """Intraclass correlations of counts, after Shrout and Fleiss (1979).

    Parameters
    ----------
    counts : array_like of float, shape (fields, readers)

    Returns
    -------
    dict
        ``ICC(1,1)``, ``ICC(2,1)`` (absolute agreement, readers drawn from many) and ``ICC(3,1)`` (consistency of these
        readers), of a single reading; NaN where they are not defined.
    """
    table = np.asarray(counts, dtype=np.float64)
    nothing = dict.fromkeys(("ICC(1,1)", "ICC(2,1)", "ICC(3,1)"), float("nan"))
    if table.ndim != 2 or min(table.shape) < 2:
        return nothing
    n, k = table.shape
    grand = table.mean()
    rows = k * float(((table.mean(axis=1) - grand) ** 2).sum())
    columns = n * float(((table.mean(axis=0) - grand) ** 2).sum())
    total = float(((table - grand) ** 2).sum())
    between, judges = rows / (n - 1), columns / (k - 1)
    within = (total - rows) / (n * (k - 1))
    error = (total - rows - columns) / ((n - 1) * (k - 1))
    if total == 0:
        return nothing
    return {
        "ICC(1,1)": _ratio(between - within, between + (k - 1) * within),
        "ICC(2,1)": _ratio(between - error, between + (k - 1) * error + k * (judges - error) / n),
        "ICC(3,1)": _ratio(between - error, between + (k - 1) * error),
    }


def _ratio(top: float, bottom: float) -> float:
    return top / bottom if bottom > 0 else float("nan")


def count_table(readers: Mapping[str, pd.DataFrame], fields: Sequence[str]) -> pd.DataFrame:
    """Mitoses of each reader in each field, fields without any included; fields by readers."""
    counts = {
        name: table.loc[table["label"] == "mitosis", "field"].value_counts().reindex(list(fields), fill_value=0)
        for name, table in readers.items()
    }
    return pd.DataFrame(counts, index=list(fields)).astype(np.int64)


def phase_confusion(union: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """Phases of one reader by those of another, of figures that both call mitosis and give a phase."""
    both = union[(union[first] == "mitosis") & (union[second] == "mitosis")]
    phases = both[[f"phase {first}", f"phase {second}"]]
    phases = phases[(phases != "").all(axis=1)]
    known = sorted(set(phases.to_numpy().ravel()))
    table = pd.crosstab(phases.iloc[:, 0], phases.iloc[:, 1]).reindex(index=known, columns=known, fill_value=0)
    return table.rename_axis(index=first, columns=second)


def consensus(union: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """What the majority says of each figure: the union with ``votes``, ``of`` and ``consensus``.

    The consensus is mitosis, not mitosis, or tie.
    """
    votes = says_mitosis(union, names).sum(axis=1)
    of = len(names)
    said = np.where(2 * votes > of, "mitosis", np.where(2 * votes == of, "tie", "not mitosis"))
    return union.assign(votes=votes, of=of, consensus=said.astype(object))


def disputed(union: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Figures that some but not all call mitosis, the most even votes first: what is to be adjudicated."""
    table = consensus(union, names)
    open_ = table[(table["votes"] > 0) & (table["votes"] < table["of"])]
    evenness = (open_["votes"] * 2 - open_["of"]).abs()
    return open_.assign(evenness=evenness).sort_values(["evenness", "field", "y_um", "x_um"], kind="stable").drop(
        columns="evenness"
    ).reset_index(drop=True)  # fmt: skip


@dataclass(frozen=True, eq=False)
class ReaderAgreement:
    """Everything that can be said of several readers of the same fields.

    Attributes
    ----------
    names : list of str
    pairs : DataFrame
        `pair_table`.
    fleiss : dict of float to float
        Fleiss' kappa on the union, by radius in um.
    counts : DataFrame
        `count_table`.
    icc : dict of str to float
    union : DataFrame
        `consensus` at `radius_um`.
    disputed : DataFrame
    radius_um : float
    """

    names: list[str]
    pairs: pd.DataFrame
    fleiss: dict[float, float]
    counts: pd.DataFrame
    icc: dict[str, float]
    union: pd.DataFrame
    disputed: pd.DataFrame
    radius_um: float


def reader_agreement(
    readers: Mapping[str, pd.DataFrame], fields: Sequence[str], radius_um: float = 7.5
) -> ReaderAgreement:
    """How far readers of the same fields agree.

    Parameters
    ----------
    readers : mapping of str to DataFrame
        For each at least of two readers `READER_COLUMNS`.
    fields : sequence of str
        Everything that all of them read, fields without a mark included.
    radius_um : float
        Of consensus and adjudication.

    Raises
    ------
    ValueError
        If there are fewer than two readers.
    """
    names = list(readers)
    if len(names) < 2:
        raise ValueError("agreement needs two readers or more")
    fleiss = {radius: fleiss_kappa(says_mitosis(union_of(readers, radius), names)) for radius in RADII_UM}
    union = consensus(union_of(readers, radius_um), names)
    counts = count_table(readers, fields)
    return ReaderAgreement(
        names, pair_table(readers), fleiss, counts, icc(counts.to_numpy()), union, disputed(union, names), radius_um
    )
