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
from ..models.registry import detector_class
from ..models.weights import load_weights, publish
from .checkpoint import save_tensors
from .publish import describe, read_report
from .systems import PaperPlan, system


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
    label: str = "",
) -> Job[ModelCard]:
    """Train a compact detector on all fields and publish it in ``out/published``.

    Where ``out/model.safetensors`` is there already it is published as it is.

    Parameters
    ----------
    reports : tuple of Path or None
        Report of the cross-validation, and that with a verifier behind the detector.
    label : str
        See `System.with_label`.
    """
    recipe = system(name).with_label(label)
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
    plan: PaperPlan,
    *,
    version: str,
    label: str = "",
) -> Job[ModelCard]:
    """Train a network of a paper on patches of all fields, and publish it in ``out/published``.

    Its card says that nothing was measured yet; it loads wherever a version of the compact network does.

    Raises
    ------
    WeightsError
        If the detector has no such configuration or labels, or the system wants to know the number of steps.
    """
    cls = detector_class(name)
    if config not in cls.configs:
        raise WeightsError(f"{name} has no configuration '{config}'; it has {', '.join(cls.configs)}")
    recipe = system(name).with_label(label)
    network = yield from recipe.paper(config, samples, init, out, plan)
    save_tensors(out / "model.safetensors", network.state_dict(), {"config": config})
    update = {
        "config": config,
        "title": f"{cls.title}, {config} with the layers of the paper",
        "parameters": sum(p.numel() for p in network.parameters()),
        "trained_on": describe(samples),
        "poses": 1,
    }
    card = recipe.card(version=version, seed=plan.seed).model_copy(update=update)
    return publish(network, card, out / "published")
