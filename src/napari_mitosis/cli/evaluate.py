"""``napari-mitosis evaluate``: a model, or a table of detections, against annotated fields."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from .console import errors_told, run_shown, stdout
from .datasets import KIND
from .detect import (
    AREA,
    DEVICE,
    MODEL,
    MODELS,
    MPP,
    SCORE,
    THRESHOLD,
    VERIFIER,
    VERIFY,
    parse_threshold,
    wanted_pipeline,
)

if TYPE_CHECKING:
    from ..batches.measure import Measured

TRUTH = typer.Argument(..., metavar="FOLDER", help="Annotated fields, in the layout of a published data set or plain.")
DETECTIONS = typer.Option(None, "--detections", help="detections.csv of an earlier run, instead of running a model.")
RADIUS = typer.Option(7.5, "--radius", min=0.1, help="A detection within so many um of a mitosis is right.")
OUT = typer.Option(Path("evaluation"), "--out", help="Folder for evaluation.json, pr_curve.csv and pr_curve.png.")


def evaluate(
    folder: Path = TRUTH,
    detections: Path | None = DETECTIONS,
    model: str = MODEL,
    radius: float = RADIUS,
    out: Path = OUT,
    kind: str = KIND,
    mpp: float | None = MPP,
    device: str = DEVICE,
    score: float | None = SCORE,
    area: float | None = AREA,
    threshold: str | None = THRESHOLD,
    models: Path | None = MODELS,
    verify: bool = VERIFY,
    verifier: str | None = VERIFIER,
) -> None:
    """Compare detections with annotations: precision, recall, F with intervals, and a curve.

    Runs the model over the annotated fields, or reads a table that `detect` wrote. Matching is one to one, best
    score first. Fields without mitoses count.
    """
    wanted = {"min_score": score, "min_area_um2": area, "threshold": parse_threshold(threshold)}
    asked = any(value is not None for value in wanted.values())
    if detections is not None and asked:
        raise typer.BadParameter("a table holds decided detections: --score, --area and --threshold do not apply")
    if detections is not None and (verify or verifier):
        raise typer.BadParameter("a table holds decided detections: nothing is left to verify")
    with errors_told():
        from ..batches.batch import read_detections  # imports torch: `--help` need not wait for it
        from ..batches.measure import measure_model, measure_table, save
        from ..datasets import open_samples

        samples = open_samples(folder, kind)
        if detections is not None:
            measured = measure_table(samples, read_detections(detections), radius, source=detections.name, mpp=mpp)
        else:
            second = (verifier or "") if verify or verifier else None
            pipeline = wanted_pipeline(model, second, wanted, models)
            measured = run_shown(measure_model(samples, pipeline, radius, mpp=mpp, device=device))
        save(measured, out)
    tell(measured, out)


def tell(measured: Measured, out: Path) -> None:
    """Print the figures, and where they lie."""
    evaluation = measured.evaluation
    counts = evaluation.counts
    table = Table("measure", title=f"{measured.model}: {len(evaluation.per_field)} fields, {measured.radius_um:g} um")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_row("mitoses", str(counts.tp + counts.fn), "")
    for name, value in (("right (TP)", counts.tp), ("false (FP)", counts.fp), ("missed (FN)", counts.fn)):
        table.add_row(name, str(value), "")
    for name in ("precision", "recall", "f"):
        value = getattr(counts, name)
        low, high = evaluation.interval[name]
        if math.isfinite(value):
            table.add_row(name.capitalize(), f"{value:.3f}", f"{low:.3f} - {high:.3f}")
        else:
            table.add_row(name.capitalize(), "undefined", "")
    console = stdout()
    console.print(table)
    console.print(f"{out / 'evaluation.json'} and pr_curve.png written", highlight=False, markup=False, soft_wrap=True)
