"""How the compact SegMitos is trained: a base on annotated crops, then the fields themselves.

The base sees only crops, none of them from the annotated fields, so one base serves every fold of a
cross-validation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..datasets.crops import Crop
from ..datasets.sample import Sample
from ..jobs import Job
from ..models.losses import concentric_loss
from .augment import Augmentation
from .checkpoint import save_tensors
from .fit import Draw, FitOptions, fit
from .mining import Miner, Place
from .strong import field_source
from .windows import CropSource, FieldSource, Window, stains_of

# Room for a crop of 192 px that is turned or a little zoomed out; what lies beyond is mirrored and ignored.
FIELDS_WINDOW_PX = 288


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
    mine_every : int
        Steps of stage 2 between two searches for hard negatives; the first is before the first step.
    mined_fields : int
        Fields that each search looks at, drawn anew.
    augmentation : Augmentation
    """

    base: FitOptions = FitOptions(steps=2000, learning_rate=1e-3, schedule="constant")
    fields: FitOptions = FitOptions(steps=600, learning_rate=5e-4, average=0.99, schedule="constant")
    base_batch: int = 12
    fields_batch: int = 12
    mix: tuple[float, float, float, float] = (0.34, 0.25, 0.16, 0.25)
    mine_every: int = 200
    mined_fields: int = 60
    augmentation: Augmentation = Augmentation(192, margin_px=12)

    def with_seed(self, seed: int) -> Recipe:
        """The same recipe with another seed."""
        return replace(self, base=replace(self.base, seed=seed), fields=replace(self.fields, seed=seed))


def normalised_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The concentric loss of the compact configuration."""
    return concentric_loss(logits, labels, "normalised")


def train_base(network: nn.Module, crops: Sequence[Crop], recipe: Recipe, folder: Path) -> Job[nn.Module]:
    """Stage 1. Leaves ``folder/base.safetensors``."""
    source = CropSource(crops)
    augmentation = recipe.augmentation.in_stains_of(stains_of(None, source))

    def draw(rng: np.random.Generator) -> list[Window]:
        return [source.mosaic(rng) for _ in range(recipe.base_batch)]

    checkpoint = folder / "base.checkpoint.safetensors"
    network = yield from fit(network, normalised_loss, draw, recipe.base, augmentation, checkpoint)
    save_tensors(folder / "base.safetensors", network.state_dict(), {"stage": "base", "steps": recipe.base.steps})
    return network


def train_fields(
    network: nn.Module,
    samples: Sequence[Sample],
    crops: Sequence[Crop],
    recipe: Recipe,
    folder: Path,
    unknown: Sequence[NDArray[np.bool_] | None] | None = None,
) -> Job[nn.Module]:
    """Stage 2, from the weights that `network` holds. Leaves ``folder/model.safetensors``.

    Parameters
    ----------
    unknown : sequence, optional
        See `FieldSource`; in pixels of the samples.
    """
    fields = field_source(recipe.augmentation.label)(samples, FIELDS_WINDOW_PX, unknown)
    mosaics = CropSource(crops, FIELDS_WINDOW_PX) if crops else None
    augmentation = recipe.augmentation.in_stains_of(stains_of(fields, mosaics))
    searches = range(0, 10**9, recipe.mine_every)
    miner = Miner(fields, searches, folder / "mined.json", recipe.mined_fields)
    network = yield from fit(
        network,
        normalised_loss,
        window_draw(fields, mosaics, recipe, lambda: miner.places),
        recipe.fields,
        augmentation,
        folder / "fields.checkpoint.safetensors",
        search=miner,
    )
    header = {"stage": "fields", "steps": recipe.fields.steps}
    save_tensors(folder / "model.safetensors", network.state_dict(), header)
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
