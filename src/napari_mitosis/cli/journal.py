"""``napari-mitosis journal``: what readers did, and the way of annotations into and out of the journal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ..names import safe_name, text_path
from .console import errors_told, stderr, stdout

if TYPE_CHECKING:
    from ..annotations.actions import Action
    from ..annotations.store import Journal

app = typer.Typer(help="The journal of annotations: look at it, take annotations in and out.", no_args_is_help=True)

Where = Annotated[str, typer.Option("--journal", "-j", help="File or URL; yours if not given.")]
FORMATS = "As 'convert --formats' lists them; by the file itself if not given."
FIELD = "Name, image file or beginning of the digest of a field."


@app.command("fields")
def fields(journal: Where = "") -> None:
    """List the annotated fields and what is marked in them."""
    from ..annotations.replay import replay
    from ..tables import LABELS

    table = Table("field", "digest", "um/px", *LABELS, "complete", "actions", "readers", title="Annotated fields")
    with errors_told(), _open(journal) as opened:
        for row in opened.fields().to_dict("records"):
            actions = opened.actions(str(row["digest"]))
            state = replay(actions)
            labels = [figure.label for figure in state.figures]
            counts = [str(labels.count(label)) for label in LABELS]
            readers = ", ".join(sorted({action.reader for action in actions}))
            mpp = f"{row['mpp']:g}" if row["mpp"] == row["mpp"] else "?"
            complete = "yes" if state.complete else ""
            cells = [str(row["name"]), str(row["digest"])[:12], mpp, *counts, complete, str(len(actions)), readers]
            table.add_row(*(escape(cell) for cell in cells))
    stdout().print(table if table.row_count else "Nothing is annotated in this journal yet.")


@app.command("log")
def log(
    field: Annotated[str, typer.Argument(help=FIELD + " All of them if not given.")] = "",
    figure: Annotated[str, typer.Option("--figure", help="Beginning of a figure's id: only its history.")] = "",
    last: Annotated[int, typer.Option("--last", min=1, help="Only so many of the newest actions.")] = 1_000_000,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with everything.")] = False,
    journal: Where = "",
) -> None:
    """Print every action, oldest first, with what was undone and redone."""
    from ..errors import JournalError

    with errors_told(), _open(journal) as opened:
        actions = opened.actions(_field(opened, field)["digest"] if field else None)
        if figure:
            matching = sorted({action.figure for action in actions if action.figure.startswith(figure)})
            if len(matching) != 1:
                raise JournalError(f"{len(matching) or 'No'} figures have an id that begins with '{figure}'.")
            actions = opened.history(matching[0])
    actions = actions[-last:]
    if as_json:
        for action in actions:
            typer.echo(json.dumps(action.row(), ensure_ascii=False))
        return
    stdout().print(_log_table(actions) if actions else "Nothing was done.")


@app.command("import")
def import_(
    image: Annotated[Path, typer.Argument(help="The field's image.")],
    file: Annotated[Path, typer.Argument(help="Annotations of it.")],
    dataset: Annotated[str, typer.Option("--dataset", help="Name of the data set; the file's if not given.")] = "",
    file_format: Annotated[str, typer.Option("--format", help=FORMATS)] = "",
    mpp: Annotated[float | None, typer.Option("--mpp", help="um/px, where the image does not state it.")] = None,
    reader: Annotated[str, typer.Option("--reader", help="Who imports; you if not given.")] = "",
    drop: Annotated[bool, typer.Option("--drop", help="Leave out bad figures, and count them.")] = False,
    journal: Where = "",
) -> None:
    """Add annotations from a file, all or none; what was imported before is left out."""
    from ..annotations.exchange import Lenient, Strict, import_annotations
    from ..annotations.notebook import Notebook
    from ..annotations.store import default_reader
    from ..errors import JournalError
    from ..fields.field import open_field

    with errors_told(), _open(journal, create=True) as opened:
        book = Notebook(opened, open_field(image, mpp), reader or default_reader())
        checks = Lenient() if drop else Strict()
        done = import_annotations(book, file, dataset, file_format or None, checks)
        if book.pending:
            raise JournalError(book.warning)
    there = f" {done.skipped} were there already." if done.skipped else ""
    stdout().print(f"{len(done.added)} figures added to {escape(image.name)}.{there}")
    if isinstance(checks, Lenient) and checks.dropped:
        stderr().print(f"[bold yellow]Warning:[/] {escape(checks.words())}", highlight=False)


@app.command("export")
def export(
    names: Annotated[list[str] | None, typer.Argument(help=FIELD + " All of them if not given.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for one file for each field.")] = Path("annotations"),
    file_format: Annotated[str, typer.Option("--format", help="As 'convert --formats' lists them.")] = "csv",
    journal: Where = "",
) -> None:
    """Write the annotations of fields, for QuPath, for training elsewhere or as a table."""
    from ..annotations.exchange import export_annotations, format_of
    from ..annotations.frames import figures_frame
    from ..annotations.replay import replay
    from ..annotations.rows import FieldFacts

    with errors_told(), _open(journal) as opened:
        suffix = format_of(Path(), file_format).suffix
        rows = [_field(opened, name) for name in names] if names else opened.fields().to_dict("records")
        out.mkdir(parents=True, exist_ok=True)
        taken: set[str] = set()
        for row in rows:
            frame = figures_frame(replay(opened.actions(str(row["digest"]))).figures)
            path = out / (_file_name(str(row["name"]), str(row["digest"]), taken) + suffix)
            image = text_path(str(row["path"])).name if row["path"] else str(row["name"])
            mpp = float(row["mpp"]) if row["mpp"] == row["mpp"] else None
            facts = FieldFacts(str(row["name"]), image, (int(row["height_px"]), int(row["width_px"])), mpp)
            export_annotations(path, frame, facts, file_format)
            stdout().print(f"{escape(str(path))}: {len(frame)} figures", highlight=False)


@app.command("snapshot")
def snapshot(
    out: Annotated[Path, typer.Argument(help="The JSON file to write.")],
    names: Annotated[list[str] | None, typer.Option("--field", help=FIELD + " May be given often; else all.")] = None,
    test: Annotated[list[str] | None, typer.Option("--test", help="A field to test on, not to learn from.")] = None,
    journal: Where = "",
) -> None:
    """Freeze annotations as they stand, with a hash: a training set that can be named."""
    from ..annotations.snapshot import take_snapshot

    with errors_told(), _open(journal) as opened:
        tested = [_field(opened, name)["digest"] for name in test or []]
        chosen = [_field(opened, name)["digest"] for name in names] + tested if names else None
        taken = take_snapshot(opened, chosen, dict.fromkeys(tested, "test"))
        taken.save(out)
    count = sum(len(field.figures) for field in taken.fields)
    learned, held = len(taken.of("train")), len(taken.of("test"))
    stdout().print(f"{escape(str(out))}: {count} figures, {learned} fields to train on and {held} to test on")
    stdout().print(f"sha256 {taken.sha256}", highlight=False)


@app.command("check")
def check(journal: Where = "") -> None:
    """Look for damage in the journal."""
    with errors_told(), _open(journal) as opened:
        troubles = opened.check()
        count = 0 if troubles else len(opened.actions())
    for sentence in troubles:
        stdout().print(f"[bold red]Damage:[/] {escape(sentence)}")
    if troubles:
        raise typer.Exit(1)
    stdout().print(f"The journal is sound: {count:,} actions.", highlight=False)


def _open(where: str, create: bool = False) -> Journal:
    from ..annotations.store import Journal, default_journal

    return Journal(where or default_journal(), create=create)


def _field(journal: Journal, text: str) -> dict[str, Any]:
    """The remembered field that a text means: by name, by its file, or by the beginning of its digest."""
    from ..errors import JournalError

    rows: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in journal.fields().to_dict("records")]
    for fits in (_named, _from_file, _of_digest):
        matching = [row for row in rows if fits(row, text)]
        if len(matching) == 1:
            return matching[0]
        if matching:
            digests = ", ".join(str(row["digest"])[:12] for row in matching)
            raise JournalError(f"'{text}' means {len(matching)} fields; give the beginning of a digest: {digests}.")
    raise JournalError(f"The journal {journal.name} knows no field '{text}'; 'journal fields' lists them.")


def _named(row: dict[str, Any], text: str) -> bool:
    return text in (row["name"], row["digest"])


def _from_file(row: dict[str, Any], text: str) -> bool:
    path = text_path(str(row["path"]))
    return bool(row["path"]) and (path == Path(text).absolute() or path.name == text)


def _of_digest(row: dict[str, Any], text: str) -> bool:
    return len(text) >= 4 and str(row["digest"]).startswith(text)


def _file_name(name: str, digest: str, taken: set[str]) -> str:
    """A file name for a field, on every system; with its digest where two would be alike."""
    plain = safe_name(name, digest[:12])
    plain = f"{plain}-{digest[:8]}" if plain.lower() in taken else plain
    taken.add(plain.lower())
    return plain


def _log_table(actions: list[Action]) -> Table:
    table = Table("time (UTC)", "reader", "what", "figure", "y, x px", "label", "score", "source", "model on screen")
    kinds = {action.unit: action.kind for action in actions}
    for action in actions:
        place = "" if action.y_px is None or action.x_px is None else f"{action.y_px:.1f}, {action.x_px:.1f}"
        what = f"{action.kind} {kinds.get(action.target, action.target[:8])}" if action.target else action.kind
        label = " ".join(filter(None, (action.label, action.phase)))
        score = "" if action.score is None else f"{action.score:.3f}"
        time = action.time.replace("T", " ")[:23]
        cells = (time, action.reader, what, action.figure[:8], place, label, score, action.source, action.model)
        table.add_row(*(escape(cell) for cell in cells))
    return table
