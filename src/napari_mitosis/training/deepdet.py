"""The training of the compact DeepDet as a system: trunk and decoder of a compact SegMitos, then boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from ..datasets.crops import Crop
from ..datasets.sample import Sample
from ..jobs import Job
from ..models.card import ModelCard
from ..models.deepdet import CompactDeepDet, DeepDet
from ..models.rpn import load_segmitos, score_margin
from ..models.weights import check_state, read_state
from .box_training import BoxRecipe, train_boxes
from .checkpoint import save_tensors
from .systems import DenseSystem, System


@dataclass(frozen=True)
class DeepDetSystem(System):
    """See `systems.System`. A start holds weights of a compact SegMitos or of a compact DeepDet."""

    name: str = "deepdet"
    recipe: BoxRecipe = field(default_factory=BoxRecipe)

    def base(
        self, crops: Sequence[Crop], folder: Path, *, init: Path | None, seed: int, steps: int = 0
    ) -> Job[nn.Module]:
        """Mosaics of crops, with the fixed box about each mitosis."""
        start = CompactDeepDet()
        if init is not None:
            load_start(start, init)
        system = DenseSystem("deepdet")
        save_tensors(folder / "start.safetensors", start.state_dict(), {})
        return (yield from system.base(crops, folder, init=folder / "start.safetensors", seed=seed, steps=steps))

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
        """Windows of the fields with the boxes of their masks.

        Hard negatives that the start was trained with (``mined.json`` beside it) are the first ones here, too: it
        must have been trained on these samples, in this order.
        """
        torch.manual_seed(seed)  # the heads are fresh, and a fold must not depend on the one before
        network = CompactDeepDet()
        mined = None
        if start is not None:
            load_start(network, start)
            mined = start.parent / "mined.json"
        return (yield from train_boxes(network, samples, crops, self.recipe.of(seed, steps), folder, mined))

    def card(self, *, version: str, seed: int) -> ModelCard:
        """The card before anything is measured."""
        card = super().card(version=version, seed=seed)
        rule = {**card.rule, "threshold": 0.3, "min_score": 0.5}
        title = "DeepDet, compact (EfficientNet-Lite0, stride 4)"
        return card.model_copy(update={"title": title, "rule": rule})


def load_start(network: DeepDet, path: Path) -> None:
    """Load weights of a compact DeepDet, or begin with those of a compact SegMitos, its score included.

    Raises
    ------
    WeightsError
        If they are neither.
    """
    state = read_state(path)
    if any(key.startswith("trunk.") for key in state):
        load_segmitos(network, state)
        network.regions.start_from(*score_margin(state))
        return
    check_state(network, state, path.name)
    network.load_state_dict(state)


SYSTEM = DeepDetSystem()
