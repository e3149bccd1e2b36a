"""``napari-mitosis train reader``: what fine-tuning on a few annotated fields of a new laboratory is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import errors_told, run_shown, stdout

FEWEST_MITOSES = 10


def reader(
    data: Annotated[Path, typer.Option("--data", help="Folder with icpr2012, and icpr2014_h if asked for.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the experiment; a killed one goes on from it.")],
    dataset: Annotated[str, typer.Option(help="icpr2014_h (another scanner), or icpr2012.")] = "icpr2014_h",
    parent: Annotated[str, typer.Option(help="Version that never saw the data set (icpr2014_h).")] = "segmitos@1.0.0",
    runs: Annotated[Path | None, typer.Option("--runs", help="Its folds are the parents (icpr2012).")] = None,
    detector: Annotated[str, typer.Option(help="Of these folds.")] = "segmitos",
    fields: Annotated[str, typer.Option(help="Numbers of annotated fields, such as 4,8.")] = "8,4",
    pick: Annotated[str, typer.Option(help="random, mistaken (most false detections).")] = "random,mistaken",
    seeds: Annotated[int, typer.Option(help="Runs of each slide, number and way to choose.")] = 3,
    minutes: Annotated[float, typer.Option(help="Time budget of each fine-tuning.")] = 5.0,
    steps: Annotated[int, typer.Option(help="Optimiser steps of each training, instead of what the time allows.")] = 0,
    slides: Annotated[str, typer.Option(help="Only these patients or slides, such as H07,H14.")] = "",
    training: Annotated[bool, typer.Option(help="Without it only other thresholds are tried: seconds a run.")] = True,
    threads: Annotated[int, typer.Option(help="Processor threads; 0 = as many as there are.")] = 0,
) -> None:
    """Fine-tune on a few fields of each patient as a reader annotates them; compare on what neither version saw."""
    from ..datasets.icpr import read_icpr2012, read_icpr2014
    from ..errors import DatasetError
    from ..finetune.reader_protocol import base_plan, bases, experiment, publish_parents, summary, thresholds
    from ..finetune.simulated_reader import Setting
    from ..training.fit import seed_everything

    seed_everything(0, threads)
    with errors_told():
        old = read_icpr2012(data / "icpr2012")
        if dataset == "icpr2014_h":
            samples = read_icpr2014(data / "icpr2014_h")
            counts = {case: sum(len(s.centroids_yx()) for s in samples if s.case == case) for case in _cases(samples)}
            cases = slides.split(",") if slides else [c for c, n in counts.items() if n >= FEWEST_MITOSES]
            parents = dict.fromkeys(cases, base_plan(parent, "", minutes, threads, steps))
            old = old[::4]
        elif dataset == "icpr2012" and runs is not None:
            samples = old
            cases = slides.split(",") if slides else _cases(samples)
            parents = bases(publish_parents(detector, runs, out / "parents", cases), minutes, threads, steps)
            old = []  # the parent of a slide learned from the other slides: they are its others
        else:
            raise DatasetError("--dataset is icpr2014_h, or icpr2012 with --runs of a cross-validation")
        # Every patient before the next seed, the largest number of fields first: a run that is cut short is balanced.
        ways = [(k, way) for k in sorted(map(int, fields.split(",")), reverse=True) for way in pick.split(",")]
        settings = [Setting(c, k, s, way) for s in range(seeds) for k, way in ways for c in cases]  # type: ignore[arg-type]
        if not training:
            table = run_shown(thresholds(samples, parents, out, settings))
            means = table.groupby(["annotated", "pick", "slide"])[["parent_f", "chosen_f", "offered_f"]].mean()
            told = means.groupby(["annotated", "pick"]).mean().round(3).to_string()
        else:
            told = summary(run_shown(experiment(samples, old, parents, out, settings))).round(3).to_string(index=False)
    stdout().print(told, highlight=False, markup=False)


def _cases(samples: list) -> list[str]:  # type: ignore[type-arg]
    return sorted({s.case for s in samples})
