"""How each detector is trained: one `System` for each, found by the detector's name."""

from __future__ import annotations

import importlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import nn

from ..datasets.crops import Crop
from ..datasets.sample import Sample
from ..decision.decide import Rule
from ..errors import WeightsError
from ..jobs import Job
from ..models.card import ModelCard
from ..models.registry import detector_class
from ..models.weights import load_weights
from .augment import plain
from .checkpoint import save_tensors
from .fit import Draw, FitOptions, fit_centroids
from .publish import TERMS
from .recipe import FIELDS_WINDOW_PX, Recipe, window_draw
from .windows import CropSource, FieldSource, Window


@dataclass(frozen=True)
class System(ABC):
    """The training of one detector: hooks that a system replaces where it differs.

    Attributes
    ----------
    name : str
        Registered name of the detector.
    config : str
        Of the network that ships.
    """

    name: str
    config: str = "compact"

    def with_label(self, label: str) -> System:
        """The same, taught by another kind of label (`augment.LABELS`; "" = its own).

        Raises
        ------
        WeightsError
            If the system has only its own.
        """
        if label:
            raise WeightsError(f"the labels of {self.name} are its own; of segmitos there are several kinds")
        return self

    def network(self) -> nn.Module:
        """A network with fresh weights."""
        return detector_class(self.name).build(self.config)

    @abstractmethod
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

    @abstractmethod
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

    def paper(
        self, config: str, samples: Sequence[Sample], init: Path | None, folder: Path, plan: PaperPlan
    ) -> Job[nn.Module]:
        """A network of the paper, by the registered loss, one patch a step, half of them about a mitosis.

        Raises
        ------
        WeightsError
            Without a number of steps: the papers' need a large GPU, and there is no default for them.
        """
        if not plan.steps:
            raise WeightsError("say how many --steps a network of a paper is to be trained")
        cls = detector_class(self.name)
        network = cls.build(config)
        if init is not None:
            self.begin(network, init)
        # A patch turned by 45 degrees needs corners that lie outside its square.
        fields = FieldSource(samples, window_px=2 * int(np.ceil(plan.crop_px * 0.5 * 2**0.5)))
        options = FitOptions(steps=plan.steps, learning_rate=1e-4, seed=plan.seed)
        augmentation = plain(plan.crop_px)
        checkpoint = folder / "checkpoint.safetensors"
        trained = yield from fit_centroids(network, cls.loss, half_positive(fields), options, augmentation, checkpoint)
        self.finish(trained, fields, plan.seed)
        return trained

    def begin(self, network: nn.Module, init: Path) -> None:
        """Load what a network of the paper begins with: its own weights, or others that a system knows how to take.

        Raises
        ------
        WeightsError
            If they do not fit.
        """
        load_weights(network, init)

    def finish(self, network: nn.Module, fields: FieldSource, seed: int) -> None:  # noqa: B027 (most need nothing)
        """What a trained network needs besides its weights; nothing, unless a system says so."""

    def card(self, *, version: str, seed: int) -> ModelCard:
        """The card before anything is measured."""
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


@dataclass(frozen=True)
class PaperPlan:
    """How a network of a paper is trained.

    Attributes
    ----------
    steps : int
        Optimiser steps of one patch each; 0 = the paper's, where it is known.
    crop_px : int
        Side of a patch.
    """

    steps: int = 0
    crop_px: int = 500
    seed: int = 0


def half_positive(fields: FieldSource, share: float = 0.5) -> Draw:
    """Batches of one window: about a mitosis in a `share` of the steps, anywhere in the others."""

    def draw(rng: np.random.Generator) -> list[Window]:
        return [fields.positive(rng, reach_px=100.0) if rng.random() < share else fields.negative(rng)]

    return draw


def system(name: str) -> System:
    """The training of the detector `name`: ``SYSTEM`` of ``training/<name>.py``, or the default one.

    Raises
    ------
    WeightsError
        If there is no such detector.
    """
    detector_class(name)
    if importlib.util.find_spec(f"{__package__}.{name}") is None:
        return DenseSystem(name)
    return cast(System, importlib.import_module(f"{__package__}.{name}").SYSTEM)


@dataclass(frozen=True)
class DenseSystem(System):
    """Trains any dense detector by its registered loss, with the recipe of the compact SegMitos.

    Attributes
    ----------
    recipe : Recipe
    """

    recipe: Recipe = Recipe()

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
