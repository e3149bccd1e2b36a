"""How the compact DeepVer is trained (Li et al. 2018, section 3.2): truths, false detections and mimics.

The paper trains on every detection of DeepDet in the training fields. So here, with one difference: the false
detections are those of a SegMitos network at a low threshold, so that a detector which knows its training fields
too well still leaves enough of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..datasets.crops import Crop
from ..datasets.sample import Sample
from ..decision.decide import Rule
from ..jobs import Job, Progress
from ..models.card import ModelCard
from ..models.deepver import CROP_PX, CompactDeepVer, PaperDeepVer
from ..models.resnet import load_torchvision_resnet50
from ..models.segmitos import CompactSegMitos
from ..models.weights import load_state, load_weights, read_state
from .augment import Augmentation, centroid_batch
from .checkpoint import save_tensors
from .fit import Draw, FitOptions, fit_steps
from .mining import Miner, Place
from .publish import TERMS
from .systems import System
from .windows import FieldSource, Window

_WINDOW_PX = 168  # a 96 px crop zoomed out by 0.85 and turned by 45 degrees
_INSIDE_PX = 10.0
_OUTSIDE_PX = 22.0


@dataclass(frozen=True)
class VerRecipe:
    """Steps, batch and mix.

    Attributes
    ----------
    mix : tuple of int
        Crops of each batch: mitoses of the fields, false detections and labelled mimics, anywhere, mitoses of
        the crops, mimics of the crops.
    """

    options: FitOptions = field(default_factory=lambda: FitOptions(steps=160, learning_rate=7e-4, average=0.98))
    mix: tuple[int, int, int, int, int] = (10, 14, 4, 8, 6)
    augmentation: Augmentation = Augmentation(CROP_PX)


class CentredCrops:
    """Annotated crops as windows about one of their figures, padded by reflection."""

    def __init__(self, crops: Sequence[Crop], margin_px: float = 24.0) -> None:
        self._pixels = [crop.pixels() for crop in crops]
        self.figures: dict[str, list[tuple[int, float, float]]] = {"mitosis": [], "mimic": []}
        self._mitoses = []
        for i, crop in enumerate(crops):
            h, w = crop.shape
            for y, x, label in crop.points[["y_px", "x_px", "label"]].itertuples(index=False):
                if label in self.figures and min(y, x, h - y, w - x) >= margin_px:
                    self.figures[label].append((i, y, x))
            points = crop.points.loc[crop.points["label"] == "mitosis", ["y_px", "x_px"]]
            self._mitoses.append(points.to_numpy(dtype=np.float64))

    def window(self, label: str, rng: np.random.Generator, jitter_px: float = 4.0) -> Window:
        """A window about a random figure with this label."""
        index, y, x = self.figures[label][int(rng.integers(len(self.figures[label])))]
        pad = _WINDOW_PX
        top, left = (round(v + rng.uniform(-jitter_px, jitter_px)) + pad - _WINDOW_PX // 2 for v in (y, x))
        pixels = self._pixels[index]
        rows, columns = (np.arange(t, t + _WINDOW_PX) - pad for t in (top, left))
        cut = pixels[_mirrored(rows, pixels.shape[0])][:, _mirrored(columns, pixels.shape[1])]
        points = self._mitoses[index] + pad - (top, left)
        return Window(cut, np.zeros((_WINDOW_PX, _WINDOW_PX), dtype=bool), points)


def _mirrored(index: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    period = 2 * (size - 1)
    index = np.abs(index) % period
    return np.minimum(index, period - index)


@dataclass(frozen=True)
class DeepVerSystem(System):
    """See `systems.System`. One stage: `fold` starts from a compact SegMitos, which also finds its false detections."""

    name: str = "deepver"
    recipe: VerRecipe = field(default_factory=VerRecipe)

    def begin(self, network: nn.Module, init: Path) -> None:
        """Its own weights, or torchvision's ResNet-50 (ImageNet), with which the paper begins."""
        state = read_state(init)
        if isinstance(network, PaperDeepVer) and "layer1.0.conv1.weight" in state:
            load_torchvision_resnet50(network.resnet, state)
        else:
            load_state(network, state, init.name)

    def base(
        self, crops: Sequence[Crop], folder: Path, *, init: Path | None, seed: int, steps: int = 0
    ) -> Job[nn.Module]:
        """Crops only; `init` holds weights of a compact SegMitos trained on crops only."""
        network = self._network(init, seed)
        source = CentredCrops(crops)
        counts = {"mitosis": sum(self.recipe.mix) // 2, "mimic": sum(self.recipe.mix) // 2}

        def draw(rng: np.random.Generator) -> list[Window]:
            return [source.window(label, rng) for label, n in counts.items() for _ in range(n)]

        trained = yield from self._fit(network, draw, folder / "base.checkpoint.safetensors", seed, steps)
        save_tensors(folder / "base.safetensors", trained.state_dict(), {"stage": "base"})
        return trained

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
        """Truths and false detections of the fields, with crops; `start` holds weights of a compact SegMitos."""
        network = self._network(start, seed)
        fields = FieldSource(samples, _WINDOW_PX)
        detector = CompactSegMitos()
        if start is not None:
            load_weights(detector, start)
        miner = Miner(fields, [0], folder / "mined.json")
        if not miner.places:
            yield Progress(0, 1, "false detections of the training fields")
            miner.look(0, detector)
        centred = CentredCrops(crops) if crops else None
        draw = _draw(fields, centred, miner.places, self.recipe.mix)
        trained = yield from self._fit(network, draw, folder / "fields.checkpoint.safetensors", seed, steps)
        save_tensors(folder / "model.safetensors", trained.state_dict(), {"stage": "fields"})
        return trained

    def card(self, *, version: str, seed: int) -> ModelCard:
        """The card before anything is measured."""
        with torch.device("meta"):
            parameters = sum(p.numel() for p in CompactDeepVer().parameters())
        return ModelCard(
            detector="deepver",
            kind="verifier",
            config="compact",
            version=version,
            title="DeepVer, compact (EfficientNet-Lite0, 96 x 96 crops)",
            mpp=0.25,
            tile_px=2208,
            halo_px=64,
            parameters=parameters,
            rule=asdict(Rule()),
            rule_chosen_on="none of its own: each detector's card holds the rule for both",
            trained_on="nothing yet",
            seed=seed,
            terms=TERMS,
        )

    def _network(self, start: Path | None, seed: int) -> CompactDeepVer:
        torch.manual_seed(seed)  # the head is fresh, and a fold must not depend on the one before
        network = CompactDeepVer()
        if start is not None:
            state = read_state(start)
            network.trunk.load_state_dict({k[6:]: v for k, v in state.items() if k.startswith("trunk.")})
        return network

    def _fit(self, network: nn.Module, draw: Draw, checkpoint: Path, seed: int, steps: int) -> Job[nn.Module]:
        options = replace(self.recipe.options, seed=seed, steps=steps or self.recipe.options.steps)

        def step_loss(network: nn.Module, rng: np.random.Generator) -> Tensor:
            crops, centroids, _ = centroid_batch(draw(rng), rng, self.recipe.augmentation)
            return crop_loss(network(crops), centroids)

        return (yield from fit_steps(network, step_loss, options, checkpoint))


def crop_loss(logits: Tensor, centroids: Sequence[NDArray[np.float64]]) -> Tensor:
    """Softmax loss; a crop is a mitosis where a centroid lies within 10 px of its centre.

    Crops with a centroid between 10 and 22 px from the centre are neither, and left out.
    """
    centre = (CROP_PX - 1) / 2
    nearest = np.array([np.linalg.norm(p - centre, axis=1).min(initial=np.inf) for p in centroids])
    labels = torch.from_numpy((nearest <= _INSIDE_PX).astype(np.int64)).to(logits.device)
    clear = torch.from_numpy((nearest <= _INSIDE_PX) | (nearest > _OUTSIDE_PX)).to(logits.device)
    return F.cross_entropy(logits[clear].float(), labels[clear], label_smoothing=0.05)


def _draw(
    fields: FieldSource, crops: CentredCrops | None, places: Sequence[Place], mix: tuple[int, int, int, int, int]
) -> Draw:
    """Batches of windows about one place each."""
    false = [*places, *((i, float(y), float(x)) for i, m in enumerate(fields.mimics) for y, x in m)]

    def near(index: int, y: float, x: float, rng: np.random.Generator) -> Window:
        dy, dx = rng.uniform(-4, 4, 2)
        return fields.window(index, y + dy, x + dx)

    def draw(rng: np.random.Generator) -> list[Window]:
        windows = [fields.positive(rng, reach_px=4.0) for _ in range(mix[0])]
        for _ in range(mix[1]):
            windows.append(near(*false[int(rng.integers(len(false)))], rng) if false else fields.negative(rng))
        windows += [fields.negative(rng) for _ in range(mix[2])]
        for label, n in (("mitosis", mix[3]), ("mimic", mix[4])):
            if crops is not None and crops.figures[label]:
                windows += [crops.window(label, rng) for _ in range(n)]
        return windows

    return draw


SYSTEM = DeepVerSystem()
