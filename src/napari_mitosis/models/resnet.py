"""ResNet-50, the verifier's network in the DeepMitosis paper (section 3.2), with torchvision's keys."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import WeightsError

BLOCKS = (3, 4, 6, 3)
_WIDTHS = (64, 128, 256, 512)
_EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution with a shortcut; the 3x3 has the stride.

    The first residual networks had the stride in the first 1x1; published ImageNet weights are of this form.
    """

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * _EXPANSION
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet50(nn.Module):
    """Shapes: (N, 3, H, W), normalised as for ImageNet -> logits (N, classes)."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = 64
        for i, (blocks, width) in enumerate(zip(BLOCKS, _WIDTHS, strict=True)):
            layers = []
            for k in range(blocks):
                layers.append(Bottleneck(inputs, width, 2 if k == 0 and i > 0 else 1))
                inputs = width * _EXPANSION
            self.add_module(f"layer{i + 1}", nn.Sequential(*layers))
        self.fc = nn.Linear(inputs, classes)

    def features(self, x: Tensor) -> Tensor:
        """(N, 2048, H/32, W/32)."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for i in range(len(BLOCKS)):
            x = self.get_submodule(f"layer{i + 1}")(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.features(x).mean(dim=(2, 3)))
        return logits


def load_torchvision_resnet50(network: ResNet50, state: Mapping[str, Tensor]) -> None:
    """Load torchvision's ResNet-50 (ImageNet); a classifier of another number of classes stays fresh.

    Raises
    ------
    WeightsError
        If a key is missing, unknown or of another shape.
    """
    expected = network.state_dict()
    given = dict(state)
    for leaf in ("fc.weight", "fc.bias"):
        if leaf in given and given[leaf].shape != expected[leaf].shape:
            given[leaf] = expected[leaf]
    for key in expected:
        if key not in given:
            if key.startswith("fc.") or key.endswith("num_batches_tracked"):
                given[key] = expected[key]
                continue
            raise WeightsError(f"the ResNet-50 state dict has no {key}")
        if given[key].shape != expected[key].shape:
            raise WeightsError(f"{key} has shape {tuple(given[key].shape)}, not {tuple(expected[key].shape)}")
    unknown = sorted(set(given) - set(expected))
    if unknown:
        raise WeightsError(f"the ResNet-50 state dict holds unknown keys: {', '.join(unknown[:3])}")
    network.load_state_dict({key: torch.as_tensor(value) for key, value in given.items()})
