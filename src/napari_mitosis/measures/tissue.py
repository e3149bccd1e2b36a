"""Where a field holds tissue: not glass, not a hole, not the ink of a pen."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

CELL_UM = 8.0
"""Side of a cell of the mask."""

_OPTICAL_DENSITY = 0.10
"""Mean over the channels; glass and mounted lumen lie below."""
_PEN_COLOUR = 0.14
"""Excess of green, or of blue over red, in optical density of a cell, beyond what stains reach."""
_LEAST_UM2 = 3000.0
"""Smaller islands of tissue and smaller holes are noise: a nucleus or a gap between two cells."""

Bools = NDArray[np.bool_]


def tissue_cells(
    read: Callable[[int, int, int, int], NDArray[np.uint8]],
    shape: tuple[int, int],
    mpp: float,
    cell_um: float = CELL_UM,
) -> Bools:
    """A mask of tissue on a grid of cells, read in strips.

    Parameters
    ----------
    read : callable
        (y0, y1, x0, x1) -> pixels, as `Field.read`.
    shape : tuple of int
        (H, W) of the field in pixels.
    mpp : float
        um/px.
    cell_um : float
        Side of a cell; rounded to whole pixels.

    Returns
    -------
    ndarray of bool, shape (ceil(H / c), ceil(W / c)) for a cell of c pixels
    """
    side = cell_px(mpp, cell_um)
    height, width = shape
    strip = side * max(1, 512 // side)
    rows = [_cell_means(read(y0, min(y0 + strip, height), 0, width), side) for y0 in range(0, height, strip)]
    return _cleaned(_stained(np.concatenate(rows)), (side * mpp) ** 2)


def cell_px(mpp: float, cell_um: float = CELL_UM) -> int:
    """Side of a cell in whole pixels."""
    return max(1, round(cell_um / mpp))


def tissue_mm2(cells: Bools, side_px: int, shape: tuple[int, int], mpp: float) -> float:
    """Area of the cells that hold tissue; the last row and column may reach beyond the field."""
    sides = [
        np.minimum(np.arange(1, count + 1) * side_px, length) - np.arange(count) * side_px
        for count, length in zip(cells.shape, shape, strict=True)
    ]
    return float((np.outer(*sides) * cells).sum()) * mpp**2 / 1e6


def _cell_means(pixels: NDArray[np.uint8], side: int) -> NDArray[np.float64]:
    """Mean colour of each cell, shape (rows, columns, 3)."""
    starts = [np.arange(0, length, side) for length in pixels.shape[:2]]
    sums = np.add.reduceat(np.add.reduceat(pixels.astype(np.float64), starts[0], axis=0), starts[1], axis=1)
    sizes = [np.diff(np.append(start, length)) for start, length in zip(starts, pixels.shape[:2], strict=True)]
    return np.asarray(sums / np.outer(*sizes)[..., None], dtype=np.float64)


def _stained(means: NDArray[np.float64]) -> Bools:
    """Cells that are dark as stain is: haematoxylin and eosin both take more green than red and blue."""
    density = -np.log10(np.clip(means, 1.0, 255.0) / 255.0)
    red, green, blue = np.moveaxis(density, -1, 0)
    dark = density.mean(axis=-1) > _OPTICAL_DENSITY
    green_ink = np.minimum(red, blue) - green > 0.02
    blue_ink = red - green > _PEN_COLOUR
    black_ink = (density.min(axis=-1) > 0.8) & (density.max(axis=-1) - density.min(axis=-1) < 0.25)
    return np.asarray(dark & ~green_ink & ~blue_ink & ~black_ink)


def _cleaned(mask: Bools, cell_um2: float) -> Bools:
    """Without islands and holes that are too small to mean anything."""
    least = math.ceil(_LEAST_UM2 / cell_um2)
    for value in (False, True):
        labels, count = ndimage.label(mask == value)
        if count:
            sizes = np.bincount(labels.ravel())
            small = sizes < least
            small[0] = False
            # A whole field of one kind is not noise, however small the field is.
            if count > 1 or not (mask == value).all():
                mask = np.where(small[labels], not value, mask)
    return np.asarray(mask, dtype=bool)
