"""FCN-32s, 16s and 8s on VGG-16: the networks of the SegMitos paper, layer by layer (sections 3.1.1, 3.1.2)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import WeightsError
from .trunks import vgg16_groups

# Mean blue, green and red of the images that VGG-16 was trained on; Caffe nets take BGR.
_MEAN_BGR = (104.00699, 116.66877, 122.67892)
CLASSES = 2


class Bilinear(nn.Module):
    """Frozen transposed convolution of each channel with a bilinear kernel of size 2 s and stride s."""

    weight: Tensor

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.channels = channels
        self.register_buffer("weight", bilinear_kernel(channels, factor))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self.weight, stride=self.factor, groups=self.channels)


def bilinear_kernel(channels: int, factor: int) -> Tensor:
    """Kernels (channels, 1, 2 s, 2 s) of bilinear upsampling by s."""
    size = 2 * factor
    t = torch.arange(size, dtype=torch.float32)
    profile = 1 - (t - (factor - 0.5)).abs() / factor
    return (profile[:, None] * profile[None, :]).expand(channels, 1, size, size).clone()


class FCN(nn.Module):
    """FCN-32s, 16s or 8s with two classes.

    conv1_1 is padded by 100, pools round up, fc6 is a 7x7x4096 and fc7 a 1x1x4096 convolution with dropout
    of one half; scores come from 1x1 convolutions and are upsampled by frozen bilinear kernels. 16s adds
    the scores of pool4, 8s those of pool3 too.

    Shapes: (N, 3, H, W) RGB in [0, 255] -> logits (N, 2, H, W).

    Parameters
    ----------
    stride : {32, 16, 8}
        Of the finest scores before the last upsampling.
    """

    stride = 1
    multiple = 1
    map_names = ("score",)
    width = 4096
    """Channels of fc6 and fc7."""
    mean: Tensor

    def __init__(self, finest: int = 32) -> None:
        super().__init__()
        if finest not in (32, 16, 8):
            raise ValueError(f"an FCN's finest stride is 32, 16 or 8, not {finest}")
        self.finest = finest
        self.groups = vgg16_groups()
        self.fc6 = nn.Conv2d(512, self.width, 7)
        self.fc7 = nn.Conv2d(self.width, self.width, 1)
        self.dropout = nn.Dropout2d(0.5)
        self.score = nn.Conv2d(self.width, CLASSES, 1)
        self.register_buffer("mean", torch.tensor(_MEAN_BGR).reshape(1, 3, 1, 1), persistent=False)
        zeroed = [self.score]
        if finest <= 16:
            self.score_pool4 = nn.Conv2d(512, CLASSES, 1)
            self.up2 = Bilinear(CLASSES, 2)
            zeroed.append(self.score_pool4)
        if finest <= 8:
            self.score_pool3 = nn.Conv2d(256, CLASSES, 1)
            self.up2_pool4 = Bilinear(CLASSES, 2)
            zeroed.append(self.score_pool3)
        self.up = Bilinear(CLASSES, finest)
        # New score layers start at zero, so a 16s starts out as the 32s it comes from.
        for layer in zeroed:
            nn.init.zeros_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def features(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Features of fc7, (N, 4096, h, w), and those of the five pools."""
        x = x.flip(1) - self.mean
        pools = []
        for group in self.groups:
            x = group(x)
            pools.append(x)
        x = self.dropout(F.relu(self.fc6(x), inplace=True))
        x = self.dropout(F.relu(self.fc7(x), inplace=True))
        return x, pools

    def forward(self, x: Tensor) -> Tensor:
        features, pools = self.features(x)
        return self.upsampled(self.score(features), pools, (x.shape[2], x.shape[3]))

    def upsampled(self, y: Tensor, pools: list[Tensor], shape: tuple[int, int]) -> Tensor:
        """Coarse scores, joined with those of finer layers and brought to the size of the input."""
        h, w = shape
        if self.finest <= 16:
            y = self.up2(y)
            y = y + _crop(self.score_pool4(pools[3]), 5, y)
        if self.finest <= 8:
            y = self.up2_pool4(y)
            y = y + _crop(self.score_pool3(pools[2]), 9, y)
        y = self.up(y)
        offset = {32: 19, 16: 27, 8: 31}[self.finest]
        return y[:, :, offset : offset + h, offset : offset + w]

    def scores(self, pixels: Tensor) -> Tensor:
        """Probability of mitosis, (N, 1, H, W)."""
        logits: Tensor = self(pixels)
        return logits.float().softmax(dim=1)[:, 1:]


def _crop(x: Tensor, offset: int, like: Tensor) -> Tensor:
    """The part of `x` from `offset` on that is as large as `like`."""
    return x[:, :, offset : offset + like.shape[2], offset : offset + like.shape[3]]


