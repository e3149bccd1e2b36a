"""The one training loop: a job that yields after each step and can be killed and resumed at any of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import WeightsError
from ..inference.device import precision
from ..inference.memory import kept_memory
from ..jobs import Job, Progress
from ..models.configured import Places, Rng
from .augment import Augmentation, centroid_batch, make_batch
from .checkpoint import (
    MovingAverage,
    load_tensors,
    optimizer_tensors,
    restore_optimizer,
    save_tensors,
)
from .windows import Window

Draw = Callable[[np.random.Generator], Sequence[Window]]
Loss = Callable[[Tensor, Tensor], Tensor]
CentroidLoss = Callable[[nn.Module, Tensor, Places, Rng, Tensor | None], Tensor]


class Search(Protocol):
    """What is looked for now and then with the network of the moment, and kept in a file beside the checkpoint."""

    def due(self, step: int) -> bool:
        """Whether to look before this step."""
        ...

    def look(self, step: int, network: nn.Module) -> None:
        """Look, and keep what was found."""
        ...


@dataclass(frozen=True)
class FitOptions:
    """One stage of training.

    Attributes
    ----------
    steps : int
        Optimiser steps.
    learning_rate : float
        Its peak; it rises over the first 5 % of the steps and falls along a half cosine.
    weight_decay : float
        Of convolution weights; biases and normalisations have none.
    optimizer : {"adamw", "paper"}
        ``"paper"`` is SGD with momentum .99, a fixed rate and twice that rate for biases (section 4.1).
    average : float
        Decay of the moving average of the weights; the average is what is kept.
    seed : int
        Step k draws from the generator seeded with (seed, k), so a resumed run repeats an unbroken one.
    checkpoint_every : int
        Steps between two checkpoints.
    schedule : {"cosine", "constant"}
        ``"constant"`` leaves the falling rate to the moving average: such a run can be made longer at any time.
    trunk_rate : float
        Share of the learning rate for parameters of a trunk.
    keep_statistics : bool
        Batch normalisations keep their running statistics and normalise by them, as in inference.
    """

    steps: int
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    optimizer: Literal["adamw", "paper"] = "adamw"
    average: float = 0.995
    seed: int = 0
    checkpoint_every: int = 50
    schedule: Literal["cosine", "constant"] = "cosine"
    trunk_rate: float = 1.0
    keep_statistics: bool = False


def seed_everything(seed: int, threads: int = 0) -> None:
    """Seed fresh weights, and limit the processor threads (0 = as many as there are)."""
    torch.manual_seed(seed)
    if threads:
        torch.set_num_threads(threads)


def fit(
    network: nn.Module,
    loss: Loss,
    draw: Draw,
    options: FitOptions,
    augmentation: Augmentation,
    checkpoint: Path,
    *,
    search: Search | None = None,
    device: str = "cpu",
) -> Job[nn.Module]:
    """Train a dense network in place on label maps.

    Parameters
    ----------
    network : nn.Module
        Has `stride`, the crop pixels for each cell of its output.
    loss : callable
        ``loss(logits, labels) -> scalar``.
    draw : callable
        ``draw(rng) -> windows`` of one batch.
    augmentation : Augmentation
    options, checkpoint, search
        See `fit_steps`.
    """
    stride = int(network.stride)  # type: ignore[arg-type]

    def step_loss(network: nn.Module, rng: np.random.Generator) -> Tensor:
        crops, labels = make_batch(draw(rng), rng, augmentation, stride)
        return loss(network(crops.to(device)), labels.to(device))

    return (yield from fit_steps(network, step_loss, options, checkpoint, search=search, device=device))


def fit_centroids(
    network: nn.Module,
    loss: CentroidLoss,
    draw: Draw,
    options: FitOptions,
    augmentation: Augmentation,
    checkpoint: Path,
    *,
    search: Search | None = None,
    device: str = "cpu",
) -> Job[nn.Module]:
    """Train a network in place by its registered loss, `models.registry.DetectorClass.loss`.

    Parameters
    ----------
    loss : callable
        ``loss(network, crops, centroids, rng, ignore) -> scalar``.
    draw, augmentation, options, checkpoint, search
        See `fit` and `fit_steps`.
    """

    def step_loss(network: nn.Module, rng: np.random.Generator) -> Tensor:
        crops, centroids, ignore = centroid_batch(draw(rng), rng, augmentation)
        return loss(network, crops.to(device), centroids, rng, ignore)

    return (yield from fit_steps(network, step_loss, options, checkpoint, search=search, device=device))


def fit_steps(
    network: nn.Module,
    step_loss: Callable[[nn.Module, np.random.Generator], Tensor],
    options: FitOptions,
    checkpoint: Path,
    *,
    search: Search | None = None,
    device: str = "cpu",
) -> Job[nn.Module]:
    """Train `network` in place, whatever its loss is computed from.

    Parameters
    ----------
    network : nn.Module
    step_loss : callable
        ``step_loss(network, rng) -> scalar``: draws a batch and computes its loss.
    options : FitOptions
    checkpoint : Path
        Safetensors file to write; where it exists the run continues from it.
    search : Search, optional
        Looks for material with the network of the moment, such as hard negatives.

    Returns
    -------
    nn.Module
        `network`, holding the averaged weights, in evaluation mode.

    Raises
    ------
    WeightsError
        If the checkpoint belongs to other options, or the loss is no longer finite.
    """
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = _optimizer(network, options)
    average = MovingAverage(network, options.average)
    start = _resume(checkpoint, network, optimizer, average, options) if checkpoint.exists() else 0
    recent = float("nan")
    began, saved = time.monotonic(), True
    with kept_memory():
        for step in range(start, options.steps):
            if search is not None and search.due(step):
                if not saved:  # what is found belongs to this step: a killed run must not go on from an earlier one
                    _save(checkpoint, network, optimizer, average, options, step)
                search.look(step, network)
            network.train()
            if options.keep_statistics:
                _hold_statistics(network)
            rng = np.random.default_rng([options.seed, step])
            torch.manual_seed(options.seed * 1_000_003 + step)
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * _schedule(step, options)
            with _fast(torch.device(device)):
                value = step_loss(network, rng)
            if not torch.isfinite(value):
                raise WeightsError(f"the loss is no longer finite at step {step}; lower the learning rate")
            optimizer.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            if options.optimizer == "adamw":
                nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            average.update(network, step)
            recent = value.item() if math.isnan(recent) else 0.95 * recent + 0.05 * value.item()
            saved = (step + 1) % options.checkpoint_every == 0 or step + 1 == options.steps
            if saved:
                _save(checkpoint, network, optimizer, average, options, step + 1)
            each = (time.monotonic() - began) / (step + 1 - start)
            try:
                yield Progress(step + 1, options.steps, "training", {"loss": recent, "seconds_a_step": each})
            except GeneratorExit:  # cancelled: what was done since the last checkpoint is kept, too
                if not saved:
                    _save(checkpoint, network, optimizer, average, options, step + 1)
                raise
    network.load_state_dict(average.tensors)
    return network.eval()


def _optimizer(network: nn.Module, options: FitOptions) -> torch.optim.Optimizer:
    """Weights with decay; biases and normalisations without, as in the paper's training; a trunk at its own rate."""
    paper = options.optimizer == "paper"
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    # One part where all learn alike, so that the order of parameters in a checkpoint stays what it was.
    slow = {name for name, _ in named if "trunk." in name and options.trunk_rate != 1}
    groups: list[dict[str, Any]] = []
    for in_slow, share in ((False, 1.0), (True, options.trunk_rate)):
        part = [p for name, p in named if (name in slow) is in_slow]
        if not part:
            continue
        rate = options.learning_rate * share
        bias_rate = rate * (2 if paper else 1)
        groups += [
            {"params": [p for p in part if p.ndim > 1], "weight_decay": options.weight_decay, "peak": rate},
            {"params": [p for p in part if p.ndim <= 1], "weight_decay": 0.0, "peak": bias_rate},
        ]
    if paper:
        return torch.optim.SGD(groups, lr=options.learning_rate, momentum=0.99)
    return torch.optim.AdamW(groups, lr=options.learning_rate)


