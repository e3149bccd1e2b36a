"""``napari-mitosis convert``: annotations of one field from one program's format into another's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from .console import errors_told, stderr, stdout


def convert(
    source: Annotated[Path | None, typer.Argument(help="Annotations of one field.")] = None,
    target: Annotated[Path | None, typer.Argument(help="The file to write.")] = None,
    image: Annotated[Path | None, typer.Option("--image", help="The field's image: its size and um/px.")] = None,
    size: Annotated[tuple[int, int] | None, typer.Option("--size", help="Height and width in px, instead.")] = None,
    mpp: Annotated[float | None, typer.Option("--mpp", min=0.01, max=10.0, help="um/px, where not stated.")] = None,
    source_format: Annotated[str, typer.Option("--from", help="Format of the first; by itself if not given.")] = "",
    target_format: Annotated[str, typer.Option("--to", help="Format of the second; by its suffix if not given.")] = "",
    drop: Annotated[bool, typer.Option("--drop", help="Leave out bad figures, and count them.")] = False,
    formats: Annotated[bool, typer.Option("--formats", help="List the formats and stop.")] = False,
) -> None:
    """Convert annotations. Without --drop, nothing is written unless all of it was read and lies within the field."""
    from ..annotations.exchange import (
        FORMATS,
        FieldFacts,
        Lenient,
        Strict,
        export_annotations,
        name_of,
        read_annotations,
    )
    from ..errors import DatasetError
    from ..fields.field import lazy_field

    if formats:
        table = Table("format", "suffix", "of", "keeps", "figures")
        for name, known in FORMATS.items():
            table.add_row(
                name, known.suffix, known.title, ", ".join(sorted(known.keeps)), ", ".join(sorted(known.labels))
            )
        stdout().print(table)
        return
    with errors_told():
        if source is None or target is None:
            raise DatasetError("Name the file to read and the file to write; --formats lists what there is.")
        if image is not None:
            facts = FieldFacts.of(lazy_field(image, mpp))
        elif size is not None:
            facts = FieldFacts(source.stem, source.stem, size, mpp)
        else:
            raise DatasetError("Say which field it is of: --image FILE, or --size HEIGHT WIDTH.")
        checks = Lenient() if drop else Strict()
        figures = read_annotations(source, facts, source_format or None, checks)
        if source.resolve() == target.resolve():
            raise DatasetError("The file would be written over itself; give it another name.")
        chosen = target_format or name_of(Path(target.name))
        left_out = export_annotations(target, figures, facts, chosen)
    text = f"{escape(target.name)}: {len(figures) - left_out} figures as {FORMATS[chosen].title}."
    if left_out:
        text += f" {left_out} were left out: the format has room for {', '.join(sorted(FORMATS[chosen].labels))} only."
    stdout().print(text, highlight=False)
    if isinstance(checks, Lenient) and checks.dropped:
        stderr().print(f"[bold yellow]Warning:[/] {escape(checks.words())}", highlight=False)
