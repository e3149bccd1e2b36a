"""DeepDet: Faster R-CNN for mitoses (Li et al. 2018, DeepMitosis, section 3.1).

A trunk whose map is shared by the region proposal network and, through RoI max pooling, by a small classifier
that scores each proposal and corrects its box.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .box_targets import BOX_STDS, BoxOptions, Truth, fixed_boxes, roi_targets
from .boxes import clip, decode, nms
from .configured import Configured, Places, Rng
from .registry import register
from .roi_pool import roi_max_pool
from .rpn import COMPACT_OPTIONS, RPN, LiteFeatures, ProposalHead, box_loss, compact_head, proposal_loss, truths_of
from .vgg_m import VGGM

ROI_CELLS = 6
_COPIES = 8


class RegionHead(nn.Module):
    """Two fully connected layers with dropout on the pooled region, then class (2) and box (4 for each class)."""

    def __init__(self, inputs: int, fc6: int, fc7: int) -> None:
        super().__init__()
        self.fc6 = nn.Linear(inputs * ROI_CELLS * ROI_CELLS, fc6)
        self.fc7 = nn.Linear(fc6, fc7)
        self.score = nn.Linear(fc7, 2)
        self.box = nn.Linear(fc7, 8)
        self.dropout = nn.Dropout(0.5)
        for layer, std in ((self.score, 0.01), (self.box, 0.001)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """(n, C, 6, 6) -> logits (n, 2), background first, and offsets (n, 4) of the class mitosis, float32."""
        x = self.dropout(F.relu(self.fc6(pooled.flatten(1))))
        x = self.dropout(F.relu(self.fc7(x)))
        return self.score(x).float(), self.box(x).float()[:, 4:]

    @torch.no_grad()
    def start_from(self, weight: Tensor, bias: Tensor) -> None:
        """Let the score begin with the mean of ``pooled @ weight + bias`` over the middle of the region.

        Eight units of each layer hold its positive part and eight its negative part, so that dropout leaves some.
        """
        kernel = torch.zeros(len(weight), ROI_CELLS, ROI_CELLS)
        kernel[:, 2:4, 2:4] = weight[:, None, None] / 4
        self.fc7.weight[: 2 * _COPIES] = 0.0
        self.fc7.bias[: 2 * _COPIES] = 0.0
        for part, sign in ((0, 1.0), (1, -1.0)):
            units = slice(part * _COPIES, (part + 1) * _COPIES)
            self.fc6.weight[units] = sign * kernel.flatten()
            self.fc6.bias[units] = sign * bias
            self.fc7.weight[units, units] = 1 / _COPIES
            self.score.weight[:, units] = torch.tensor([[-0.5], [0.5]]) * sign / _COPIES


class DeepDet(RPN):
    """The proposal network with the classifier of regions behind it."""

    def __init__(
        self,
        features: nn.Module,
        head: ProposalHead,
        regions: RegionHead,
        options: BoxOptions,
        *,
        zoom: int,
        stride: int,
        pool: int,
    ) -> None:
        super().__init__(features, head, options, zoom=zoom, stride=stride, pool=pool)
        self.regions = regions

    def classify(self, features: Tensor, boxes: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, 2) and offsets (n, 4) of boxes in pixels of the enlarged image; `images` as in `roi_max_pool`."""
        logits, offsets = self.regions(roi_max_pool(features, boxes, images, self.scale, ROI_CELLS))
        return logits, offsets

    def detect(self, outputs: tuple[Tensor, Tensor, Tensor, Tensor], shape: tuple[int, int]) -> Tensor:
        """Boxes (n, 5) in input pixels with the score of the classifier; see `RPN.detect`."""
        features, logits, offsets, anchors = outputs
        shape = (shape[0] * self.zoom, shape[1] * self.zoom)
        regions = self.proposals(logits[0], offsets[0], anchors, shape)[:, :4]
        images = torch.zeros(len(regions), dtype=torch.long, device=regions.device)
        logits, moved = self.classify(features, regions, images)
        score = logits.softmax(dim=1)[:, 1]
        boxes = clip(decode(moved * moved.new_tensor(BOX_STDS), regions), shape)
        kept = nms(boxes, score, self.options.final_iou)
        return torch.cat([self.from_trunk(boxes[kept]), score[kept, None]], dim=1)


class CompactDeepDet(DeepDet):
    """DeepDet on the features of `rpn.CompactRPN`; regions are pooled at stride 4 of the field."""

    def __init__(self) -> None:
        regions = RegionHead(LiteFeatures.channels, 256, 128)
        super().__init__(LiteFeatures(), compact_head(), regions, COMPACT_OPTIONS, zoom=1, stride=8, pool=2)


class PaperDeepDet(DeepDet):
    """The paper's: VGG_CNN_M_1024 on the doubled image, regions pooled at stride 16."""

    def __init__(self) -> None:
        options = BoxOptions()
        head = ProposalHead(VGGM.channels, 256, options.per_cell)
        regions = RegionHead(VGGM.channels, 4096, 1024)
        super().__init__(VGGM(), head, regions, options, zoom=2, stride=16, pool=1)


def detection_loss(
    network: nn.Module,
    pixels: Tensor,
    boxes: Sequence[Tensor],
    rng: np.random.Generator,
    ignore: Tensor | None = None,
) -> Tensor:
    """Loss of proposals and regions, trained together (section 3.1).

    Parameters
    ----------
    network : DeepDet
    pixels : Tensor, shape (N, 3, H, W)
        RGB in [0, 255].
    boxes : sequence of Tensor, shape (n, 4)
        Mitoses of each image, y0, x0, y1, x1 in pixel edges; they may hang over its edge.
    rng : numpy.random.Generator
        Draws the anchors and regions that are looked at.
    ignore : Tensor of bool, shape (N, H, W), optional
        Pixels that are not known to be background.
    """
    assert isinstance(network, DeepDet)
    features, logits, offsets, anchors = network(pixels)
    truths = truths_of(network, boxes, pixels, ignore)
    total = proposal_loss(logits, offsets, anchors, truths, rng, network.options.anchors)
    regions = [
        torch.cat([network.proposals(logits[i], offsets[i], anchors, truth.shape)[:, :4], truth.boxes])
        for i, truth in enumerate(truths)
    ]
    return total + _region_loss(network, features, regions, truths, rng)


def _region_loss(
    network: DeepDet, features: Tensor, regions: Sequence[Tensor], truths: Sequence[Truth], rng: np.random.Generator
) -> Tensor:
    targets = [roi_targets(r, t, rng, network.options.rois) for r, t in zip(regions, truths, strict=True)]
    drawn = torch.cat([r[t.places] for r, t in zip(regions, targets, strict=True)])
    images = torch.cat([torch.full_like(t.places, i) for i, t in enumerate(targets)])
    logits, offsets = network.classify(features, drawn, images)
    positive = torch.cat([t.labels for t in targets]) > 0
    return box_loss(logits, offsets[positive], targets, beta=1.0)


@register("deepdet")
class DeepDetDetector(Configured):
    """The detector as the registry sees it."""

    title = "DeepDet: region proposals and a classifier of regions (Faster R-CNN)"
    networks: ClassVar = {"compact": CompactDeepDet, "paper": PaperDeepDet}

    @staticmethod
    def loss(network: nn.Module, pixels: Tensor, centroids: Places, rng: Rng, ignore: Tensor | None = None) -> Tensor:
        """`detection_loss` with the paper's fixed box of 30 px about each centroid."""
        return detection_loss(network, pixels, fixed_boxes(centroids), rng, ignore)
