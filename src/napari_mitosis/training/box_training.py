"""Windows with the outline of each mitosis, and the training of the compact DeepDet on them.

The box of a figure that was turned is not the turned box: outlines go through the augmentation, and boxes are drawn
about them afterwards.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from torch import Tensor, nn

from ..datasets.crops import Crop
from ..datasets.sample import Sample
from ..files import write_whole
from ..inference.device import precision
from ..jobs import Job
from ..models.box_targets import FIXED_BOX_PX
from ..models.deepdet import DeepDet, detection_loss
from .augment import Augmentation, point_batch
from .checkpoint import save_tensors
from .fit import FitOptions, fit_steps
from .mining import Place
from .recipe import Recipe, window_draw
from .windows import WINDOW_PX, CropSource, FieldSource, Window

# A circle whose box is the fixed one however it is turned.
_ANGLES = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_CIRCLE = np.stack([np.sin(_ANGLES), np.cos(_ANGLES)], axis=1) * FIXED_BOX_PX / 2
_FAR_PX = 40.0


@dataclass(frozen=True)
class BoxRecipe:
    """How the compact DeepDet is trained.

    Attributes
    ----------
    windows : Recipe
        Its ``fields`` part: steps, rates, mix of windows and augmentation.
    mine_at : float
        Share of the steps after which hard negatives are looked for.
    mined : int
        Most places for each field.
    """

    windows: Recipe = field(
        default_factory=lambda: Recipe(
            fields=FitOptions(steps=70, learning_rate=5e-4, average=0.97),
            fields_batch=16,
            augmentation=Augmentation(160),
        )
    )
    mine_at: float = 0.4
    mined: int = 25

    def of(self, seed: int, steps: int) -> BoxRecipe:
        """The same with another seed and, unless 0, another number of steps."""
        options = replace(self.windows.fields, seed=seed, steps=steps or self.windows.fields.steps)
        return replace(self, windows=replace(self.windows, fields=options))


@dataclass(frozen=True, eq=False)
class OutlinedWindow(Window):
    """A window with an outline for each of its mitoses.

    Attributes
    ----------
    outlines : list of ndarray, shape (k, 2)
        (y, x) in window pixels.
    """

    outlines: list[NDArray[np.float64]] = field(default_factory=list)


class OutlinedFields(FieldSource):
    """A field source that knows the outlines of masks; where there is only a centre, a circle for the fixed box."""

    def __init__(self, samples: Sequence[Sample], window_px: int = WINDOW_PX) -> None:
        super().__init__(samples, window_px)
        self._outlines = [_outlines(s) for s in samples]

    def window(self, index: int, y: float, x: float) -> Window:
        """See `FieldSource.window`."""
        plain = super().window(index, y, x)
        shifts = plain.mitoses_yx - self.mitoses[index]
        moved = [outline + shift for outline, shift in zip(self._outlines[index], shifts, strict=True)]
        return OutlinedWindow(plain.pixels, plain.ignore, plain.mitoses_yx, plain.mask, plain.mimics_yx, moved)


def _outlines(sample: Sample) -> list[NDArray[np.float64]]:
    centres = sample.centroids_yx("mitosis")
    if not sample.has_mask:
        return [_CIRCLE + centre for centre in centres]
    mask = sample.mask
    assert mask is not None
    return [_outline(np.argwhere(mask == number)) for number in range(1, len(centres) + 1)]


def _outline(pixels: NDArray[np.intp]) -> NDArray[np.float64]:
    """Convex outline of pixels, through their outer corners."""
    corners = np.concatenate([pixels + np.array([dy, dx]) for dy in (-0.5, 0.5) for dx in (-0.5, 0.5)])
    outline: NDArray[np.float64] = corners[ConvexHull(corners).vertices]
    return outline


def box_batch(
    windows: Sequence[Window], rng: np.random.Generator, how: Augmentation
) -> tuple[Tensor, list[Tensor], Tensor]:
    """Augmented crops with the boxes of their mitoses.

    Parameters
    ----------
    windows : sequence of Window
        Those without outlines (mosaics of crops) get the fixed box about each centre.

    Returns
    -------
    crops : Tensor of float32, shape (N, 3, crop_px, crop_px)
    boxes : list of Tensor of float32, shape (n, 4)
        y0, x0, y1, x1 in crop pixels; they may lie beyond the crop.
    ignore : Tensor of bool, shape (N, crop_px, crop_px)
    """
    outlines = [w.outlines if isinstance(w, OutlinedWindow) else [_CIRCLE + p for p in w.mitoses_yx] for w in windows]
    points = [np.concatenate(o) if o else np.zeros((0, 2)) for o in outlines]
    crops, moved, ignore = point_batch(windows, points, rng, how)
    boxes = []
    for shapes, places in zip(outlines, moved, strict=True):
        parts = np.split(places, np.cumsum([len(o) for o in shapes])[:-1]) if shapes else []
        edges = [np.concatenate([p.min(axis=0), p.max(axis=0)]) for p in parts]
        boxes.append(torch.from_numpy(np.array(edges, dtype=np.float32).reshape(-1, 4)))
    return crops, boxes, ignore


class BoxMiner:
    """Hard negatives: what the network of the moment detects in vain in the fields it is trained on.

    Parameters
    ----------
    fields : FieldSource
    step : int
        Before which to look for them.
    count : int
        Most places for each field.
    path : Path
        JSON file of the places; what it holds already is used until then.
    """

    def __init__(self, fields: FieldSource, step: int, count: int, path: Path) -> None:
        self._fields, self._step, self._count, self._path = fields, step, count, path
        self.places: list[Place] = []
        if path.exists():
            kept = [(int(i), float(y), float(x)) for i, y, x in json.loads(path.read_text(encoding="utf-8"))]
            self.places = [p for p in kept if p[0] < len(fields.shapes) and self._far(p[0], np.array([p[1:]]))[0]]

    def due(self, step: int) -> bool:
        """See `fit.Search`."""
        return step == self._step

    def look(self, step: int, network: nn.Module) -> None:
        """Mine."""
        assert isinstance(network, DeepDet)
        network.eval()
        self.places = []
        for index in range(len(self._fields.shapes)):
            boxes = field_boxes(self._fields.pixels(index), network)
            centres = (boxes[:, :2] + boxes[:, 2:4]) / 2
            hard = centres[self._far(index, centres) & (boxes[:, 4] > 0.02)][: self._count]
            self.places += [(index, float(y), float(x)) for y, x in hard]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._path, json.dumps(self.places))

    def _far(self, index: int, places: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which places are far from every figure that is or may be a mitosis."""
        known = np.concatenate([self._fields.mitoses[index], self._fields.unsure[index]])
        if len(known) == 0:
            return np.ones(len(places), dtype=bool)
        distance = np.linalg.norm(places[:, None] - known[None], axis=2)
        return np.asarray(distance.min(axis=1) > _FAR_PX)


