"""The training of box detectors: boxes follow their figures through the augmentation; folds start, go on and end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_mitosis import jobs
from napari_mitosis.datasets.sample import Sample
from napari_mitosis.fields.field import Field
from napari_mitosis.inference.predict import predict
from napari_mitosis.models.deepdet import CompactDeepDet
from napari_mitosis.models.registry import Detector
from napari_mitosis.models.rpn import CompactRPN
from napari_mitosis.tables import annotations_frame
from napari_mitosis.training.ablations.deepdet import Variant, looked_at
from napari_mitosis.training.augment import plain
from napari_mitosis.training.box_training import BoxMiner, OutlinedFields, box_batch
from napari_mitosis.training.systems import system
from napari_mitosis.training.windows import Window

PLAIN = plain(160, zoom=(0.85, 1.2))
BARS = ((60, 70, 41, 15), (150, 90, 12, 30), (200, 210, 25, 25))


def bars_sample(masked: bool = True, seed: int = 0) -> Sample:
    """Dark bars (top, left, height, width) on pale noise, each a mitosis."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(210, 6, (256, 288, 3))
    mask = np.zeros((256, 288), dtype=np.uint16)
    for number, (y, x, h, w) in enumerate(BARS, start=1):
        pixels[y : y + h, x : x + w] = 40
        mask[y : y + h, x : x + w] = number
    centres = np.array([[y + (h - 1) / 2, x + (w - 1) / 2] for y, x, h, w in BARS])
    field = Field.from_array(pixels.clip(0, 255).astype(np.uint8), 0.25, f"bars{seed}")
    return Sample(field, annotations_frame(centres[:, 0], centres[:, 1]), mask if masked else None, "A", "bars")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Sums in one order: the few steps that are trained here come out alike on every run."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_boxes_are_drawn_about_the_turned_figure():
    fields = OutlinedFields([bars_sample()])
    rng = np.random.default_rng(0)
    checked = 0
    for _ in range(6):
        windows = [fields.window(0, y + h / 2, x + w / 2) for y, x, h, w in BARS]
        crops, boxes, ignore = box_batch(windows, rng, PLAIN)
        assert crops.shape == (3, 3, 160, 160)
        assert ignore.shape == (3, 160, 160)
        for k, (crop, own) in enumerate(zip(crops, boxes, strict=True)):
            assert own.shape == (3, 4)
            # The figure in the middle is alone in a square of 64 px.
            dark = torch.nonzero(crop[0, 48:112, 48:112] < 125) + 48
            seen = torch.cat([dark.amin(dim=0) - 0.5, dark.amax(dim=0) + 0.5])
            torch.testing.assert_close(own[k], seen.float(), rtol=0, atol=1.6)
            checked += 1
    assert checked == 18


def test_a_centre_alone_gets_the_fixed_box_however_it_is_turned():
    fields = OutlinedFields([bars_sample(masked=False)])
    how = replace(PLAIN, zoom=(1.0, 1.0))
    _, boxes, _ = box_batch([fields.window(0, 80.0, 77.0)] * 8, np.random.default_rng(1), how)
    mosaic = Window(np.zeros((288, 288, 3), np.uint8), np.zeros((288, 288), bool), np.array([[140.0, 150.0]]))
    _, others, _ = box_batch([mosaic] * 8, np.random.default_rng(2), how)
    for own in (*boxes, *others):
        size = own[:, 2:] - own[:, :2]
        assert size.min() > 29.5
        assert size.max() < 30.01
    none = Window(np.zeros((288, 288, 3), np.uint8), np.zeros((288, 288), bool), np.zeros((0, 2)))
    assert box_batch([none], np.random.default_rng(0), how)[1][0].shape == (0, 4)


def test_hard_negatives_lie_far_from_mitoses_and_are_kept(tmp_path):
    torch.manual_seed(0)
    sample = bars_sample()
    fields = OutlinedFields([sample])
    path = tmp_path / "mined.json"
    miner = BoxMiner(fields, 2, 10, path)
    network = CompactDeepDet()
    assert [step for step in range(4) if miner.due(step)] == [2]
    miner.look(2, network)
    assert 0 < len(miner.places) <= 10
    places = np.array([p[1:] for p in miner.places])
    distance = np.linalg.norm(places[:, None] - sample.centroids_yx()[None], axis=2)
    assert distance.min() > 40
    assert BoxMiner(fields, 2, 10, path).places == miner.places


def test_what_the_start_took_for_mitoses_comes_first(tmp_path):
    path = tmp_path / "mined.json"
    path.write_text("[[0, 20.0, 20.0], [0, 80.0, 77.0], [9, 1.0, 1.0]]")
    fields = OutlinedFields([bars_sample()])
    # The second lies on a mitosis, the third in no field of these.
    assert BoxMiner(fields, 2, 10, path).places == [(0, 20.0, 20.0)]


def test_variants_of_an_ablation_see_what_a_detection_sees(tmp_path):
    """All three sizes and 300 proposals are the detector itself; without the classifier it is the RPN."""
    torch.manual_seed(0)
    sample = bars_sample()
    deepdet, rpn = CompactDeepDet().eval(), CompactRPN().eval()
    rpn.load_state_dict({k: v for k, v in deepdet.state_dict().items() if k in rpn.state_dict()})
    plain, alone = Variant("t", "plain"), Variant("t", "alone", classified=False)
    few, small = Variant("t", "few", proposals=5), Variant("t", "small", sizes=(0,))
    found = looked_at(sample, deepdet, (plain, alone, few, small))
    for variant, network in ((plain, deepdet), (alone, rpn)):
        name = "deepdet" if variant is plain else "rpn"
        detector = Detector(system(name).card(version="0.0.0", seed=0), network)
        expected = jobs.run(predict(sample.field, detector, device="cpu")).candidates
        assert len(expected) > 1
        np.testing.assert_allclose(found[variant].candidates, expected, atol=1e-4)
    assert len(found[few].candidates) < len(found[plain].candidates)
    assert not found[small].candidates.equals(found[plain].candidates)
    assert deepdet.options.proposals == 300
