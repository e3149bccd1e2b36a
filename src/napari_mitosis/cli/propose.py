"""``napari-mitosis propose``: which fields to annotate next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import errors_told, run_shown, stdout


def propose(
    inputs: Annotated[list[Path], typer.Argument(metavar="FILES|FOLDER", help="Images, or folders of images.")],
    model: Annotated[str, typer.Option("--model", help="Model, or model@version.")] = "segmitos",
    count: Annotated[int, typer.Option(min=1, help="Fields to propose.")] = 4,
    blind: Annotated[int, typer.Option(min=0, help="Further fields, drawn at random: they keep the gate honest.")] = 2,
    mpp: Annotated[float | None, typer.Option(help="um/px of images that do not state it.")] = None,
    journal: Annotated[
        str, typer.Option("--journal", help="File or URL: fields annotated in it are not proposed again; '' = yours.")
    ] = "",
    device: Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")] = "auto",
    seed: Annotated[int, typer.Option(help="Of the fields that are drawn.")] = 0,
) -> None:
    """Propose fields to annotate: where a model is unsure, of many different things, and some drawn at random."""
    from ..annotations.store import Journal, default_journal
    from ..batches.batch import find_fields
    from ..errors import JournalError
    from ..finetune.journal import judged_figures
    from ..finetune.look_for import proposals

    with errors_told():
        try:
            store = Journal(journal or default_journal(), create=False)
        except JournalError:
            if journal:
                raise
            judged = {}  # nothing was ever annotated
        else:
            judged = judged_figures(store)
            store.close()
        files = find_fields(inputs, recursive=False)
        answer = run_shown(
            proposals(
                [file.path for file in files],
                model,
                count,
                blind=blind,
                mpp=mpp,
                device=device,
                seed=seed,
                judged=judged,
            )
        )
    out = stdout()
    for name, value, candidates in answer.wanted:
        out.print(f"{name:40s} {candidates:3d} candidates, worth {value:.1f} unsure ones", highlight=False)
    for name in answer.blind:
        out.print(f"{name:40s} drawn at random: annotate it whatever you see", highlight=False)
    if answer.blind:
        out.print(
            f"Once they are annotated: napari-mitosis finetune --drawn {','.join(answer.blind)} ...", highlight=False
        )