def _fast(device: torch.device) -> torch.autocast:
    """The precision in which a step is fastest: half of it on a GPU, all of it on a processor.

    Processors with bfloat16 look at fields faster in it, but learn more slowly: the gradient of a depthwise
    convolution is computed in float32 all the same, between two conversions.
    """
    dtype = precision(device)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda" and dtype == torch.bfloat16)


def _hold_statistics(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


_WARM_STEPS = 40


def _schedule(step: int, options: FitOptions) -> float:
    """Share of the peak learning rate at a step."""
    if options.optimizer == "paper":
        return 1.0
    steps = options.steps
    if options.schedule == "constant":
        return min(1.0, (step + 1) / _WARM_STEPS)
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _save(
    path: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: MovingAverage,
    options: FitOptions,
    step: int,
) -> None:
    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.tensors.items()}
    tensors |= optimizer_tensors(optimizer)
    save_tensors(path, tensors, {"step": step, "seed": options.seed, "steps": options.steps})


def _resume(
    path: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: MovingAverage,
    options: FitOptions,
) -> int:
    tensors, header = load_tensors(path)
    longer = options.schedule == "constant" and int(header.get("step", 0)) <= options.steps
    if header.get("seed") != options.seed or (header.get("steps") != options.steps and not longer):
        raise WeightsError(
            f"{path} is the checkpoint of another run (seed {header.get('seed')}, {header.get('steps')} steps); "
            "give this run a folder of its own"
        )
    network.load_state_dict({k[8:]: v for k, v in tensors.items() if k.startswith("network.")})
    average.tensors = {k[8:]: v for k, v in tensors.items() if k.startswith("average.")}
    restore_optimizer(optimizer, tensors)
    return int(header["step"])
