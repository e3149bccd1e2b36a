"""How each detector is trained: one `System` for each, found by the detector's name."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from torch import nn

from ..datasets.crops import Crop
from ..datasets.sample import Sample
from ..decision.decide import Rule
from ..jobs import Job
from ..models.card import ModelCard
from ..models.registry import detector_class
from ..models.weights import load_weights
from .checkpoint import save_tensors
from .fit import fit_centroids
from .publish import TERMS
from .recipe import FIELDS_WINDOW_PX, Recipe, window_draw
from .windows import CropSource, FieldSource, Window


class System(Protocol):
    """The training of one detector, in two stages."""

    @property
    def name(self) -> str:
        """Registered name of the detector."""
        ...

    def base(
        self, crops: Sequence[Crop], folder: Path, *, init: Path | None, seed: int, steps: int = 0
    ) -> Job[nn.Module]:
        """Stage 1, on crops only, so that one base serves every fold. Leaves ``folder/base.safetensors``.

        Parameters
        ----------
        init : Path, optional
            Weights to start from; what they may be is the system's.
        steps : int
            Optimiser steps; 0 = the recipe's.
        """
        ...

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
        """Stage 2, on annotated fields. Leaves ``folder/model.safetensors``; a killed run goes on from `folder`."""
        ...

    def card(self, *, version: str, seed: int) -> ModelCard:
        """The card before anything is measured."""
        ...


def system(name: str) -> System:
    """The training of the detector `name`: ``SYSTEM`` of ``training/<name>.py``, or the default one.

    Raises
    ------
    WeightsError
        If there is no such detector.
    """
    detector_class(name)
    if importlib.util.find_spec(f"{__package__}.{name}") is None:
        return DefaultSystem(name)
    return cast(System, importlib.import_module(f"{__package__}.{name}").SYSTEM)


@dataclass(frozen=True)
class DefaultSystem:
    """Trains any dense detector by its registered loss, with the recipe of the compact SegMitos.

    Attributes
    ----------
    name : str
    recipe : Recipe
    config : str
    """

    name: str
    recipe: Recipe = field(default_factory=Recipe)
    config: str = "compact"

    def network(self) -> nn.Module:
        """A network with fresh weights."""
        return detector_class(self.name).build(self.config)

    def base(
        self, crops: Sequence[Crop], folder: Path, *, init: Path | None, seed: int, steps: int = 0
    ) -> Job[nn.Module]:
        """See `System.base`; `init` holds weights of the whole network."""
        network = self.network()
        if init is not None:
            load_weights(network, init)
        options = replace(self.recipe.base, seed=seed, steps=steps or self.recipe.base.steps)
        source = CropSource(crops)

        def draw(rng: np.random.Generator) -> list[Window]:
            return [source.mosaic(rng) for _ in range(self.recipe.base_batch)]

        checkpoint = folder / "base.checkpoint.safetensors"
        loss = detector_class(self.name).loss
        network = yield from fit_centroids(network, loss, draw, options, self.recipe.augmentation, checkpoint)
        save_tensors(folder / "base.safetensors", network.state_dict(), {"stage": "base"})
        return network

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
        """See `System.fold`."""
        network = self.network()
        if start is not None:
            load_weights(network, start)
        options = replace(self.recipe.fields, seed=seed, steps=steps or self.recipe.fields.steps)
        mosaics = CropSource(crops, FIELDS_WINDOW_PX) if crops else None
        draw = window_draw(FieldSource(samples, FIELDS_WINDOW_PX), mosaics, self.recipe, lambda: [])
        checkpoint = folder / "fields.checkpoint.safetensors"
        loss = detector_class(self.name).loss
        network = yield from fit_centroids(network, loss, draw, options, self.recipe.augmentation, checkpoint)
        save_tensors(folder / "model.safetensors", network.state_dict(), {"stage": "fields"})
        return network

    def card(self, *, version: str, seed: int) -> ModelCard:
        """See `System.card`."""
        cls = detector_class(self.name)
        with torch.device("meta"):
            parameters = sum(p.numel() for p in cls.build(self.config).parameters())
        return ModelCard(
            detector=self.name,
            config=self.config,
            version=version,
            title=cls.title,
            mpp=0.25,
            tile_px=2208,
            halo_px=128,
            parameters=parameters,
            rule=asdict(Rule()),
            rule_chosen_on="nothing yet: the default rule",
            trained_on="nothing yet",
            seed=seed,
            terms=TERMS,
        )
