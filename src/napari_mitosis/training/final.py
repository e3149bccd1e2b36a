"""The weights that ship: trained on all fields, with the measures of the cross-validation in their card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from ..datasets.crops import Crop
from ..datasets.sample import Sample
from ..decision.decide import Rule
from ..errors import WeightsError
from ..jobs import Job
from ..models.card import Measure, ModelCard
from ..models.fcn import FCN, load_pytorch_fcn, load_torchvision_vgg16
from ..models.registry import detector_class
from ..models.weights import load_weights, publish, read_state
from .augment import Augmentation
from .checkpoint import save_tensors
from .fit import FitOptions, fit_centroids
from .paper import PaperRecipe, train_stages
from .publish import describe, read_report
from .recipe import FIELDS_WINDOW_PX, Recipe, window_draw
from .systems import system
from .windows import FieldSource


def train_final(
    name: str,
    samples: Sequence[Sample],
    crops: Sequence[Crop],
    start: Path | None,
    out: Path,
    reports: tuple[Path | None, Path | None],
    *,
    version: str,
    seed: int,
    steps: int = 0,
) -> Job[ModelCard]:
    """Train a compact detector on all fields and publish it in ``out/published``.

    Where ``out/model.safetensors`` is there already it is published as it is.

    Parameters
    ----------
    reports : tuple of Path or None
        Report of the cross-validation, and that with a verifier behind the detector.
    """
    recipe = system(name)
    card = recipe.card(version=version, seed=seed)
    trained = out / "model.safetensors"
    network: nn.Module = detector_class(name).build(card.config)
    if trained.exists():
        load_weights(network, trained)
    else:
        network = yield from recipe.fold(samples, crops, start, out, seed=seed, steps=steps)
    card = card.model_copy(update={"trained_on": f"{describe(samples)}; {len(crops)} crops of ami_br and tupac_crops"})
    return publish(network, with_reports(card, *reports), out / "published")


def with_reports(card: ModelCard, report: Path | None, verified: Path | None) -> ModelCard:
    """The card with measures, rules and calibration of the cross-validation."""
    if report is not None:
        measured = read_report(report)
        card = card.with_rule(Rule(**measured["rule"]), measured["rule_chosen_on"]).model_copy(
            update={
                "measures": tuple(Measure(**m) for m in measured["measures"]),
                "calibration": tuple((float(x), float(y)) for x, y in measured.get("calibration", ())),
                "split": "measures: networks of the same recipe on folds they did not see; these weights: all fields",
            }
        )
    if verified is not None:
        measured = read_report(verified)
        behind = tuple(
            Measure(**{**m, "name": f"{m['name']}, verified by deepver"})
            for m in measured["measures"]
            if "protocol" in m["name"] and "radius" not in m["name"]
        )
        update = {
            "verified": {"verifier": "deepver", "rule": measured["rule"]},
            "measures": card.measures + behind,
        }
        card = card.model_copy(update=update)
    return card


def train_paper(
    name: str,
    config: str,
    samples: Sequence[Sample],
    init: Path | None,
    out: Path,
    *,
    crop_px: int,
    steps: int,
    seed: int,
) -> Job[nn.Module]:
    """Train a network of a paper on patches of all fields; leaves ``out/model.safetensors``.

    SegMitos follows the paper's stages and rates (FCN-32s, then 16s, then 8s). The others learn from centroids
    by their registered loss; `steps` has no default, for the papers' need a large GPU.

    Raises
    ------
    WeightsError
        If the detector has no such configuration.
    """
    cls = detector_class(name)
    if config not in cls.configs:
        raise WeightsError(f"{name} has no configuration '{config}'; it has {', '.join(cls.configs)}")
    if name == "segmitos":
        fcn = FCN(32)
        if init is not None:
            state = read_state(init)
            load = load_torchvision_vgg16 if "features.0.weight" in state else load_pytorch_fcn
            load(fcn, state)
        recipe = PaperRecipe(steps=steps or PaperRecipe.steps, crop_px=crop_px, seed=seed)
        finest = int(config.removeprefix("paper/").removesuffix("s"))
        return (yield from train_stages(fcn, finest, samples, recipe, out))
    if not steps:
        raise WeightsError("say how many --steps a network of a paper is to be trained")
    network = cls.build(config)
    if init is not None:
        load_weights(network, init)
    draw = window_draw(FieldSource(samples, max(FIELDS_WINDOW_PX, 2 * crop_px)), None, Recipe(fields_batch=1), list)
    options = FitOptions(steps=steps, learning_rate=1e-4, seed=seed)
    augmentation = Augmentation(crop_px=crop_px)
    network = yield from fit_centroids(network, cls.loss, draw, options, augmentation, out / "checkpoint.safetensors")
    save_tensors(out / "model.safetensors", network.state_dict(), {"config": config})
    return network
