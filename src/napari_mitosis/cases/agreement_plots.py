"""Plots of an agreement: the same ones in the window and in files."""

from __future__ import annotations

import io
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from ..measures.readers import ReaderAgreement, bland_altman, phase_confusion

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_SYMBOLS = "os^Dv*"


def agreement_plots(agreement: ReaderAgreement) -> dict[str, Figure]:
    """Figures by name: kappa and F of all pairs, counts with their ICC, and Bland-Altman and phases of each pair."""
    plots = {"kappa and F": _pairs(agreement), "counts and ICC": _counts(agreement)}
    for first, second in combinations(agreement.names, 2):
        plots[f"Bland-Altman, {first} and {second}"] = _bland_altman(agreement, first, second)
        phases = _phases(agreement, first, second)
        if phases is not None:
            plots[f"phases, {first} and {second}"] = phases
    return plots


def as_png(figure: Figure, dpi: int = 100) -> bytes:
    """A plot as a picture."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def _blank(width: float = 5.0, height: float = 3.6) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _pairs(agreement: ReaderAgreement) -> Figure:
    pairs = agreement.pairs[agreement.pairs["radius_um"] == _nearest_radius(agreement)]
    figure, axes = _blank(5, 1.3 + 0.5 * max(len(pairs), 2))
    names = [f"{a} and {b}" for a, b in zip(pairs["first"], pairs["second"], strict=True)]
    at = np.arange(len(names))
    axes.barh(at - 0.2, pairs["f"].fillna(0.0), height=0.38, color=_COLOURS[0], label="F")
    axes.barh(at + 0.2, pairs["kappa"].fillna(0.0), height=0.38, color=_COLOURS[2], label="Cohen's kappa")
    axes.set_yticks(at, names)
    axes.invert_yaxis()
    axes.axvline(0, color="#555555", linewidth=0.8)
    axes.set(xlabel=f"on the union of marked figures, {_nearest_radius(agreement):g} um", xlim=(-1, 1))
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def _nearest_radius(agreement: ReaderAgreement) -> float:
    radii = agreement.pairs["radius_um"].unique()
    return float(min(radii, key=lambda radius: abs(radius - agreement.radius_um)))


def _counts(agreement: ReaderAgreement) -> Figure:
    figure, axes = _blank()
    table = agreement.counts
    order = table.mean(axis=1).to_numpy().argsort(kind="stable")
    at = np.arange(len(table))
    axes.vlines(at, table.min(axis=1).iloc[order], table.max(axis=1).iloc[order], color="#b8bec9", linewidth=1)
    for number, name in enumerate(agreement.names):
        look: dict[str, Any] = {"color": _COLOURS[number % len(_COLOURS)], "marker": _SYMBOLS[number % len(_SYMBOLS)]}
        axes.plot(at, table[name].iloc[order], linestyle="none", label=name, alpha=0.8, **look)
    correlation = ", ".join(f"{name} {value:.2f}" for name, value in agreement.icc.items() if np.isfinite(value))
    axes.set(xlabel="field, by mean count", ylabel="mitoses", title=correlation or "ICC: needs two fields or more")
    axes.set_xticks(at, [str(table.index[row]) for row in order] if len(at) <= 8 else [""] * len(at), rotation=20)
    figure.legend(loc="outside upper center", ncols=4)
    return figure


def _bland_altman(agreement: ReaderAgreement, first: str, second: str) -> Figure:
    limits = bland_altman(agreement.counts[first], agreement.counts[second])
    figure, axes = _blank()
    axes.scatter(limits.mean, limits.difference, color=_COLOURS[0])
    for value, style, what in (
        (limits.bias, "-", "bias"),
        (limits.low, "--", "lower limit"),
        (limits.high, "--", "upper limit"),
    ):
        if np.isfinite(value):
            axes.axhline(value, color="#555555", linestyle=style)
            axes.annotate(
                f"{what} {value:.2f}", (1, value), xycoords=("axes fraction", "data"), ha="right", va="bottom"
            )
    axes.set(xlabel="mean of both counts", ylabel=f"{first} less {second}", title="mitoses in each field")
    return figure


def _phases(agreement: ReaderAgreement, first: str, second: str) -> Figure | None:
    """Nothing where the two name no phase of the same mitosis."""
    table = phase_confusion(agreement.union, first, second)
    if table.empty:
        return None
    figure, axes = _blank(5, 4)
    counts = table.to_numpy()
    axes.imshow(counts, cmap="Blues")
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if count > counts.max() / 2 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour)
    axes.set_xticks(range(len(table.columns)), list(table.columns), rotation=20)
    axes.set_yticks(range(len(table.index)), list(table.index))
    axes.set(xlabel=second, ylabel=first, title="phases of mitoses that both marked")
    return figure
