"""``napari-mitosis train reader``: what fine-tuning on a few annotated fields of a new slide is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import errors_told, run_shown, stdout


def reader(
    data: Annotated[Path, typer.Option("--data", help="Folder with icpr2012.")],
    runs: Annotated[Path, typer.Option("--runs", help="Run folder of the detector's cross-validation (protocol N).")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the experiment; a killed one goes on from it.")],
    detector: Annotated[str, typer.Option(help="Registered name of the detector.")] = "segmitos",
    fields: Annotated[str, typer.Option(help="Numbers of annotated fields, such as 1,2,3.")] = "1,2,3",
    seeds: Annotated[int, typer.Option(help="Runs of each slide and number, with other fields.")] = 3,
    minutes: Annotated[float, typer.Option(help="Time budget of each fine-tuning.")] = 5.0,
    steps: Annotated[int, typer.Option(help="Optimiser steps of each training, instead of what the time allows.")] = 0,
    slides: Annotated[str, typer.Option(help="Only these slides, such as A00,A03.")] = "",
    threads: Annotated[int, typer.Option(help="Processor threads; 0 = as many as there are.")] = 0,
) -> None:
    """Fine-tune on 1, 2, 3 fields of each slide as a reader would annotate them, and compare on its other fields."""
    from ..datasets.icpr import read_icpr2012
    from ..finetune.simulated_reader import Setting, experiment, summary
    from ..training.fit import seed_everything

    seed_everything(0, threads)
    with errors_told():
        samples = read_icpr2012(data / "icpr2012")
        cases = slides.split(",") if slides else sorted({s.case for s in samples})
        counts = [int(k) for k in fields.split(",")]
        # The largest number of fields first, and every slide before the next seed: a run that is cut short is balanced.
        settings = [Setting(c, k, s) for s in range(seeds) for k in sorted(counts, reverse=True) for c in cases]
        table = run_shown(experiment(detector, samples, runs, out, settings, minutes, threads, steps))
    stdout().print(summary(table).round(3).to_string(index=False), highlight=False, markup=False)
