"""Which tissue of a field was on screen, large enough and long enough to be judged. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rectangle = tuple[float, float, float, float]
"""y0, x0, y1, x1 in pixels of the field; pixel i covers [i - 0.5, i + 0.5)."""

MAX_CELLS = 256
"""Cells along the longer side, at most: a map of a slide is coarser, not larger."""


@dataclass(frozen=True)
class Enough:
    """What counts as seen.

    Attributes
    ----------
    um_per_screen_px : float
        A pixel of the screen shows at most so much tissue; 0.5 is about the sharpness of a 20x objective.
    seconds : float
        On screen for at least so long, in all.
    """

    um_per_screen_px: float = 0.5
    seconds: float = 0.5

    def __post_init__(self) -> None:
        if not (self.um_per_screen_px > 0 and self.seconds >= 0):
            raise ValueError("a screen pixel must show more than 0 um, for 0 seconds or more")


class Coverage:
    """What was seen of one field, cell by cell.

    Parameters
    ----------
    shape : tuple of int
        (H, W) of the field, in pixels.
    mpp : float
        um/px of the field.
    enough : Enough
    cell_um : float
        Side of a cell; larger where the field would have more than `MAX_CELLS` cells along a side.
    tissue : ndarray of bool, optional
        Shape `grid(shape, mpp, cell_um)`: cells that hold tissue; all of them if not given.

    Attributes
    ----------
    cell_px : float
        Side of a cell in pixels of the field. Cell (i, j) covers pixels [i * cell_px, (i + 1) * cell_px) - 0.5.
    seconds : ndarray of float32, shape (rows, columns)
        For how long each cell was on screen at enough magnification.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        mpp: float,
        enough: Enough | None = None,
        cell_um: float = 4.0,
        tissue: NDArray[np.bool_] | None = None,
    ) -> None:
        self.shape = shape
        self.mpp = mpp
        self.enough = enough or Enough()
        self.cell_px = cell_px(shape, mpp, cell_um)
        rows, columns = (math.ceil(side / self.cell_px) for side in shape)
        self.seconds: NDArray[np.float32] = np.zeros((rows, columns), dtype=np.float32)
        self._area = np.outer(_sides(shape[0], self.cell_px), _sides(shape[1], self.cell_px))
        self.set_tissue(tissue)

    def set_tissue(self, tissue: NDArray[np.bool_] | None) -> None:
        """Say which cells hold tissue; None: all.

        Raises
        ------
        ValueError
            If it has another shape than the map.
        """
        if tissue is not None and tissue.shape != self.seconds.shape:
            raise ValueError(f"the tissue has {tissue.shape} cells, the map {self.seconds.shape}")
        self.tissue: NDArray[np.bool_] = np.ones(self.seconds.shape, dtype=bool) if tissue is None else tissue

    def look(self, view: Rectangle, um_per_screen_px: float, seconds: float) -> bool:
        """Something was on screen; whether that made more tissue seen.

        Parameters
        ----------
        view : tuple of float
            The rectangle of the field on screen; it may reach beyond the field.
        um_per_screen_px : float
            Tissue shown by a pixel of the screen.
        seconds : float
            For how long.
        """
        if not um_per_screen_px <= self.enough.um_per_screen_px * (1 + 1e-9) or seconds <= 0:
            return False
        window = tuple(
            slice(*_within(low, high, self.cell_px, count))
            for low, high, count in zip(view[:2], view[2:], self.seconds.shape, strict=True)
        )
        part = self.seconds[window]
        before = part >= self.enough.seconds
        part += np.float32(seconds)
        return bool(((part >= self.enough.seconds) & ~before & self.tissue[window]).any())

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Cells that were seen, shape (rows, columns)."""
        cells: NDArray[np.bool_] = self.seconds >= self.enough.seconds
        return cells

    @property
    def unseen(self) -> NDArray[np.bool_]:
        """Cells that hold tissue and were not seen."""
        return ~self.seen & self.tissue

    @property
    def share(self) -> float:
        """Share of the tissue that was seen, by area; 1 where there is no tissue."""
        whole = float(self._area[self.tissue].sum())
        return float(self._area[self.tissue & self.seen].sum()) / whole if whole else 1.0

    def next_view(self, height_px: float, width_px: float) -> tuple[float, float] | None:
        """Centre of the view of this size that shows the most unseen tissue; None when all was seen.

        Of equal ones, the first in reading order.
        """
        unseen = self.unseen
        if not unseen.any():
            return None
        rows, columns = unseen.shape
        high = min(max(int(height_px / self.cell_px), 1), rows)
        wide = min(max(int(width_px / self.cell_px), 1), columns)
        sums = np.zeros((rows + 1, columns + 1))
        sums[1:, 1:] = (unseen * self._area).cumsum(axis=0).cumsum(axis=1)
        inside = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
        best = inside >= inside.max() - 1e-6
        row, column = (int(value) for value in np.unravel_index(np.argmax(best), best.shape))
        y0, x0, y1, x1 = self._rectangle(row, column, row + high, column + wide)
        return (y0 + y1) / 2, (x0 + x1) / 2

    def _rectangle(self, top: int, first: int, bottom: int, last: int) -> Rectangle:
        low = (value * self.cell_px - 0.5 for value in (top, first))
        high = (min(value * self.cell_px, side) - 0.5 for value, side in zip((bottom, last), self.shape, strict=True))
        y0, x0 = low
        y1, x1 = high
        return y0, x0, y1, x1


def cell_px(shape: tuple[int, int], mpp: float, cell_um: float = 4.0) -> float:
    """Side of a cell of the map of a field, in its pixels."""
    return max(cell_um / mpp, max(shape) / MAX_CELLS, 1.0)


def tissue_of(pixels: NDArray[np.uint8], white: int = 225, share: float = 0.2) -> bool:
    """Whether a piece of an RGB field, shape (h, w, 3), holds tissue: enough of it is darker than glass."""
    if not pixels.size:
        return False
    dark = pixels.min(axis=2) < white
    return bool(dark.mean() >= share)


def _sides(length: int, cell: float) -> NDArray[np.float64]:
    """Height (or width) of each row (or column) of cells in pixels: the last one may be cut."""
    edges = np.minimum(np.arange(math.ceil(length / cell) + 1) * cell, length)
    return np.diff(edges)


def _within(low: float, high: float, cell: float, count: int) -> tuple[int, int]:
    """Range of the cells whose centres lie in [low, high] (pixels, edges at -0.5)."""
    first = math.ceil((low + 0.5) / cell - 0.5)
    last = math.floor((high + 0.5) / cell - 0.5) + 1
    first = min(max(first, 0), count)
    return first, max(min(last, count), first)
