"""``napari-mitosis finetune``: a new model version from a reader's corrections, without a window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import errors_told, run_shown, stdout

if TYPE_CHECKING:
    from ..finetune.gate import Figures, Verdict
    from ..finetune.plan import FieldPlan


def finetune(
    out: Annotated[Path, typer.Option("--out", help="Folder of the run; a killed run goes on from it.")],
    journal: Annotated[str, typer.Option("--journal", help="File or URL; yours if not given.")] = "",
    parent: Annotated[str, typer.Option("--parent", help="Model version to start from.")] = "segmitos",
    fields: Annotated[str, typer.Option(help="Names of the fields to learn from, with commas; empty = all.")] = "",
    test: Annotated[str, typer.Option(help="Names of fields to compare on only.")] = "",
    drawn: Annotated[str, typer.Option(help="Names of the fields that 'propose' drew at random, with commas.")] = "",
    tissue: Annotated[list[Path] | None, typer.Option(help="Image without annotations, against forgetting.")] = None,
    mpp: Annotated[float, typer.Option(help="um/px of such images where they do not state it.")] = 0.25,
    front: Annotated[str, typer.Option(help="For a verifier: the detector before it.")] = "",
    minutes: Annotated[float, typer.Option(help="Time budget.")] = 5.0,
    device: Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")] = "auto",
    threads: Annotated[int, typer.Option(help="Processor threads; 0 = as many as there are.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    adopt: Annotated[bool, typer.Option(help="Use the new version from now on, if it may be offered.")] = False,
) -> None:
    """Fine-tune a model version on annotations of a journal and compare both; nothing is adopted unless asked for."""
    from ..annotations.store import Journal, default_journal
    from ..finetune.job import finetune as job
    from ..finetune.journal import field_plans, freeze
    from ..finetune.plan import PLAN_FILE, FinetunePlan, read_plan
    from ..finetune.publish import publish_child
    from ..models.registry import find_version
    from ..models.versions import adopt as use
    from ..models.versions import next_version
    from ..training.fit import seed_everything

    seed_everything(seed, threads)
    with errors_told():
        if (out / PLAN_FILE).exists():  # what was begun goes on as it was planned, whatever the journal holds now
            plan = read_plan(out)
        else:
            name = find_version(parent)[0].name
            store = Journal(journal or default_journal(), create=False)
            try:
                snapshot = freeze(store, _list(fields) + _list(test), _list(test))
            finally:
                store.close()
            plan = FinetunePlan(
                parent=name,
                front=front,
                version=next_version(name),
                fields=field_plans(snapshot, _list(drawn)),
                snapshot=snapshot.sha256,
                tissue=tuple(_tissue(path, mpp) for path in tissue or ()),
                minutes=minutes,
                device=device,
                threads=threads,
                seed=seed,
            )
            out.mkdir(parents=True, exist_ok=True)
            snapshot.save(out / "snapshot.json")
        outcome = run_shown(job(plan, out))
        version = publish_child(out)
        _print(outcome.verdict, plan.parent, version)
        if adopt and outcome.verdict.offered:
            use(version)
            stdout().print(f"{version} is in use now.", highlight=False)


def _tissue(path: Path, mpp: float) -> FieldPlan:
    from ..fields.field import lazy_field
    from ..finetune.plan import FieldPlan

    field = lazy_field(path)
    return FieldPlan(path=str(path.absolute()), name=field.name, mpp=field.mpp or mpp)


def _print(verdict: Verdict, parent: str, child: str) -> None:
    def told(name: str, figures: Figures) -> str:
        parts = f"P {figures.precision:.3f}  R {figures.recall:.3f}  F {figures.f:.3f}"
        return f"{name:30s} {parts}  [{figures.low:.3f}, {figures.high:.3f}]"

    out = stdout()
    out.print(told(parent, verdict.parent), highlight=False, markup=False)
    out.print(told(child, verdict.child), highlight=False, markup=False)
    interval = f"[{verdict.low:+.3f}, {verdict.high:+.3f}]"
    out.print(f"difference {verdict.difference:+.3f} {interval}", highlight=False, markup=False)
    out.print(verdict.reason, highlight=False, markup=False)


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
