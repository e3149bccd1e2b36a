"""How the compact MSSN is trained: both stages on annotated crops, then on the fields.

The trunk is that of a SegMitos and is not trained here. The base takes the trunk of a
SegMitos base, which saw crops only; a fold takes that of the SegMitos of the same fold, which saw the same fields
and no other, and learned from them what there was time for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..datasets.crops import Crop
from ..datasets.sample import Sample
from ..decision.decide import Rule
from ..errors import WeightsError
from ..inference.device import precision
from ..jobs import Job, Progress
from ..models.card import ModelCard
from ..models.mssn import MSSN, CompactMSSN, window_labels, windows_loss
from ..models.mssn_siamese import KINDS, REFERENCES, SIDE_PX, contrastive_loss
from ..models.mssn_stage1 import REACH_PX, STRIDE, SUB_MODELS
from ..models.weights import check_state, load_weights, read_state
from .augment import Augmentation, centroid_batch
from .checkpoint import save_tensors
from .fit import Draw, FitOptions, fit_steps
from .mining import Place
from .mssn_figures import CropFigures, FieldFigures, Figures, draw_figures
from .systems import System
from .windows import CropSource, FieldSource, Window

# A crop of 184 px, zoomed out by 0.85 and turned by 45 degrees, reaches over 306 px.
_WINDOW_PX = 304
_FALSE_PER_FIELD = 40


@dataclass(frozen=True)
class MSSNRecipe:
    """Steps, batches and rates.

    Attributes
    ----------
    base, fields : FitOptions
        Stage 1 on mosaics of crops, and on windows of fields.
    base_pairs, fields_pairs : FitOptions
        Stage 2, likewise.
    base_batch : int
        Mosaics for each step of stage 1.
    mix : tuple of int
        Windows for each step on fields: with a mitosis, about a false candidate, anywhere, mosaic.
    figures : tuple of int
        Mitoses, mimics and other nuclei for each step of stage 2.
    """

    base: FitOptions = field(default_factory=lambda: FitOptions(steps=450, learning_rate=2e-3, average=0.99))
    fields: FitOptions = field(default_factory=lambda: FitOptions(steps=110, learning_rate=1e-3, average=0.97))
    base_pairs: FitOptions = field(default_factory=lambda: FitOptions(steps=200, learning_rate=2e-3, average=0.98))
    fields_pairs: FitOptions = field(default_factory=lambda: FitOptions(steps=140, learning_rate=2e-3, average=0.97))
    base_batch: int = 8
    mix: tuple[int, int, int, int] = (6, 5, 2, 3)
    figures: tuple[int, int, int] = (20, 16, 12)
    base_augmentation: Augmentation = Augmentation(248)
    fields_augmentation: Augmentation = Augmentation(184)
    pairs_augmentation: Augmentation = Augmentation(SIDE_PX)

    def short(self, steps: int, seed: int) -> MSSNRecipe:
        """The same with this seed and, unless 0, so many steps of each stage."""

        def changed(options: FitOptions) -> FitOptions:
            return replace(options, seed=seed, steps=steps or options.steps)

        return replace(
            self,
            base=changed(self.base),
            fields=changed(self.fields),
            base_pairs=changed(self.base_pairs),
            fields_pairs=changed(self.fields_pairs),
        )


@dataclass(frozen=True)
class MSSNSystem(System):
    """See `systems.System`."""

    name: str = "mssn"
    recipe: MSSNRecipe = field(default_factory=MSSNRecipe)

    def base(
        self, crops: Sequence[Crop], folder: Path, *, init: Path | None, seed: int, steps: int = 0
    ) -> Job[nn.Module]:
        """Both stages on crops; `init` is a SegMitos base, whose trunk is taken.

        Raises
        ------
        WeightsError
            Without `init`, as the trunk is not trained here.
        """
        if init is None:
            raise WeightsError("the compact MSSN begins with the trunk of a SegMitos base: name one to start from")
        recipe = self.recipe.short(steps, seed)
        network = CompactMSSN()
        network.start_from(_trunk(init))
        source = CropSource(crops, _WINDOW_PX)

        def draw(rng: np.random.Generator) -> list[Window]:
            return [source.mosaic(rng) for _ in range(recipe.base_batch)]

        yield from _fit_windows(network, draw, recipe.base, recipe.base_augmentation, folder / "base1")
        sources: list[tuple[Figures, float]] = [(CropFigures(crops), 1.0)]
        yield from _fit_pairs(network, sources, recipe, recipe.base_pairs, folder / "base2")
        set_references(network, sources, seed)
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
        """Both stages on fields; `start` holds a whole MSSN, or the SegMitos of the fold (see `_start`)."""
        recipe = self.recipe.short(steps, seed)
        network = CompactMSSN() if start is None else _start(start, folder.parent)
        fields = FieldSource(samples, _WINDOW_PX)
        false = yield from false_candidates(network, fields, folder / "mined.json")
        draw = _fields_draw(fields, CropSource(crops, _WINDOW_PX) if crops else None, false, recipe)
        yield from _fit_windows(network, draw, recipe.fields, recipe.fields_augmentation, folder / "fields1")
        sources: list[tuple[Figures, float]] = [(FieldFigures(fields, false), 0.6)]
        if crops:
            sources.append((CropFigures(crops), 0.4))
        yield from _fit_pairs(network, sources, recipe, recipe.fields_pairs, folder / "fields2")
        set_references(network, sources, seed)
        save_tensors(folder / "model.safetensors", network.state_dict(), {"stage": "fields"})
        return network

    def finish(self, network: nn.Module, fields: FieldSource, seed: int) -> None:
        """Embed figures of each kind as references: without them every candidate would score alike."""
        assert isinstance(network, MSSN)
        set_references(network, [(FieldFigures(fields, []), 1.0)], seed)

    def card(self, *, version: str, seed: int) -> ModelCard:
        """The card before anything is measured."""
        card = super().card(version=version, seed=seed)
        rule = Rule(threshold=0.2, min_score=0.5, min_area_um2=0.0)
        return card.model_copy(update={"halo_px": REACH_PX + STRIDE, "rule": asdict(rule)})


def _start(path: Path, run: Path) -> CompactMSSN:
    """The network to begin a fold with.

    Parameters
    ----------
    path : Path
        Weights of a whole MSSN; or of a SegMitos that was trained on the same fields and on no other, whose trunk
        then takes the place of that of the run's base.
    run : Path
        Where ``base.safetensors`` lies.
    """
    network = CompactMSSN()
    of_segmitos = any(key.startswith("lateral.") for key in read_state(path))
    load_weights(network, run / "base.safetensors" if of_segmitos else path)
    if of_segmitos:
        network.trunk.load_state_dict(_trunk(path))
    return network


def _trunk(path: Path) -> dict[str, Tensor]:
    """The trunk among the weights of a SegMitos."""
    state = {k.removeprefix("trunk."): v for k, v in read_state(path).items() if k.startswith("trunk.")}
    check_state(CompactMSSN().trunk, state, path.name)
    return state


def _low_precision() -> torch.autocast:
    """Layers that are not trained may be computed in what the processor is fastest in."""
    dtype = precision(torch.device("cpu"))
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)


def _only(network: CompactMSSN, part: nn.Module) -> None:
    """Let gradients flow to one part only; those of another stage would still count when gradients are clipped."""
    network.requires_grad_(False)
    network.zero_grad(set_to_none=True)
    part.requires_grad_(True)


def _fit_windows(
    network: CompactMSSN, draw: Draw, options: FitOptions, augmentation: Augmentation, place: Path
) -> Job[nn.Module]:
    """Stage 1: the four sub-models at once, at every cell whose largest window lies in the crop."""

    def step_loss(_: nn.Module, rng: np.random.Generator) -> Tensor:
        crops, centroids, ignore = centroid_batch(draw(rng), rng, augmentation)
        labels = window_labels(centroids, (crops.shape[2], crops.shape[3]), ignore)
        with _low_precision():
            stem = network.stem(crops)
        logits = network.stage1(stem.float())
        edge = REACH_PX // STRIDE
        return windows_loss(logits, labels[:, edge : edge + logits.shape[2], edge : edge + logits.shape[3]])

    _only(network, network.stage1)
    return (yield from fit_steps(network, step_loss, options, place.with_suffix(".checkpoint.safetensors")))


def _fit_pairs(
    network: CompactMSSN, sources: Sequence[tuple[Figures, float]], recipe: MSSNRecipe, options: FitOptions, place: Path
) -> Job[nn.Module]:
    """Stage 2: the embedding, by the contrastive loss."""

    def step_loss(_: nn.Module, rng: np.random.Generator) -> Tensor:
        windows, kinds = draw_figures(sources, recipe.figures, rng)
        crops = centroid_batch(windows, rng, recipe.pairs_augmentation)[0]
        with _low_precision():
            features = network.window_features(crops)
        return contrastive_loss(network.embedding(*features), torch.from_numpy(kinds))

    _only(network, network.embedding)
    return (yield from fit_steps(network, step_loss, options, place.with_suffix(".checkpoint.safetensors")))


def _fields_draw(fields: FieldSource, mosaics: CropSource | None, false: Sequence[Place], recipe: MSSNRecipe) -> Draw:
    """Batches of windows in the recipe's mix; figures stay among the cells that are looked at."""
    reach = 24.0

    def about(rng: np.random.Generator, places: Sequence[Place]) -> Window:
        if not places:
            return fields.negative(rng)
        index, y, x = places[int(rng.integers(len(places)))]
        dy, dx = rng.uniform(-reach, reach, 2)
        return fields.window(index, y + dy, x + dx)

    mimics = [*false, *((i, float(y), float(x)) for i, points in enumerate(fields.mimics) for y, x in points)]

    def draw(rng: np.random.Generator) -> list[Window]:
        positive, hard, anywhere, mosaic = recipe.mix
        windows: list[Window] = [fields.positive(rng, reach) for _ in range(positive)]
        windows += [about(rng, mimics) for _ in range(hard)]
        windows += [fields.negative(rng) for _ in range(anywhere)]
        windows += [fields.negative(rng) if mosaics is None else mosaics.mosaic(rng) for _ in range(mosaic)]
        return windows

    return draw