def continue_from(finer: FCN, coarser: FCN) -> None:
    """Start FCN-16s from a trained 32s, or 8s from a 16s: every layer that both have is copied."""
    if finer.finest * 2 != coarser.finest:
        raise ValueError(f"FCN-{finer.finest}s continues from FCN-{2 * finer.finest}s, not {coarser.finest}s")
    state = finer.state_dict()
    for key, value in coarser.state_dict().items():
        if key in state and not key.startswith("up"):
            state[key] = value
    finer.load_state_dict(state)


# Names of VGG-16's 13 convolutions by group.
_CONVS = [(g, c) for g, n in enumerate((2, 2, 3, 3, 3)) for c in range(n)]
# Their numbers among the features of torchvision's vgg16.
_TORCHVISION = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


def load_torchvision_vgg16(network: FCN, state: Mapping[str, Tensor]) -> None:
    """Load torchvision's VGG-16 (ImageNet): 13 convolutions, fc6 and fc7 reshaped to convolutions.

    Torchvision's net takes RGB in [0, 1], normalised by mean and deviation; its first convolution is
    rescaled and turned to BGR so that it sees the same here. The means differ by less than one grey level.

    Raises
    ------
    WeightsError
        If a key is missing or of another shape.
    """
    renamed = {}
    for (group, conv), number in zip(_CONVS, _TORCHVISION, strict=True):
        for leaf in ("weight", "bias"):
            renamed[f"groups.{group}.{2 * conv}.{leaf}"] = _take(state, f"features.{number}.{leaf}")
    first = renamed["groups.0.0.weight"]
    deviation = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1) * 255.0
    if first.shape[1] == 3:
        renamed["groups.0.0.weight"] = (first / deviation).flip(1)
    renamed["fc6.weight"] = _reshaped(_take(state, "classifier.0.weight"), (network.width, 512, 7, 7))
    renamed["fc6.bias"] = _take(state, "classifier.0.bias")
    renamed["fc7.weight"] = _reshaped(_take(state, "classifier.3.weight"), (network.width, network.width, 1, 1))
    renamed["fc7.bias"] = _take(state, "classifier.3.bias")
    _load_part(network, renamed, "torchvision's VGG-16")


def load_pytorch_fcn(network: FCN, state: Mapping[str, Tensor]) -> None:
    """Load the common PyTorch port of FCN-32s, 16s or 8s (``conv1_1.weight`` ... ``upscore.weight``).

    Its net takes BGR minus the same mean. Score layers of another number of classes (PASCAL VOC has 21)
    are left at zero, as the paper trains new ones; its upsampling kernels are bilinear and fixed.

    Raises
    ------
    WeightsError
        If a key is missing, unknown or of another shape.
    """
    renamed = {}
    for group, conv in _CONVS:
        for leaf in ("weight", "bias"):
            renamed[f"groups.{group}.{2 * conv}.{leaf}"] = _take(state, f"conv{group + 1}_{conv + 1}.{leaf}")
    scores = {"score_fr": "score", "score_pool4": "score_pool4", "score_pool3": "score_pool3"}
    expected = network.state_dict()
    for theirs, ours in {"fc6": "fc6", "fc7": "fc7", **scores}.items():
        for leaf in ("weight", "bias"):
            key = f"{ours}.{leaf}"
            if key not in expected:
                continue
            value = _take(state, f"{theirs}.{leaf}")
            if theirs not in scores or value.shape == expected[key].shape:
                renamed[key] = value
    known = {f"conv{g + 1}_{c + 1}" for g, c in _CONVS} | {"fc6", "fc7", *scores}
    known |= {"upscore", "upscore2", "upscore8", "upscore16", "upscore_pool4"}
    unknown = sorted({key for key in state if key.rpartition(".")[0] not in known})
    if unknown:
        raise WeightsError(f"the FCN state dict holds unknown keys: {', '.join(unknown[:3])}")
    _load_part(network, renamed, "the FCN state dict")


def _take(state: Mapping[str, Tensor], key: str) -> Tensor:
    if key not in state:
        raise WeightsError(f"the state dict has no {key}")
    return state[key]


def _reshaped(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    if value.numel() != torch.Size(shape).numel():
        raise WeightsError(f"a layer of shape {tuple(value.shape)} cannot become {shape}")
    return value.reshape(shape)


def _load_part(network: FCN, state: Mapping[str, Tensor], source: str) -> None:
    """Load the given keys; each must exist here and have the same shape."""
    merged = network.state_dict()
    for key, value in state.items():
        if merged[key].shape != value.shape:
            raise WeightsError(f"{key} of {source} has shape {tuple(value.shape)}, not {tuple(merged[key].shape)}")
        merged[key] = value
    network.load_state_dict(merged)
