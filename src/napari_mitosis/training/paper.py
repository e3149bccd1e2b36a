"""Training of the paper's networks: 32s, then 16s from it, then 8s from that (SegMitos, section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from ..datasets.sample import Sample
from ..jobs import Job
from ..models.fcn import FCN, continue_from
from ..models.losses import concentric_loss
from .augment import plain
from .checkpoint import save_tensors
from .fit import FitOptions, fit
from .strong import field_source
from .windows import Window

# Learning rate of each stage for the summed loss.
RATES = {32: 1e-10, 16: 1e-13, 8: 1e-14}


@dataclass(frozen=True)
class PaperRecipe:
    """The paper's settings.

    Attributes
    ----------
    steps : int
        For each stage, with batches of one.
    crop_px : int
        Side of a patch: 521 for ICPR 2012, 500 for AMIDA13 and TUPAC16.
    positives : float
        Share of patches with a mitosis; the paper multiplies them by rotation and shifts instead.
    label : {"random", "fixed", "circle", "mask"}
        Random concentric rings, r12R24, r12, or the pixels of the masks.
    """

    steps: int = 200_000
    crop_px: int = 500
    positives: float = 0.5
    label: str = "random"
    seed: int = 0


def train_stage(network: FCN, samples: Sequence[Sample], recipe: PaperRecipe, folder: Path) -> Job[nn.Module]:
    """One stage, in place. Leaves ``fcn-32s.safetensors`` (16s, 8s) in `folder`."""
    # A patch turned by 45 degrees needs corners that lie outside its square.
    source = field_source(recipe.label)(samples, 2 * int(np.ceil(recipe.crop_px * 0.5 * 2**0.5)))

    def draw(rng: np.random.Generator) -> list[Window]:
        return [source.positive(rng, reach_px=100.0) if rng.random() < recipe.positives else source.negative(rng)]

    options = FitOptions(
        steps=recipe.steps,
        learning_rate=RATES[network.finest],
        weight_decay=5e-4,
        optimizer="paper",
        average=0.0,
        seed=recipe.seed,
        checkpoint_every=1000,
    )
    name = f"fcn-{network.finest}s"
    trained = yield from fit(
        network,
        _summed,
        draw,
        options,
        plain(recipe.crop_px, label=recipe.label),
        folder / f"{name}.checkpoint.safetensors",
    )
    save_tensors(folder / f"{name}.safetensors", trained.state_dict(), {"stage": name})
    return trained


def train_stages(first: FCN, finest: int, samples: Sequence[Sample], recipe: PaperRecipe, folder: Path) -> Job[FCN]:
    """All stages from a 32s that holds its starting weights down to `finest`."""
    network = first
    yield from train_stage(network, samples, recipe, folder)
    while network.finest > finest:
        finer = FCN(network.finest // 2)
        continue_from(finer, network)
        network = finer
        yield from train_stage(network, samples, recipe, folder)
    return network


def _summed(logits: Tensor, labels: Tensor) -> Tensor:
    return concentric_loss(logits, labels, "sum")
