"""What of a slide is looked at: cells of tissue, drawn regions, and the grid of regions that covers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from skimage.draw import polygon2mask

from ..errors import MitosisError
from ..fields.field import Field
from ..measures.tissue import CELL_UM, cell_px, tissue_cells

GRID_PX = 64
"""Regions and their windows begin at multiples of this, so that a network's pooling grid is the same in all."""

_AROUND_UM = 32.0
"""So far beyond the edge of tissue is looked, too: a mitosis at the edge must not be cut."""


@dataclass(frozen=True, eq=False)
class ScanArea:
    """Cells of a slide that are looked at.

    Attributes
    ----------
    cells : ndarray of bool, shape (ceil(H / side), ceil(W / side))
    side_px : float
        Side of a cell in pixels of level 0.
    """

    cells: NDArray[np.bool_]
    side_px: float

    def holds(self, y_px: ArrayLike, x_px: ArrayLike) -> NDArray[np.bool_]:
        """Which places lie in one of the cells."""
        at = [
            np.clip(((np.asarray(place, dtype=np.float64) + 0.5) // self.side_px).astype(np.intp), 0, count - 1)
            for place, count in zip((y_px, x_px), self.cells.shape, strict=True)
        ]
        return np.asarray(self.cells[at[0], at[1]])

    def touches(self, y0: int, y1: int, x0: int, x1: int) -> bool:
        """Whether a box of pixels holds one of the cells, or a part of one."""
        rows = slice(int(y0 // self.side_px), int(-(-y1 // self.side_px)))
        columns = slice(int(x0 // self.side_px), int(-(-x1 // self.side_px)))
        return bool(self.cells[rows, columns].any())

    def mm2(self, mpp: float) -> float:
        """Area of the cells."""
        return float(self.cells.sum()) * (self.side_px * mpp) ** 2 / 1e6

    def within(self, include: Sequence[ArrayLike], exclude: Sequence[ArrayLike] = ()) -> ScanArea:
        """What of the area lies in one of the polygons and in none of the excluded ones.

        Parameters
        ----------
        include, exclude : sequence of array_like, shape (n, 2)
            Corners (y, x) in pixels of level 0. Without polygons to include, everything is.
        """
        cells = self.cells & self._drawn(include) if len(include) else self.cells
        return replace(self, cells=cells & ~self._drawn(exclude))

    def _drawn(self, polygons: Sequence[ArrayLike]) -> NDArray[np.bool_]:
        drawn = np.zeros(self.cells.shape, dtype=bool)
        for polygon in polygons:
            # Corner to cell: a cell counts where its centre lies inside.
            corners = (np.asarray(polygon, dtype=np.float64) + 0.5) / self.side_px - 0.5
            drawn |= polygon2mask(self.cells.shape, corners)  # type: ignore[no-untyped-call]
        return drawn


def whole_area(field: Field) -> ScanArea:
    """All of a slide."""
    side = cell_px(field.require_mpp("A scan"), CELL_UM)
    rows, columns = (-(-length // side) for length in field.shape)
    return ScanArea(np.ones((rows, columns), dtype=bool), side)


def tissue_area(field: Field) -> ScanArea:
    """The tissue of a slide and a margin around it, found at low magnification (`measures.tissue`).

    Raises
    ------
    UnknownResolution
        When the slide does not know its um/px.
    FieldError
        When it is damaged.
    """
    mpp = field.require_mpp("The tissue mask")
    level = _overview_level(field, mpp)
    shape = field.levels[level].shape[:2]
    factor = field.shape[0] / shape[0]
    cells = tissue_cells(lambda y0, y1, x0, x1: field.read(y0, y1, x0, x1, level), shape, mpp * factor)
    around = round(_AROUND_UM / CELL_UM)
    grown = ndimage.binary_dilation(cells, iterations=around) if cells.any() else cells
    return ScanArea(np.asarray(grown), cell_px(mpp * factor) * factor)


def _overview_level(field: Field, mpp: float) -> int:
    """The smallest level that has four pixels or more in a cell."""
    fits = [number for number, level in enumerate(field.levels) if mpp * field.shape[0] / level.shape[0] <= CELL_UM / 2]
    return max(fits, default=0)


@dataclass(frozen=True)
class Region:
    """A part [y0, y1) x [x0, x1) of a slide, in pixels: what one look decides on."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def name(self) -> str:
        """Its corner, as the name of a file."""
        return f"{self.y0:07d}_{self.x0:07d}"

    def window(self, margin_px: int, shape: tuple[int, int]) -> Region:
        """The region with so much around it as a network must see, cut at the slide's edge."""
        margin = -(-margin_px // GRID_PX) * GRID_PX
        y0, x0 = max(0, self.y0 - margin), max(0, self.x0 - margin)
        return Region(y0, min(self.y1 + margin, shape[0]), x0, min(self.x1 + margin, shape[1]))


def regions(
    shape: tuple[int, int], area: ScanArea, side_px: int, origin_yx: tuple[int, int] = (0, 0)
) -> tuple[list[Region], int]:
    """Regions of a grid that hold a part of the area, row by row, and how many there are in all.

    Parameters
    ----------
    shape : tuple of int
        (H, W) of the slide.
    area : ScanArea
    side_px : int
        Side of a region, a multiple of `GRID_PX`.
    origin_yx : tuple of int
        A corner of the grid, multiples of `GRID_PX`.

    Raises
    ------
    ValueError
        If the grid does not stand on multiples of `GRID_PX`.
    MitosisError
        If the area is empty.
    """
    if side_px <= 0 or side_px % GRID_PX or origin_yx[0] % GRID_PX or origin_yx[1] % GRID_PX:
        raise ValueError(f"sides and corners of regions must be multiples of {GRID_PX} px")
    cuts = [[*range(start % side_px, length, side_px)] for start, length in zip(origin_yx, shape, strict=True)]
    spans = [
        list(zip([0, *cut] if cut[:1] != [0] else cut, [*(cut if cut[:1] != [0] else cut[1:]), length], strict=True))
        for cut, length in zip(cuts, shape, strict=True)
    ]
    every = [Region(y0, y1, x0, x1) for y0, y1 in spans[0] for x0, x1 in spans[1]]
    chosen = [region for region in every if area.touches(region.y0, region.y1, region.x0, region.x1)]
    if not chosen:
        raise MitosisError("There is no tissue to look at: draw a region, or choose the whole slide.")
    return chosen, len(every)
