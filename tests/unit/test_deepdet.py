"""DeepDet and its RPN: sizes of the paper, losses, and boxes that move with the field."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from napari_mitosis import jobs
from napari_mitosis.errors import WeightsError
from napari_mitosis.fields.field import Field
from napari_mitosis.inference.predict import predict
from napari_mitosis.models.box_targets import BoxOptions
from napari_mitosis.models.boxes import iou
from napari_mitosis.models.deepdet import (
    CompactDeepDet,
    DeepDet,
    DeepDetDetector,
    PaperDeepDet,
    RegionHead,
    detection_loss,
)
from napari_mitosis.models.registry import BoxNetwork, Detector
from napari_mitosis.models.rpn import CompactRPN, PaperRPN, ProposalHead, RPNDetector, load_segmitos
from napari_mitosis.models.segmitos import CompactSegMitos
from napari_mitosis.models.vgg_m import VGGM
from napari_mitosis.training.systems import system


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# Weights and biases of each layer, by the paper's table.
TRUNK = {
    "conv1": 96 * 3 * 7 * 7 + 96,
    "conv2": 256 * 96 * 5 * 5 + 256,
    "conv3": 512 * 256 * 3 * 3 + 512,
    "conv4": 512 * 512 * 3 * 3 + 512,
    "conv5": 512 * 512 * 3 * 3 + 512,
}
PROPOSALS = {"conv": 256 * 512 * 3 * 3 + 256, "score": 18 * 256 + 18, "box": 36 * 256 + 36}
REGIONS = {"fc6": 4096 * 512 * 6 * 6 + 4096, "fc7": 1024 * 4096 + 1024, "score": 2 * 1024 + 2, "box": 8 * 1024 + 8}


def test_the_papers_layers_have_the_papers_sizes():
    with torch.device("meta"):
        network = PaperDeepDet()
        features, logits, offsets, anchors = network(torch.empty(1, 3, 512, 512))
        scores, moved = network.regions(torch.empty(300, 512, 6, 6))
    parts = ((network.features, TRUNK), (network.rpn, PROPOSALS), (network.regions, REGIONS))
    for part, sizes in parts:
        assert {name: count(part.get_submodule(name)) for name in sizes} == sizes
        assert count(part) == sum(sizes.values())
    assert count(network) == 87_429_568
    # The doubled crop: 1024 -> conv1 509 -> pool 254 -> conv2 126 -> pool 63.
    assert features.shape == (1, 512, 63, 63)
    assert logits.shape == (1, 63 * 63 * 9, 2)
    assert offsets.shape == (1, 63 * 63 * 9, 4)
    assert anchors.shape == (63 * 63 * 9, 4)
    assert (scores.shape, moved.shape) == ((300, 2), (300, 4))
    assert network.options == BoxOptions()
    assert (network.zoom, network.scale) == (2, 1 / 16)


def test_the_papers_rpn_is_about_thirty_megabytes():
    with torch.device("meta"):
        network = PaperRPN()
    assert count(network) == sum(TRUNK.values()) + sum(PROPOSALS.values()) == 7_722_422
    assert 30e6 < 4 * count(network) < 31e6


def test_the_papers_trunk_sees_blue_green_red_without_the_mean():
    trunk = VGGM()
    seen = []
    trunk.conv1.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    trunk(torch.tensor([122.7717, 115.9465, 102.9801]).reshape(1, 3, 1, 1).expand(1, 3, 64, 64) + 1)
    torch.testing.assert_close(seen[0], torch.ones(1, 3, 64, 64), rtol=0, atol=1e-4)
    assert (trunk.norm.size, trunk.norm.alpha, trunk.norm.beta, trunk.norm.k) == (5, 5e-4, 0.75, 2.0)


def test_compact_weights_are_small_and_those_of_the_rpn_are_within_them():
    deepdet, rpn = CompactDeepDet(), CompactRPN()
    features = count(CompactSegMitos()) - (64 * 2 + 2)
    proposals = 64 * 64 * 9 + 64 + 18 * 64 + 18 + 36 * 64 + 36
    regions = 256 * 64 * 36 + 256 + 128 * 256 + 128 + 2 * 128 + 2 + 8 * 128 + 8
    assert count(rpn) == features + proposals
    assert count(deepdet) == features + proposals + regions
    assert sum(v.numel() for v in deepdet.state_dict().values()) * 2 < 8e6
    assert set(deepdet.state_dict()) - {k for k in deepdet.state_dict() if k.startswith("regions.")} == set(
        rpn.state_dict()
    )


def test_segmitos_weights_start_trunk_and_decoder():
    torch.manual_seed(0)
    segmitos, network = CompactSegMitos().eval(), CompactDeepDet().eval()
    load_segmitos(network, segmitos.state_dict())
    x = torch.rand(1, 3, 64, 64) * 255
    with torch.inference_mode():
        torch.testing.assert_close(segmitos.score(network.features(x)), segmitos(x))
    with pytest.raises(WeightsError, match="compact SegMitos"):
        load_segmitos(network, {"trunk.stem.0.weight": torch.zeros(1)})
    without_score = {k: v for k, v in segmitos.state_dict().items() if not k.startswith("score.")}
    with pytest.raises(WeightsError, match=r"score\.weight"):
        load_segmitos(network, without_score)


def test_heads_begin_with_the_score_of_segmitos():
    """Alone, the two channels are the margin exactly: of the cell, and of the middle of the region."""
    torch.manual_seed(0)
    weight, bias = torch.randn(64), torch.tensor(-0.7)
    head, regions = ProposalHead(64, 64, 9), RegionHead(64, 256, 128).eval()
    nn.init.zeros_(head.score.weight)
    nn.init.zeros_(regions.score.weight)
    head.start_from(weight, bias)
    regions.start_from(weight, bias)
    cells = torch.randn(2, 64, 7, 5)
    with torch.inference_mode():
        logits, _ = head(cells)
        scores, _ = regions(cells[:, :, :6].repeat(1, 1, 1, 2)[..., :6])
    margin = torch.einsum("nchw,c->nhw", cells, weight) + bias
    expected = margin.reshape(2, -1, 1).expand(-1, -1, 9).reshape(2, -1)
    torch.testing.assert_close(logits[..., 1] - logits[..., 0], expected)
    middle = margin[:, 2:4, 2:4].mean(dim=(1, 2))
    torch.testing.assert_close(scores[:, 1] - scores[:, 0], middle)


@pytest.mark.parametrize("build", [CompactDeepDet, CompactRPN])
def test_boxes_are_ranked_probabilities_within_the_image_and_apart(build):
    torch.manual_seed(0)
    network = build().eval()
    assert isinstance(network, BoxNetwork)
    with torch.inference_mode():
        boxes = network.boxes(torch.rand(1, 3, 128, 160) * 255)
    assert len(boxes) > 3
    assert (boxes[:, 4].diff() <= 0).all()
    assert ((boxes[:, 4] > 0) & (boxes[:, 4] < 1)).all()
    assert (boxes[:, :2] >= -0.5).all()
    assert (boxes[:, 2] <= 127.5).all()
    assert (boxes[:, 3] <= 159.5).all()
    assert (iou(boxes[:, :4], boxes[:, :4]).triu(1) <= 0.3 + 1e-6).all()


def test_the_doubled_image_gives_boxes_in_field_pixels():
    """The paper's structure with a narrow classifier: everything but its 300 MB."""
    torch.manual_seed(0)
    head = ProposalHead(512, 256, 9)
    network = DeepDet(VGGM(), head, RegionHead(512, 8, 8), BoxOptions(), zoom=2, stride=16, pool=1).eval()
    box = torch.tensor([[3.5, 7.0, 30.0, 40.5]])
    torch.testing.assert_close(network.from_trunk(network.to_trunk(box)), box)
    assert network.to_trunk(torch.tensor([[-0.5, -0.5, 127.5, 159.5]])).tolist() == [[-0.5, -0.5, 255.5, 319.5]]
    pixels = torch.rand(1, 3, 128, 160) * 255
    assert network.enlarged(pixels).shape == (1, 3, 256, 320)
    with torch.inference_mode():
        boxes = network.boxes(pixels)
    assert len(boxes)
    assert (boxes[:, :4] >= -0.5).all()
    assert (boxes[:, 2] <= 127.5).all()
    assert (boxes[:, 3] <= 159.5).all()
    value = detection_loss(
        network.train(), pixels, [torch.tensor([[50.0, 60.0, 80.0, 90.0]])], np.random.default_rng(0)
    )
    assert torch.isfinite(value)


