"""``napari-mitosis ablate NAME``: the tables of a detector's paper, on the data at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import errors_told, run_shown, stdout


def ablate(
    name: Annotated[str, typer.Argument(help="Detector, such as segmitos.")],
    data: Annotated[Path, typer.Option("--data", help="Folder with icpr2012, icpr2014, ami_br and tupac_crops.")],
    runs: Annotated[Path, typer.Option("--runs", help="Run folder of the detector's cross-validation.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write the table as CSV.")] = None,
    train: Annotated[
        Path | None, typer.Option(help="Train the variants that need it, in this folder; RUNS starts them.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Optimiser steps of each such training.")] = 150,
    threads: Annotated[int, typer.Option(help="Processor threads; 0 = as many as there are.")] = 0,
) -> None:
    """Print what each part of a system is worth on held-out fields of icpr2012."""
    from ..tables import write_table
    from ..training.ablations import run_ablation
    from ..training.fit import seed_everything

    seed_everything(0, threads)
    with errors_told():
        table = run_shown(run_ablation(name, data, runs, train, steps))
    stdout().print(table.to_string(index=False), highlight=False, markup=False)
    if out is not None:
        write_table(out, table)
