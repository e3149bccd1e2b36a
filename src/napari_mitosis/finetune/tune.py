"""Train a child on a reader's figures without letting it forget what its parent knows.

Against forgetting: batch normalisations keep the parent's statistics, the trunk learns slowly, weights are drawn
back to the parent's (L2-SP), part of each batch is tissue as the parent sees it, and the child that is judged may
lie between parent and trained weights (`blend`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..jobs import Job
from ..models.registry import DetectorClass
from ..training.augment import Augmentation, centroid_batch
from ..training.checkpoint import save_tensors
from ..training.fit import FitOptions, fit_steps
from ..training.recipe import FIELDS_WINDOW_PX
from ..training.stain import Colour
from .material import Material


@dataclass(frozen=True)
class TuneRecipe:
    """How a child learns.

    Attributes
    ----------
    fit : FitOptions
        Its number of steps is the most that a training takes, however much time there is.
    batch : int
        Windows for each step.
    shares : tuple of float
        Of a batch, see `material.Material`.
    frozen : tuple of str
        Parameters with any of this in their names stay the parent's.
    pull : float
        Strength of the pull to the parent's weights: added to the loss is half of it times the squared distance.
    blends : tuple of float
        Children to judge: share of the way from the parent's weights to the trained ones. 0 is the parent itself,
        with a rule of its own.
    augmentation : Augmentation
    """

    fit: FitOptions = field(
        default_factory=lambda: FitOptions(
            steps=120, learning_rate=3e-4, average=0.97, trunk_rate=0.3, keep_statistics=True, checkpoint_every=20
        )
    )
    batch: int = 24
    shares: tuple[float, float, float, float] = (0.3, 0.3, 0.1, 0.3)
    frozen: tuple[str, ...] = ("trunk.",)
    pull: float = 0.01
    blends: tuple[float, ...] = (0.0, 0.5, 1.0)
    augmentation: Augmentation = field(
        default_factory=lambda: Augmentation(
            crop_px=128,
            zoom=(0.85, 1.2),
            colour=Colour(stain=0.1),
            blur_share=0.2,
            jpeg_share=0.3,
            jpeg_quality=(60, 95),
        )
    )


WINDOW_PX = FIELDS_WINDOW_PX


def tune(
    network: nn.Module,
    cls: DetectorClass,
    material: Material,
    recipe: TuneRecipe,
    folder: Path,
    *,
    steps: int,
    seed: int,
    device: str = "cpu",
) -> Job[nn.Module]:
    """Train `network`, which holds its parent's weights, in place.

    What is done already is kept in ``folder/tune.checkpoint.safetensors``, so a killed training goes on.

    Parameters
    ----------
    cls : DetectorClass
        Registered class of the network; its loss learns from centroids alone.
    steps : int
        Optimiser steps.

    Yields
    ------
    Progress
        One for each step, with the metric ``loss``.
    """
    options = replace(recipe.fit, steps=steps, seed=seed)
    freeze(network, recipe)
    loss = pulled_loss(network.to(device), cls, material, recipe, device)
    return (yield from fit_steps(network, loss, options, folder / "tune.checkpoint.safetensors", device=device))


def freeze(network: nn.Module, recipe: TuneRecipe) -> None:
    """Take the gradients from what stays as it is."""
    for name, parameter in network.named_parameters():
        if any(part in name for part in recipe.frozen):
            parameter.requires_grad_(False)


def pulled_loss(  # type: ignore[no-untyped-def]
    network: nn.Module, cls: DetectorClass, material: Material, recipe: TuneRecipe, device: str
):
    """``step_loss(network, rng) -> scalar`` for `fit.fit_steps`; `network` holds the parent's weights now."""
    parent = {name: p.detach().clone() for name, p in network.named_parameters() if p.requires_grad}

    def step_loss(network: nn.Module, rng: np.random.Generator) -> Tensor:
        windows = material.draw(rng, recipe.batch)
        crops, centroids, ignore = centroid_batch(windows, rng, recipe.augmentation)
        value = cls.loss(network, crops.to(device), centroids, rng, ignore)
        away = [(p - parent[name]).square().sum() for name, p in network.named_parameters() if name in parent]
        return value + 0.5 * recipe.pull * torch.stack(away).sum()

    return step_loss


def seconds_a_step(
    network: nn.Module, cls: DetectorClass, material: Material, recipe: TuneRecipe, device: str, count: int = 3
) -> float:
    """Time of one step here and now, in seconds; the weights of `network` are left as they are."""
    freeze(network, recipe)
    loss = pulled_loss(network.to(device), cls, material, recipe, device)
    times = []
    for i in range(count + 1):
        began = time.perf_counter()
        network.train()
        loss(network, np.random.default_rng(i)).backward()
        network.zero_grad(set_to_none=True)
        times.append(time.perf_counter() - began)
    network.eval()
    return float(np.median(times[1:]))  # the first one sets up its buffers


def blend(parent: Mapping[str, Tensor], child: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights on the way from the parent (0) to the child (1); what is no number between is the child's."""
    mixed = {}
    for name, value in child.items():
        own = parent[name].to(value.device)
        mixed[name] = torch.lerp(own, value, share) if value.is_floating_point() else value
    return mixed


def save_child(path: Path, state: Mapping[str, Tensor]) -> None:
    """Keep the weights of a child, whole or not at all."""
    save_tensors(path, dict(state), {"stage": "finetune"})
