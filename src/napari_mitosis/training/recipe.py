"""How the compact SegMitos is trained: a base on annotated crops, then the fields themselves.

The base sees only crops, none of them from the annotated fields, so one base serves every fold of a
cross-validation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..datasets.crops import Crop
from ..datasets.sample import Sample
from ..jobs import Job
from ..models.losses import concentric_loss
from .augment import Augmentation
from .checkpoint import save_tensors
from .fit import Draw, FitOptions, fit
from .mining import Miner, Place
from .windows import CropSource, FieldSource, Window

# A crop of 128 px, zoomed out by 0.85 and turned by 45 degrees, reaches over 213 px.
FIELDS_WINDOW_PX = 224


@dataclass(frozen=True)
class Recipe:
    """Steps, batches and rates of both stages.

    Attributes
    ----------
    base : FitOptions
        Stage 1: mosaics of crops only.
    fields : FitOptions
        Stage 2: windows of fields, mixed with mosaics against forgetting.
    base_batch, fields_batch : int
        Crops for each step.
    mix : tuple of float
        Shares of a stage-2 batch: with a mitosis, about a hard negative, anywhere, mosaic.
    mine_at : tuple of float
        Shares of stage 2 after which hard negatives are mined anew.
    base_augmentation, fields_augmentation : Augmentation
        Stage 2 has few figures and sees them in smaller crops, more of them and less disturbed.
    """

    base: FitOptions = field(default_factory=lambda: FitOptions(steps=1800, learning_rate=1e-3))
    fields: FitOptions = field(default_factory=lambda: FitOptions(steps=450, learning_rate=1e-3, average=0.99))
    base_batch: int = 16
    fields_batch: int = 32
    mix: tuple[float, float, float, float] = (0.375, 0.25, 0.125, 0.25)
    mine_at: tuple[float, ...] = (0.0, 0.3, 0.6)
    base_augmentation: Augmentation = field(default_factory=Augmentation)
    fields_augmentation: Augmentation = field(
        default_factory=lambda: Augmentation(
            crop_px=128, zoom=(0.85, 1.2), stain=0.15, blur_share=0.25, jpeg_share=0.5, jpeg_quality=(45, 95)
        )
    )

    def with_seed(self, seed: int) -> Recipe:
        """The same recipe with another seed."""
        return replace(self, base=replace(self.base, seed=seed), fields=replace(self.fields, seed=seed))


def normalised_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The concentric loss of the compact configuration."""
    return concentric_loss(logits, labels, "normalised")


def train_base(network: nn.Module, crops: Sequence[Crop], recipe: Recipe, folder: Path) -> Job[nn.Module]:
    """Stage 1. Leaves ``folder/base.safetensors``."""
    source = CropSource(crops)

    def draw(rng: np.random.Generator) -> list[Window]:
        return [source.mosaic(rng) for _ in range(recipe.base_batch)]

    checkpoint = folder / "base.checkpoint.safetensors"
    network = yield from fit(network, normalised_loss, draw, recipe.base, recipe.base_augmentation, checkpoint)
    save_tensors(folder / "base.safetensors", network.state_dict(), {"stage": "base"})
    return network


def train_fields(
    network: nn.Module, samples: Sequence[Sample], crops: Sequence[Crop], recipe: Recipe, folder: Path
) -> Job[nn.Module]:
    """Stage 2, from the weights that `network` holds. Leaves ``folder/model.safetensors``."""
    fields = FieldSource(samples, FIELDS_WINDOW_PX)
    mosaics = CropSource(crops, FIELDS_WINDOW_PX) if crops else None
    miner = Miner(fields, [int(share * recipe.fields.steps) for share in recipe.mine_at], folder / "mined.json")
    draw = window_draw(fields, mosaics, recipe, lambda: miner.places)
    checkpoint = folder / "fields.checkpoint.safetensors"
    network = yield from fit(
        network,
        normalised_loss,
        draw,
        recipe.fields,
        recipe.fields_augmentation,
        checkpoint,
        before_step=miner.before_step,
    )
    save_tensors(folder / "model.safetensors", network.state_dict(), {"stage": "fields"})
    return network


def window_draw(
    fields: FieldSource, mosaics: CropSource | None, recipe: Recipe, places: Callable[[], Sequence[Place]]
) -> Draw:
    """Batches of stage 2 in the recipe's mix.

    Parameters
    ----------
    mosaics : CropSource or None
        Without one its share goes to windows anywhere.
    places : callable
        The hard negatives of the moment.
    """
    mix = recipe.mix if mosaics else (*recipe.mix[:2], recipe.mix[2] + recipe.mix[3], 0.0)
    counts = _counts(mix, recipe.fields_batch)

    def draw(rng: np.random.Generator) -> list[Window]:
        windows = [fields.positive(rng) for _ in range(counts[0])]
        windows += [fields.hard(rng, places()) for _ in range(counts[1])]
        windows += [fields.negative(rng) for _ in range(counts[2])]
        if mosaics is not None:
            windows += [mosaics.mosaic(rng) for _ in range(counts[3])]
        return windows

    return draw


def _counts(mix: tuple[float, ...], batch: int) -> list[int]:
    """Whole numbers in proportion to `mix` that add up to `batch`."""
    edges = np.round(np.cumsum(mix) / sum(mix) * batch).astype(int)
    return [int(v) for v in np.diff(edges, prepend=0)]
