"""``napari-mitosis boxes``: from centroids to boxes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import errors_told, run_shown, stdout
from .detect import parse_threshold, with_wishes

if TYPE_CHECKING:
    import pandas as pd


def boxes(
    field: Annotated[Path, typer.Argument(help="Field, an image.")],
    points: Annotated[Path, typer.Option(help="CSV with columns y_px and x_px, such as detections.csv.")],
    out: Annotated[Path, typer.Option(help="CSV to write: centroid, edges of its box, whether it was estimated.")],
    model: Annotated[
        str | None,
        typer.Option(help="Detector that leaves score maps, or detector@version; partmitosis, else segmitos."),
    ] = None,
    threshold: Annotated[str, typer.Option(help="'otsu', or a number between 0 and 1.")] = "otsu",
    models: Annotated[Path | None, typer.Option(help="Folder of weights and cards, instead of the shipped.")] = None,
    mpp: Annotated[
        float | None, typer.Option(min=0.01, max=10.0, help="um/px; overrides what the file states.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Give each centroid the box of the blob of the score map that covers it, or one of 7.5 um.

    Of a table with a column 'file', the rows of this field are taken. A model that learned outlines (partmitosis)
    gives better boxes than the fixed one, best with --threshold 0.2; one that learned discs (segmitos) does not:
    see 'ablate deepseg'.
    """
    limit = parse_threshold(threshold)
    with errors_told():
        from ..decision.estimate_boxes import box_rule, estimate_boxes
        from ..errors import WeightsError
        from ..fields.field import open_field
        from ..inference.pipeline import load_pipeline  # imports torch: `--help` need not wait for it
        from ..models.registry import list_cards
        from ..tables import write_table

        opened = open_field(field, mpp)
        table = _points_of(field, points)
        known = {card.detector for card in list_cards(models)}
        pipeline = load_pipeline(model or ("partmitosis" if "partmitosis" in known else "segmitos"), models)
        evidence = run_shown(pipeline.look(opened, device=device))
        if not evidence.maps:
            raise WeightsError(f"{pipeline.name} leaves no score map; choose a model that does")
        rule = with_wishes(box_rule(evidence), {"threshold": limit})
        frame = estimate_boxes(evidence, table[["y_px", "x_px"]].to_numpy(dtype=float), rule)
        write_table(out, frame.round(3))
    estimated = int(frame["estimated"].sum())
    text = f"{out}: {estimated} boxes estimated, {len(frame) - estimated} fixed"
    stdout().print(text, highlight=False, markup=False, soft_wrap=True)


def _points_of(field: Path, path: Path) -> pd.DataFrame:
    """The rows of a table of points that belong to a field.

    Raises
    ------
    DatasetError
        If the file is no such table.
    """
    import pandas as pd

    from ..errors import DatasetError

    try:
        table = pd.read_csv(path)
        missing = [name for name in ("y_px", "x_px") if name not in table]
        if missing:
            raise ValueError(f"column '{missing[0]}' is missing")
        table = table.astype({"y_px": "float64", "x_px": "float64"})
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path.name} is not a table of points: {error}") from error
    if "file" not in table:
        return table
    of_field = table[[Path(str(name)).name == field.name for name in table["file"]]]
    if len(table) and of_field.empty:
        raise DatasetError(f"{path.name} holds no point of {field.name}")
    return of_field