def false_candidates(network: CompactMSSN, fields: FieldSource, path: Path) -> Job[list[Place]]:
    """Candidates of stage 1 on training fields that are none: hard negatives, and mimics for stage 2.

    They are kept in a JSON file, so that a run that goes on has the same.
    """
    if path.exists():
        return [(int(i), float(y), float(x)) for i, y, x in json.loads(path.read_text(encoding="utf-8"))]
    false: list[Place] = []
    network.eval()
    for index in range(len(fields.shapes)):
        pixels = fields.pixels(index)
        h, w = pixels.shape[:2]
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
        image = F.pad(image, (0, -w % STRIDE, 0, -h % STRIDE), mode="reflect")
        with torch.inference_mode(), _low_precision():
            scores = network.scores(image.contiguous(memory_format=torch.channels_last))[0].float().numpy()
        joined = network.join(dict(zip(SUB_MODELS, scores, strict=True)))
        places = (joined[["y", "x"]].to_numpy() + 0.5) * STRIDE - 0.5
        known = np.concatenate([fields.mitoses[index], fields.unsure[index]])
        if len(known) and len(places):
            places = places[np.linalg.norm(places[:, None] - known[None], axis=2).min(axis=1) > 30]
        false += [(index, float(y), float(x)) for y, x in places[:_FALSE_PER_FIELD]]
        yield Progress(index + 1, len(fields.shapes), "false candidates")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(false), encoding="utf-8")
    return false


@torch.no_grad()
def set_references(network: MSSN, sources: Sequence[tuple[Figures, float]], seed: int) -> None:
    """Embed figures of each kind as the network's references; they are seen as they are, not disturbed."""
    rng = np.random.default_rng([seed, 7])
    windows, kinds = draw_figures(sources, [REFERENCES] * len(KINDS), rng)
    network.eval()
    top = (len(windows[0].pixels) - SIDE_PX) // 2
    cut = np.stack([w.pixels[top : top + SIDE_PX, top : top + SIDE_PX] for w in windows])
    embeddings = network.embed(torch.from_numpy(cut).permute(0, 3, 1, 2).float())
    for kind in range(len(KINDS)):
        of_kind = embeddings[torch.from_numpy(np.flatnonzero(kinds == kind))]
        if not len(of_kind):
            raise WeightsError(f"there is no figure of the kind '{KINDS[kind]}' to compare with")
        network.references[kind] = of_kind[torch.arange(REFERENCES) % len(of_kind)]


SYSTEM = MSSNSystem()
