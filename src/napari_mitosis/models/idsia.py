"""IDSIA DNN: two small networks that classify each pixel by the window about it (Ciresan et al. 2013).

The paper's own networks are so small that there is no compact version of them: these are the real ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from .configured import Configured, Places, Rng
from .dense_windows import dense_windows
from .registry import register

WINDOW_PX = 101
BORDER_PX = WINDOW_PX // 2
POSITIVE_PX = 10.0
"""Pixels closer than this to a centroid are of the class mitosis (section 3)."""
_MAPS = 16
_HIDDEN = 100
_STRIP_PX = 448
_LOSS_STEP_PX = 8


class WindowNet(nn.Module):
    """One deep max-pooling network (table 1): convolutions with 2 x 2 max-poolings, then two full connections.

    Parameters
    ----------
    kernels : sequence of int
        Side of the filter of each convolution.

    Notes
    -----
    The paper says "a nonlinear activation function" and no more; it is a rectifier here. Raw RGB is brought
    from [0, 255] to [-1, 1].

    Shapes: windows (N, 3, 101, 101) RGB in [0, 255] -> logits (N, 2) of background and mitosis.
    """

    def __init__(self, kernels: Sequence[int]) -> None:
        super().__init__()
        channels, side = 3, WINDOW_PX
        convolutions = []
        for kernel in kernels:
            convolutions.append(nn.Sequential(nn.Conv2d(channels, _MAPS, kernel), nn.ReLU(inplace=True)))
            channels, side = _MAPS, (side - kernel + 1) // 2
        self.convolutions = nn.ModuleList(convolutions)
        # Full connections, written as convolutions over the cells of one window.
        self.head = nn.Sequential(nn.Conv2d(_MAPS, _HIDDEN, side), nn.ReLU(inplace=True), nn.Conv2d(_HIDDEN, 2, 1))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
        nn.init.normal_(cast(nn.Conv2d, self.head[2]).weight, std=0.01)

    def forward(self, windows: Tensor) -> Tensor:
        """The definition: window by window."""
        x = normalised(windows)
        for convolution in self.convolutions:
            x = F.max_pool2d(convolution(x), 2)
        logits: Tensor = self.head(x)
        return logits.flatten(1)

    def dense(self, pixels: Tensor, step: int = 1) -> Tensor:
        """The same for every window inside an image, (N, 3, H, W) -> (N, 2, h, w); see `dense_windows`."""
        return dense_windows(normalised(pixels), list(self.convolutions), self.head, WINDOW_PX, step)


def normalised(pixels: Tensor) -> Tensor:
    """RGB from [0, 255] to [-1, 1]."""
    return pixels / 127.5 - 1


class IdsiaNet(nn.Module):
    """DNN1 and DNN2, evaluated at every pixel.

    Shapes: (N, 3, H, W) RGB in [0, 255] -> log-odds of mitosis (N, number of networks, H, W). Pixels beyond the
    image are mirrored. Any H and W.
    """

    stride = 1
    multiple = 1
    border_px = 0  # pixels beyond a tile are mirrored here
    selectable = True
    map_names = ("dnn1", "dnn2")

    def __init__(self) -> None:
        super().__init__()
        self.dnn1 = WindowNet((2, 3, 3, 2, 2))
        self.dnn2 = WindowNet((4, 4, 4, 3))

    def net(self, name: str) -> WindowNet:
        """The network of a score map."""
        return cast(WindowNet, getattr(self, name))

    def forward(self, pixels: Tensor, only: tuple[str, ...] | None = None) -> Tensor:
        """Log-odds of the networks named in `only`; of both by default."""
        names = self.map_names if only is None else only
        padded = mirrored(pixels)
        height = pixels.shape[2]
        strips = []
        # Strips bound the memory: at stride 1 each map of one network weighs as much as sixteen images.
        for top in range(0, height, _STRIP_PX):
            part = padded[:, :, top : min(top + _STRIP_PX, height) + 2 * BORDER_PX]
            logits = [self.net(name).dense(part).float() for name in names]
            strips.append(torch.stack([z[:, 1] - z[:, 0] for z in logits], dim=1))
        return torch.cat(strips, dim=2)

    def scores(self, pixels: Tensor, only: tuple[str, ...] | None = None) -> Tensor:
        """Probability of mitosis at each pixel, (N, number of networks, H, W)."""
        log_odds: Tensor = self(pixels, only) if only is not None else self(pixels)
        # The softmax of two outputs is the logistic function of their difference.
        return log_odds.sigmoid()


def mirrored(pixels: Tensor) -> Tensor:
    """An image with half a window around it, mirrored at its borders as often as need be."""
    for dim in (2, 3):
        size = pixels.shape[dim]
        index = torch.arange(-BORDER_PX, size + BORDER_PX, device=pixels.device)
        period = max(1, 2 * (size - 1))
        index = index.abs() % period
        pixels = pixels.index_select(dim, torch.minimum(index, period - index).clamp(0, size - 1))
    return pixels


def window_loss(
    network: IdsiaNet,
    pixels: Tensor,
    centroids: Places,
    offset: tuple[int, int],
    ignore: Tensor | None = None,
    step: int = _LOSS_STEP_PX,
) -> Tensor:
    """Mean softmax cross-entropy of both networks over the windows of a grid inside each crop.

    Parameters
    ----------
    pixels : Tensor, shape (N, 3, H, W)
    centroids : sequence of ndarray, shape (n, 2)
        Mitoses (y, x) of each crop.
    offset : tuple of int
        (y, x) of the top left corner of the grid's first window.
    ignore : Tensor of bool, shape (N, H, W), optional
        Pixels that are not background; windows centred on them count only where they are mitosis.
    step : int
        Pixels between two windows.

    Returns
    -------
    Tensor
        A scalar; 0 where no window counts.
    """
    dy, dx = offset
    logits = [network.net(name).dense(pixels[:, :, dy:, dx:], step).float() for name in network.map_names]
    cells = logits[0].shape[2:]
    y = np.arange(cells[0]) * step + dy + BORDER_PX
    x = np.arange(cells[1]) * step + dx + BORDER_PX
    labels = torch.from_numpy(np.stack([_is_mitosis(points, y, x) for points in centroids])).to(pixels.device)
    counts = torch.ones_like(labels)
    if ignore is not None:
        counts = labels | ~ignore.to(pixels.device)[:, torch.from_numpy(y)][:, :, torch.from_numpy(x)]
    each = sum(F.cross_entropy(z, labels.long(), reduction="none") for z in logits)
    assert isinstance(each, Tensor)
    return (each * counts).sum() / counts.sum().clamp(min=1)


def _is_mitosis(points: NDArray[np.float64], y: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the pixels (y, x) of a grid are closer than `POSITIVE_PX` to one of `points`."""
    near = np.zeros((len(y), len(x)), dtype=bool)
    for py, px in points:
        near |= (y[:, None] - py) ** 2 + (x[None, :] - px) ** 2 < POSITIVE_PX**2
    return near


@register("idsia")
class Idsia(Configured):
    """The detector as the registry sees it."""

    title = "IDSIA DNN: two pixel classifiers on windows of 101 px (the paper's own networks)"
    networks: ClassVar = {"compact": IdsiaNet}

    @staticmethod
    def loss(network: nn.Module, pixels: Tensor, centroids: Places, rng: Rng, ignore: Tensor | None = None) -> Tensor:
        """Cross-entropy of windows inside the crops, every 8 px from a random corner on.

        Raises
        ------
        ValueError
            If a crop is smaller than 109 px: a window and a step.
        """
        free = min(pixels.shape[2:]) - WINDOW_PX
        if free < _LOSS_STEP_PX:
            raise ValueError(f"crops must be of {WINDOW_PX + _LOSS_STEP_PX} px or more, not {tuple(pixels.shape[2:])}")
        offset = (int(rng.integers(_LOSS_STEP_PX)), int(rng.integers(_LOSS_STEP_PX)))
        return window_loss(cast(IdsiaNet, network), pixels, centroids, offset, ignore)
