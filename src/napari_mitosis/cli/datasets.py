"""``napari-mitosis datasets``: annotated tissue from public archives, and what a folder of it holds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import typer
from rich.markup import escape
from rich.table import Table

from .console import errors_told, run_shown, stdout

app = typer.Typer(help="Annotated data sets: what there is, and downloads.", no_args_is_help=True)

MIDOGPP = "midog++"
KIND = typer.Option("auto", "--kind", help="auto, icpr2012, icpr2014, amida13, tupac16, midog or folder.")


@app.command("list")
def list_datasets() -> None:
    """List what can be downloaded, by tumour type."""
    from ..datasets.download import midogpp_files

    entries = midogpp_files()
    table = Table("data set", "tumour", title="Data sets to download")
    for name in ("images", "mitoses", "mimics"):
        table.add_column(name, justify="right")
    for tumour in sorted({entry.tumor_type for entry in entries}):
        chosen = [entry for entry in entries if entry.tumor_type == tumour]
        mitoses, mimics = sum(e.mitoses for e in chosen), sum(e.mimics for e in chosen)
        table.add_row(MIDOGPP, tumour, str(len(chosen)), f"{mitoses:,}", f"{mimics:,}")
    stdout().print(table)


@app.command("download")
def download(
    name: str = typer.Argument(..., help=f"Data set: {MIDOGPP}."),
    tumour: str | None = typer.Option(None, "--tumour", help="One tumour type ('datasets list' names them)."),
    count: int | None = typer.Option(None, "--count", min=1, help="The first so many images; all when absent."),
    out: Path = typer.Option(Path("midog++"), "--out", help="Folder for the images and annotations."),
) -> None:
    """Download images with their annotations; what broke off goes on where it stopped."""
    from ..datasets.download import download_midogpp

    if name.casefold() not in {MIDOGPP, "midogpp"}:
        raise typer.BadParameter(f"'{name}' cannot be downloaded; choose {MIDOGPP}", param_hint="NAME")
    with errors_told():
        paths = run_shown(download_midogpp(out, tumour, count))
    stdout().print(f"{len(paths)} images in {out}", highlight=False, markup=False)


@app.command("show")
def show(folder: Path = typer.Argument(..., help="An annotated data set."), kind: str = KIND) -> None:
    """List the fields of an annotated folder with their labels."""
    from ..datasets import open_samples

    with errors_told():
        samples = open_samples(folder, kind)
    table = Table("field", "case", title=f"{folder.name}: {len(samples)} fields")
    for name in ("size in px", "um/px", "mitoses", "mimics", "unsure"):
        table.add_column(name, justify="right")
    for sample in samples:
        labels = Counter(sample.annotations["label"])
        height, width = sample.field.shape
        mpp = "unknown" if sample.field.mpp is None else f"{sample.field.mpp:.4g}"
        counts = (str(labels[label]) for label in ("mitosis", "mimic", "unsure"))
        table.add_row(escape(sample.field.name), escape(sample.case), f"{height} x {width}", mpp, *counts)
    stdout().print(table)
