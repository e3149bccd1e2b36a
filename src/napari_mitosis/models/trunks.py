"""Feature extractors in plain torch: VGG-16 for the paper's networks, EfficientNet-Lite0 for the compact ones."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# (expansion, kernel, stride, output channels, repeats) of each stage of EfficientNet-Lite0; stem and head
# are not scaled in the Lite family. The seventh stage (320 channels, 0.7 M parameters) looks for objects
# of hundreds of pixels and is left out.
_LITE0_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
)
_EPS, _MOMENTUM = 1e-3, 0.01


class SameConv2d(nn.Conv2d):
    """Convolution padded as TensorFlow's SAME on even inputs, which the published Lite weights expect.

    At stride 2 the padding is asymmetric, (k - 2) // 2 before and the rest after.
    """

    def forward(self, input: Tensor) -> Tensor:
        total = self.kernel_size[0] - self.stride[0]
        if total % 2:
            before = total // 2
            after = total - before
            input = F.pad(input, (before, after, before, after))
            return F.conv2d(input, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)
        return F.conv2d(input, self.weight, self.bias, self.stride, total // 2, self.dilation, self.groups)


def conv_bn(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, act: bool = True
) -> nn.Sequential:
    """Convolution without bias, batch normalisation and, unless switched off, ReLU6."""
    layers: list[nn.Module] = [
        SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=_EPS, momentum=_MOMENTUM),
    ]
    if act:
        layers.append(nn.ReLU6(inplace=True))
    return nn.Sequential(*layers)


class MBConv(nn.Module):
    """Inverted residual block: 1x1 expansion, depthwise convolution, linear 1x1 projection."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = conv_bn(inputs, hidden, 1) if expansion != 1 else nn.Identity()
        self.depthwise = conv_bn(hidden, hidden, kernel, stride, groups=hidden)
        self.project = conv_bn(hidden, outputs, 1, act=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 without its last stage and head.

    Takes (N, 3, H, W) RGB in [0, 255]; gives the features at strides 4, 8, 16 and 32, of shapes
    (N, 24, H/4, W/4), (N, 40, H/8, W/8), (N, 112, H/16, W/16), (N, 192, H/32, W/32). H and W must be
    multiples of 32.
    """

    channels = (24, 40, 112, 192)

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, 32, 3, 2)
        inputs = 32
        stages = []
        for expansion, kernel, stride, outputs, repeats in _LITE0_STAGES:
            blocks = []
            for i in range(repeats):
                blocks.append(MBConv(inputs, outputs, kernel, stride if i == 0 else 1, expansion))
                inputs = outputs
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem((x - 127.0) / 128.0)
        features = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in (1, 2, 4, 5):
                features.append(x)
        return features


def lite0_from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the published ImageNet weights (keys ``_blocks.3._expand_conv.weight``) to `EfficientNetLite0`'s.

    Parameters
    ----------
    state : mapping of str to Tensor
        The published state dict; its last stage, head and classifier are dropped.

    Returns
    -------
    dict of str to Tensor
    """
    place = [(s, b) for s, stage in enumerate(_LITE0_STAGES) for b in range(stage[4])]
    parts = {
        "_expand_conv": "expand.0",
        "_bn0": "expand.1",
        "_depthwise_conv": "depthwise.0",
        "_bn1": "depthwise.1",
        "_project_conv": "project.0",
        "_bn2": "project.1",
    }
    renamed = {}
    for key, value in state.items():
        head, _, rest = key.partition(".")
        if head == "_conv_stem":
            renamed[f"stem.0.{rest}"] = value
        elif head == "_bn0":
            renamed[f"stem.1.{rest}"] = value
        elif head == "_blocks":
            number, part, leaf = rest.split(".")
            if int(number) < len(place):
                stage, block = place[int(number)]
                renamed[f"stages.{stage}.{block}.{parts[part]}.{leaf}"] = value
    return renamed


# Channels of VGG-16's five groups of 3x3 convolutions.
VGG16_GROUPS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def vgg16_groups(first_padding: int = 100) -> nn.ModuleList:
    """The five convolution groups of VGG-16 as FCN uses them (SegMitos, section 3.1).

    Each group ends in a 2x2 max pool with ceil mode. The very first convolution is padded by
    `first_padding` so that a small image still leaves something for fc6's 7x7 kernel.
    """
    groups = nn.ModuleList()
    inputs = 3
    for group in VGG16_GROUPS:
        layers: list[nn.Module] = []
        for outputs in group:
            padding = first_padding if inputs == 3 else 1
            layers += [nn.Conv2d(inputs, outputs, 3, padding=padding), nn.ReLU(inplace=True)]
            inputs = outputs
        layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))
        groups.append(nn.Sequential(*layers))
    return groups


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Fold every batch normalisation into the convolution before it, in place, for inference.

    Exact up to rounding: w' = w * g / sqrt(var + eps), b' = beta - mean * g / sqrt(var + eps).
    """
    for module in network.modules():
        if isinstance(module, nn.Sequential) and len(module) >= 2:
            conv, norm = module[0], module[1]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                _fold(conv, norm)
                module[1] = nn.Identity()
    return network


@torch.no_grad()
def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    assert norm.running_var is not None
    assert norm.running_mean is not None
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    bias = norm.bias - norm.running_mean * gain
    if conv.bias is not None:
        bias = bias + conv.bias * gain
    conv.weight.mul_(gain.reshape(-1, 1, 1, 1))
    conv.bias = nn.Parameter(bias)