@torch.inference_mode()
def field_boxes(pixels: NDArray[np.uint8], network: DeepDet) -> NDArray[np.float64]:
    """Boxes (n, 5) of a whole field in one pass, in what the device is fastest in; for mining only."""
    h, w = pixels.shape[:2]
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    image = F.pad(image, (0, -w % 32, 0, -h % 32), mode="reflect").contiguous(memory_format=torch.channels_last)
    device = next(network.parameters()).device
    dtype = precision(device)
    with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
        boxes = network.boxes(image.to(device))
    return np.asarray(boxes.double().cpu().numpy())


def train_boxes(
    network: DeepDet,
    samples: Sequence[Sample],
    crops: Sequence[Crop],
    recipe: BoxRecipe,
    folder: Path,
    mined: Path | None = None,
) -> Job[nn.Module]:
    """Train on fields and mosaics of crops. Leaves ``folder/model.safetensors``; a killed run goes on.

    Parameters
    ----------
    mined : Path, optional
        Hard negatives of another network in the same fields, to begin with.
    """
    options = recipe.windows.fields
    fields = OutlinedFields(samples)
    mosaics = CropSource(crops) if crops else None
    places_file = folder / "mined.json"
    if mined is not None and mined.exists() and not places_file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(mined, places_file)
    miner = BoxMiner(fields, max(1, int(recipe.mine_at * options.steps)), recipe.mined, places_file)
    draw = window_draw(fields, mosaics, recipe.windows, lambda: miner.places)

    def step_loss(network: nn.Module, rng: np.random.Generator) -> Tensor:
        pixels, boxes, ignore = box_batch(draw(rng), rng, recipe.windows.augmentation)
        return detection_loss(network, pixels, boxes, rng, ignore)

    checkpoint = folder / "fields.checkpoint.safetensors"
    trained = yield from fit_steps(network, step_loss, options, checkpoint, search=miner)
    save_tensors(folder / "model.safetensors", trained.state_dict(), {"stage": "fields"})
    return trained
