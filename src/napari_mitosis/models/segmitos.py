"""SegMitos: a fully convolutional network that scores every pixel (Li et al. 2019).

`CompactSegMitos` is the idea on a small trunk, with the weights that ship. The paper's own FCN-32s, 16s
and 8s are in ``fcn.py``.
"""

from __future__ import annotations

import math
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .configured import Configured, Places, Rng
from .fcn import FCN
from .losses import concentric_loss, random_labels
from .registry import register
from .trunks import EfficientNetLite0, conv_bn


class CompactSegMitos(nn.Module):
    """EfficientNet-Lite0 with a light top-down decoder to stride 4.

    As in FCN-8s (section 3.1.1) coarse layers are upsampled and joined with finer ones, but features are
    joined rather than scores, and the finest is at stride 4: a mitosis of 590 px is 37 cells.

    Shapes: (N, 3, H, W) RGB in [0, 255] -> logits (N, 2, H/4, W/4); H and W multiples of 32.
    """

    stride = 4
    multiple = 32
    traced = ""
    map_names = ("score",)

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.trunk = EfficientNetLite0()
        self.lateral = nn.ModuleList([conv_bn(c, width, 1) for c in self.trunk.channels])
        self.refine = nn.ModuleList(
            [
                nn.Sequential(conv_bn(width, width, 5, groups=width), conv_bn(width, width, 1)),
                conv_bn(width, width, 3),
                conv_bn(width, width, 3),
            ]
        )
        self.dropout = nn.Dropout2d(0.1)
        self.score = nn.Conv2d(width, 2, 1)
        nn.init.normal_(self.score.weight, std=0.01)
        assert self.score.bias is not None
        # One cell in a hundred is mitosis at the start, so that background does not swamp the first steps.
        with torch.no_grad():
            self.score.bias.copy_(torch.tensor([math.log(0.99), math.log(0.01)]))

    def features(self, x: Tensor) -> Tensor:
        """Features at stride 4 before the last convolution, (N, width, H/4, W/4)."""
        features = self.trunk(x)
        y: Tensor = self.lateral[3](features[3])
        for level in (2, 1, 0):
            y = F.interpolate(y, scale_factor=2.0, mode="nearest") + self.lateral[level](features[level])
            y = self.refine[level](y)
        return y

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.score(self.dropout(self.features(x)))
        return scores

    def scores(self, pixels: Tensor) -> Tensor:
        """Probability of mitosis, (N, 1, H/4, W/4)."""
        logits: Tensor = self(pixels)
        return logits.float().softmax(dim=1)[:, 1:]


@register("segmitos")
class SegMitos(Configured):
    """The detector as the registry sees it."""

    title = "SegMitos: fully convolutional network with concentric loss"
    networks: ClassVar = {"compact": CompactSegMitos, **{f"paper/{n}s": partial(FCN, n) for n in (32, 16, 8)}}

    @staticmethod
    def loss(network: nn.Module, pixels: Tensor, centroids: Places, rng: Rng, ignore: Tensor | None = None) -> Tensor:
        """Concentric loss with random concentric labels (section 3.1.3), normalised by the number of disc cells."""
        stride = int(network.stride)  # type: ignore[arg-type]
        labels = random_labels(centroids, (pixels.shape[2], pixels.shape[3]), stride, rng, ignore)
        return concentric_loss(network(pixels), labels.to(pixels.device), "normalised")
