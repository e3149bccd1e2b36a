"""The region proposal network, a detector of its own (DeepMitosis, section 4.2.4) and the first half of DeepDet.

`CompactRPN` shares its trunk and decoder with the compact SegMitos; `PaperRPN` is the paper's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import WeightsError
from .box_targets import BoxOptions, Targets, Truth, anchor_targets, fixed_boxes, make_truth
from .boxes import anchor_grid, clip, decode, nms
from .configured import Configured, Places, Rng
from .registry import register
from .trunks import EfficientNetLite0, conv_bn
from .vgg_m import VGGM

COMPACT_OPTIONS = BoxOptions(
    sizes_px=(22.0, 32.0, 48.0),
    anchors=64,
    rois=32,
    ranked=2000,
    train_ranked=600,
    train_proposals=100,
    min_px=8.0,
)
"""In field pixels, which is what half the paper's are; 90 % of the mitoses of ICPR 2012 have sides of 18 to 50.

Anchors and regions are drawn from crops of 192 px rather than 512, so fewer of each are drawn; one table of the
paper finds 32 to 256 anchors alike.
"""


class LiteFeatures(nn.Module):
    """EfficientNet-Lite0 and a top-down decoder: the compact SegMitos without its score, so weights of it fit.

    Shapes: (N, 3, H, W) RGB in [0, 255] -> (N, 64, H / 4, W / 4); H and W multiples of 32.
    """

    channels = 64

    def __init__(self) -> None:
        super().__init__()
        width = self.channels
        self.trunk = EfficientNetLite0()
        self.lateral = nn.ModuleList([conv_bn(c, width, 1) for c in self.trunk.channels])
        self.refine = nn.ModuleList(
            [
                nn.Sequential(conv_bn(width, width, 5, groups=width), conv_bn(width, width, 1)),
                conv_bn(width, width, 3),
                conv_bn(width, width, 3),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        features = self.trunk(x)
        y: Tensor = self.lateral[3](features[3])
        for level in (2, 1, 0):
            y = F.interpolate(y, scale_factor=2.0, mode="nearest") + self.lateral[level](features[level])
            y = self.refine[level](y)
        return y


class ProposalHead(nn.Module):
    """A 3x3 convolution, then the objectness (2) and the box (4) of each anchor by 1x1 convolutions."""

    def __init__(self, inputs: int, hidden: int, per_cell: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, hidden, 3, padding=1)
        self.score = nn.Conv2d(hidden, 2 * per_cell, 1)
        self.box = nn.Conv2d(hidden, 4 * per_cell, 1)
        for layer in (self.conv, self.score, self.box):
            nn.init.normal_(layer.weight, std=0.01)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, h * w * anchors, 2), background first, and offsets (N, h * w * anchors, 4), both float32."""
        x = F.relu(self.conv(x))
        scores, boxes = (
            y.permute(0, 2, 3, 1).float().reshape(len(x), -1, k) for y, k in ((self.score(x), 2), (self.box(x), 4))
        )
        return scores, boxes

    @torch.no_grad()
    def start_from(self, weight: Tensor, bias: Tensor) -> None:
        """Let every anchor begin with the margin ``features @ weight + bias`` of its cell.

        Two hidden channels hold its positive and its negative part; the others stay as they are.
        """
        assert self.conv.bias is not None
        assert self.score.bias is not None
        self.conv.weight[:2] = 0.0
        for channel, sign in ((0, 1.0), (1, -1.0)):
            self.conv.weight[channel, :, 1, 1] = sign * weight
            self.conv.bias[channel] = sign * bias
            half = torch.tensor([-0.5, 0.5]).repeat(len(self.score.bias) // 2)
            self.score.weight[:, channel, 0, 0] = sign * half
        self.score.bias.zero_()


def compact_head() -> ProposalHead:
    """The proposal head of the compact networks, fit for few steps of training.

    Its hidden layer starts at full strength, and its scores at the share of anchors that are mitoses.
    """
    head = ProposalHead(LiteFeatures.channels, LiteFeatures.channels, COMPACT_OPTIONS.per_cell)
    nn.init.kaiming_normal_(head.conv.weight)
    assert head.score.bias is not None
    with torch.no_grad():
        head.score.bias.copy_(torch.tensor([math.log(0.97), math.log(0.03)]).repeat(COMPACT_OPTIONS.per_cell))
    return head


class RPN(nn.Module):
    """Trunk and proposal head; what the two configurations have in common.

    Parameters
    ----------
    features : nn.Module
        The trunk, named `features` in the weights.
    head : ProposalHead
    options : BoxOptions
    zoom : int
        The image is enlarged so many times for the trunk.
    stride : int
        Pixels of the enlarged image for each cell with anchors.
    pool : int
        Cells of the trunk's map for each cell with anchors, along one axis.
    """

    multiple = 32
    map_names: tuple[str, ...] = ()
    traced = "features"
    score_names = ("detector",)

    def __init__(
        self, features: nn.Module, head: ProposalHead, options: BoxOptions, *, zoom: int, stride: int, pool: int
    ) -> None:
        super().__init__()
        self.features = features
        self.rpn = head
        self.options = options
        self.zoom = zoom
        self.stride = stride // zoom
        self._anchor_stride = stride
        self._pool = pool

    @property
    def scale(self) -> float:
        """Cells of the trunk's map for each pixel of the enlarged image."""
        return self._pool / self._anchor_stride

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(N, 3, H, W) RGB in [0, 255] -> the trunk's map, logits and offsets of each anchor, and the anchors."""
        features = self.features(self.enlarged(pixels))
        coarse = F.max_pool2d(features, self._pool) if self._pool > 1 else features
        logits, offsets = self.rpn(coarse)
        options = self.options
        cells = (coarse.shape[2], coarse.shape[3])
        anchors = anchor_grid(cells, self._anchor_stride, options.sizes_px, options.ratios, pixels.device)
        return features, logits, offsets, anchors

    def enlarged(self, pixels: Tensor) -> Tensor:
        """The image as the trunk sees it."""
        if self.zoom == 1:
            return pixels
        return F.interpolate(pixels, scale_factor=float(self.zoom), mode="bilinear", align_corners=False)

    def to_trunk(self, boxes: Tensor) -> Tensor:
        """Boxes in input pixels, in pixels of the enlarged image."""
        return (boxes + 0.5) * self.zoom - 0.5

    def from_trunk(self, boxes: Tensor) -> Tensor:
        """The inverse of `to_trunk`."""
        return (boxes + 0.5) / self.zoom - 0.5

    @torch.no_grad()
    def proposals(self, logits: Tensor, offsets: Tensor, anchors: Tensor, shape: tuple[int, int]) -> Tensor:
        """Best boxes of one image after suppression, in pixels of the enlarged image.

        Parameters
        ----------
        logits, offsets : Tensor, shape (a, 2) and (a, 4)
        shape : tuple of int
            (H, W) of the enlarged image.

        Returns
        -------
        Tensor of float32, shape (n, 5)
            Boxes and their objectness in [0, 1], best first.
        """
        o = self.options
        ranked, count = (o.train_ranked, o.train_proposals) if self.training else (o.ranked, o.proposals)
        margin = logits[:, 1] - logits[:, 0]
        # A stable order, so that the same field gives the same boxes.
        best = torch.sort(margin, descending=True, stable=True).indices[:ranked]
        boxes = clip(decode(offsets[best], anchors[best]), shape)
        large = ((boxes[:, 2:] - boxes[:, :2]) >= o.min_px).all(dim=1)
        boxes, margin = boxes[large], margin[best][large]
        kept = nms(boxes, margin, o.proposal_iou, count)
        return torch.cat([boxes[kept], margin[kept, None].sigmoid()], dim=1)

    def boxes(self, pixels: Tensor) -> Tensor:
        """(1, 3, H, W) -> (n, 5): y0, x0, y1, x1 in input pixels and objectness; suppressed, best first."""
        return self.detect(self(pixels), (pixels.shape[2], pixels.shape[3]))

    def detect(self, outputs: tuple[Tensor, Tensor, Tensor, Tensor], shape: tuple[int, int]) -> Tensor:
        """`boxes` from what the network gave for one image of `shape` (H, W)."""
        _, logits, offsets, anchors = outputs
        boxes = self.proposals(logits[0], offsets[0], anchors, (shape[0] * self.zoom, shape[1] * self.zoom))
        kept = nms(boxes[:, :4], boxes[:, 4], self.options.final_iou)
        return torch.cat([self.from_trunk(boxes[kept, :4]), boxes[kept, 4:]], dim=1)


class CompactRPN(RPN):
    """Lite features at stride 4, anchors at stride 8 of the field: the paper's 16 in the doubled image."""

    def __init__(self) -> None:
        super().__init__(LiteFeatures(), compact_head(), COMPACT_OPTIONS, zoom=1, stride=8, pool=2)


class PaperRPN(RPN):
    """The paper's: VGG_CNN_M at stride 16 of the doubled image."""

    def __init__(self) -> None:
        options = BoxOptions()
        head = ProposalHead(VGGM.channels, 256, options.per_cell)
        super().__init__(VGGM(), head, options, zoom=2, stride=16, pool=1)


def load_segmitos(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Start a compact box detector from a compact SegMitos: trunk and decoder, and objectness from its score.

    Raises
    ------
    WeightsError
        If `state` does not hold them.
    """
    features, head = network.features, network.rpn
    assert isinstance(features, LiteFeatures)
    assert isinstance(head, ProposalHead)
    known = features.state_dict()
    needed = {k: v.shape for k, v in known.items()}
    needed |= {"score.weight": torch.Size([2, features.channels, 1, 1]), "score.bias": torch.Size([2])}
    wrong = [k for k, shape in needed.items() if k not in state or state[k].shape != shape]
    if wrong:
        raise WeightsError(f"these are no weights of a compact SegMitos: {wrong[0]} is missing or has another shape")
    features.load_state_dict({k: state[k] for k in known})
    head.start_from(*score_margin(state))


def score_margin(state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Weights (channels,) and bias of the logit of mitosis less that of background, of a compact SegMitos."""
    weight, bias = state["score.weight"][:, :, 0, 0].float(), state["score.bias"].float()
    return weight[1] - weight[0], bias[1] - bias[0]


def truths_of(network: RPN, boxes: Sequence[Tensor], pixels: Tensor, ignore: Tensor | None) -> list[Truth]:
    """What is known of each image of a batch, from its boxes in input pixels."""
    shape = (pixels.shape[2] * network.zoom, pixels.shape[3] * network.zoom)
    masks = [None] * len(boxes) if ignore is None else list(ignore.to(pixels.device))
    return [
        make_truth(network.to_trunk(b.to(pixels.device)), shape, mask) for b, mask in zip(boxes, masks, strict=True)
    ]


def proposal_loss(
    logits: Tensor, offsets: Tensor, anchors: Tensor, truths: Sequence[Truth], rng: np.random.Generator, count: int
) -> Tensor:
    """Cross-entropy and box loss of `count` anchors of each image, divided by the number of anchors looked at."""
    parts = [anchor_targets(anchors, truth, rng, count) for truth in truths]
    chosen = [logits[i][t.places] for i, t in enumerate(parts)]
    moved = [offsets[i][t.places[: len(t.offsets)]] for i, t in enumerate(parts)]
    # Faster R-CNN's sigma of 3 for proposals.
    return box_loss(torch.cat(chosen), torch.cat(moved), parts, beta=1 / 9)


def box_loss(logits: Tensor, offsets: Tensor, targets: Sequence[Targets], beta: float) -> Tensor:
    """Cross-entropy of all boxes and smooth L1 of the positive ones, divided by the number of all.

    Parameters
    ----------
    logits : Tensor, shape (n, 2)
    offsets : Tensor, shape (positives, 4)
    targets : sequence of Targets
        Of each image, in the order of the rows.
    beta : float
        Where smooth L1 turns from square to straight.
    """
    labels = torch.cat([t.labels for t in targets])
    wanted = torch.cat([t.offsets for t in targets])
    total = F.cross_entropy(logits, labels, reduction="sum")
    total = total + F.smooth_l1_loss(offsets, wanted, reduction="sum", beta=beta)
    return total / max(1, len(labels))


@register("rpn")
class RPNDetector(Configured):
    """The detector as the registry sees it."""

    title = "RPN: region proposals of DeepDet taken as detections"
    networks: ClassVar = {"compact": CompactRPN, "paper": PaperRPN}

    @staticmethod
    def loss(network: nn.Module, pixels: Tensor, centroids: Places, rng: Rng, ignore: Tensor | None = None) -> Tensor:
        """The proposal loss with the paper's fixed box of 30 px about each centroid."""
        assert isinstance(network, RPN)
        _, logits, offsets, anchors = network(pixels)
        truths = truths_of(network, fixed_boxes(centroids), pixels, ignore)
        return proposal_loss(logits, offsets, anchors, truths, rng, network.options.anchors)
