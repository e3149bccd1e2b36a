"""How the compact PartMitosis is trained (Sebai et al. 2020, sections III-C to III-E).

Stage-wise (section III-E) by default: the concentric branch is a SegMitos network of the same fold, trained on
weak labels, and stays as it is; the strong branch starts from its trunk and learns from the pixel masks. The
end-to-end strategy trains both at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..datasets.crops import Crop
from ..datasets.sample import Sample
from ..decision.decide import Rule
from ..jobs import Job
from ..models.card import ModelCard
from ..models.partmitosis import CompactPartMitosis, joint_loss, strong_loss
from ..models.transfer import PAPER_FORM
from ..models.weights import load_weights
from .augment import Augmentation, strong_batch
from .checkpoint import save_tensors
from .fit import FitOptions, fit_steps
from .mining import Miner
from .recipe import FIELDS_WINDOW_PX, Recipe, window_draw
from .segmitos import SegMitosSystem
from .strong import StrongSource
from .systems import System
from .windows import CropSource

Strategy = Literal["stage-wise", "end-to-end"]


@dataclass(frozen=True)
class PartRecipe:
    """The second stage.

    Attributes
    ----------
    strategy : {"stage-wise", "end-to-end"}
    form : str
        Of the weight transfer function, see `models.transfer.FORMS`.
    windows : Recipe
        Batch and mix of windows. Mosaics of crops have weak labels only: the stage-wise strategy has no use
        for them.
    """

    strategy: Strategy = "stage-wise"
    form: str = PAPER_FORM
    options: FitOptions = field(default_factory=lambda: FitOptions(steps=180, learning_rate=1e-3, average=0.98))
    windows: Recipe = field(default_factory=lambda: Recipe(fields_batch=24, mix=(0.5, 0.3, 0.2, 0.0)))
    mine_at: tuple[float, ...] = (0.0, 0.5)
    augmentation: Augmentation = Augmentation(128)


class PartMiner(Miner):
    """Hard negatives of the branch that is trained: of the concentric one at first, of the strong one later."""

    def look(self, step: int, network: nn.Module) -> None:
        """See `Miner.look`."""
        assert isinstance(network, CompactPartMitosis)
        super().look(step, network.concentric if step == 0 else _StrongOnly(network))


class _StrongOnly(nn.Module):
    """The strong branch as a dense network with two classes."""

    stride = CompactPartMitosis.stride

    def __init__(self, network: CompactPartMitosis) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network.strong_logits(x)


@dataclass(frozen=True)
class PartMitosisSystem(System):
    """See `systems.System`. Stage 1 is that of SegMitos; stage 2 starts from a SegMitos network of the fold."""

    name: str = "partmitosis"
    recipe: PartRecipe = field(default_factory=PartRecipe)

    def base(
        self, crops: Sequence[Crop], folder: Path, *, init: Path | None, seed: int, steps: int = 0
    ) -> Job[nn.Module]:
        """The concentric branch on crops; `init` holds weights of its trunk."""
        return (yield from SegMitosSystem().base(crops, folder, init=init, seed=seed, steps=steps))

    def fold(
        self,
        samples: Sequence[Sample],
        crops: Sequence[Crop],
        start: Path | None,
        folder: Path,
        *,
        seed: int,
        steps: int = 0,
    ) -> Job[nn.Module]:
        """Stage 2; `start` holds weights of a compact SegMitos."""
        torch.manual_seed(seed)  # the transfer is fresh, and a fold must not depend on the one before
        network = CompactPartMitosis(self.recipe.form)
        if start is not None:
            load_weights(network.concentric, start)
        network.start_from_segmitos()
        options = replace(self.recipe.options, seed=seed, steps=steps or self.recipe.options.steps)
        end_to_end = self.recipe.strategy == "end-to-end"
        step_loss, miner = _material(samples, crops, self.recipe, options.steps, folder)
        network.concentric.requires_grad_(end_to_end)
        checkpoint = folder / "fields.checkpoint.safetensors"
        yield from fit_steps(network, step_loss, options, checkpoint, search=miner)
        network.requires_grad_(True)
        save_tensors(folder / "model.safetensors", network.state_dict(), {"stage": "fields", **_named(self.recipe)})
        return network

    def card(self, *, version: str, seed: int) -> ModelCard:
        """The card before anything is measured: the paper's fusion weight 0.6."""
        with torch.device("meta"):
            parameters = sum(p.numel() for p in CompactPartMitosis(self.recipe.form).parameters())
        rule = Rule(smoothing_um=1.0, threshold=0.3, weights=(("concentric", 0.6), ("strong", 0.4)))
        title = "PartMitosis, compact (two branches on EfficientNet-Lite0, stride 4)"
        card = super().card(version=version, seed=seed)
        return card.model_copy(update={"title": title, "parameters": parameters, "rule": asdict(rule)})


def _named(recipe: PartRecipe) -> dict[str, str]:
    return {"strategy": recipe.strategy, "form": recipe.form}


def _material(
    samples: Sequence[Sample], crops: Sequence[Crop], recipe: PartRecipe, steps: int, folder: Path
) -> tuple[Callable[[nn.Module, np.random.Generator], Tensor], PartMiner]:
    """The loss of a step, and what looks for hard negatives."""
    end_to_end = recipe.strategy == "end-to-end"
    known = list(samples) if end_to_end else [s for s in samples if s.has_mask]
    source = StrongSource(known, FIELDS_WINDOW_PX)
    mosaics = CropSource(crops, FIELDS_WINDOW_PX) if crops and end_to_end else None
    miner = PartMiner(source, [int(share * steps) for share in recipe.mine_at], folder / "mined.json")
    windows = replace(recipe.windows, mix=(0.375, 0.25, 0.125, 0.25)) if end_to_end else recipe.windows
    draw = window_draw(source, mosaics, windows, lambda: miner.places)

    def step_loss(network: nn.Module, rng: np.random.Generator) -> Tensor:
        crops, concentric, strong = strong_batch(draw(rng), rng, recipe.augmentation, CompactPartMitosis.stride)
        assert isinstance(network, CompactPartMitosis)
        if end_to_end:
            return joint_loss(network, crops, concentric, strong)
        return strong_loss(network.strong_logits(crops), strong)

    return step_loss, miner


SYSTEM = PartMitosisSystem()
