"""RoI max pooling (Fast R-CNN) without a loop over regions or bins."""

from __future__ import annotations

import torch
from torch import Tensor

# Gathered values at a time: 64 MB in float32.
_CHUNK = 16 * 2**20


def roi_max_pool(features: Tensor, boxes: Tensor, images: Tensor, scale: float, size: int = 6) -> Tensor:
    """The largest value of each channel in each of `size` x `size` bins of every region.

    A region reaches from the cell round(first pixel * scale) to round(last pixel * scale), both included; bin p
    of n cells is [floor(p n / size), ceil((p + 1) n / size)), so bins may overlap. Bins that lie outside the map
    are 0. The gradient goes to the largest value, shared where several are equal.

    Parameters
    ----------
    features : Tensor, shape (N, C, H, W)
    boxes : Tensor, shape (n, 4)
        y0, x0, y1, x1 in pixel edges.
    images : Tensor of int64, shape (n,)
        Which of the N each box lies in.
    scale : float
        Cells for each pixel.

    Returns
    -------
    Tensor, shape (n, C, size, size)

    Notes
    -----
    Every bin is gathered at as many places as the longest bin of its group has, repeating its last cell: a
    repeated cell changes neither the maximum nor, summed up, the gradient. Groups of regions with bins of equal
    length are gathered at once.
    """
    _, channels, height, width = features.shape
    if len(boxes) == 0:
        return features.new_zeros((0, channels, size, size))
    rows, empty_rows, tall = _bins(boxes[:, 0], boxes[:, 2], scale, size, height)
    columns, empty_columns, wide = _bins(boxes[:, 1], boxes[:, 3], scale, size, width)
    flat = features.permute(0, 2, 3, 1).reshape(-1, channels)
    base = images * (height * width)
    shape = tall * (int(wide.max()) + 1) + wide
    parts, places = [], []
    for value in torch.unique(shape).tolist():
        group = torch.nonzero(shape == value)[:, 0]
        h, w = int(tall[group[0]]), int(wide[group[0]])
        for chunk in torch.split(group, max(1, _CHUNK // (channels * size * size * h * w))):
            r = rows[chunk, :, :h] * width + base[chunk, None, None]
            index = r[:, :, None, :, None] + columns[chunk, None, :, None, :w]
            values = flat[index.reshape(-1)].reshape(len(chunk), size, size, h * w, channels)
            parts.append(values.amax(dim=3))
            places.append(chunk)
    pooled = torch.cat(parts)[torch.argsort(torch.cat(places))]
    outside = empty_rows[:, :, None] | empty_columns[:, None, :]
    return pooled.masked_fill(outside[..., None], 0.0).permute(0, 3, 1, 2)


def _bins(first: Tensor, last: Tensor, scale: float, size: int, cells: int) -> tuple[Tensor, Tensor, Tensor]:
    """Cells of each bin along one axis.

    Returns
    -------
    index : Tensor of int64, shape (n, size, longest)
        The cells of a bin, its last one repeated.
    empty : Tensor of bool, shape (n, size)
        Bins without a cell in the map.
    longest : Tensor of int64, shape (n,)
        Cells of the longest bin of each region, at least 1.
    """
    start = torch.floor((first.double() + 0.5) * scale + 0.5).long()
    stop = torch.floor((last.double() - 0.5) * scale + 0.5).long() + 1
    length = (stop - start).clamp(min=1)
    p = torch.arange(size, device=first.device)
    low = start[:, None] + (p * length[:, None]) // size
    high = start[:, None] + -((-(p + 1) * length[:, None]) // size)
    low, high = low.clamp(0, cells), high.clamp(0, cells)
    longest = (high - low).amax(dim=1).clamp(min=1)
    steps = torch.arange(int(longest.max()), device=first.device)
    index = torch.minimum(low[..., None] + steps, (high[..., None] - 1)).clamp(0, cells - 1)
    return index, high <= low, longest
