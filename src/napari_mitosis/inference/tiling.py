"""Cut a field into tiles with halo, in the frame of a model, and read them.

A model sees fields at the um/px of its card. Its frame has pixels that are `scale` field pixels wide:
model pixel i covers field pixels [i * scale, (i + 1) * scale).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from ..errors import MitosisError
from ..fields.field import Field

# Scanners that call themselves 40x lie between 0.22 and 0.26 um/px; training zooms further than this.
SAME_SCALE = 0.05

MOST_ENLARGED = 16
"""Times that a field is enlarged at the most to a model's um/px."""


@dataclass(frozen=True)
class Tile:
    """A core [y0, y1) x [x0, x1) in model pixels; what surrounds it is halo."""

    y0: int
    y1: int
    x0: int
    x1: int

    def halves(self, multiple: int) -> list[Tile]:
        """The tile in up to four parts, cut at multiples of `multiple`."""
        ys = _cut(self.y0, self.y1, multiple)
        xs = _cut(self.x0, self.x1, multiple)
        return [Tile(a, b, c, d) for a, b in ys for c, d in xs]


def model_scale(field_mpp: float, card_mpp: float) -> float:
    """Field pixels for each model pixel; 1 where the two agree within 5 %.

    Raises
    ------
    MitosisError
        When the field would have to be enlarged more than `MOST_ENLARGED` times: there is nothing to be seen in it,
        and the work grows with the square.
    """
    scale = card_mpp / field_mpp
    if scale * MOST_ENLARGED < 1:
        raise MitosisError(
            f"The field has {field_mpp:g} um/px, and the model works at {card_mpp:g}: no mitosis can be seen in it. "
            "Is the pixel size right?"
        )
    return 1.0 if abs(scale - 1) <= SAME_SCALE else scale


def model_shape(shape: tuple[int, int], scale: float) -> tuple[int, int]:
    """(H, W) of a field in model pixels, rounded up."""
    h, w = (max(1, int(np.ceil(n / scale - 1e-9))) for n in shape)
    return h, w


def tiles(shape: tuple[int, int], size: int) -> Iterator[Tile]:
    """Tiles of `size` model pixels, row by row; the last of a row or column may be smaller."""
    for y in range(0, shape[0], size):
        for x in range(0, shape[1], size):
            yield Tile(y, min(y + size, shape[0]), x, min(x + size, shape[1]))


def read_tile(
    field: Field, tile: Tile, shape: tuple[int, int], scale: float, halo: int, border: int, multiple: int
) -> tuple[torch.Tensor, int, int]:
    """Pixels of a tile with its halo, mirrored beyond the field.

    Parameters
    ----------
    shape : tuple of int
        (H, W) of the field in model pixels.
    halo, border : int
        Model pixels around the core: inside the field, and beyond its edge.
    multiple : int
        The result's height and width are multiples of it.

    Returns
    -------
    pixels : Tensor of float32, shape (1, 3, h, w)
        RGB in [0, 255].
    top, left : int
        Where the core begins in it.
    """
    y_range, top = _span(tile.y0, tile.y1, shape[0], halo, border, multiple)
    x_range, left = _span(tile.x0, tile.x1, shape[1], halo, border, multiple)
    pixels = _read_mirrored(field, y_range, x_range) if scale == 1.0 else _read_rescaled(field, y_range, x_range, scale)
    return pixels, top, left


def _cut(lo: int, hi: int, multiple: int) -> list[tuple[int, int]]:
    middle = lo + -(-(hi - lo) // (2 * multiple)) * multiple
    return [(lo, hi)] if middle >= hi else [(lo, middle), (middle, hi)]


def _span(lo: int, hi: int, size: int, halo: int, border: int, multiple: int) -> tuple[tuple[int, int], int]:
    """Model pixels [start, stop) to read along one axis, and where the core begins in them."""
    start = max(lo - halo, -border)
    # The pooling grid must be the same in every tile, or two tiles would see two different fields.
    start = start // multiple * multiple
    stop = min(hi + halo, size + border)
    stop = start + -(-(stop - start) // multiple) * multiple
    return (start, stop), lo - start


def _mirror(lo: int, hi: int, size: int) -> NDArray[np.intp]:
    """Indices of [lo, hi), mirrored at 0 and size - 1 without repeating the edge."""
    period = max(1, 2 * (size - 1))
    index = np.abs(np.arange(lo, hi)) % period
    return np.minimum(index, period - index) if size > 1 else np.zeros(hi - lo, dtype=np.intp)


def _read_mirrored(field: Field, y_range: tuple[int, int], x_range: tuple[int, int]) -> torch.Tensor:
    height, width = field.shape
    rows, columns = _mirror(*y_range, height), _mirror(*x_range, width)
    y0, x0 = int(rows.min()), int(columns.min())
    part = field.read(y0, int(rows.max()) + 1, x0, int(columns.max()) + 1)
    if len(rows) != part.shape[0] or len(columns) != part.shape[1] or y_range[0] < 0 or x_range[0] < 0:
        part = part[rows - y0][:, columns - x0]
    return _as_batch(part)


def _read_rescaled(field: Field, y_range: tuple[int, int], x_range: tuple[int, int], scale: float) -> torch.Tensor:
    """As `_read_mirrored`, resampled: averaged when the model's pixels are larger, bilinear otherwise."""
    margin = int(np.ceil(2 * max(scale, 1.0))) + 1
    spans = []
    for lo, hi in (y_range, x_range):
        spans.append((int(np.floor(lo * scale)) - margin, int(np.ceil(hi * scale)) + margin))
    pixels = _read_mirrored(field, spans[0], spans[1])
    if scale > 1:
        pixels = _smooth(pixels, scale)
    axes = []
    for (lo, hi), (first, last) in zip((y_range, x_range), spans, strict=True):
        centre = (torch.arange(lo, hi, dtype=torch.float64) + 0.5) * scale - 0.5 - first
        axes.append(((centre + 0.5) / (last - first) * 2 - 1).float())
    grid = torch.stack(torch.meshgrid(axes[1], axes[0], indexing="xy"), dim=-1)[None]
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _smooth(pixels: torch.Tensor, scale: float) -> torch.Tensor:
    """Gaussian low-pass before sampling every `scale`-th pixel, so that fine texture does not alias."""
    sigma = 0.5 * (scale**2 - 1) ** 0.5
    reach = max(1, int(np.ceil(3 * sigma)))
    t = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-(t**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).repeat(3, 1)
    pixels = F.pad(pixels, (reach, reach, reach, reach), mode="replicate")
    pixels = F.conv2d(pixels, kernel[:, None, :, None], groups=3)
    return F.conv2d(pixels, kernel[:, None, None, :], groups=3)


def _as_batch(pixels: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float()
