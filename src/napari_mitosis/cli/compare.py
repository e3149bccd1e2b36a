"""``napari-mitosis compare``: several detectors on one field, and on what they agree."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from .console import errors_told, run_shown, stdout
from .detect import DEVICE, MODELS, MPP

if TYPE_CHECKING:
    from ..batches.compare import Comparison

FIELD = typer.Argument(..., metavar="FIELD", help="An image.")
MODEL = typer.Option(None, "--model", help="Detector, or detector@version; repeat. All that there are by default.")
OUT = typer.Option(Path("comparison"), "--out", help="Folder for agreement.csv, detections.csv, pairs.csv and a PNG.")


def compare(
    field: Path = FIELD,
    model: list[str] | None = MODEL,
    out: Path = OUT,
    mpp: float | None = MPP,
    device: str = DEVICE,
    models: Path | None = MODELS,
) -> None:
    """Run several detectors on a field and show which figure was found by how many of them.

    Each decides by the rule of its card. The table gives the calibrated probability of each detector that found a
    figure; a picture rings every figure and says by how many it was found.
    """
    with errors_told():
        from ..batches.compare import compare as compare_job  # imports torch: `--help` need not wait for it
        from ..batches.compare import newest_detectors, save_comparison
        from ..fields.field import open_field

        names = model or newest_detectors(models)
        comparison = run_shown(compare_job(open_field(field, mpp), names, device=device, folder=models))
        save_comparison(comparison, out)
    tell(comparison, out)


def tell(comparison: Comparison, out: Path) -> None:
    """Print the figures, how far each two detectors agree, and where the tables lie."""
    console = stdout()
    names = list(comparison.detections)
    table = Table("y px", "x px", *names, "found by", title=f"Mitoses in {comparison.field.name} (research use only)")
    for (_, figure), label in zip(comparison.agreement.iterrows(), comparison.labels, strict=True):
        cells = ["" if math.isnan(figure[name]) else f"{figure[name]:.2f}" for name in names]
        table.add_row(f"{figure['y_px']:.0f}", f"{figure['x_px']:.0f}", *cells, label)
    console.print(table)
    pairs = Table("agreement (F)", *names)
    for name, row in zip(names, comparison.pairs.to_numpy(dtype=float).tolist(), strict=True):
        pairs.add_row(name, *("" if math.isnan(value) else f"{value:.2f}" for value in row))
    console.print(pairs)
    missing = [card.name for card in comparison.cards.values() if not card.calibration]
    if missing:
        text = f"not calibrated, so the score stands for the probability: {', '.join(missing)}"
        console.print(text, highlight=False, markup=False)
    console.print(f"{out / 'agreement.csv'} and agreement.png written", highlight=False, markup=False, soft_wrap=True)
