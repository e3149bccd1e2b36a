"""The two networks of IDSIA DNN: layers, scores, loss, and a figure found through them."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_mitosis import jobs
from napari_mitosis.decision.decide import decide
from napari_mitosis.fields.field import Field
from napari_mitosis.inference.poses import mean_over_poses
from napari_mitosis.inference.predict import predict
from napari_mitosis.models import idsia
from napari_mitosis.models.idsia import BORDER_PX, WINDOW_PX, Idsia, IdsiaNet, WindowNet, mirrored, window_loss
from napari_mitosis.models.registry import Detector
from napari_mitosis.training.idsia import START_RULE, SYSTEM

# Table 1 of the paper: weights of each layer, and the side of the maps after each convolution and pooling.
WEIGHTS = {"dnn1": [208, 2320, 2320, 1040, 1040, 6500, 202], "dnn2": [784, 4112, 4112, 2320, 25700, 202]}
SIDES = {
    "dnn1": [100, 50, 48, 24, 22, 11, 10, 5, 4, 2],
    "dnn2": [98, 49, 46, 23, 20, 10, 8, 4],
}
CONNECTIONS = {
    "dnn1": [2080000, 5345280, 1122880, 104000, 16640, 6500, 202],
    "dnn2": [7529536, 8700992, 1644800, 148480, 25700, 202],
}


def fresh(seed=0) -> IdsiaNet:
    torch.manual_seed(seed)
    network = IdsiaNet().eval()
    with torch.no_grad():
        for net in (network.dnn1, network.dnn2):
            net.head[2].weight.mul_(60)
    return network


def noise(shape, seed=0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(0, 255, (1, 3, *shape)).astype(np.float32))


@pytest.mark.parametrize("name", ["dnn1", "dnn2"])
def test_layers_are_those_of_table_1(name):
    net = IdsiaNet().net(name)
    layers = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [m.weight.numel() + m.bias.numel() for m in layers] == WEIGHTS[name]
    assert sum(p.numel() for p in net.parameters()) == {"dnn1": 13630, "dnn2": 37230}[name]
    x, sides, connections = torch.zeros(1, 3, WINDOW_PX, WINDOW_PX), [], []
    for convolution in net.convolutions:
        x = convolution(x)
        assert x.shape[1] == 16
        sides.append(x.shape[3])
        connections.append(x.shape[2] * x.shape[3] * sum(p.numel() for p in convolution.parameters()))
        x = F.max_pool2d(x, 2)
        sides.append(x.shape[3])
    assert sides == SIDES[name]
    assert net(torch.zeros(2, 3, WINDOW_PX, WINDOW_PX)).shape == (2, 2)
    # One fully connected neuron sees all cells of the last pooling: as many connections as weights.
    assert [*connections, *WEIGHTS[name][-2:]] == CONNECTIONS[name]


@torch.inference_mode()
def test_scores_are_the_softmax_of_the_two_output_neurons():
    network, pixels = fresh(), noise((30, 41))
    scores = network.scores(pixels)
    assert scores.shape == (1, 2, 30, 41)
    padded = mirrored(pixels)
    for k, name in enumerate(network.map_names):
        window = padded[:, :, 7 : 7 + WINDOW_PX, 33 : 33 + WINDOW_PX]
        torch.testing.assert_close(scores[0, k, 7, 33], network.net(name)(window).softmax(1)[0, 1])
        only = network.scores(pixels, only=(name,))
        torch.testing.assert_close(only[:, 0], scores[:, k])


@pytest.mark.parametrize("shape", [(1, 1), (2, 90), (60, 130)])
def test_mirroring_is_numpys(shape):
    pixels = noise(shape)
    ours = mirrored(pixels)[0].permute(1, 2, 0).numpy()
    pad = ((BORDER_PX, BORDER_PX), (BORDER_PX, BORDER_PX), (0, 0))
    np.testing.assert_array_equal(ours, np.pad(pixels[0].permute(1, 2, 0).numpy(), pad, "reflect"))


@torch.inference_mode()
def test_strips_leave_no_seam(monkeypatch):
    network, pixels = fresh(), noise((75, 50))
    whole = network.scores(pixels)
    monkeypatch.setattr(idsia, "_STRIP_PX", 32)
    torch.testing.assert_close(network.scores(pixels), whole, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_the_mean_of_all_poses_turns_with_the_image():
    network, pixels = fresh(), noise((37, 44))
    every = mean_over_poses(network.scores, pixels, 8)
    for turned, back in (
        (torch.rot90(pixels, 1, (2, 3)), lambda s: torch.rot90(s, -1, (2, 3))),
        (pixels.flip(3), lambda s: s.flip(3)),
    ):
        torch.testing.assert_close(back(mean_over_poses(network.scores, turned, 8)), every, atol=1e-5, rtol=0)
    assert (mean_over_poses(network.scores, pixels, 2) - every).abs().max() > 1e-3


def test_the_loss_is_the_cross_entropy_of_the_windows():
    """Against each window by itself, labelled by its distance to the centroid."""
    network = fresh()
    pixels = torch.cat([noise((125, 133)), noise((125, 133), 1)])
    centroids = [np.array([[62.3, 70.0]]), np.zeros((0, 2))]
    ignore = torch.zeros(2, 125, 133, dtype=torch.bool)
    ignore[0, 60:, 60:] = True
    loss = window_loss(network, pixels, centroids, (3, 2), ignore, step=4)
    each, positives = [], 0
    with torch.no_grad():
        for n in range(2):
            for y in range(3, 125 - WINDOW_PX + 1, 4):
                for x in range(2, 133 - WINDOW_PX + 1, 4):
                    cy, cx = y + 50, x + 50
                    label = n == 0 and (cy - 62.3) ** 2 + (cx - 70.0) ** 2 < 100
                    if ignore[n, cy, cx] and not label:
                        continue
                    positives += label
                    window = pixels[n : n + 1, :, y : y + WINDOW_PX, x : x + WINDOW_PX]
                    for net in (network.dnn1, network.dnn2):
                        each.append(F.cross_entropy(net(window), torch.tensor([int(label)])))
    assert positives > 5
    expected = torch.stack(each).sum() / (len(each) / 2)
    torch.testing.assert_close(loss, expected, atol=1e-4, rtol=1e-4)


def test_crops_without_room_for_windows_are_refused():
    with pytest.raises(ValueError, match="109 px"):
        Idsia.loss(fresh(), noise((108, 140)), [np.zeros((0, 2))], np.random.default_rng(0))
    with pytest.raises(ValueError, match="configuration"):
        Idsia.build("paper/large")


def darkness_seen_by_all_cells(net: WindowNet) -> None:
    """DNN1 by hand: mitosis where all four cells of the last pooling see darkness.

    One tap of each filter is set. With these the cells cover columns and rows 18 to 49 and 50 to 81 of the
    window: only a figure at its centre lies in all of them.
    """
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
        first, *rest = (c[0] for c in net.convolutions)
        first.weight[0, :, 0, 0] = -1 / 3  # darkness: 1 for black, below 0 for what is bright
        for convolution, tap in zip(rest, (1, 0, 0, 1), strict=True):
            convolution.weight[0, 0, tap, tap] = 1
        cells = net.head[0].weight.shape[2] * net.head[0].weight.shape[3]
        net.head[0].weight[0, 0] = 1
        net.head[0].bias[0] = -0.84 * (cells - 0.5)  # 20 of 255 is a darkness of 0.84
        net.head[2].weight[1, 0] = 40
        net.head[2].bias[1] = -4


def test_a_planted_figure_is_found_from_the_field_to_the_table():
    """The paper's way: score map, mean in a disc of 10 px, greedy maxima above 0.35."""
    network = IdsiaNet().eval()
    darkness_seen_by_all_cells(network.dnn1)
    pixels = np.full((300, 340, 3), 200, dtype=np.uint8)
    planted = np.array([[90, 70], [180, 250], [225, 100]])
    for y, x in planted:
        pixels[y - 10 : y + 11, x - 10 : x + 11] = 20
    field = Field.from_array(pixels, 0.25, "planted")
    card = SYSTEM.card(version="0.0.1", seed=0).model_copy(update={"poses": 8})
    evidence = jobs.run(predict(field, Detector(card, network), device="cpu", only=("dnn1",)))
    assert set(evidence.maps) == {"dnn1"}
    assert card.rule == asdict(START_RULE)
    found = decide(evidence, card.decision_rule())
    assert len(found) == 3
    assert found["score"].min() > 0.9
    for y, x in planted:
        assert np.hypot(found["y_px"] - y, found["x_px"] - x).min() <= 10
