"""A sliding window evaluated everywhere at once gives what each window gives on its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from napari_mitosis.models.dense_windows import dense_windows
from napari_mitosis.models.idsia import BORDER_PX, WINDOW_PX, IdsiaNet, WindowNet, normalised


def small_net(kernels, side):
    """Convolutions with 3 maps, a head over `side` cells, and a function of one window."""
    torch.manual_seed(1)
    channels = [2] + [3] * len(kernels)
    convolutions = [nn.Sequential(nn.Conv2d(a, 3, k), nn.Tanh()) for a, k in zip(channels, kernels, strict=False)]
    head = nn.Conv2d(3, 4, side)

    def one(window):
        for convolution in convolutions:
            window = F.max_pool2d(convolution(window), 2)
        return head(window)[:, :, 0, 0]

    return convolutions, head, one


@pytest.mark.parametrize(
    ("kernels", "side", "window"), [((2,), 2, 5), ((3, 2), 2, 12), ((2, 3), 1, 9), ((1, 1, 2), 2, 20)]
)
@pytest.mark.parametrize("extra", [(0, 0), (3, 6), (17, 8)])
@torch.no_grad()
def test_every_window_at_every_step(kernels, side, window, extra):
    convolutions, head, one = small_net(kernels, side)
    pixels = torch.randn(2, 2, window + extra[0], window + extra[1])
    for step in [2**i for i in range(len(kernels) + 1)]:
        dense = dense_windows(pixels, convolutions, head, window, step)
        assert dense.shape == (2, 4, extra[0] // step + 1, extra[1] // step + 1)
        for i in range(dense.shape[2]):
            for j in range(dense.shape[3]):
                cut = pixels[:, :, i * step : i * step + window, j * step : j * step + window]
                torch.testing.assert_close(dense[:, :, i, j], one(cut), atol=1e-5, rtol=1e-5)


def test_gradients_are_those_of_the_windows():
    convolutions, head, one = small_net((3, 2), 2)
    pixels = torch.randn(1, 2, 15, 14)
    dense_windows(pixels, convolutions, head, 12).square().sum().backward()
    parameters = [*head.parameters(), *(p for c in convolutions for p in c.parameters())]
    dense = [p.grad.clone() for p in parameters]
    for p in parameters:
        p.grad = None
    cuts = torch.cat([pixels[:, :, i : i + 12, j : j + 12] for i in range(4) for j in range(3)])
    one(cuts).square().sum().backward()
    for ours, p in zip(dense, parameters, strict=True):
        torch.testing.assert_close(ours, p.grad, atol=1e-4, rtol=1e-4)


def test_what_cannot_be_is_refused():
    convolutions, head, _ = small_net((3, 2), 2)
    with pytest.raises(ValueError, match="no window"):
        dense_windows(torch.zeros(1, 2, 11, 40), convolutions, head, 12)
    for step in (0, 3, 8):
        with pytest.raises(ValueError, match="power of two"):
            dense_windows(torch.zeros(1, 2, 20, 20), convolutions, head, 12, step)


def dilated(net: WindowNet, pixels: torch.Tensor) -> torch.Tensor:
    """The other exact way: every pooling keeps all cells, and what follows is spread out instead."""
    x, spread = normalised(pixels), 1
    for convolution in net.convolutions:
        x = F.conv2d(x, convolution[0].weight, convolution[0].bias, dilation=spread).relu()
        x = F.max_pool2d(x, 2, stride=1, dilation=spread)
        spread *= 2
    x = F.conv2d(x, net.head[0].weight, net.head[0].bias, dilation=spread).relu()
    return net.head[2](x)


@torch.inference_mode()
def test_the_papers_networks_at_every_pixel_of_a_region():
    """200 x 200 px, border mirrored: all pixels against dilated convolutions, 300 pixels against their windows."""
    torch.manual_seed(0)
    network = IdsiaNet().eval()
    for net in (network.dnn1, network.dnn2):  # answers of a trained network's height
        net.head[2].weight.mul_(60)
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 255, (200, 200, 3)).astype(np.float32)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
    log_odds = network(pixels)[0]
    assert log_odds.shape == (2, 200, 200)
    assert log_odds.std(dim=(1, 2)).min() > 0.1
    padded = np.pad(image, ((BORDER_PX, BORDER_PX), (BORDER_PX, BORDER_PX), (0, 0)), "reflect")
    padded_pixels = torch.from_numpy(padded).permute(2, 0, 1)[None]
    corners = [(0, 0), (0, 199), (199, 0), (199, 199)]
    places = corners + [tuple(p) for p in rng.integers(0, 200, (296, 2))]
    windows = torch.cat([padded_pixels[:, :, y : y + WINDOW_PX, x : x + WINDOW_PX] for y, x in places])
    for k, net in enumerate((network.dnn1, network.dnn2)):
        everywhere = dilated(net, padded_pixels)[0]
        assert (log_odds[k] - (everywhere[1] - everywhere[0])).abs().max() < 1e-4
        alone = net(windows)
        here = torch.stack([log_odds[k, y, x] for y, x in places])
        assert (here - (alone[:, 1] - alone[:, 0])).abs().max() < 1e-4
