"""DeepVer: a second look at each detection (Li et al. 2018, section 3.2).

A residual network classifies the 96 x 96 crop about a detection. Its score and the detector's are fused by a
weight that is chosen on validation: here `decide.Rule.weights`, so it stays live. It can stand behind any
detector.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from .configured import Configured, Places, Rng
from .registry import register
from .resnet import ResNet50
from .trunks import EfficientNetLite0, conv_bn

CROP_PX = 96
_IMAGENET_MEAN = (123.675, 116.28, 103.53)
_IMAGENET_DEVIATION = (58.395, 57.12, 57.375)
_FAR_PX = 25.0
_JITTER_PX = 4


class _Verifier(nn.Module):
    """What both configurations share: a crop in, the probability of mitosis out."""

    stride = 1
    multiple = 32
    map_names: tuple[str, ...] = ()
    examine_px = CROP_PX
    examine_names = ("verifier",)

    def examine(self, crops: Tensor) -> Tensor:
        """(n, 3, 96, 96) RGB in [0, 255] -> (n, 1): mean probability over four quarter turns.

        The paper turns its training crops by 90 degrees; a few dozen candidates are cheap enough to be turned
        when they are examined, too.
        """
        turned = [self(torch.rot90(crops, k, (2, 3)).contiguous(memory_format=torch.channels_last)) for k in range(4)]
        return torch.stack([logits.float().softmax(1)[:, 1:] for logits in turned]).mean(dim=0)


class CompactDeepVer(_Verifier):
    """The inverted residual blocks of EfficientNet-Lite0, global average pooling and two classes.

    Its trunk is that of the compact SegMitos, whose weights it starts from. The centre of the crop, where the
    figure is, is pooled once more at stride 8: a mitosis covers a fortieth of the crop.

    Shapes: (N, 3, 96, 96) RGB in [0, 255] -> logits (N, 2).
    """

    def __init__(self, width: int = 96) -> None:
        super().__init__()
        self.trunk = EfficientNetLite0()
        self.whole = conv_bn(self.trunk.channels[3], width, 1)
        self.centre = conv_bn(self.trunk.channels[1] + self.trunk.channels[2], width, 1)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(2 * width, 2)

    def forward(self, x: Tensor) -> Tensor:
        _, fine, middle, coarse = self.trunk(x)
        near = torch.cat([fine, F.interpolate(middle, scale_factor=2.0, mode="nearest")], dim=1)
        side = near.shape[2] // 3
        near = near[:, :, side:-side, side:-side]
        pooled = torch.cat([self.whole(coarse).mean(dim=(2, 3)), self.centre(near).mean(dim=(2, 3))], dim=1)
        logits: Tensor = self.fc(self.dropout(pooled))
        return logits


class PaperDeepVer(_Verifier):
    """ResNet-50 on 96 x 96 crops (section 3.2).

    Shapes: (N, 3, 96, 96) RGB in [0, 255] -> logits (N, 2).
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.resnet = ResNet50(2)
        for name, values in (("mean", _IMAGENET_MEAN), ("deviation", _IMAGENET_DEVIATION)):
            self.register_buffer(name, torch.tensor(values).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.resnet((x - self.mean) / self.deviation)
        return logits


@register("deepver")
class DeepVer(Configured):
    """The verifier as the registry sees it."""

    kind = "verifier"
    title = "DeepVer: a residual network that looks at each detection once more"
    networks: ClassVar = {"compact": CompactDeepVer, "paper": PaperDeepVer}

    @staticmethod
    def loss(network: nn.Module, pixels: Tensor, centroids: Places, rng: Rng, ignore: Tensor | None = None) -> Tensor:
        """Softmax loss on crops about the centroids and on as many far from any of them; at least one an image."""
        half = CROP_PX // 2
        padded = F.pad(pixels, (half, half, half, half), mode="reflect")
        crops, labels = [], []
        for i, points in enumerate(centroids):
            h, w = pixels.shape[2:]
            inside = points[((points >= 0) & (points < (h, w))).all(axis=1)]
            places = [(p + rng.integers(-_JITTER_PX, _JITTER_PX + 1, 2), 1) for p in inside]
            unknown = None if ignore is None else ignore[i].cpu().numpy()
            places += [(p, 0) for p in _elsewhere(points, (h, w), unknown, max(1, len(inside)), rng)]
            for place, label in places:
                y, x = (int(np.clip(round(float(v)), 0, n - 1)) for v, n in zip(place, (h, w), strict=True))
                crops.append(padded[i, :, y : y + CROP_PX, x : x + CROP_PX])
                labels.append(label)
        if not crops:  # nothing is known: a loss of 0 with a gradient of 0
            return sum((p.sum() * 0 for p in network.parameters()), torch.zeros((), device=pixels.device))
        logits = network(torch.stack(crops).contiguous(memory_format=torch.channels_last))
        return F.cross_entropy(logits.float(), torch.tensor(labels, device=pixels.device))

    @staticmethod
    def mimic_loss(network: nn.Module, pixels: Tensor, centroids: Places, mimics: Places) -> Tensor:
        """Softmax loss on crops about figures that a reader called mimics; 0 where there is none in the images."""
        half = CROP_PX // 2
        padded = F.pad(pixels, (half, half, half, half), mode="reflect")
        crops = []
        for i, points in enumerate(mimics):
            for y, x in np.round(points[((points >= 0) & (points < pixels.shape[2:])).all(axis=1)]).astype(int):
                y, x = min(y, pixels.shape[2] - 1), min(x, pixels.shape[3] - 1)
                crops.append(padded[i, :, y : y + CROP_PX, x : x + CROP_PX])
        if not crops:
            return torch.zeros((), device=pixels.device)
        logits = network(torch.stack(crops).contiguous(memory_format=torch.channels_last))
        return F.cross_entropy(logits.float(), torch.zeros(len(crops), dtype=torch.long, device=pixels.device))


def _elsewhere(
    points: NDArray[np.float64],
    shape: tuple[int, int],
    unknown: NDArray[np.bool_] | None,
    count: int,
    rng: np.random.Generator,
) -> list[NDArray[np.float64]]:
    """Up to `count` random places that are known and far from any mitosis."""
    places = []
    for place in rng.uniform(0, np.array(shape) - 1, (8 * count, 2)):
        if len(points) and np.linalg.norm(points - place, axis=1).min() < _FAR_PX:
            continue
        if unknown is not None and unknown[int(place[0]), int(place[1])]:
            continue
        places.append(place)
        if len(places) == count:
            break
    return places
