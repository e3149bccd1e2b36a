"""``napari-mitosis train ensemble`` and ``train reliability``: what is made of several cross-validations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import errors_told, run_shown, stdout

RADIUS_UM = 7.5


def ensemble(
    runs: Annotated[
        list[str],
        typer.Option(help="detector=FOLDER of its cross-validation, or detector+verifier=FOLDER; repeat for each."),
    ],
    data: Annotated[Path, typer.Option("--data", help="Folder with icpr2012.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the card, report.json and scores.csv.")],
    version: Annotated[str, typer.Option(help="Version of the result.")] = "1.0.0",
) -> None:
    """Choose calibrations, weights and threshold of an ensemble, and measure it on fields they were not chosen on.

    Each run needs its report. The card is written where all members are published.
    """
    with errors_told():
        from ..datasets.icpr import read_icpr2012
        from ..training.ensemble import parse_run
        from ..training.ensemble_card import make_ensemble

        chosen = [parse_run(text) for text in runs]
        samples = read_icpr2012(data / "icpr2012")
        by_name = run_shown(make_ensemble(chosen, samples, out, RADIUS_UM, version=version))
    console = stdout()
    for name, measures in by_name.items():
        for m in measures:
            text = f"{name}: {m.name}: P {m.precision:.3f} R {m.recall:.3f} F {m.f:.3f} [{m.f_low:.3f}, {m.f_high:.3f}]"
            console.print(text, highlight=False, markup=False)
    card = out / f"ensemble-{version}.json"
    told = f"{card} written" if card.is_file() else "no card: not all members are published"
    console.print(told, highlight=False, markup=False, soft_wrap=True)


def reliability(
    scores: Annotated[list[str], typer.Option(help="NAME=FILE with the held-out scores of a report; repeat.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for reliability-NAME.png and reliability.csv.")],
) -> None:
    """Draw how far a calibrated score is a probability, on held-out fields and without their own calibration."""
    with errors_told():
        import pandas as pd

        from ..tables import write_table
        from ..training.reliability import read_scores
        from ..training.reliability import reliability as draw

        out.mkdir(parents=True, exist_ok=True)
        tables = []
        for text in scores:
            name, sign, path = text.partition("=")
            if not sign:
                raise ValueError(f"'{text}' names no file; write NAME=FILE")
            tables.append(draw(name, read_scores(Path(path)), out / f"reliability-{name}.png"))
        table = pd.concat(tables, ignore_index=True)
        write_table(out / "reliability.csv", table.round(4))
    stdout().print(table.to_string(index=False, float_format="{:.3f}".format), highlight=False, markup=False)
