"""``napari-mitosis train ...``: base, cross-validation, report, final weights of any detector."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from .console import errors_told, run_logged, run_shown, stdout

if TYPE_CHECKING:
    from ..datasets.crops import Crop
    from ..datasets.sample import Sample


class _DetectorCommands(TyperGroup):
    """``train NAME`` for every detector there is, without naming them here."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        known = super().get_command(ctx, cmd_name)
        if known is not None:
            return known
        from ..models.registry import registered

        if cmd_name not in registered():
            return None
        command: Any = copy.copy(super().get_command(ctx, "NAME"))
        command.name = cmd_name
        return command


app = typer.Typer(
    help="Train detectors and measure them on fields that they did not see.",
    no_args_is_help=True,
    cls=_DetectorCommands,
)

Data = Annotated[Path, typer.Option("--data", help="Folder with icpr2012, icpr2014, ami_br and tupac_crops.")]
Out = Annotated[Path, typer.Option("--out", help="Folder of the run; a killed run goes on from it.")]
Name = Annotated[str, typer.Option("--detector", help="Registered name of the detector.")]
Steps = Annotated[int, typer.Option(help="Optimiser steps; 0 = the recipe's.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Threads = Annotated[int, typer.Option(help="Processor threads; 0 = as many as there are.")]
Label = Annotated[str, typer.Option(help="What segmitos is taught: random, fixed, circle or mask; empty = its own.")]
RADIUS_UM = 7.5


@app.command()
def base(
    data: Data,
    out: Out,
    detector: Name = "segmitos",
    init: Annotated[Path | None, typer.Option(help="Weights (safetensors) to start from, such as a trunk.")] = None,
    steps: Steps = 0,
    seed: Seed = 0,
    threads: Threads = 0,
) -> None:
    """Stage 1 of a compact detector: crops only. Leaves OUT/base.safetensors."""
    from ..training.systems import system

    _start(seed, threads)
    with errors_told():
        run_shown(system(detector).base(_crops(data), out, init=init, seed=seed, steps=steps))


@app.command()
def crossval(
    data: Data,
    out: Out,
    protocol: Annotated[str, typer.Option(help="S (same slides, 4 folds) or N (a new slide, 1 fold each).")],
    base_weights: Annotated[
        Path | None,
        typer.Option("--base", help="Weights of stage 1, or a run folder: FOLD/model.safetensors starts each fold."),
    ] = None,
    detector: Name = "segmitos",
    steps: Steps = 0,
    resave: Annotated[bool, typer.Option(help="Score each field once more after JPEG compression.")] = False,
    label: Label = "",
    seed: Seed = 0,
    threads: Threads = 0,
) -> None:
    """Train and score the folds of protocol S or N on icpr2012. Leaves weights and evidence in OUT."""
    from ..training.crossval import cross_validate
    from ..training.systems import system

    if protocol not in ("S", "N"):
        raise typer.BadParameter("the protocol is S or N")
    _start(seed, threads)
    with errors_told():
        run_shown(
            cross_validate(
                system(detector).with_label(label),
                base_weights,
                _fields(data),
                _other_fields(data) if protocol == "N" else [],
                _crops(data),
                "S" if protocol == "S" else "N",
                out,
                seed=seed,
                steps=steps,
                resave=resave,
            )
        )


@app.command()
def verify(
    data: Data,
    runs: Annotated[Path, typer.Option(help="Run folder of the detector's cross-validation.")],
    verifier_runs: Annotated[Path, typer.Option(help="Run folder of the verifier's cross-validation.")],
    detector: Name = "segmitos",
    verifier: Annotated[str, typer.Option(help="Registered name of the verifier.")] = "deepver",
    threads: Threads = 0,
) -> None:
    """Let the verifier of each fold examine a detector's candidates in the fold's held-out fields."""
    from ..training.crossval import verify_folds

    _start(0, threads)
    with errors_told():
        run_shown(verify_folds(runs, verifier_runs, detector, verifier, _fields(data), _other_fields(data)))


@app.command()
def report(
    data: Data,
    out: Out,
    detector: Name = "segmitos",
    verified: Annotated[
        Path | None, typer.Option(help="Run folder of a verifier: measure what it made of this detector's candidates.")
    ] = None,
) -> None:
    """Measure finished folds of S and N, choose the shipped rule on them, write OUT/report.json.

    With --verified, OUT is not read: the verifier's folder is, and report-verified-DETECTOR.json written there.
    """
    from ..decision.decide import Rule
    from ..training.crossval import collect
    from ..training.report import make_report, mean_f
    from ..training.systems import system

    samples = _fields(data)
    kind = "evidence" if verified is None else f"verified-{detector}"
    folder = out if verified is None else verified
    start = system(detector).card(version="0.0.0", seed=0).decision_rule() if verified is None else Rule()
    with errors_told():
        both = {p: found for p in ("S", "N") if (found := collect(folder, samples, p, kind))}
        measures = run_shown(
            make_report(both, _other_fields(data), start, folder, RADIUS_UM, detector=detector, kind=kind)
        )
    console = stdout()
    for m in measures:
        console.print(
            f"{m.name}: P {m.precision:.3f} R {m.recall:.3f} F {m.f:.3f} [{m.f_low:.3f}, {m.f_high:.3f}] "
            f"({m.fields} fields, {m.mitoses} mitoses, {m.radius_um} um)",
            highlight=False,
            markup=False,
        )
    console.print(f"mean F over new slides: {mean_f(measures):.3f}", highlight=False)


@app.command("all")
def train_all(
    data: Data,
    out: Out,
    init: Annotated[Path | None, typer.Option(help="Weights of the trunk to begin a base with.")] = None,
    start: Annotated[Path | None, typer.Option(help="Whole SegMitos weights to begin with instead of a base.")] = None,
    seen: Annotated[list[str] | None, typer.Option(help="A field that --start was trained on; never measured.")] = None,
    base_steps: Annotated[int, typer.Option(help="Steps of the base.")] = 2000,
    fold_steps: Annotated[int, typer.Option(help="Steps of each fold.")] = 600,
    final_steps: Annotated[int, typer.Option(help="Steps of the final weights.")] = 900,
    round_steps: Annotated[int, typer.Option(help="Steps between two points of a learning curve.")] = 200,
    final_from: Annotated[
        str, typer.Option(help="What the final weights begin with: base, or a fold such as P-0.")
    ] = "base",
    blend: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the way from the first to the trained weights.")
    ] = 1.0,
    version: Annotated[str, typer.Option(help="Version of what is published.")] = "1.1.0",
    seed: Seed = 0,
    threads: Threads = 0,
) -> None:
    """Train, measure and publish everything in one queue. Start it again to go on; several may share OUT."""
    from ..training.material import read_training_data
    from ..training.queue import QueuePlan, require_start, stages, write_plan
    from ..training.stages import run_stages

    plan = QueuePlan(
        out=out,
        init=init,
        start=start,
        seen=tuple(seen or ()),
        base_steps=base_steps,
        fold_steps=fold_steps,
        final_steps=final_steps,
        round_steps=round_steps,
        final_from=final_from,
        blend=blend,
        version=version,
        seed=seed,
    )
    _start(seed, threads)
    with errors_told():
        require_start(plan)
        write_plan(plan)
        run_logged(run_stages(stages(read_training_data(data), plan), out))


@app.command("patients")
def patients(
    data: Data,
    out: Out,
    detector: Name = "segmitos",
) -> None:
    """Measure the finished folds of a queue by patient: F on new patients, false detections, the rule that ships."""
    from ..training.material import read_training_data
    from ..training.queue import read_plan, report

    with errors_told():
        text = run_shown(report(read_training_data(data), read_plan(out), detector))
    stdout().print(text, end="", highlight=False, markup=False)


@app.command("seen")
def seen(
    data: Data,
    cards: Annotated[
        list[Path], typer.Argument(metavar="CARDS", help="Cards of versions, such as segmitos-1.0.0.json.")
    ],
    fields: Annotated[
        str, typer.Option(help="Names of the fields that they learned from, with commas; empty = all.")
    ] = "",
) -> None:
    """Write onto cards what the material of DATA looks like, so that a field in an unusual stain is noticed."""
    from ..models.card import read_card
    from ..training.seen import seen_in_training

    names = {name.strip() for name in fields.split(",") if name.strip()}
    with errors_told():
        samples = [s for s in _fields(data) + _other_fields(data) if not names or s.field.name in names]
        crops = _crops(data)
        for path in cards:
            card = read_card(path)
            found = run_shown(seen_in_training(samples, crops, card.mpp))
            card.model_copy(update={"seen": found}).save(path)


@app.command("NAME")
def final(
    ctx: typer.Context,
    data: Data,
    out: Out,
    config: Annotated[str, typer.Option(help="compact, or a network of the paper, such as paper/32s.")] = "compact",
    init: Annotated[Path | None, typer.Option(help="Weights to start from (compact: those of stage 1).")] = None,
    steps: Steps = 0,
    label: Label = "",
    crop_px: Annotated[int, typer.Option(help="Side of a patch of the paper's networks.")] = 500,
    version: Annotated[str, typer.Option(help="Version of the result.")] = "1.0.0",
    report_file: Annotated[Path | None, typer.Option("--report", help="Of the cross-validation.")] = None,
    verified_file: Annotated[Path | None, typer.Option("--verified", help="Report with a verifier behind.")] = None,
    seed: Seed = 0,
    threads: Threads = 0,
) -> None:
    """Train detector NAME on all fields of DATA; leaves weights and card in OUT/published (compact)."""
    from ..datasets.scale import at_scale
    from ..training.final import train_final, train_paper
    from ..training.systems import PaperPlan

    name = str(ctx.info_name)
    _start(seed, threads)
    with errors_told():
        samples = at_scale(_fields(data) + _other_fields(data), 0.25)
        if config == "compact":
            crops = _crops(data)
            reports = (report_file, verified_file)
            stdout().print(
                run_shown(
                    train_final(
                        name, samples, crops, init, out, reports, version=version, seed=seed, steps=steps, label=label
                    )
                )
            )
        else:
            plan = PaperPlan(steps, crop_px, seed)
            job = train_paper(name, config, samples, init, out, plan, version=version, label=label)
            stdout().print(run_shown(job))


def _start(seed: int, threads: int) -> None:
    from ..training.fit import seed_everything

    seed_everything(seed, threads)


def _fields(data: Path) -> list[Sample]:
    from ..datasets.icpr import read_icpr2012

    return read_icpr2012(data / "icpr2012")


def _other_fields(data: Path) -> list[Sample]:
    from ..datasets.icpr import read_icpr2014

    return read_icpr2014(data / "icpr2014")


def _crops(data: Path) -> list[Crop]:
    from ..datasets.crops import read_crops

    return read_crops(data / "ami_br") + read_crops(data / "tupac_crops")
