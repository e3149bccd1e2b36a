"""What the pixel classifiers of IDSIA DNN learn from: positives, negatives by weight, and the two stages."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from napari_mitosis.datasets.crops import read_crops
from napari_mitosis.datasets.sample import Sample
from napari_mitosis.fields.field import Field
from napari_mitosis.models.idsia import IdsiaNet
from napari_mitosis.tables import annotations_frame
from napari_mitosis.training.idsia import SYSTEM, hardness
from napari_mitosis.training.pixel_windows import CentredMosaics, PixelSource
from napari_mitosis.training.systems import system
from napari_mitosis.training.windows import CropSource

CENTRES = ((80.4, 100.0), (2.0, 219.7))


def dots_sample(centres=CENTRES, shape=(150, 230), seed=0):
    """Pink noise with a dark disc at each centroid."""
    rng = np.random.default_rng(seed)
    pixels = np.full((*shape, 3), (225, 170, 200), dtype=np.float64) + rng.normal(0, 6, (*shape, 3))
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    for y, x in centres:
        pixels[np.hypot(yy - y, xx - x) < 10] = (60, 30, 90)
    field = Field.from_array(pixels.clip(0, 255).astype(np.uint8), 0.25, "dots")
    frame = annotations_frame([y for y, _ in centres], [x for _, x in centres])
    return Sample(field, frame, case="dots", dataset="test")


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """Eight crops of 128 px with a dark disc at the centre, four without."""
    folder = tmp_path_factory.mktemp("crops")
    rng = np.random.default_rng(0)
    for group, count in (("mitosis", 8), ("mimic", 4)):
        (folder / group).mkdir()
        for i in range(count):
            pixels = np.full((128, 128, 3), (225, 170, 200)) + rng.normal(0, 6, (128, 128, 3))
            if group == "mitosis":
                yy, xx = np.mgrid[:128, :128]
                pixels[np.hypot(yy - 64, xx - 64) < 10] = (60, 30, 90)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / group / f"{i}.png")
    return read_crops(folder)


def test_positives_are_all_pixels_closer_than_10_px():
    sample = dots_sample()
    source = PixelSource([sample, dots_sample(())], 120, 10.0)
    yy, xx = np.mgrid[:150, :230]
    near = np.zeros((150, 230), dtype=bool)
    for y, x in CENTRES:
        near |= (yy - y) ** 2 + (xx - x) ** 2 < 100
    expected = np.argwhere(near)
    assert {tuple(p) for p in source.positives.tolist()} == {(0, y, x) for y, x in expected.tolist()}
    assert 400 < len(source.positives) < 2 * 317  # one disc is cut by the border
    rng = np.random.default_rng(0)
    offsets = [source.positive(rng).mitoses_yx - 60 for _ in range(200)]
    assert max(np.hypot(*o.T).min() for o in offsets) < 10


def test_negatives_are_drawn_in_proportion_to_their_weight():
    source = PixelSource([dots_sample(((30.0, 30.0),), (64, 80)), dots_sample((), (50, 61))], 64, 10.0)
    rng = np.random.default_rng(0)
    maps = [rng.random((16, 20)).astype(np.float32) ** 3, rng.random((13, 16)).astype(np.float32)]
    maps[1][3:6] = 0
    source.weigh(maps, 4)
    n = 60_000
    drawn = [np.zeros((64, 80)), np.zeros((50, 61))]
    for _ in range(n):
        index, y, x = source.negative_pixel(rng)
        drawn[index][y, x] += 1
    weights = [np.kron(m, np.ones((4, 4)))[: d.shape[0], : d.shape[1]] for m, d in zip(maps, drawn, strict=True)]
    yy, xx = np.mgrid[:64, :80]
    near = (yy - 30) ** 2 + (xx - 30) ** 2 < 100
    assert drawn[0][near].sum() == 0
    assert drawn[1][12:24].sum() == 0
    weights[0][near] = 0
    p = np.concatenate([w.ravel() for w in weights])
    p /= p.sum()
    observed = np.concatenate([d.ravel() for d in drawn])
    possible = p > 0
    chi2 = ((observed[possible] - n * p[possible]) ** 2 / (n * p[possible])).sum()
    freedom = possible.sum() - 1
    assert abs(chi2 - freedom) < 6 * np.sqrt(2 * freedom)


def test_weights_must_be_there_and_cover_the_fields():
    source = PixelSource([dots_sample((), (64, 80))], 64, 10.0)
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="weigh"):
        source.negative(rng)
    with pytest.raises(ValueError, match="cover"):
        source.weigh([np.ones((16, 19), dtype=np.float32)], 4)
    assert len(source.positives) == 0
    assert source.positive(rng).pixels.shape == (64, 64, 3)


def test_mosaics_are_centred_on_a_mitosis(crops):
    mosaics = CentredMosaics(CropSource([c for c in crops if c.group == "mitosis"], 340), 264, 10.0)
    rng = np.random.default_rng(1)
    for _ in range(10):
        window = mosaics.positive(rng)
        assert window.pixels.shape == (264, 264, 3)
        assert window.ignore.shape == (264, 264)
        nearest = window.mitoses_yx[np.hypot(*(window.mitoses_yx - 131.5).T).argmin()]
        assert np.hypot(*(nearest - 131.5)) < 11
        assert window.pixels[tuple(nearest.round().astype(int))].sum() < 250
    assert mosaics.anywhere(rng).pixels.shape == (264, 264, 3)
    with pytest.raises(ValueError, match="larger"):
        CentredMosaics(CropSource(crops, 264), 264, 10.0)


def test_hardness_is_the_mean_score_at_the_middle_of_each_cell(monkeypatch):
    monkeypatch.setattr("napari_mitosis.training.idsia.precision", lambda _: torch.float32)
    torch.manual_seed(0)
    network = IdsiaNet().eval()
    pixels = np.random.default_rng(0).integers(0, 256, (43, 58, 3), dtype=np.uint8)
    weights = hardness(pixels, network)
    assert weights.shape == (11, 15)
    with torch.inference_mode():
        scores = network.scores(torch.from_numpy(pixels).permute(2, 0, 1)[None].float()).mean(1)[0].numpy()
    np.testing.assert_allclose(weights[:10, :14], scores[2::4, 2::4][:10, :14], atol=1e-5)


def test_the_system_is_found_and_its_card_has_the_papers_rule():
    assert system("idsia") is SYSTEM
    card = SYSTEM.card(version="0.1.0", seed=3)
    rule = card.decision_rule()
    assert (rule.method, rule.threshold) == ("peaks", 0.35)
    assert rule.disc_um / card.mpp == 10
    assert card.parameters == 13630 + 37230
    assert card.halo_px >= 50
