"""Agreement of readers as files: tables and plots."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import pandas as pd

from ..measures.readers import ReaderAgreement, bland_altman, phase_confusion
from ..names import safe_name
from ..tables import write_table
from .agreement_plots import agreement_plots, as_png


def write_agreement(out: Path, agreement: ReaderAgreement) -> list[Path]:
    """Write tables (pairs, counts, summary, figures, disputed, phases; CSV) and plots (PNG).

    Returns
    -------
    list of Path
        The files.
    """
    out.mkdir(parents=True, exist_ok=True)
    tables: Mapping[str, pd.DataFrame] = {
        "pairs": agreement.pairs,
        "counts": agreement.counts.rename_axis("field").reset_index(),
        "summary": summary(agreement),
        "figures": agreement.union,
        "disputed": agreement.disputed,
        "phases": phases(agreement),
    }
    paths = []
    for name, table in tables.items():
        paths.append(out / f"{name}.csv")
        write_table(paths[-1], table)
    for name, plot in agreement_plots(agreement).items():
        paths.append(out / f"{safe_name(name, 'plot')}.png")
        paths[-1].write_bytes(as_png(plot))
    return paths


def summary(agreement: ReaderAgreement) -> pd.DataFrame:
    """Fleiss' kappa at each radius, the intraclass correlations, and each pair's bias with its limits of agreement."""
    rows: list[tuple[str, float]] = [
        (f"Fleiss kappa on the union, {radius:g} um", value) for radius, value in agreement.fleiss.items()
    ]
    rows += list(agreement.icc.items())
    for first, second in combinations(agreement.names, 2):
        limits = bland_altman(agreement.counts[first], agreement.counts[second])
        for what, value in (("bias", limits.bias), ("lower limit", limits.low), ("upper limit", limits.high)):
            rows.append((f"{what}, {first} less {second}", value))
    rows.append((f"disputed figures, {agreement.radius_um:g} um", float(len(agreement.disputed))))
    return pd.DataFrame(rows, columns=["measure", "value"])


def phases(agreement: ReaderAgreement) -> pd.DataFrame:
    """Confusion of phases of each pair of readers: first, second, the phase by each, count."""
    rows = []
    for first, second in combinations(agreement.names, 2):
        table = phase_confusion(agreement.union, first, second)
        for phase in table.index:
            rows += [(first, second, phase, other, int(table.loc[phase, other])) for other in table.columns]
    return pd.DataFrame(rows, columns=["first", "second", "phase_first", "phase_second", "count"])
