"""The commands in one list."""

from __future__ import annotations

import typer

from .. import __version__
from . import (
    ablate,
    boxes,
    compare,
    convert,
    datasets,
    detect,
    ensemble,
    evaluate,
    finetune,
    journal,
    models,
    propose,
    reader,
    recall,
    report,
    slides,
    study,
    train,
    window,
)
from .console import stdout

app = typer.Typer(
    name="napari-mitosis",
    help="Find, count and review mitotic figures in H&E fields. Research use only. Without a command it opens napari.",
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("open")(window.open_window)
app.command("demo")(window.demo)
app.command("detect")(detect.detect)
app.command("slides")(slides.slides)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("boxes")(boxes.boxes)
app.command("recall")(recall.recall)
app.command("ablate")(ablate.ablate)
app.command("finetune")(finetune.finetune)
app.command("propose")(propose.propose)
app.add_typer(models.app, name="models")
app.add_typer(datasets.app, name="datasets")
app.add_typer(journal.app, name="journal")
app.add_typer(report.app, name="case")
app.add_typer(study.app, name="study")
app.command("convert")(convert.convert)
app.command("report")(report.report)
train.app.command("ensemble")(ensemble.ensemble)
train.app.command("reader")(reader.reader)
train.app.command("reliability")(ensemble.reliability)
app.add_typer(train.app, name="train")


def _show_version(wanted: bool) -> None:
    if wanted:
        stdout().print(f"napari-mitosis {__version__}", highlight=False)
        raise typer.Exit


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version and stop."
    ),
) -> None:
    """Open napari with the detect dock, unless a command is given."""
    if context.invoked_subcommand is None:
        window.show([], detect=False, mpp=None)


def main() -> None:
    """Entry point of the ``napari-mitosis`` command."""
    app()
