"""PartMitosis: a branch for weak labels, a branch for strong ones, joined by their weights (Sebai et al. 2020).

The concentric branch learns from centroids. The strong branch learns from pixel masks, and has no last
convolution of its own: its weights are predicted from those of the concentric branch. Both score maps are
fused by a weight that is chosen on validation (section III-D): here `decide.Rule.weights`, so it stays live.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..datasets.labels import IGNORED
from .configured import Configured, Places, Rng
from .fcn import FCN
from .losses import concentric_loss, fixed_labels, random_labels
from .registry import register
from .segmitos import CompactSegMitos
from .transfer import PAPER_FORM, WeightTransfer
from .trunks import EfficientNetLite0, conv_bn


class StrongBranch(nn.Module):
    """EfficientNet-Lite0 down to stride 16 with the decoder of the compact SegMitos; no last convolution.

    The figures of masks are a few cells wide: features at stride 32 and their two million parameters are left
    to the concentric branch.

    Shapes: (N, 3, H, W) RGB in [0, 255] -> features (N, width, H/4, W/4); H and W multiples of 16.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.trunk = EfficientNetLite0()
        self.trunk.stages = self.trunk.stages[:5]
        self.lateral = nn.ModuleList([conv_bn(c, width, 1) for c in self.trunk.channels[:3]])
        self.refine = nn.ModuleList(
            [nn.Sequential(conv_bn(width, width, 5, groups=width), conv_bn(width, width, 1)), conv_bn(width, width, 3)]
        )

    def forward(self, x: Tensor) -> Tensor:
        features = self.trunk(x)
        y: Tensor = self.lateral[2](features[2])
        for level in (1, 0):
            y = F.interpolate(y, scale_factor=2.0, mode="nearest") + self.lateral[level](features[level])
            y = self.refine[level](y)
        return y


class CompactPartMitosis(nn.Module):
    """Both branches on small trunks.

    Shapes: (N, 3, H, W) RGB in [0, 255] -> logits (N, 4, H/4, W/4): background and mitosis of the concentric
    branch, then of the strong one; H and W multiples of 32.

    Parameters
    ----------
    form : str
        Of the weight transfer function, see `transfer.FORMS`.
    """

    stride = 4
    multiple = 32
    traced = ""
    map_names = ("concentric", "strong")

    def __init__(self, form: str = PAPER_FORM) -> None:
        super().__init__()
        self.concentric = CompactSegMitos()
        self.strong = StrongBranch()
        self.transfer = WeightTransfer(self.concentric.score.in_channels, form)

    def start_from_segmitos(self) -> None:
        """Give the strong branch the trunk and decoder that the concentric branch holds."""
        expected = self.strong.state_dict()
        given = {key: value for key, value in self.concentric.state_dict().items() if key in expected}
        self.strong.load_state_dict({key: given[key].clone() for key in expected})

    def strong_logits(self, x: Tensor) -> Tensor:
        """The strong branch alone, (N, 2, H/4, W/4)."""
        weight, bias = self.transfer(self.concentric.score)
        features = self.strong(x)
        return F.conv2d(features, weight.to(features.dtype), bias.to(features.dtype))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.concentric(x), self.strong_logits(x)], dim=1)

    def scores(self, pixels: Tensor) -> Tensor:
        """Probability of mitosis by each branch, (N, 2, H/4, W/4)."""
        return _two_scores(self(pixels))


class PaperPartMitosis(nn.Module):
    """Two FCN-32s; the strong one's 1x1 convolution is predicted (section III-B).

    Shapes: (N, 3, H, W) RGB in [0, 255] -> logits (N, 4, H, W), as `CompactPartMitosis`.
    """

    stride = 1
    multiple = 1
    map_names = ("concentric", "strong")

    def __init__(self, form: str = PAPER_FORM) -> None:
        super().__init__()
        self.concentric = FCN(32)
        self.strong = FCN(32)
        del self.strong.score
        self.transfer = WeightTransfer(self.concentric.score.in_channels, form)

    def strong_logits(self, x: Tensor) -> Tensor:
        """The strong branch alone, (N, 2, H, W)."""
        weight, bias = self.transfer(self.concentric.score)
        features, pools = self.strong.features(x)
        coarse = F.conv2d(features, weight.to(features.dtype), bias.to(features.dtype))
        return self.strong.upsampled(coarse, pools, (x.shape[2], x.shape[3]))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.concentric(x), self.strong_logits(x)], dim=1)

    def scores(self, pixels: Tensor) -> Tensor:
        """Probability of mitosis by each branch, (N, 2, H, W)."""
        return _two_scores(self(pixels))


def _two_scores(logits: Tensor) -> Tensor:
    logits = logits.float()
    weak, strong = logits[:, :2], logits[:, 2:]
    return torch.cat([weak.softmax(1)[:, 1:], strong.softmax(1)[:, 1:]], dim=1)


def strong_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Pixel-wise softmax loss of the strong branch, normalised by the number of mitotic cells.

    Parameters
    ----------
    logits : Tensor, shape (N, 2, h, w)
    labels : Tensor of int64, shape (N, h, w)
        1 on a mitosis, 0 elsewhere, 255 where there is no strong label; crops without any add nothing.
    """
    return concentric_loss(logits, labels, "normalised")


def joint_loss(network: nn.Module, pixels: Tensor, concentric: Tensor, strong: Tensor) -> Tensor:
    """L = L_concent on all crops + L_strong on those with strong labels (equation 2).

    The strong loss reaches the transfer function and the strong trunk, never the concentric branch.

    Parameters
    ----------
    pixels : Tensor, shape (N, 3, H, W)
    concentric, strong : Tensor of int64, shape (N, h, w)
        Labels at the network's stride, 255 = takes no part.
    """
    logits = network(pixels)
    loss = concentric_loss(logits[:, :2], concentric, "normalised")
    if bool((strong != IGNORED).any()):
        loss = loss + strong_loss(logits[:, 2:], strong)
    return loss


# A mitosis of 37 um2 is as large as a disc of 14 px.
_CORE_PX, _RIM_PX = 8.0, 20.0


@register("partmitosis")
class PartMitosis(Configured):
    """The detector as the registry sees it."""

    title = "PartMitosis: weak and strong labels joined by a weight transfer function"
    networks: ClassVar = {"compact": CompactPartMitosis, "paper": PaperPartMitosis}

    @staticmethod
    def loss(network: nn.Module, pixels: Tensor, centroids: Places, rng: Rng, ignore: Tensor | None = None) -> Tensor:
        """Both branches from centroids alone.

        The concentric branch has random concentric labels. The strong one has no masks here: it learns discs of
        `_CORE_PX` about the centroids, which lie within nearly every mitosis, and background beyond `_RIM_PX`.
        """
        stride = int(network.stride)  # type: ignore[arg-type]
        shape = (pixels.shape[2], pixels.shape[3])
        weak = random_labels(centroids, shape, stride, rng, ignore)
        strong = fixed_labels(centroids, shape, stride, (_CORE_PX, _RIM_PX), ignore)
        return joint_loss(network, pixels, weak.to(pixels.device), strong.to(pixels.device))
