"""Boxes as plain torch: anchors, coding, overlap and suppression (DeepMitosis, section 3.1).

A box is (y0, x0, y1, x1) in pixel edges: pixel i covers [i - 0.5, i + 0.5), so the centre of a box is the mean
of its edges in the frame of pixel centres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

# exp of more would make a box larger than any field.
_MAX_LOG_SCALE = math.log(1000 / 16)
_NMS_BLOCK = 512


def anchor_grid(
    cells: tuple[int, int], stride: int, sizes_px: Sequence[float], ratios: Sequence[float], device: torch.device
) -> Tensor:
    """Reference boxes about the centre of every cell.

    Parameters
    ----------
    cells : tuple of int
        (h, w) of the feature map.
    stride : int
        Pixels for each cell.
    sizes_px : sequence of float
        Roots of the areas.
    ratios : sequence of float
        Height over width; the area stays.

    Returns
    -------
    Tensor of float32, shape (h * w * len(sizes_px) * len(ratios), 4)
        By cell, row by row, then by size, then by ratio.
    """
    half = torch.tensor([[s * math.sqrt(r) / 2, s / math.sqrt(r) / 2] for s in sizes_px for r in ratios], device=device)
    centre_y, centre_x = (((torch.arange(n, device=device) + 0.5) * stride - 0.5) for n in cells)
    centres = torch.stack(torch.meshgrid(centre_y, centre_x, indexing="ij"), dim=-1).reshape(-1, 1, 2)
    return torch.cat([centres - half, centres + half], dim=2).reshape(-1, 4)


def encode(boxes: Tensor, references: Tensor) -> Tensor:
    """Offsets (dy, dx, dh, dw) that lead from `references` to `boxes`, both (n, 4)."""
    size, reference_size = boxes[:, 2:] - boxes[:, :2], references[:, 2:] - references[:, :2]
    shift = (boxes[:, :2] + boxes[:, 2:] - references[:, :2] - references[:, 2:]) / 2
    return torch.cat([shift / reference_size, torch.log(size / reference_size)], dim=1)


def decode(offsets: Tensor, references: Tensor) -> Tensor:
    """The inverse of `encode`."""
    size = references[:, 2:] - references[:, :2]
    centre = (references[:, :2] + references[:, 2:]) / 2 + offsets[:, :2] * size
    half = size * torch.exp(offsets[:, 2:].clamp(max=_MAX_LOG_SCALE)) / 2
    return torch.cat([centre - half, centre + half], dim=1)


def clip(boxes: Tensor, shape: tuple[int, int]) -> Tensor:
    """Boxes cut at the edges of an image of `shape` (H, W)."""
    low = boxes.new_full((4,), -0.5)
    high = boxes.new_tensor([shape[0], shape[1], shape[0], shape[1]]) - 0.5
    return torch.minimum(torch.maximum(boxes, low), high)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of every box of `a` (n, 4) with every box of `b` (m, 4); 0 where both are empty.

    Returns
    -------
    Tensor, shape (n, m)
    """
    top = torch.maximum(a[:, None, :2], b[None, :, :2])
    bottom = torch.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (bottom - top).clamp(min=0).prod(dim=2)
    return shared / (area(a)[:, None] + area(b)[None] - shared).clamp(min=1e-6)


def area(boxes: Tensor) -> Tensor:
    """Areas in square pixels, shape (n,)."""
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1)


def nms(boxes: Tensor, scores: Tensor, limit: float, count: int | None = None) -> Tensor:
    """Greedy suppression: a box goes when a better one that stays overlaps it by more than `limit`.

    Exactly the greedy loop, by blocks of boxes in order of score: those that stayed in earlier blocks suppress
    in the block, then the block is settled within itself. There "stays when nothing that stays suppresses it"
    is repeated until nothing changes; as a box depends on better ones only, that ends, and in one place.

    Parameters
    ----------
    boxes : Tensor, shape (n, 4)
    scores : Tensor, shape (n,)
        Equal scores count in the order given.
    limit : float
        Intersection over union.
    count : int, optional
        Stop once so many stay.

    Returns
    -------
    Tensor of int64, shape (k,)
        Places of the boxes that stay, best first.
    """
    order = torch.argsort(scores, descending=True, stable=True)
    ordered = boxes[order]
    kept = order.new_zeros(0)
    for start in range(0, len(order), _NMS_BLOCK):
        block = torch.arange(start, min(start + _NMS_BLOCK, len(order)), device=order.device)
        if len(kept):
            block = block[~(iou(ordered[block], ordered[kept]) > limit).any(dim=1)]
        over = (iou(ordered[block], ordered[block]) > limit).triu(diagonal=1)
        stays = torch.ones(len(block), dtype=torch.bool, device=order.device)
        while True:
            settled = ~(over & stays[:, None]).any(dim=0)
            if torch.equal(settled, stays):
                break
            stays = settled
        kept = torch.cat([kept, block[stays]])
        if count is not None and len(kept) >= count:
            kept = kept[:count]
            break
    return order[kept]
