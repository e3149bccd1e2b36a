"""``napari-mitosis study``: the same fields for several readers, in blinded order, and how far they agree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from .console import errors_told, stdout

app = typer.Typer(help="Studies: several readers, the same fields, blinded order, agreement.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="Folder of the study.")]


@app.command("new")
def new(
    folder: Folder,
    images: Annotated[list[Path], typer.Argument(help="Images of the fields, or folders of them.")],
    readers: Annotated[str, typer.Option("--readers", help="Names, with commas between them.")],
    rounds: Annotated[int, typer.Option("--rounds", min=1, max=10, help="How often each reads all fields.")] = 1,
    washout: Annotated[float, typer.Option("--washout", min=0.0, help="Days between two rounds.")] = 14,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the orders.")] = 0,
    mpp: Annotated[float | None, typer.Option("--mpp", help="um/px, where the images do not state it.")] = None,
) -> None:
    """Make a study."""
    from ..batches.batch import find_fields
    from ..cases.study import new_study
    from ..fields.field import open_field

    with errors_told():
        fields = [open_field(file.path, mpp) for file in find_fields(images)]
        study = new_study(folder, fields, readers.split(","), seed=seed, rounds=rounds, washout_days=washout)
    stdout().print(f"{len(study.fields)} fields for {escape(', '.join(study.readers))}. Next: 'study next'.")


@app.command("next")
def next_(folder: Folder, reader: Annotated[str, typer.Option("--reader", help="Who reads.")]) -> None:
    """Tell which field a reader reads next, and in which journal; it is done once it is declared complete."""
    from ..cases.study import journal_of, open_study, round_of

    with errors_told():
        round_, left = round_of(folder, open_study(folder), reader)
    if not left:
        stdout().print(f"{escape(reader)} has read everything.")
        return
    journal = journal_of(folder, reader, round_)
    stdout().print(f"Round {round_}, {len(left)} fields left. Next: field {left[0].number}.", highlight=False)
    names = f'NAPARI_MITOSIS_JOURNAL="{journal.absolute()}" NAPARI_MITOSIS_READER="{reader}"'
    typer.echo(f'{names} napari-mitosis open "{left[0].path}"')


@app.command("agreement")
def agreement(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for tables and plots.")] = Path("agreement"),
    round_: Annotated[int, typer.Option("--round", min=1, help="Of the readings.")] = 1,
    again: Annotated[str, typer.Option("--again", help="Instead: one reader's first round against this one's.")] = "",
    radius: Annotated[float, typer.Option("--radius", min=0.1, help="Of consensus and disputes, um.")] = 7.5,
) -> None:
    """Compare what the readers marked: F and kappa of each pair, Fleiss, ICC, Bland-Altman, phases, disputes."""
    from ..cases.agreement import summary, write_agreement
    from ..cases.study import open_study, readings
    from ..errors import MitosisError
    from ..measures.readers import reader_agreement

    with errors_told():
        study = open_study(folder)
        if again:
            rounds = {f"round {number}": readings(folder, study, number) for number in range(1, study.rounds + 1)}
            tables = {name: agreed[again] for name, agreed in rounds.items() if again in agreed}
        else:
            tables = readings(folder, study, round_)
        if len(tables) < 2:
            raise MitosisError("Agreement needs two readings or more; 'study next' tells what is still to be read.")
        agreed = reader_agreement(tables, [str(field.number) for field in study.fields], radius)
        paths = write_agreement(out, agreed)
    table = Table("measure", "value", title=escape(study.name))
    for name, value in summary(agreed).itertuples(index=False):
        table.add_row(escape(str(name)), f"{value:.3f}")
    stdout().print(table)
    stdout().print(f"{len(paths)} files in {escape(str(out))}", highlight=False)
