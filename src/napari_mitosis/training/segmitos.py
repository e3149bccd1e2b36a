"""The training of the compact SegMitos as a system: `recipe` with the paper's random concentric labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from ..datasets.crops import Crop
from ..datasets.sample import Sample
from ..errors import WeightsError
from ..jobs import Job
from ..models.card import ModelCard
from ..models.fcn import FCN, load_pytorch_fcn, load_torchvision_vgg16
from ..models.segmitos import CompactSegMitos
from ..models.weights import check_state, load_weights, read_state
from .augment import LABELS
from .paper import PaperRecipe, train_stages
from .recipe import Recipe, train_base, train_fields
from .systems import PaperPlan, System


@dataclass(frozen=True)
class SegMitosSystem(System):
    """See `systems.System`; a base may start from a trunk (EfficientNet-Lite0, ImageNet)."""

    name: str = "segmitos"
    recipe: Recipe = Recipe()

    def with_label(self, label: str) -> SegMitosSystem:
        """See `System.with_label`."""
        if not label:
            return self
        if label not in LABELS:
            raise WeightsError(f"there are no labels '{label}'; there are {', '.join(LABELS)}")
        augmentation = replace(self.recipe.augmentation, label=label)
        return replace(self, recipe=replace(self.recipe, augmentation=augmentation))

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

    def paper(
        self, config: str, samples: Sequence[Sample], init: Path | None, folder: Path, plan: PaperPlan
    ) -> Job[nn.Module]:
        """The paper's stages and rates: FCN-32s, then 16s, then 8s; `init` holds a VGG-16 or an FCN."""
        fcn = FCN(32)
        if init is not None:
            state = read_state(init)
            load = load_torchvision_vgg16 if "features.0.weight" in state else load_pytorch_fcn
            load(fcn, state)
        recipe = PaperRecipe(plan.steps or PaperRecipe.steps, plan.crop_px, label=self.recipe.augmentation.label)
        recipe = replace(recipe, seed=plan.seed)
        return (
            yield from train_stages(fcn, int(config.removeprefix("paper/").removesuffix("s")), samples, recipe, folder)
        )

    def card(self, *, version: str, seed: int) -> ModelCard:
        """The card before anything is measured."""
        title = "SegMitos, compact (EfficientNet-Lite0, stride 4)"
        return super().card(version=version, seed=seed).model_copy(update={"title": title})


SYSTEM = SegMitosSystem()
