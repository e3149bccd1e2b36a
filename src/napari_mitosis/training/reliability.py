"""Does a probability of 0.8 mean four in five? Drawn for each detector from scores of held-out fields."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..errors import DatasetError
from ..measures.calibrate import cross_fitted, expected_calibration_error, reliability_table

PROTOCOLS = {"S": ("same slides", "#3b528b"), "N": ("new slide", "#d1495b")}
SUMMARY_COLUMNS: tuple[str, ...] = ("model", "protocol", "candidates", "mitoses", "error_score", "error_probability")
"""Expected calibration error of the score as it is, and of the cross-fitted probability."""


def read_scores(path: Path) -> pd.DataFrame:
    """Candidates of held-out fields: columns fold, field, score, hit; as ``train report`` and ``ensemble`` leave them.

    Raises
    ------
    DatasetError
        If the file is missing or no such table.
    """
    try:
        table = pd.read_csv(path, dtype={"fold": str, "field": str, "score": float, "hit": bool})
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} is no table of held-out scores: {error}; 'train report' writes one") from error
    missing = {"fold", "field", "score", "hit"} - set(table.columns)
    if missing:
        raise DatasetError(f"{path} lacks the column '{sorted(missing)[0]}'")
    return table


def reliability(name: str, scores: pd.DataFrame, path: Path, bins: int = 10) -> pd.DataFrame:
    """Draw the reliability of a detector's probabilities as a PNG of 800 x 960 px, and return its errors.

    Parameters
    ----------
    name : str
        Of the detector, for the title.
    scores : DataFrame
        Columns fold, field, score, hit. The probabilities of a fold's fields are those of a calibration that was
        fitted on the other fields.
    path : Path
        Of the picture.
    bins : int
        Of probability.

    Returns
    -------
    DataFrame
        `SUMMARY_COLUMNS`, a row for each protocol.
    """
    table = scores.assign(probability=cross_fitted(scores))
    rows, tables = [], {}
    for protocol in PROTOCOLS:
        rows_of = table[table["fold"].str.startswith(protocol)]
        if rows_of.empty:
            continue
        tables[protocol] = reliability_table(rows_of["probability"], rows_of["hit"], bins)
        errors = [
            expected_calibration_error(rows_of[column], rows_of["hit"], bins) for column in ("score", "probability")
        ]
        rows.append((name, protocol, len(rows_of), int(rows_of["hit"].sum()), *errors))
    summary = pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))
    _draw(name, tables, summary, path)
    return summary


def _draw(name: str, tables: dict[str, pd.DataFrame], summary: pd.DataFrame, path: Path) -> None:
    # Not pyplot: a figure of its own needs no display and leaves no state behind.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle="--")
    for shift, (protocol, table) in enumerate(tables.items()):
        title, colour = PROTOCOLS[protocol]
        error = summary.loc[summary["protocol"] == protocol, "error_probability"].iloc[0]
        observed = table["observed"]
        ends = [observed - table["observed_low"], table["observed_high"] - observed]
        label = f"{title}: mean error {error:.3f}"
        axes.errorbar(table["predicted"], observed, ends, fmt="o-", color=colour, capsize=2, label=label)
        width = (table["high"] - table["low"]) / 2.4
        below.bar(table["low"] + (0.6 + 1.2 * shift) * width, table["count"], width, color=colour)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="share that are mitoses (95 % interval)")
    axes.set_title(f"{name}: held-out fields, cross-fitted", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    below.set(xlabel="probability", ylabel="candidates", yscale="log")
    below.grid(alpha=0.3)
    figure.savefig(path, dpi=160)
