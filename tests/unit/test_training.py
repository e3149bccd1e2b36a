"""The training loop: material, augmentation, learning, and going on after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from napari_mitosis import jobs
from napari_mitosis.datasets.labels import BACKGROUND, IGNORED, MITOSIS
from napari_mitosis.datasets.sample import Sample
from napari_mitosis.errors import WeightsError
from napari_mitosis.fields.field import Field
from napari_mitosis.models.losses import concentric_loss
from napari_mitosis.tables import annotations_frame
from napari_mitosis.training.augment import Augmentation, make_batch, plain
from napari_mitosis.training.checkpoint import load_tensors, save_tensors
from napari_mitosis.training.fit import FitOptions, fit
from napari_mitosis.training.mining import Miner
from napari_mitosis.training.windows import FieldSource

PLAIN = plain(64, label="fixed")


def dots_field(centres, shape=(300, 320), seed=0):
    """Pink noise with a dark disc of radius 10 px at each centre."""
    rng = np.random.default_rng(seed)
    pixels = np.full((*shape, 3), (225, 170, 200), dtype=np.float64) + rng.normal(0, 6, (*shape, 3))
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    for y, x in centres:
        pixels[np.hypot(yy - y, xx - x) < 10] = (60, 30, 90)
    return Field.from_array(pixels.clip(0, 255).astype(np.uint8), 0.25, "dots")


def dots_sample(centres=((80.0, 100.0), (200.0, 220.0)), **kwargs):
    frame = annotations_frame([y for y, _ in centres], [x for _, x in centres])
    return Sample(dots_field(centres, **kwargs), frame, case="dots", dataset="test")


def test_windows_carry_their_centroids():
    source = FieldSource([dots_sample()])
    rng = np.random.default_rng(0)
    for _ in range(20):
        window = source.positive(rng)
        inside = [(y, x) for y, x in window.mitoses_yx if 0 <= y < 287 and 0 <= x < 287]
        assert inside
        for y, x in inside:
            assert window.pixels[round(y), round(x)].astype(int).sum() < 250


def test_pixels_beyond_the_field_are_mirrored_and_never_background():
    window = FieldSource([dots_sample()]).window(0, 0, 0)
    assert window.ignore[:144].all()
    assert window.ignore[:, :144].all()
    assert not window.ignore[145:, 145:].any()
    np.testing.assert_array_equal(window.pixels[143, 150:], window.pixels[145, 150:])


def test_labels_follow_their_figures_through_turn_zoom_and_mirror():
    source = FieldSource([dots_sample()])
    rng = np.random.default_rng(3)
    how = plain(192, zoom=(0.8, 1.25), label="fixed")
    crops, labels = make_batch([source.positive(rng) for _ in range(12)], rng, how, 4)
    cells = torch.nn.functional.avg_pool2d(crops, 4).sum(1)
    dark = cells < 400
    assert (labels == MITOSIS).sum() > 100
    # A disc of 12 px (zoomed with its figure) holds the dark disc of 10 px: 0.69 of it, less the rim.
    assert float(dark[labels == MITOSIS].float().mean()) > 0.55
    assert not dark[labels == BACKGROUND].any()


def test_a_batch_repeats_with_its_seed_and_stays_in_range():
    source = FieldSource([dots_sample()])

    def batch():
        rng = np.random.default_rng(7)
        return make_batch([source.positive(rng) for _ in range(4)], rng, Augmentation(crop_px=96), 4)

    (a, la), (b, lb) = batch(), batch()
    assert torch.equal(a, b)
    assert torch.equal(la, lb)
    assert a.min() >= 0
    assert a.max() <= 255
    assert set(la.unique().tolist()) <= {BACKGROUND, MITOSIS, IGNORED}


def test_no_disturbance_leaves_pixels_alone():
    source = FieldSource([dots_sample()])
    window = source.window(0, 150, 150)
    rng = np.random.default_rng(0)
    crops, _ = make_batch([window], rng, PLAIN, 4)
    # Rotation keeps the histogram of a flat field; the stain step must be the identity.
    assert abs(float(crops.mean()) - window.pixels.mean()) < 12
    assert float(crops.max()) <= 255


def test_mined_places_are_dark_discs_that_nobody_annotated(tmp_path):
    class Darkness(torch.nn.Module):
        stride = 4

        def forward(self, x):
            p = (x.mean(1, keepdim=True) < 100).float().clamp(0.01, 0.99)
            p = torch.nn.functional.avg_pool2d(p, 4)
            return torch.cat([(1 - p).log(), p.log()], 1)

        def parameters(self, recurse=True):
            yield torch.zeros(1)

    sample = dots_sample()
    unknown = Sample(dots_field([(80, 100), (200, 220), (150, 40)]), sample.annotations, case="d", dataset="t")
    miner = Miner(FieldSource([unknown]), [0], tmp_path / "mined.json")
    assert [step for step in range(3) if miner.due(step)] == [0]
    miner.look(0, Darkness())
    assert len(miner.places) == 1
    index, y, x = miner.places[0]
    assert index == 0
    assert np.hypot(y - 150, x - 40) < 6
    assert Miner(FieldSource([unknown]), [], tmp_path / "mined.json").places == miner.places


class Cells(torch.nn.Module):
    """A dense network as small as one can be: what is tested is the loop about it."""

    stride = 4

    def __init__(self):
        super().__init__()
        self.cells = torch.nn.Conv2d(3, 2, 4, stride=4)

    def forward(self, x):
        return self.cells((x - 128) / 64)


def _loss(logits, labels):
    return concentric_loss(logits, labels, "normalised")


def _job(folder, steps=6, seed=0):
    torch.manual_seed(0)
    source = FieldSource([dots_sample()])
    options = FitOptions(steps=steps, learning_rate=1e-3, seed=seed, checkpoint_every=2)
    return fit(
        Cells(),
        _loss,
        lambda rng: [source.positive(rng) for _ in range(2)],
        options,
        PLAIN,
        folder / "c.safetensors",
    )


def test_a_broken_off_run_ends_where_an_unbroken_one_does(tmp_path):
    whole = jobs.run(_job(tmp_path / "a"))
    broken = _job(tmp_path / "b")
    for _ in range(5):  # the checkpoint of step 4 is the last one
        next(broken)
    broken.close()
    resumed = jobs.run(_job(tmp_path / "b"))
    for (key, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, msg=key)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    jobs.run(_job(tmp_path, steps=2))
    with pytest.raises(WeightsError, match="another run"):
        next(_job(tmp_path, steps=2, seed=1))


@pytest.mark.slow
def test_kill_9_at_any_moment_leaves_a_checkpoint_that_loads(tmp_path):
    code = (
        "import torch, sys; from pathlib import Path\n"
        "from napari_mitosis.training.checkpoint import save_tensors\n"
        "t = {'a': torch.arange(2_000_000)}\n"
        "for i in range(10**6):\n"
        "    save_tensors(Path(sys.argv[1]), t, {'step': i})\n"
        "    print(i, flush=True)\n"
    )
    path = tmp_path / "c.safetensors"
    for delay in (0.013, 0.037):
        with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(delay)
            process.kill() if os.name == "nt" else process.send_signal(signal.SIGKILL)
            process.wait()
        tensors, header = load_tensors(path)
        assert header["step"] >= 0
        assert torch.equal(tensors["a"], torch.arange(2_000_000))


def test_training_learns_dark_discs(tmp_path):
    torch.manual_seed(0)
    source = FieldSource([dots_sample()])
    job = fit(
        Cells(),
        _loss,
        lambda rng: [source.positive(rng) for _ in range(4)],
        FitOptions(steps=40, learning_rate=2e-2, average=0.8),
        PLAIN,
        tmp_path / "c.safetensors",
    )
    losses = []
    network = jobs.run(job, lambda p: losses.append(p.metrics["loss"]))
    assert losses[-1] < 0.6 * losses[0]
    assert not network.training


def test_damaged_checkpoints_are_named(tmp_path):
    path = tmp_path / "c.safetensors"
    save_tensors(path, {"a": torch.zeros(3)}, {"step": 1})
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(WeightsError, match=r"c\.safetensors"):
        load_tensors(path)
