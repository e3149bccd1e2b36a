"""What a box detector is taught: which anchors and regions are figures, which are background (DeepMitosis, 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .boxes import area, clip, encode, iou

FIXED_BOX_PX = 30.0
"""Side of the box of a mitosis of which only the centre is known (section 4.3.1), at 0.25 um/px."""

BOX_STDS = (0.1, 0.1, 0.2, 0.2)
"""What the offsets (dy, dx, dh, dw) of the region classifier are divided by."""

# A truth of which less is within the crop is neither figure nor background there.
_VISIBLE = 0.6


@dataclass(frozen=True)
class BoxOptions:
    """Numbers of a box detector, in pixels of the image that its trunk sees; the defaults are the paper's.

    Attributes
    ----------
    sizes_px : tuple of float
        Roots of the areas of the anchors.
    ratios : tuple of float
        Height over width.
    anchors : int
        Anchors of an image that the proposal loss looks at, half of them positive at most.
    rois : int
        Regions of an image that the classifier loss looks at, a quarter of them foreground at most.
    ranked, proposals : int
        Best anchors that become proposals, and how many of these remain after suppression, in use.
    train_ranked, train_proposals : int
        The same in training.
    proposal_iou, final_iou : float
        Overlap above which a worse proposal, and a worse detection, is suppressed.
    min_px : float
        Height and width of the smallest proposal.
    """

    sizes_px: tuple[float, ...] = (64.0, 128.0, 256.0)
    ratios: tuple[float, ...] = (1.0, 0.5, 2.0)
    anchors: int = 256
    rois: int = 128
    ranked: int = 6000
    proposals: int = 300
    train_ranked: int = 12000
    train_proposals: int = 2000
    proposal_iou: float = 0.7
    final_iou: float = 0.3
    min_px: float = 16.0

    @property
    def per_cell(self) -> int:
        """Anchors about each cell."""
        return len(self.sizes_px) * len(self.ratios)


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of one image, in the pixels that the trunk sees.

    Attributes
    ----------
    boxes : Tensor, shape (t, 4)
        Mitoses.
    unsure : Tensor, shape (u, 4)
        Mitoses that the edge of the image cuts off.
    ignore : Tensor of bool, shape (H, W), or None
        Pixels that are not known to be background.
    shape : tuple of int
        (H, W).
    """

    boxes: Tensor
    unsure: Tensor
    ignore: Tensor | None
    shape: tuple[int, int]

    def unknown(self, boxes: Tensor) -> Tensor:
        """Which boxes have their centre where nobody knows that there is background, shape (n,)."""
        y, x = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
        covered = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
        if self.ignore is not None:
            h, w = self.ignore.shape
            # The mask is that of the image before it is enlarged for the trunk.
            row = ((y + 0.5) * (h / self.shape[0])).floor().long().clamp(0, h - 1)
            column = ((x + 0.5) * (w / self.shape[1])).floor().long().clamp(0, w - 1)
            covered |= self.ignore[row, column]
        for y0, x0, y1, x1 in self.unsure:
            covered |= (y >= y0) & (y < y1) & (x >= x0) & (x < x1)
        return covered


def make_truth(boxes: Tensor, shape: tuple[int, int], ignore: Tensor | None) -> Truth:
    """Truth from boxes that may hang over the edge: those cut to less than 60 % become unsure."""
    inside = clip(boxes, shape)
    share = area(inside) / area(boxes).clamp(min=1e-6)
    return Truth(inside[share >= _VISIBLE], boxes[(share < _VISIBLE) & (share > 0)], ignore, shape)


def fixed_boxes(centroids: Sequence[NDArray[np.float64]], side_px: float = FIXED_BOX_PX) -> list[Tensor]:
    """A square about each centroid (y, x), shape (n, 4) for each image."""
    boxes = []
    for points in centroids:
        centre = torch.from_numpy(np.asarray(points, dtype=np.float32).reshape(-1, 2))
        boxes.append(torch.cat([centre - side_px / 2, centre + side_px / 2], dim=1))
    return boxes


@dataclass(frozen=True, eq=False)
class Targets:
    """The boxes that a loss looks at.

    Attributes
    ----------
    places : Tensor of int64, shape (n,)
        Which of the boxes given; positives first.
    labels : Tensor of int64, shape (n,)
        1 = mitosis, 0 = background.
    offsets : Tensor of float32, shape (positives, 4)
        From the box to its mitosis.
    """

    places: Tensor
    labels: Tensor
    offsets: Tensor


def anchor_targets(anchors: Tensor, truth: Truth, rng: np.random.Generator, count: int) -> Targets:
    """Positive: overlap of at least .7 with a mitosis, or the best of a mitosis; negative: below .3.

    Anchors that hang over the edge take no part. At most half of `count` are positive, the rest negative.
    """
    high = anchors.new_tensor([truth.shape[0], truth.shape[1]]) - 0.5
    inside = (anchors[:, :2] >= -0.5).all(dim=1) & (anchors[:, 2:] <= high).all(dim=1)
    overlap = iou(anchors, truth.boxes)
    overlap[~inside] = -1.0
    best, match = _best(overlap)
    positive = best >= 0.7
    if len(truth.boxes):
        top = overlap.amax(dim=0)
        positive |= ((overlap == top) & (top > 0)).any(dim=1)
    negative = inside & ~positive & (best < 0.3)
    negative &= ~truth.unknown(anchors)
    return _sample(anchors, truth.boxes, match, positive, negative, rng, count, count // 2)


def roi_targets(regions: Tensor, truth: Truth, rng: np.random.Generator, count: int) -> Targets:
    """Foreground: overlap of at least .5 with a mitosis; background: in [0, .5). A quarter is foreground at most."""
    best, match = _best(iou(regions, truth.boxes))
    positive = best >= 0.5
    negative = ~positive & ~truth.unknown(regions)
    targets = _sample(regions, truth.boxes, match, positive, negative, rng, count, count // 4)
    return Targets(targets.places, targets.labels, targets.offsets / targets.offsets.new_tensor(BOX_STDS))


def _best(overlap: Tensor) -> tuple[Tensor, Tensor]:
    """Highest overlap of each box with a truth, and with which; -1 and 0 where there is none."""
    if overlap.shape[1] == 0:
        return overlap.new_full((len(overlap),), -1.0), torch.zeros(
            len(overlap), dtype=torch.long, device=overlap.device
        )
    best, match = overlap.max(dim=1)
    return best, match


def _sample(
    boxes: Tensor,
    truth: Tensor,
    match: Tensor,
    positive: Tensor,
    negative: Tensor,
    rng: np.random.Generator,
    count: int,
    most: int,
) -> Targets:
    chosen = _draw(positive, most, rng)
    rest = _draw(negative, count - len(chosen), rng)
    labels = torch.cat([torch.ones_like(chosen), torch.zeros_like(rest)])
    offsets = encode(truth[match[chosen]], boxes[chosen])
    return Targets(torch.cat([chosen, rest]), labels, offsets)


def _draw(chosen: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """At most `count` of the places where `chosen` holds, at random."""
    places = torch.nonzero(chosen)[:, 0]
    if len(places) > count:
        drawn = rng.permutation(len(places))[:count]
        places = places[torch.from_numpy(drawn).to(places.device)]
    return places
