"""``napari-mitosis case`` and ``napari-mitosis report``: fields of one patient, and their printable page."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from .console import errors_told, run_shown, stdout

app = typer.Typer(help="Cases: the fields of one patient.", no_args_is_help=True)

Where = Annotated[str, typer.Option("--journal", "-j", help="File or URL; yours if not given.")]
Name = Annotated[str, typer.Argument(help="Name of the case.")]
SCORES = "nottingham, who (per mm2), neuroendocrine or sarcoma."


@app.command("add")
def add(
    name: Name,
    images: Annotated[list[Path], typer.Argument(help="Images of its fields, or folders of them.")],
    mpp: Annotated[float | None, typer.Option("--mpp", help="um/px, where the images do not state it.")] = None,
    reader: Annotated[str, typer.Option("--reader", help="Who adds them; you if not given.")] = "",
    journal: Where = "",
) -> None:
    """Put fields into a case, which is made by its first field."""
    from ..annotations.store import Journal, default_journal, default_reader
    from ..batches.batch import find_fields
    from ..cases.case import add_to_case
    from ..fields.field import open_field

    with errors_told(), Journal(journal or default_journal()) as opened:
        fields = [open_field(file.path, mpp) for file in find_fields(images)]
        fresh = add_to_case(opened, name, fields, reader or default_reader())
    stdout().print(f"{len(fresh)} of {len(fields)} fields added to {escape(name)}.", highlight=False)


@app.command("list")
def list_(journal: Where = "") -> None:
    """List the cases, their fields and how far each is."""
    from ..annotations.store import Journal, default_journal
    from ..cases.case import case_names, read_case

    table = Table("case", "field", "state", "mitoses", "um/px", title="Cases")
    with errors_told(), Journal(journal or default_journal(), create=False) as opened:
        for name in case_names(opened):
            for field in read_case(opened, name).fields:
                mitoses = int((field.figures["label"] == "mitosis").sum())
                mpp = f"{field.mpp:g}" if field.mpp else "?"
                table.add_row(*(escape(cell) for cell in (name, field.name, field.state, str(mitoses), mpp)))
    stdout().print(table if table.row_count else "There is no case in this journal yet; 'case add' makes one.")


@app.command("agreement")
def agreement(
    name: Name,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for tables and plots.")] = Path("agreement"),
    readers: Annotated[str, typer.Option("--readers", help="Names, with commas between; all if not given.")] = "",
    radius: Annotated[float, typer.Option("--radius", min=0.1, help="Of consensus and disputes, um.")] = 7.5,
    journal: Where = "",
) -> None:
    """Compare what readers and data sets said of the fields of a case: F, kappa, counts, phases, disputes, verdicts."""
    from ..annotations.store import Journal, default_journal
    from ..cases.adjudicate import adjudicated, verdicts
    from ..cases.agreement import write_agreement
    from ..cases.case import read_case
    from ..cases.readings import case_readings, compare
    from ..errors import MitosisError

    with errors_told(), Journal(journal or default_journal(), create=False) as opened:
        read = case_readings(opened, read_case(opened, name).fields)
        names = [reader.strip() for reader in readers.split(",")] if readers else list(read.marks)
        unknown = [reader for reader in names if reader not in read.marks]
        if unknown:
            raise MitosisError(f"{unknown[0]} said nothing of this case; there are {', '.join(read.marks) or 'none'}.")
        compared = adjudicated(compare(read, names, radius), verdicts(opened, read.fields))
        paths = write_agreement(out, compared)
    table = Table("pair", "radius, um", "F", "kappa", title=escape(name))
    for pair in compared.pairs.to_dict("records"):
        cells = (
            f"{pair['first']} and {pair['second']}",
            f"{pair['radius_um']:g}",
            f"{pair['f']:.3f}",
            f"{pair['kappa']:.3f}",
        )
        table.add_row(*map(escape, cells))
    stdout().print(table)
    stdout().print(f"{len(compared.disputed)} disputed. {len(paths)} files in {escape(str(out))}", highlight=False)


@app.command("template")
def template(out: Annotated[Path, typer.Argument(help="The file to write.")]) -> None:
    """Write the template of the report, for a laboratory's own to start from."""
    from ..cases.report import template_text, write_page

    with errors_told():
        write_page(out, template_text())
    stdout().print(f"{escape(str(out))}: change it, and give it to 'report --template'.", highlight=False)


def report(
    name: Name,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path("report.html"),
    convention: Annotated[str, typer.Option("--convention", help=SCORES)] = "nottingham",
    hotspot: Annotated[float, typer.Option("--hotspot", min=0.0, help="Its area in mm2; 0 = none.")] = 2.37,
    rectangle: Annotated[bool, typer.Option("--rectangle", help="A 4:3 rectangle, not a circle.")] = False,
    pending: Annotated[bool, typer.Option("--pending", help="Detectors look for what nobody judged yet.")] = False,
    model: Annotated[str, typer.Option("--model", help="Which looks; by default that of each field.")] = "",
    template: Annotated[Path | None, typer.Option("--template", help="Your own; 'case template' writes one.")] = None,
    journal: Where = "",
) -> None:
    """Write the report of a case: count, density, score, every counted figure. One page, fit to be printed."""
    from ..annotations.store import Journal, default_journal
    from ..cases.case import read_case
    from ..cases.report import ReportOptions, write_page
    from ..cases.report import report as making
    from ..errors import MitosisError
    from ..measures.grade import CONVENTIONS

    with errors_told(), Journal(journal or default_journal(), create=False) as opened:
        if convention not in CONVENTIONS:
            raise MitosisError(f"There is no convention '{convention}'; there are {', '.join(CONVENTIONS)}.")
        shape = "rectangle" if rectangle else "circle"
        asked = pending or bool(model)
        options = ReportOptions(CONVENTIONS[convention], hotspot, shape, template, asked, model)  # type: ignore[arg-type]
        page = run_shown(making(opened, read_case(opened, name), datetime.now(UTC), options))
        write_page(out, page)
    stdout().print(f"{escape(str(out))}: {len(page) / 1e6:.1f} MB", highlight=False)
