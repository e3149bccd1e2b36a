"""A sliding window at every pixel at once, with exactly the values of window by window.

A network of valid convolutions and 2 x 2 max-poolings sees a window of fixed side. Moved by one pixel, the window
meets another pooling grid; so each pooling is done on all four grids, and the four results are carried on as
four images of half the size (fragments), a batch. No value is computed twice and none is left out. The order of
the fragments is undone at the end.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# The head is applied to so many cells at a time, that its many channels stay in the processor's cache.
_HEAD_CELLS = 16384


def dense_windows(
    pixels: Tensor, convolutions: Sequence[nn.Module], head: nn.Module, window_px: int, step: int = 1
) -> Tensor:
    """What a window network answers at every window inside an image, at every `step`-th pixel.

    Parameters
    ----------
    pixels : Tensor, shape (N, C, H, W)
        H and W at least `window_px`.
    convolutions : sequence of nn.Module
        Valid convolutions (with their activation); after each comes a max-pooling 2 x 2. Within a window
        every one of their outputs has an even side.
    head : nn.Module
        Valid convolutions that make of a window's last poolings a single cell.
    window_px : int
        Side of the window.
    step : int
        1, 2, 4, ... up to 2 to the number of poolings. A step of s needs no fragments for the first
        log2(s) poolings.

    Returns
    -------
    Tensor, shape (N, K, h, w)
        h = (H - window_px) // step + 1. Cell (i, j) is the answer for the window whose top left pixel is
        (i * step, j * step).

    Raises
    ------
    ValueError
        If the image is smaller than a window, or `step` is no such power of two.
    """
    n, _, height, width = pixels.shape
    whole = step.bit_length() - 1
    if step < 1 or step != 1 << whole or whole > len(convolutions):
        raise ValueError(f"the step must be a power of two from 1 to {2 ** len(convolutions)}, not {step}")
    if min(height, width) < window_px:
        raise ValueError(f"an image of {height} x {width} px holds no window of {window_px} px")
    h, w = (height - window_px) // step + 1, (width - window_px) // step + 1
    grid = 1 << (len(convolutions) - whole)
    # All fragments have the same size when the number of windows is a multiple of their number on a side.
    full_h, full_w = (window_px + (-(-m // grid) * grid - 1) * step for m in (h, w))
    x = F.pad(pixels[:, :, :full_h, :full_w], (0, max(0, full_w - width), 0, max(0, full_h - height)))
    for level, convolution in enumerate(convolutions):
        x = convolution(x)
        x = F.max_pool2d(x, 2) if level < whole else _fragments(x)
    at_once = max(1, _HEAD_CELLS // (x.shape[2] * x.shape[3]))
    x = torch.cat([head(part) for part in torch.split(x, at_once)])
    for _ in range(len(convolutions) - whole):
        x = _joined(x)
    assert len(x) == n
    return x[:, :, :h, :w]


def _fragments(x: Tensor) -> Tensor:
    """Max-pooling 2 x 2 on each of its four grids, (N, C, 2h + 1, 2w + 1) -> (4N, C, h, w)."""
    # Channels last: maxima of whole rows, then of columns; several times as fast as four poolings of the library.
    y = x.permute(0, 2, 3, 1)
    h, w = (y.shape[1] - 1) // 2, (y.shape[2] - 1) // 2
    rows = [torch.maximum(y[:, a : a + 2 * h : 2], y[:, a + 1 : a + 1 + 2 * h : 2]) for a in (0, 1)]
    grids = [
        torch.maximum(r[:, :, b : b + 2 * w : 2], r[:, :, b + 1 : b + 1 + 2 * w : 2]) for r in rows for b in (0, 1)
    ]
    return torch.cat(grids).permute(0, 3, 1, 2)


def _joined(x: Tensor) -> Tensor:
    """Undo the order of one `_fragments`: (4N, C, h, w) -> (N, C, 2h, 2w)."""
    _, c, h, w = x.shape
    return x.reshape(2, 2, -1, c, h, w).permute(2, 3, 4, 0, 5, 1).reshape(-1, c, 2 * h, 2 * w)
