"""``napari-mitosis train ...``: base, cross-validation, final weights."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import errors_told, run_shown, stdout

if TYPE_CHECKING:
    from ..datasets.crops import Crop
    from ..datasets.sample import Sample
    from ..training.crossval import Scored
    from ..training.recipe import Recipe

app = typer.Typer(help="Train detectors and measure them on fields that they did not see.", no_args_is_help=True)

Data = Annotated[Path, typer.Option("--data", help="Folder with icpr2012, icpr2014, ami_br and tupac_crops.")]
Out = Annotated[Path, typer.Option("--out", help="Folder of the run; a killed run goes on from it.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Threads = Annotated[int, typer.Option(help="Processor threads; 0 = as many as there are.")]
RADIUS_UM = 7.5


class Config(StrEnum):
    """Configurations of SegMitos."""

    compact = "compact"
    fcn32 = "paper/32s"
    fcn16 = "paper/16s"
    fcn8 = "paper/8s"


@app.command()
def base(
    data: Data,
    out: Out,
    init: Annotated[Path | None, typer.Option(help="Trunk weights (safetensors) to start from.")] = None,
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 1800,
    seed: Seed = 0,
    threads: Threads = 0,
) -> None:
    """Stage 1 of the compact SegMitos: crops only. Leaves OUT/base.safetensors."""
    from ..models.segmitos import CompactSegMitos
    from ..models.weights import check_state, read_state
    from ..training.recipe import Recipe, train_base

    _start(seed, threads)
    network = CompactSegMitos()
    if init is not None:
        state = read_state(init)
        check_state(network.trunk, state, init.name)
        network.trunk.load_state_dict(state)
    recipe = Recipe().with_seed(seed)
    recipe = replace(recipe, base=replace(recipe.base, steps=steps))
    with errors_told():
        run_shown(train_base(network, _crops(data), recipe, out))


@app.command()
def crossval(
    data: Data,
    out: Out,
    protocol: Annotated[str, typer.Option(help="S (same slides, 4 folds) or N (a new slide, 1 fold each).")],
    base_weights: Annotated[Path, typer.Option("--base", help="Weights of stage 1.")],
    steps: Annotated[int, typer.Option(help="Optimiser steps of stage 2 in each fold; 0 = the recipe's.")] = 0,
    seed: Seed = 0,
    threads: Threads = 0,
) -> None:
    """Train and score the folds of protocol S or N on icpr2012. Leaves weights and evidence in OUT."""
    from ..training.recipe import Recipe

    if protocol not in ("S", "N"):
        raise typer.BadParameter("the protocol is S or N")
    _start(seed, threads)
    recipe = Recipe().with_seed(seed)
    if steps:
        recipe = replace(recipe, fields=replace(recipe.fields, steps=steps))
    with errors_told():
        _folds(data, out, protocol, base_weights, recipe)


@app.command()
def report(
    data: Data,
    out: Out,
    base_weights: Annotated[Path, typer.Option("--base", help="Weights of stage 1.")],
    seed: Seed = 0,
    threads: Threads = 0,
) -> None:
    """Measure finished folds of S and N, choose the shipped rule on them, write OUT/report.json."""
    from ..training.recipe import Recipe
    from ..training.report import make_report, mean_f

    _start(seed, threads)
    recipe = Recipe().with_seed(seed)
    both = {p: _folds(data, out, p, base_weights, recipe, finished_only=True) for p in ("S", "N")}
    with errors_told():
        measures = run_shown(make_report(both, _other_fields(data), out, RADIUS_UM))
    console = stdout()
    for m in measures:
        console.print(
            f"{m.name}: P {m.precision:.3f} R {m.recall:.3f} F {m.f:.3f} [{m.f_low:.3f}, {m.f_high:.3f}] "
            f"({m.fields} fields, {m.mitoses} mitoses, {m.radius_um} um)",
            highlight=False,
            markup=False,
        )
    console.print(f"mean F over new slides: {mean_f(measures):.3f}", highlight=False)


@app.command()
def segmitos(
    data: Data,
    out: Out,
    config: Annotated[Config, typer.Option(help="Compact, or a network of the paper.")] = Config.compact,
    init: Annotated[Path | None, typer.Option(help="Weights to start from (compact: those of stage 1).")] = None,
    steps: Annotated[int, typer.Option(help="Steps; 0 = the recipe's.")] = 0,
    crop_px: Annotated[int, typer.Option(help="Side of a patch of the paper's networks.")] = 500,
    version: Annotated[str, typer.Option(help="Version of the result.")] = "1.0.0",
    report_file: Annotated[Path | None, typer.Option("--report", help="Of the cross-validation.")] = None,
    seed: Seed = 0,
    threads: Threads = 0,
) -> None:
    """Train SegMitos on all fields of DATA; leaves weights and card in OUT/published (compact)."""
    _start(seed, threads)
    if config is not Config.compact:
        _paper(data, out, config, init, steps, crop_px, seed)
        return
    from ..decide import Rule
    from ..models.card import Measure
    from ..models.segmitos import CompactSegMitos
    from ..models.weights import load_weights, publish
    from ..training.publish import describe, draft_card, read_report
    from ..training.recipe import Recipe, train_fields

    network = CompactSegMitos()
    if init is not None:
        load_weights(network, init)
    recipe = Recipe().with_seed(seed)
    if steps:
        recipe = replace(recipe, fields=replace(recipe.fields, steps=steps))
    samples, crops = _fields(data) + _other_fields(data), _crops(data)
    with errors_told():
        run_shown(train_fields(network, samples, crops, recipe, out))
    card = draft_card(network, version=version, seed=seed)
    card = card.model_copy(update={"trained_on": f"{describe(samples)}; {len(crops)} crops of ami_br and tupac_crops"})
    if report_file is not None:
        measured = read_report(report_file)
        card = card.with_rule(Rule(**measured["rule"]), measured["rule_chosen_on"]).model_copy(
            update={
                "measures": tuple(Measure(**m) for m in measured["measures"]),
                "split": "measures: networks of the same recipe on folds they did not see; these weights: all fields",
            }
        )
    stdout().print(publish(network, card, out / "published"))


def _paper(data: Path, out: Path, config: Config, init: Path | None, steps: int, crop_px: int, seed: int) -> None:
    from ..models.fcn import FCN, load_pytorch_fcn, load_torchvision_vgg16
    from ..models.weights import read_state
    from ..training.paper import PaperRecipe, train_stages

    network = FCN(32)
    if init is not None:
        state = read_state(init)
        load = load_torchvision_vgg16 if "features.0.weight" in state else load_pytorch_fcn
        load(network, state)
    recipe = PaperRecipe(steps=steps or PaperRecipe.steps, crop_px=crop_px, seed=seed)
    finest = int(config.value.removeprefix("paper/").removesuffix("s"))
    with errors_told():
        run_shown(train_stages(network, finest, _fields(data), recipe, out))


def _folds(
    data: Path, out: Path, protocol: str, base_weights: Path, recipe: Recipe, *, finished_only: bool = False
) -> list[Scored]:
    from ..models.segmitos import CompactSegMitos
    from ..training.crossval import cross_validate
    from ..training.publish import draft_card

    card = draft_card(CompactSegMitos(), version="0.0.0", seed=recipe.fields.seed)
    return run_shown(
        cross_validate(
            CompactSegMitos,
            base_weights,
            card,
            _fields(data),
            _other_fields(data) if protocol == "N" else [],
            _crops(data),
            recipe,
            "S" if protocol == "S" else "N",
            out,
            finished_only=finished_only,
        )
    )


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
