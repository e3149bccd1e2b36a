"""``napari-mitosis models``: which model versions are here, and what their cards say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.markup import escape
from rich.table import Table

from .console import errors_told, run_shown, stderr, stdout

if TYPE_CHECKING:
    from ..models.card import ModelCard

app = typer.Typer(help="Model versions and their cards.", invoke_without_command=True)

FOLDER = typer.Option(None, "--models", help="Folder of weights and cards, instead of the shipped and your own.")


@app.callback()
def start(context: typer.Context, folder: Path | None = FOLDER) -> None:
    """List the model versions that can be loaded, unless a command is given."""
    if context.invoked_subcommand is None:
        list_models(folder)


@app.command("list")
def list_models(folder: Path | None = FOLDER) -> None:
    """List the model versions that can be loaded."""
    from ..models.registry import list_cards
    from ..models.trust import origins, packages

    with errors_told():
        cards = list_cards(folder)
        places, others = origins(cards), packages()
    table = Table("model", "configuration", "from", title="Models")
    table.add_column("parameters", justify="right")
    table.add_column("um/px", justify="right")
    table.add_column("measured F (95 % interval)")
    for card, place in zip(cards, places, strict=True):
        comes_from: str = "[yellow]elsewhere[/]" if place == "elsewhere" else place
        if card.detector in others:
            comes_from += f", run by {escape(others[card.detector])}"
        measures = "\n".join(
            f"{m.f:.2f} ({m.f_low:.2f} - {m.f_high:.2f}) {escape(m.name)}, {m.radius_um:g} um" for m in card.measures
        )
        table.add_row(
            card.name, card.config, comes_from, f"{card.parameters:,}", f"{card.mpp:g}", measures or "not measured"
        )
    stdout().print(table if cards else "There are no models here.")


@app.command("check")
def check(
    detector: str = typer.Argument(..., help="Detector (the version in use), or detector@version."),
    journal: str = typer.Option("", "--journal", help="File or URL; yours if not given."),
    device: str = typer.Option("auto", help="auto, cuda, mps or cpu."),
    folder: Path | None = FOLDER,
) -> None:
    """Compare a fine-tuned version with its parent on what was annotated since; exit code 1 if it is worse."""
    from ..annotations.store import Journal, default_journal
    from ..finetune.check_adopted import check_adopted

    with errors_told():
        store = Journal(journal or default_journal(), create=False)
        try:
            answer = run_shown(check_adopted(store, detector, device=device, folder=folder))
        finally:
            store.close()
    stdout().print(answer.reason, highlight=False, markup=False)
    if answer.contradicted:
        raise typer.Exit(1)


@app.command("back")
def back(
    detector: str = typer.Argument(..., help="Detector whose version before the present one is wanted."),
    folder: Path | None = FOLDER,
) -> None:
    """Go back to the version that was in use before the present one; nothing is deleted."""
    from ..models.versions import go_back

    with errors_told():
        name = go_back(detector, folder)
    stdout().print(f"{name} is in use now.", highlight=False)


@app.command("show")
def show(
    name: str = typer.Argument(..., help="Detector (its newest version), or detector@version."),
    folder: Path | None = FOLDER,
) -> None:
    """Print a model's card as JSON: its data, thresholds, measures and terms of use."""
    from ..errors import WeightsError
    from ..models.registry import list_cards

    with errors_told():
        cards = list_cards(folder)
        chosen = [card for card in cards if name in (card.name, card.detector)]
        if not chosen:
            raise WeightsError(f"There is no model '{name}'; there are: {', '.join(c.name for c in cards) or 'none'}.")
    stdout().print_json(chosen[-1].model_dump_json())


@app.command("accept")
def accept(
    name: str = typer.Argument(..., help="detector@version that came from elsewhere."),
    folder: Path | None = FOLDER,
) -> None:
    """Note that you know where a model version comes from; it is not shown as one from elsewhere any more."""
    from ..models.registry import find_version
    from ..models.trust import accept as note

    with errors_told():
        card, _ = find_version(name, folder)
        note(card)
    stdout().print(f"{card.name} is accepted, as long as neither card nor weights change.", highlight=False)


def tell_foreign(cards: Sequence[ModelCard]) -> None:
    """Say which of these versions came neither with this program nor from this machine."""
    from ..models.trust import from_elsewhere, packages

    others = packages()
    for card in from_elsewhere(cards):
        stderr().print(
            f"[bold yellow]From elsewhere:[/] {card.name} came neither with this program nor from this machine "
            f"(weights {card.sha256[:12] or 'without a hash'}; trained on: {escape(card.trained_on[:120])}). "
            f"'napari-mitosis models accept {card.name}' ends this note.",
            highlight=False,
        )
    for name in sorted({card.detector for card in cards} & others.keys()):
        stderr().print(f"[bold yellow]Another package:[/] {name} is run by {escape(others[name])}.", highlight=False)
