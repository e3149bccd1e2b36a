"""What the training of every detector and verifier must do: base, fold, interruption, card.

Each system is trained once, for a few steps on tiny material; all tests look at what came of it. What only one system
does is asked of the same networks at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from napari_mitosis import jobs
from napari_mitosis.datasets.crops import Crop, read_crops
from napari_mitosis.datasets.phantom import phantom
from napari_mitosis.datasets.sample import Sample
from napari_mitosis.errors import WeightsError
from napari_mitosis.models.registry import detector_class, registered
from napari_mitosis.models.weights import load_weights
from napari_mitosis.training.augment import Augmentation
from napari_mitosis.training.box_training import BoxRecipe
from napari_mitosis.training.checkpoint import load_tensors
from napari_mitosis.training.deepver import VerRecipe
from napari_mitosis.training.fit import FitOptions
from napari_mitosis.training.idsia import CELL_PX, PixelRecipe
from napari_mitosis.training.mssn import MSSNRecipe
from napari_mitosis.training.partmitosis import PartRecipe
from napari_mitosis.training.recipe import Recipe
from napari_mitosis.training.systems import System, system

NAMES = sorted(registered())
SEED, STEPS = 5, 5
SIDE = 256

# The weights that each starts from: those of a SegMitos, except here.
BASE_STARTS = {"segmitos": None, "partmitosis": None, "idsia": None, "rpn": "deepdet"}
FOLD_STARTS = {"rpn": "deepdet", "idsia": "idsia", "mssn": "mssn"}

# PartMitosis learns from crops with its concentric branch alone, which is a SegMitos.
BASE_OF = {"partmitosis": "segmitos"}

QUICK = FitOptions(STEPS, average=0.5, checkpoint_every=4)
SMALL = Recipe(base=QUICK, fields=QUICK, base_batch=2, fields_batch=4, augmentation=Augmentation(96))
RECIPES = {
    "segmitos": SMALL,
    "partmitosis": PartRecipe(options=QUICK, windows=SMALL, augmentation=Augmentation(64)),
    "deepdet": BoxRecipe(windows=SMALL),
    "deepver": VerRecipe(options=QUICK, mix=(2, 2, 1, 1, 1)),
    "idsia": PixelRecipe(base=QUICK, fields=QUICK, base_mix=(2, 1), fields_mix=(2, 2, 1, 1)),
    "mssn": MSSNRecipe(
        base=QUICK, fields=QUICK, base_pairs=QUICK, fields_pairs=QUICK, base_batch=1, mix=(1, 1, 1, 1),
        figures=(3, 2, 2), fields_augmentation=Augmentation(136),
    ),
}  # fmt: skip

MOVED = {
    "segmitos": ["trunk.stem.0.weight", "score.weight"],
    "partmitosis": ["strong.trunk.stem.0.weight", "transfer.layers.0.weight"],
    "deepdet": ["features.lateral.0.0.weight"],
    "rpn": [],
    "deepver": ["trunk.stem.0.weight"],
    "idsia": ["dnn1.head.2.weight", "dnn2.head.2.weight"],
    "mssn": ["stage1.out.s72.weight", "embedding.last.weight"],
}
"""Weights that a fold trains; a network that is not listed trains all."""


def quick_system(name: str) -> System:
    trained_as = system(name)
    return replace(trained_as, recipe=RECIPES[name]) if name in RECIPES else trained_as


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Sums in one order: steps that are done again come out alike."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def sample() -> Sample:
    """One field with outlined mitoses and with mimics."""
    return phantom((SIDE, SIDE), 3, n_mitoses=3, n_mimics=2, name="A00_01")


@pytest.fixture(scope="module")
def crops(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> list[Crop]:
    """Crops of 128 px, each with a figure of another field at its centre."""
    folder = tmp_path_factory.mktemp("crops")
    other = phantom((SIDE, SIDE), 4, n_mitoses=3, n_mimics=3)
    padded = np.pad(other.field.numpy(), ((64, 64), (64, 64), (0, 0)), "reflect")
    for label in ("mitosis", "mimic"):
        (folder / label).mkdir()
        for number, (y, x) in enumerate(other.centroids_yx(label).round().astype(int)):
            Image.fromarray(padded[y : y + 128, x : x + 128]).save(folder / label / f"{number}.png")
    return read_crops(folder)


@dataclass(frozen=True)
class Trained:
    """A fold, what it told, and what it started from."""

    network: nn.Module
    folder: Path
    start: Path
    told: list[jobs.Progress]

    def loaded(self) -> dict[str, Tensor]:
        return load_tensors(self.folder / "model.safetensors")[0]


@pytest.fixture(scope="module")
def base(crops: list[Crop], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The base of a system, and before it that of the one that it starts from."""
    folder, done = tmp_path_factory.mktemp("bases"), {}

    def trained(name: str) -> Path:
        if name not in done:
            before = BASE_STARTS.get(name, "segmitos")
            init = None if before is None else trained(before)
            torch.manual_seed(SEED)
            place = folder / name
            place.mkdir()
            jobs.run(quick_system(name).base(crops, place, init=init, seed=SEED, steps=1))
            done[name] = place / "base.safetensors"
        return done[name]

    return trained