def test_the_loss_teaches_every_part():
    torch.manual_seed(0)
    network = CompactDeepDet().train()
    pixels = torch.rand(2, 3, 128, 128) * 255
    DeepDetDetector.loss(
        network, pixels, [np.array([[60.0, 60.0]]), np.zeros((0, 2))], np.random.default_rng(0)
    ).backward()
    for name in (
        "features.trunk.stem.0.weight",
        "rpn.conv.weight",
        "rpn.box.weight",
        "regions.fc6.weight",
        "regions.box.weight",
    ):
        gradient = network.get_parameter(name).grad
        assert gradient is not None
        assert float(gradient.abs().sum()) > 0


@pytest.mark.parametrize("cls", [DeepDetDetector, RPNDetector])
def test_there_are_two_configurations(cls):
    assert cls.configs == ("compact", "paper")
    with pytest.raises(ValueError, match="compact, paper"):
        cls.build("huge")


def blobs(shape, centres, seed=0) -> np.ndarray:
    """Pale noise with dark discs of 12 px radius about `centres`."""
    rng = np.random.default_rng(seed)
    yy, xx = np.indices(shape)
    image = rng.normal(200, 8, (*shape, 3))
    for y, x in centres:
        image[(yy - y) ** 2 + (xx - x) ** 2 <= 144] -= (120, 140, 60)
    return image.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Sums in one order: the few steps that are trained here come out alike on every run."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained() -> Detector:
    """A compact DeepDet that learnt to find dark discs."""
    torch.manual_seed(0)
    network = CompactDeepDet().train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.3
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    rng = np.random.default_rng(0)
    for step in range(40):
        centres = [rng.uniform(20, 108, (1, 2)) for _ in range(4)]
        pixels = np.stack([blobs((128, 128), c, 10 * step + i) for i, c in enumerate(centres)])
        x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
        loss = DeepDetDetector.loss(network, x, centres, rng)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    card = system("deepdet").card(version="0.0.0", seed=0)
    return Detector(card, network.eval())


