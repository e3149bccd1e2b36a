"""Train a child on a reader's figures without letting it forget what its parent knows.

Normalisations and biases learn fast everywhere: a new stain or scanner moves the statistics of features more than
their meaning, and so few numbers cannot forget much. What stands above the trunk learns slowly, the trunk's own
weights stay. Against forgetting: normalisations keep the parent's statistics, weights are drawn back to the parent's
(L2-SP), part of each batch is tissue as the parent sees it, and the child that is judged may lie between parent and
trained weights (`blend`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..inference.device import precision
from ..jobs import Job, Progress
from ..models.registry import DetectorClass, LearnsMimics
from ..training.augment import Augmentation, point_batch
from ..training.checkpoint import load_tensors, optimizer_tensors, restore_optimizer, save_tensors
from ..training.recipe import FIELDS_WINDOW_PX
from ..training.stain import Colour
from ..training.windows import Window
from .material import Material

CHECKPOINT_S = 10.0
"""Seconds between two checkpoints: so much work a kill costs at the most. They hold only what learns."""

CHECKPOINT = "tune.checkpoint.safetensors"
WINDOW_PX = FIELDS_WINDOW_PX


@dataclass(frozen=True)
class TuneRecipe:
    """How a child learns.

    Attributes
    ----------
    most_steps : int
        Optimiser steps of a training, however much time there is.
    rate : float
        Peak learning rate of normalisations and biases.
    weight_rate : float
        Peak learning rate of the other weights that learn.
    average : float
        Decay of the moving average of the weights; the average is the child.
    batch : int
        Windows for each step.
    shares : tuple of float
        Of a batch, see `material.Material`.
    frozen : tuple of str
        Weights (not normalisations and biases) with any of this in their names stay the parent's.
    pull : float
        Strength of the pull to the parent's weights: added to the loss is half of it times the squared distance.
    blends : tuple of float
        Children to judge: share of the way from the parent's weights to the trained ones. 0 is the parent itself,
        with a rule of its own.
    augmentation : Augmentation
    """

    most_steps: int = 160
    rate: float = 1e-3
    weight_rate: float = 3e-4
    average: float = 0.97
    batch: int = 24
    shares: tuple[float, float, float, float] = (0.45, 0.15, 0.1, 0.3)
    frozen: tuple[str, ...] = ("trunk.",)
    pull: float = 0.01
    blends: tuple[float, ...] = (0.0, 0.5, 1.0)
    augmentation: Augmentation = field(
        default_factory=lambda: Augmentation(
            crop_px=128,
            zoom=(0.85, 1.2),
            colour=Colour(stain=0.1, transfer=0.3),
            blur_share=0.2,
            jpeg_share=0.3,
            jpeg_quality=(60, 95),
        )
    )


@dataclass(frozen=True)
class Limit:
    """When a training ends: after so many steps, or as soon as the next one would not end in time."""

    steps: int
    seconds: float = math.inf


def tune(
    network: nn.Module,
    cls: DetectorClass,
    material: Material,
    recipe: TuneRecipe,
    folder: Path,
    *,
    limit: Limit,
    seed: int,
    device: str = "cpu",
) -> Job[int]:
    """Train `network`, which holds its parent's weights, in place.

    What is done already is kept in ``folder/tune.checkpoint.safetensors``, so a killed training goes on. The learning
    rate follows the share of the limit that is used up, be it steps or seconds: a busy machine makes fewer steps,
    and they are still warmed up and cooled down.

    Parameters
    ----------
    cls : DetectorClass
        Registered class of the network; its loss learns from centroids alone.
    limit : Limit
    seed : int
        Step k draws from the generator seeded with (seed, k): under a limit in steps a resumed training ends as an
        unbroken one.

    Yields
    ------
    Progress
        One for each step; the total is what is expected at this pace. Metric ``loss``.

    Returns
    -------
    int
        Steps done.
    """
    network.to(device)
    state = _Training(network, recipe, folder / CHECKPOINT, seed)
    state.resume()
    place = torch.device(device)
    dtype = precision(place)
    bank = material.stains()
    how = recipe.augmentation if bank is None else recipe.augmentation.in_stains_of(bank)
    saved = -math.inf  # the first step is kept at once
    while not state.over(limit):
        began = time.monotonic()
        rng = np.random.default_rng([seed, state.step])
        crops, centroids, mimics, ignore = judged_batch(material.draw(rng, recipe.batch), rng, how)
        # Of dropout: a resumed training drops what an unbroken one does.
        torch.manual_seed(seed * 1_000_003 + state.step)
        network.train()
        _hold_statistics(network)
        with torch.autocast(place.type, dtype=dtype, enabled=dtype == torch.bfloat16):
            loss = cls.loss(network, crops.to(place), centroids, rng, ignore)
            if isinstance(cls, LearnsMimics):
                loss = loss + cls.mimic_loss(network, crops.to(place), centroids, mimics)
        value = state.learn(loss, state.share(limit))
        now = time.monotonic()
        state.seconds += now - began
        if now - saved > CHECKPOINT_S:
            state.save()
            saved = now
        try:
            yield Progress(state.step, state.expected(limit), "learning", {"loss": value})
        except GeneratorExit:  # cancelled between two steps: nothing is lost
            state.save()
            raise
    if not state.finished:
        state.finished = True
        state.save()
    state.use_average()
    return state.step


def judged_batch(
    windows: Sequence[Window], rng: np.random.Generator, how: Augmentation
) -> tuple[Tensor, list[NDArray[np.float64]], list[NDArray[np.float64]], Tensor]:
    """As `augment.centroid_batch`, with the mimics of the windows beside their mitoses."""
    mimics = [np.empty((0, 2)) if w.mimics_yx is None else w.mimics_yx for w in windows]
    points = [np.concatenate([w.mitoses_yx, m]) for w, m in zip(windows, mimics, strict=True)]
    crops, moved, ignore = point_batch(windows, points, rng, how)
    counts = [len(w.mitoses_yx) for w in windows]

    def near(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return points[((points > -30) & (points < how.crop_px + 30)).all(axis=1)]

    centroids = [near(p[:n]) for p, n in zip(moved, counts, strict=True)]
    return crops, centroids, [near(p[n:]) for p, n in zip(moved, counts, strict=True)], ignore


def learning(network: nn.Module, recipe: TuneRecipe) -> dict[str, nn.Parameter]:
    """The parameters that learn; the gradients of all others are switched off."""
    chosen = {}
    for name, parameter in network.named_parameters():
        learns = parameter.ndim <= 1 or not any(part in name for part in recipe.frozen)
        parameter.requires_grad_(learns)
        if learns:
            chosen[name] = parameter
    return chosen


class _Training:
    """What one training carries from step to step, and keeps."""

    def __init__(self, network: nn.Module, recipe: TuneRecipe, path: Path, seed: int) -> None:
        self.network, self.recipe, self.path, self.seed = network, recipe, path, seed
        self.parameters = learning(network, recipe)
        self.parent = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.average = {name: p.detach().clone() for name, p in self.parameters.items()}
        small = [p for p in self.parameters.values() if p.ndim <= 1]
        large = [p for p in self.parameters.values() if p.ndim > 1]
        groups = [{"params": p, "peak": r} for p, r in ((small, recipe.rate), (large, recipe.weight_rate)) if p]
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.rate, weight_decay=0.0)
        self.step, self.seconds, self.finished = 0, 0.0, False

    def share(self, limit: Limit) -> float:
        """How much of the limit is used up, 0 to 1."""
        return min(1.0, max(self.step / max(1, limit.steps), self.seconds / limit.seconds))

    def over(self, limit: Limit) -> bool:
        """Whether there is no time for another step."""
        pace = self.seconds / self.step if self.step else 0.0
        return self.finished or self.step >= limit.steps or self.seconds + pace > limit.seconds

    def expected(self, limit: Limit) -> int:
        """Steps that this training will have at its end, at this pace."""
        return max(self.step, min(limit.steps, round(self.step / max(self.share(limit), 1e-3))))

    def learn(self, loss: Tensor, share: float) -> float:
        """One step of the optimiser; the loss with its pull to the parent."""
        pull = torch.stack([(p - self.parent[n]).square().sum() for n, p in self.parameters.items()]).sum()
        total = loss + 0.5 * self.recipe.pull * pull
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * _rate(share)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        decay = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        for name, parameter in self.parameters.items():
            self.average[name].lerp_(parameter.detach(), 1 - decay)
        self.step += 1
        return float(total.detach())

    def save(self) -> None:
        """Keep what learns, its average and the optimiser; a few hundred kilobytes where only norms learn."""
        tensors: dict[str, Tensor] = {f"network.{n}": p for n, p in self.parameters.items()}
        tensors |= {f"average.{n}": t for n, t in self.average.items()}
        tensors |= optimizer_tensors(self.optimizer)
        header = {"step": self.step, "seconds": self.seconds, "seed": self.seed, "finished": self.finished}
        save_tensors(self.path, tensors, header)

    def resume(self) -> None:
        """Go on from what was kept, if there is anything."""
        if not self.path.exists():
            return
        tensors, header = load_tensors(self.path)
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(tensors[f"network.{name}"])
                self.average[name].copy_(tensors[f"average.{name}"])
        restore_optimizer(self.optimizer, tensors)
        self.step, self.seconds = int(header["step"]), float(header["seconds"])
        self.finished = bool(header["finished"])

    @torch.no_grad()
    def use_average(self) -> None:
        """The average is the child."""
        for name, parameter in self.parameters.items():
            parameter.copy_(self.average[name])
        self.network.eval()


def _rate(share: float) -> float:
    """Share of the peak learning rate after a share of the training: up over the first 5 %, then half a cosine."""
    return min(1.0, (share + 0.01) / 0.06) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))


def _hold_statistics(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def seconds_of(checkpoint: Path) -> float:
    """What the training that a checkpoint keeps has taken so far."""
    return float(load_tensors(checkpoint)[1]["seconds"])


def save_child(path: Path, state: Mapping[str, Tensor]) -> None:
    """Keep the weights of a child, whole or not at all."""
    save_tensors(path, dict(state), {"stage": "finetune"})
