"""``napari-mitosis recall``: how many crops centred on a mitosis a model finds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import errors_told, run_shown, stdout


def recall(
    folder: Annotated[Path, typer.Argument(help="Crops in folders normal and atypical, or mitosis and mimic.")],
    model: Annotated[list[str], typer.Option("--model", help="Model version; repeat for several.")],
    verify: Annotated[bool, typer.Option("--verify", help="With the verifier that each card names.")] = False,
    every: Annotated[int, typer.Option(min=1, help="Only each so-manieth crop, in the order of their names.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")] = "auto",
    out: Annotated[Path | None, typer.Option("--out", help="Write the table as CSV.")] = None,
) -> None:
    """Recall on crops, with the rule that each model ships with."""
    with errors_told():
        import pandas as pd

        from ..batches.crop_recall import crop_recall
        from ..datasets.crops import read_crops
        from ..errors import WeightsError
        from ..inference.pipeline import load_pipeline
        from ..models.registry import find_version
        from ..tables import write_table

        crops = sorted(read_crops(folder), key=lambda crop: crop.path.name)[::every]
        tables = []
        for name in model:
            card, _ = find_version(name)
            if verify and not card.verified:
                raise WeightsError(f"the card of {card.name} names no verifier")
            pipeline = load_pipeline(f"{card.name}+{card.verified['verifier']}" if verify else name)
            table = run_shown(crop_recall(crops, pipeline, device=device))
            table.insert(0, "model", pipeline.name)
            tables.append(table)
    table = pd.concat(tables, ignore_index=True)
    stdout().print(table.to_string(index=False, float_format="{:.3f}".format), highlight=False, markup=False)
    if out is not None:
        write_table(out, table.round(4))
