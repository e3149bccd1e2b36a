"""The training of the compact SegMitos as a system: `recipe` with the paper's random concentric labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import nn

from ..datasets.crops import Crop
from ..datasets.sample import Sample
from ..jobs import Job
from ..models.card import ModelCard
from ..models.segmitos import CompactSegMitos
from ..models.weights import check_state, load_weights, read_state
from .publish import draft_card
from .recipe import Recipe, train_base, train_fields


@dataclass(frozen=True)
class SegMitosSystem:
    """See `systems.System`; a base may start from a trunk (EfficientNet-Lite0, ImageNet)."""

    name: str = "segmitos"
    recipe: Recipe = field(default_factory=Recipe)

    def base(
        self, crops: Sequence[Crop], folder: Path, *, init: Path | None, seed: int, steps: int = 0
    ) -> Job[nn.Module]:
        """Stage 1; `init` holds weights of the trunk."""
        network = CompactSegMitos()
        if init is not None:
            state = read_state(init)
            check_state(network.trunk, state, init.name)
            network.trunk.load_state_dict(state)
        recipe = self.recipe.with_seed(seed)
        recipe = replace(recipe, base=replace(recipe.base, steps=steps or recipe.base.steps))
        return (yield from train_base(network, crops, recipe, folder))

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
        """Stage 2, from the weights of stage 1."""
        network = CompactSegMitos()
        if start is not None:
            load_weights(network, start)
        recipe = self.recipe.with_seed(seed)
        recipe = replace(recipe, fields=replace(recipe.fields, steps=steps or recipe.fields.steps))
        return (yield from train_fields(network, samples, crops, recipe, folder))

    def card(self, *, version: str, seed: int) -> ModelCard:
        """The card before anything is measured."""
        return draft_card(CompactSegMitos(), version=version, seed=seed)


SYSTEM = SegMitosSystem()
