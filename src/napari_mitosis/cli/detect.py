"""``napari-mitosis detect``: files and folders in, a table, a summary and pictures out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape
from rich.table import Table

from .console import errors_told, run_shown, stderr, stdout
from .models import tell_foreign

if TYPE_CHECKING:
    from ..batches.batch import BatchReport
    from ..decision.decide import Rule
    from ..inference.pipeline import Pipeline

INPUTS = typer.Argument(..., metavar="FILES|FOLDER", help="Images, or folders of images.")
MODEL = typer.Option("segmitos", "--model", help="Model, or model@version ('models' lists them).")
MODELS = typer.Option(None, "--models", help="Folder of weights and cards, instead of the shipped and your own.")
OUT = typer.Option(Path("out"), "--out", help="Folder for the results.")
MPP = typer.Option(None, "--mpp", min=0.01, max=10.0, help="um/px of all files; overrides what they state.")
DEVICE = typer.Option("auto", "--device", help="auto, cpu, cuda or mps.")
SCORE = typer.Option(None, "--score", min=0.0, max=1.0, help="Least mean score of a detection.")
AREA = typer.Option(None, "--area", min=0.0, help="Least area of a detection in um2.")
MAX_AREA = typer.Option(None, "--max-area", min=0.0, help="Largest area of a detection in um2.")
SMOOTHING = typer.Option(None, "--smoothing", min=0.0, help="Sigma in um of the Gaussian over the score map.")
THRESHOLD = typer.Option(None, "--threshold", help="'otsu', or a number between 0 and 1.")
DISTANCE = typer.Option(None, "--distance", min=0.0, help="Nearer than this many um, two blobs are one mitosis.")
VERIFY = typer.Option(False, "--verify", help="Let a verifier look at each candidate once more.")
VERIFIER = typer.Option(None, "--verifier", help="Which; the one of the model's card, else deepver. Means --verify.")
RECURSIVE = typer.Option(False, "--recursive", "-r", help="Take the images in subfolders, too.")
PICTURES = typer.Option(True, "--pictures/--no-pictures", help="Write overlays and score maps as PNG.")


def detect(
    inputs: list[Path] = INPUTS,
    model: str = MODEL,
    out: Path = OUT,
    mpp: float | None = MPP,
    device: str = DEVICE,
    score: float | None = SCORE,
    area: float | None = AREA,
    max_area: float | None = MAX_AREA,
    smoothing: float | None = SMOOTHING,
    threshold: str | None = THRESHOLD,
    distance: float | None = DISTANCE,
    recursive: bool = RECURSIVE,
    pictures: bool = PICTURES,
    models: Path | None = MODELS,
    verify: bool = VERIFY,
    verifier: str | None = VERIFIER,
) -> None:
    """Find mitoses in images and folders of images.

    Writes detections.csv, summary.json and, for each field, an overlay and a score map. What is not given
    (score, area, ...) comes from the model's card. The exit code is 1 when any file failed; the others are
    done all the same, and summary.json says which failed and why.
    """
    wanted = {
        "min_score": score,
        "min_area_um2": area,
        "max_area_um2": max_area,
        "smoothing_um": smoothing,
        "threshold": parse_threshold(threshold),
        "min_distance_um": distance,
    }
    with errors_told():
        second = (verifier or "") if verify or verifier else None
        report = detect_and_tell(inputs, model, out, mpp, device, wanted, recursive, pictures, models, second)
    if report.failed:
        raise typer.Exit(1)


def detect_and_tell(
    inputs: list[Path],
    model: str,
    out: Path,
    mpp: float | None = None,
    device: str = "auto",
    wanted: dict[str, Any] | None = None,
    recursive: bool = False,
    pictures: bool = True,
    models: Path | None = None,
    verifier: str | None = None,
) -> BatchReport:
    """Run a batch with progress and print its table.

    Parameters
    ----------
    verifier : str, optional
        See `wanted_pipeline`.

    Raises
    ------
    MitosisError
        When nothing could be started: no image, no such model, no such device.
    """
    from ..batches.batch import detect_fields, find_fields  # imports torch: `--help` need not wait for it
    from ..inference.device import choose_device

    files = find_fields(inputs, recursive, skip=out)
    choose_device(device)
    pipeline = wanted_pipeline(model, verifier, wanted or {}, models)
    tell_foreign(pipeline.cards)
    report = run_shown(detect_fields(files, pipeline, out, mpp=mpp, device=device, pictures=pictures))
    tell(report, out)
    return report


def wanted_pipeline(model: str, verifier: str | None, wanted: dict[str, Any], models: Path | None) -> Pipeline:
    """The pipeline of a model, with what was asked for on the command line.

    Parameters
    ----------
    verifier : str or None
        Verifier, or verifier@version; an empty one is that of the model's card, else deepver. None = no other than
        the model's own.
    wanted : dict
        See `with_wishes`.

    Raises
    ------
    WeightsError
        If there is no such model or verifier.
    """
    from ..inference.pipeline import load_pipeline
    from ..models.registry import find_version

    if verifier is not None:
        card, _ = find_version(model, models)
        if card.is_chain:
            raise typer.BadParameter(f"{card.detector} verifies its candidates anyway", param_hint="--verify")
        model = f"{card.name}+{verifier or card.verified.get('verifier', 'deepver')}"
    pipeline = load_pipeline(model, models)
    return pipeline.with_rule(with_wishes(pipeline.rule, wanted))


def with_wishes(rule: Rule, wanted: dict[str, Any]) -> Rule:
    """A rule with what was asked for on the command line; what was not stays as it is."""
    return replace(rule, **{name: value for name, value in wanted.items() if value is not None})


def parse_threshold(text: str | None) -> float | str | None:
    """``otsu`` or a number in [0, 1].

    Raises
    ------
    typer.BadParameter
        When it is neither.
    """
    if text is None or text == "otsu":
        return text
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise typer.BadParameter(f"'{text}' is neither 'otsu' nor a number between 0 and 1", param_hint="--threshold")
    return value


def tell(report: BatchReport, out: Path) -> None:
    """Print what was found, and where it lies."""
    table = Table("file", title=f"Mitoses by {report.model} (research use only)")
    for name in ("mitoses", "mm2", "per mm2", "95 % interval", "s"):
        table.add_column(name, justify="right")
    for field in report.fields:
        if field.error is None:
            interval = f"{field.density_low:.1f} - {field.density_high:.1f}"
            density = f"{field.density_per_mm2:.1f}"
            figures = (str(field.count), f"{field.area_mm2:.3f}", density, interval, f"{field.seconds:.2f}")
            table.add_row(escape(field.file), *figures)
        else:
            table.add_row(escape(field.file), "[red]failed[/]")
    console = stdout()
    console.print(table)
    console.print(f"{out / 'detections.csv'} and summary.json written", highlight=False, markup=False, soft_wrap=True)
    if report.failed:
        errors = stderr()
        errors.print(f"[bold red]{len(report.failed)} of {len(report.fields)} files failed:[/]", highlight=False)
        for field in report.failed:
            errors.print(
                f"  {escape(field.error or '')}  [dim]({escape(field.file)})[/]", highlight=False, soft_wrap=True
            )