@pytest.fixture(scope="module")
def fold(
    base: Callable[[str], Path], sample: Sample, crops: list[Crop], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Trained]:
    """The unbroken fold of a system."""
    done = {}

    def trained(name: str) -> Trained:
        if name not in done:
            start, folder = base(FOLD_STARTS.get(name, "segmitos")), tmp_path_factory.mktemp(name)
            told: list[jobs.Progress] = []
            job = quick_system(name).fold([sample], crops, start, folder, seed=SEED, steps=STEPS)
            done[name] = Trained(jobs.run(job, told.append), folder, start, told)
        return done[name]

    return trained


@pytest.mark.parametrize("name", NAMES)
def test_a_base_leaves_weights_of_the_network(name: str, base) -> None:
    load_weights(quick_system(BASE_OF.get(name, name)).network(), base(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_fold_leaves_what_it_returns_and_has_learned(name: str, fold) -> None:
    trained = fold(name)
    assert not trained.network.training
    kept, before = trained.loaded(), load_tensors(trained.start)[0]
    for key, value in trained.network.state_dict().items():
        torch.testing.assert_close(kept[key], value)
    load_weights(quick_system(name).network(), trained.folder / "model.safetensors")
    for key in MOVED.get(name, kept):
        assert key not in before or not torch.equal(kept[key], before[key]), key
    losses = [step.metrics["loss"] for step in trained.told if "loss" in step.metrics]
    assert len(losses) >= STEPS or not MOVED.get(name, kept)
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_fold_ends_as_an_unbroken_one(name: str, fold, sample, crops, tmp_path: Path) -> None:
    """Killed three times, between two checkpoints first: what is done again comes out the same."""
    whole = fold(name)

    def job():
        return quick_system(name).fold([sample], crops, whole.start, tmp_path, seed=SEED, steps=STEPS)

    for done in (3, 4, STEPS):  # from the start again, then to the checkpoint, then perhaps to the end
        killed = job()
        for _ in range(done):
            next(killed, None)
        with pytest.raises(InterruptedError):
            killed.throw(InterruptedError)
    resumed = jobs.run(job())
    for key, value in whole.network.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[key], value, rtol=1e-4, atol=1e-5, msg=key)


@pytest.mark.parametrize("name", NAMES)
def test_the_card_describes_the_network(name: str) -> None:
    described = system(name).card(version="1.2.3", seed=SEED)
    with torch.device("meta"):
        parameters = sum(p.numel() for p in detector_class(name).build(described.config).parameters())
    assert (described.name, described.seed, described.parameters) == (f"{name}@1.2.3", SEED, parameters)
    assert described.kind == detector_class(name).kind
    described.decision_rule()


# What only one of them does


def test_partmitosis_keeps_its_concentric_branch(fold) -> None:
    """Stage-wise (section III-E): it is the SegMitos of the fold."""
    trained = fold("partmitosis")
    kept, before = trained.loaded(), load_tensors(trained.start)[0]
    for key, value in before.items():
        if "num_batches" not in key and "running" not in key:
            assert torch.equal(kept[f"concentric.{key}"], value), key


def test_a_deepdet_begins_with_the_hard_negatives_of_its_start(fold, sample, tmp_path: Path) -> None:
    start = tmp_path / "start" / "model.safetensors"
    start.parent.mkdir()
    start.write_bytes(fold("deepdet").start.read_bytes())
    (start.parent / "mined.json").write_text("[[0, 20.0, 20.0]]")
    job = quick_system("deepdet").fold([sample], [], start, tmp_path, seed=SEED, steps=STEPS)
    next(job)
    job.close()
    assert (tmp_path / "mined.json").read_text() == "[[0, 20.0, 20.0]]"


def test_the_rpn_is_that_of_its_deepdet(fold) -> None:
    trained = fold("rpn")
    before = load_tensors(trained.start)[0]
    assert all(torch.equal(value, before[key]) for key, value in trained.loaded().items())
    with pytest.raises(WeightsError, match="taken out of a trained DeepDet"):
        jobs.run(system("rpn").fold([], [], None, trained.folder, seed=0))


def test_the_idsia_dnn_weighs_pixels_at_its_shares_of_the_steps(fold) -> None:
    maps, header = load_tensors(fold("idsia").folder / "hardness.safetensors")
    assert header["step"] == int(max(PixelRecipe().weigh_at) * STEPS)
    assert [tuple(scores.shape) for scores in maps.values()] == [(-(-SIDE // CELL_PX),) * 2]


def test_mssn_keeps_its_trunk_and_refers_to_embedded_figures(fold) -> None:
    trained = fold("mssn")
    kept, before = trained.loaded(), load_tensors(trained.start)[0]
    assert all(torch.equal(value, before[key]) for key, value in kept.items() if key.startswith("trunk."))
    torch.testing.assert_close(kept["references"].norm(dim=2), torch.ones(3, 96), atol=1e-4, rtol=1e-4)
    with pytest.raises(WeightsError, match="SegMitos base"):
        jobs.run(system("mssn").base([], trained.folder, init=None, seed=0))


def test_deepver_looks_for_false_detections_once(fold) -> None:
    trained = fold("deepver")
    assert (trained.folder / "mined.json").exists()
    assert trained.told[0].message == "false detections of the training fields"
