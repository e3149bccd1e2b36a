"""``napari-mitosis slides``: whole slides in; candidates, detections, hotspots and a summary out."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from ..errors import MitosisError
from .console import errors_told, run_shown, stderr, stdout

INPUTS = typer.Argument(..., metavar="SLIDES|FOLDER", help="Slides, or folders of slides.")
OUT = typer.Option(Path("out"), "--out", help="Folder for the results; what it holds already is not computed again.")
MODEL = typer.Option("segmitos", "--model", help="Detector, detector@version, or detector+verifier.")
MODELS = typer.Option(None, "--models", help="Folder of weights and cards, instead of the shipped and your own.")
MPP = typer.Option(None, "--mpp", min=0.01, max=10.0, help="um/px of all slides; overrides what they state.")
DEVICE = typer.Option("auto", "--device", help="auto, cpu, cuda or mps.")
WHOLE = typer.Option(False, "--whole", help="Look at all of a slide, not only at its tissue.")
WORKERS = typer.Option(1, "--workers", min=1, help="Processes on this machine.")
SCHEDULER = typer.Option(None, "--scheduler", help="Address of a dask scheduler (tcp://...), instead of --workers.")
RECURSIVE = typer.Option(False, "--recursive", "-r", help="Take the slides in subfolders, too.")


def slides(
    inputs: list[Path] = INPUTS,
    out: Path = OUT,
    model: str = MODEL,
    mpp: float | None = MPP,
    device: str = DEVICE,
    whole: bool = WHOLE,
    workers: int = WORKERS,
    scheduler: str | None = SCHEDULER,
    recursive: bool = RECURSIVE,
    models: Path | None = MODELS,
) -> None:
    """Find the mitoses and the hotspot of whole slides, on this machine or on a dask cluster.

    Writes a folder for each slide (candidates.parquet, detections.parquet, detections.geojson), summary.json and
    summary.csv. Stop it whenever you like: the same command goes on where it was. The exit code is 1 when any slide
    failed; the others are done all the same.
    """
    with errors_told():
        from ..batches.batch import find_fields

        files = find_fields(inputs, recursive, skip=out)
        try:
            from ..batches.slides_cluster import SlideOptions, scan_slides
        except ImportError as error:
            raise MitosisError("To scan slides, run: pip install 'napari-mitosis[cluster]'") from error
        options = SlideOptions(model, models, mpp, device, whole)
        with _cluster(workers, scheduler) as client:
            report = run_shown(scan_slides(files, out, options, client), "regions")
    _tell(report, out)
    if report.failed:
        raise typer.Exit(1)


def _cluster(workers: int, scheduler: str | None) -> AbstractContextManager[Any]:
    """The client of a cluster of one's own, or of the scheduler that was named."""
    from ..batches.slides_cluster import local_client

    if scheduler is None:
        return local_client(workers)
    from distributed import Client

    client: AbstractContextManager[Any] = Client(scheduler, timeout="20s")
    return client


def _tell(report: Any, out: Path) -> None:
    """Print a row for each slide, and where the results lie."""
    table = Table("slide", title=f"Mitoses by {report.model} (research use only)")
    for name in ("mitoses", "mm2", "per mm2", "95 % interval", "hotspot (2.37 mm2)", "regions", "skipped"):
        table.add_column(name, justify="right")
    for outcome in report.slides:
        if outcome.error is not None:
            table.add_row(escape(outcome.slide), "[red]failed[/]")
            continue
        hotspot = "-" if outcome.hotspot_count is None else str(outcome.hotspot_count)
        interval = f"{outcome.density_low:.1f} - {outcome.density_high:.1f}"
        figures = (str(outcome.count), f"{outcome.area_mm2:.2f}", f"{outcome.density_per_mm2:.2f}", interval, hotspot)
        table.add_row(escape(outcome.slide), *figures, str(outcome.regions), str(outcome.skipped))
    stdout().print(table)
    stdout().print(f"{out / 'summary.csv'} written", highlight=False, markup=False, soft_wrap=True)
    for outcome in report.failed:
        stderr().print(f"  {escape(outcome.error)}  [dim]({escape(outcome.slide)})[/]", highlight=False, soft_wrap=True)
