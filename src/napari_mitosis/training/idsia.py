"""How the networks of IDSIA DNN are trained: on windows, most of them drawn by how hard they are (section 3).

The paper's steps, and what differs here:

- Positives are all pixels within 10 px of a centroid; negatives are drawn with weight D(p), the score that a
  briefly trained classifier C_d gives them. Here C_d is the base, which saw crops only, and D is taken anew from
  the network itself part of the way. D is known at every fourth pixel.
- Each window is turned at random and mirrored half of the time. Stain, zoom, blur and compression are
  varied, too: the paper trains and tests on the same five slides of one scanner.
- About each window that was drawn the classifier also learns its neighbours at steps of 8 px: they share most of
  the work. With them about 6 % of all windows are of class mitosis, as in the paper.
- Adam instead of plain gradient descent, and an average of the weights: minutes instead of days.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..datasets.crops import Crop
from ..datasets.sample import Sample
from ..decision.decide import Rule
from ..inference.device import precision
from ..jobs import Job
from ..models.card import ModelCard
from ..models.idsia import BORDER_PX, POSITIVE_PX, WINDOW_PX, Idsia, IdsiaNet, mirrored
from ..models.weights import load_weights
from .augment import Augmentation, centroid_batch
from .checkpoint import load_tensors, save_tensors
from .fit import Draw, FitOptions, fit_steps
from .pixel_windows import CentredMosaics, PixelSource
from .systems import System
from .windows import CropSource, Window

# A crop of 148 px holds 6 x 6 windows at steps of 8 px; zoomed out by 0.8 and turned it reaches over 262 px.
CROP_PX = WINDOW_PX + 47
SOURCE_PX = 264
MOSAIC_PX = 352
CELL_PX = 4
TERMS = (
    "Research use only; not a medical device. Trained on ICPR 2012 MITOSIS and ICPR 2014 MITOS-ATYPIA contest "
    "fields (no licence stated) and on crops of AMi-Br (repository MIT; its MIDOG 2021 images CC BY-NC-ND) and "
    "TUPAC16 (none stated): not for commercial use."
)


@dataclass(frozen=True)
class PixelRecipe:
    """Steps, batches and rates of both stages.

    Attributes
    ----------
    base, fields : FitOptions
        Crops only; annotated fields, mixed with crops against forgetting.
    base_mix : tuple of int
        Mosaics of a base batch: with a mitosis at the centre, anywhere.
    fields_mix : tuple of int
        Of a batch of stage 2: about a pixel of class mitosis, about one drawn by weight, mosaics with a mitosis
        at the centre, mosaics anywhere.
    weigh_at : tuple of float
        Shares of stage 2 after which D(p) is taken anew.
    """

    base: FitOptions = field(
        default_factory=lambda: FitOptions(
            steps=5500, learning_rate=3e-3, weight_decay=1e-3, average=0.998, checkpoint_every=250
        )
    )
    fields: FitOptions = field(
        default_factory=lambda: FitOptions(
            steps=900, learning_rate=2e-3, weight_decay=1e-3, average=0.995, checkpoint_every=100
        )
    )
    base_mix: tuple[int, int] = (7, 9)
    fields_mix: tuple[int, int, int, int] = (6, 6, 2, 2)
    weigh_at: tuple[float, ...] = (0.0, 0.35, 0.7)
    augmentation: Augmentation = Augmentation(CROP_PX)


def step_loss(draw: Draw, augmentation: Augmentation) -> Callable[[nn.Module, np.random.Generator], Tensor]:
    """Draw a batch of windows and compute the registered loss, in bfloat16 where the processor has it."""

    def loss(network: nn.Module, rng: np.random.Generator) -> Tensor:
        pixels, centroids, ignore = centroid_batch(draw(rng), rng, augmentation)
        place = next(network.parameters()).device
        with _fast(place):
            return Idsia.loss(network, pixels.to(place), centroids, rng, ignore)

    return loss


@contextmanager
def _fast(place: torch.device) -> Iterator[None]:
    dtype = precision(place)
    with torch.autocast(place.type, dtype=dtype, enabled=dtype == torch.bfloat16):
        yield


@torch.inference_mode()
def hardness(pixels: NDArray[np.uint8], network: IdsiaNet, cell_px: int = CELL_PX) -> NDArray[np.float32]:
    """D(p): mean score of both networks at the middle pixel of each cell, shape (H / cell_px, W / cell_px)."""
    height, width = (-(-n // cell_px) for n in pixels.shape[:2])
    middle = cell_px // 2
    place = next(network.parameters()).device
    image = mirrored(torch.from_numpy(pixels).permute(2, 0, 1)[None].float().to(place))
    missing = [
        max(0, (n - 1) * cell_px + middle + WINDOW_PX - s)
        for n, s in zip((height, width), image.shape[2:], strict=True)
    ]
    image = nn.functional.pad(image, (0, missing[1], 0, missing[0]), mode="replicate")
    image = image[:, :, middle:, middle:].contiguous(memory_format=torch.channels_last)
    with _fast(place):
        logits = [network.net(name).dense(image, cell_px).float() for name in network.map_names]
    score = torch.stack([z.softmax(1)[0, 1] for z in logits]).mean(0)
    return np.asarray(score[:height, :width].cpu().numpy(), dtype=np.float32)


class Weigher:
    """Takes D(p) anew before given steps, and keeps it in a file so that a resumed run has it.

    Parameters
    ----------
    source : PixelSource
    steps : sequence of int
    path : Path
        Safetensors file of the maps.
    """

    def __init__(self, source: PixelSource, steps: Sequence[int], path: Path) -> None:
        self._source = source
        self._steps = set(steps)
        self._path = path
        if path.exists():
            tensors, _ = load_tensors(path)
            source.weigh([tensors[f"{i:03d}"].numpy() for i in range(len(tensors))], CELL_PX)

    def due(self, step: int) -> bool:
        """See `fit.Search`."""
        return step in self._steps

    def look(self, step: int, network: nn.Module) -> None:
        """Weigh the pixels."""
        network.eval()
        fields = self._source.fields
        maps = [hardness(fields.pixels(i), cast(IdsiaNet, network)) for i in range(len(fields.shapes))]
        save_tensors(self._path, {f"{i:03d}": torch.from_numpy(m) for i, m in enumerate(maps)}, {"step": step})
        self._source.weigh(maps, CELL_PX)


def _mosaics(crops: Sequence[Crop]) -> CentredMosaics:
    return CentredMosaics(CropSource(crops, MOSAIC_PX), SOURCE_PX, POSITIVE_PX)


@dataclass(frozen=True)
class IdsiaSystem(System):
    """See `systems.System`."""

    name: str = "idsia"
    recipe: PixelRecipe = field(default_factory=PixelRecipe)

    def base(
        self, crops: Sequence[Crop], folder: Path, *, init: Path | None, seed: int, steps: int = 0
    ) -> Job[nn.Module]:
        """Both networks on mosaics of crops; `init` holds weights of both."""
        network = _network(init)
        mosaics, (centred, anywhere) = _mosaics(crops), self.recipe.base_mix
        options = replace(self.recipe.base, seed=seed, steps=steps or self.recipe.base.steps)

        def draw(rng: np.random.Generator) -> list[Window]:
            return [mosaics.positive(rng) for _ in range(centred)] + [mosaics.anywhere(rng) for _ in range(anywhere)]

        loss = step_loss(draw, self.recipe.augmentation)
        yield from fit_steps(network, loss, options, folder / "base.checkpoint.safetensors")
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
        """Both networks on a bootstrapped set of windows; C_d is the network that `start` holds."""
        network = _network(start)
        source = PixelSource(samples, SOURCE_PX, POSITIVE_PX)
        mosaics = _mosaics(crops) if crops else None
        options = replace(self.recipe.fields, seed=seed, steps=steps or self.recipe.fields.steps)
        steps_at = [int(share * options.steps) for share in self.recipe.weigh_at]
        weigher = Weigher(source, steps_at, folder / "hardness.safetensors")
        loss = step_loss(self._draw(source, mosaics), self.recipe.augmentation)
        checkpoint = folder / "fields.checkpoint.safetensors"
        yield from fit_steps(network, loss, options, checkpoint, search=weigher)
        save_tensors(folder / "model.safetensors", network.state_dict(), {"stage": "fields"})
        return network

    def _draw(self, source: PixelSource, mosaics: CentredMosaics | None) -> Draw:
        near, hard, centred, anywhere = self.recipe.fields_mix

        def draw(rng: np.random.Generator) -> list[Window]:
            windows = [source.positive(rng) for _ in range(near)] + [source.negative(rng) for _ in range(hard)]
            if mosaics is not None:
                windows += [mosaics.positive(rng) for _ in range(centred)]
                windows += [mosaics.anywhere(rng) for _ in range(anywhere)]
            return windows

        return draw

    def card(self, *, version: str, seed: int) -> ModelCard:
        """The card before anything is measured, with the paper's rule: d = 10 px, t = 0.35."""
        changes = {
            "halo_px": BORDER_PX,
            "poses": 2,
            "rule": asdict(START_RULE),
            "rule_chosen_on": "nothing yet: the paper's rule",
            "terms": TERMS,
        }
        return super().card(version=version, seed=seed).model_copy(update=changes)


START_RULE = Rule(
    method="peaks", disc_um=2.5, threshold=0.35, min_score=0.0, min_area_um2=0.0, min_distance_um=0.0, smoothing_um=0.0
)


def _network(start: Path | None) -> IdsiaNet:
    network = IdsiaNet()
    if start is not None:
        load_weights(network, start)
    return network


SYSTEM = IdsiaSystem()