CENTRES = np.array([[70.0, 70.0], [64.0, 200.0], [128.0, 128.0], [190.0, 60.0], [200.0, 193.0], [127.0, 250.0]])


def found(detector: Detector, centres, tile_px=None) -> np.ndarray:
    """Centres of the candidates that are rather mitoses than not."""
    field = Field.from_array(blobs((288, 320), centres), 0.25, "discs")
    frame = jobs.run(predict(field, detector, device="cpu", tile_px=tile_px)).candidates
    return frame.loc[frame["detector"] > 0.5, ["y_px", "x_px"]].to_numpy()


def assert_each_once(places, centres, tolerance_px):
    distance = np.linalg.norm(places[:, None] - np.asarray(centres)[None], axis=2)
    assert len(places) == len(centres)
    assert sorted(distance.argmin(axis=1)) == list(range(len(centres)))
    assert distance.min(axis=1).max() < tolerance_px


# None of them lets the edge of the field cut a disc: the centre of what is left of one is not its centre.
OFFSETS = [(0, 0), (1, 0), (3, 5), (8, 16), (13, 22), (31, 31), (32, 48), (40, 7)]


@pytest.mark.parametrize("offset", OFFSETS)
def test_detections_move_with_the_field(trained, offset):
    """Whatever the offset: every figure is found once, at most 6 px (1.5 um) from its centre."""
    moved = CENTRES + offset
    assert_each_once(found(trained, moved), moved, 6.0)


@pytest.mark.parametrize("tile_px", [64, 128])
def test_figures_on_seams_are_neither_lost_nor_doubled(trained, tile_px):
    """Centres on the seams (128, 64, 192) and a pixel beside them."""
    for shift in ((0, 0), (-1, 1), (-4, -5)):
        moved = CENTRES + shift
        assert_each_once(found(trained, moved, tile_px), moved, 6.0)
