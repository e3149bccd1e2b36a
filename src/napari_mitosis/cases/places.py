"""Where in a case the mitoses stand closest: the hotspot over all of its fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..measures.hotspot import Hotspot, Outline, Region, Shape, centres_in_field, centres_in_tissue, find_hotspot
from .areas import Area
from .count import Counted

CELL_UM = 8.0
"""Side of the cells on which an outline that a reader drew is searched, at most."""
MOST_CELLS = 1024
"""Along the longer side of a field."""


@dataclass(frozen=True, eq=False)
class Place:
    """A hotspot in one of several fields.

    Attributes
    ----------
    field : int
        Number of the field.
    y_px, x_px : float
        Its centre.
    count : int
        Mitoses in it.
    corners_px : ndarray of float64, shape (n, 2)
        Its outline.
    """

    field: int
    y_px: float
    x_px: float
    count: int
    corners_px: NDArray[np.float64]


def case_hotspot(fields: Sequence[Counted], area_mm2: float, shape: Shape = "circle") -> Place | None:
    """The place of an outline with the most counted mitoses; None where no field has room for it.

    It lies within the area that counts: never beyond the field, the outline that was drawn or the tissue. Of equal
    places the one in the first field is taken. Fields without um/px are left out.
    """
    best: Place | None = None
    if not area_mm2 > 0:
        return None
    for number, field in enumerate(fields):
        hotspot = field_hotspot(field, area_mm2, shape)
        if hotspot is not None and (best is None or hotspot.count > best.count):
            mpp = float(field.mpp or 1.0)
            corners = hotspot.outline.corners_um(hotspot.centre_yx_um) / mpp - 0.5
            best = Place(number, hotspot.y_um / mpp - 0.5, hotspot.x_um / mpp - 0.5, hotspot.count, corners)
    return best


def field_hotspot(field: Counted, area_mm2: float, shape: Shape = "circle") -> Hotspot | None:
    """The hotspot of one field, in um from its corner; None where there is no room or um/px is unknown."""
    if field.mpp is None:
        return None
    outline = Outline.of_area(area_mm2, shape)
    counts = field.area.holds(field.yx_px, field.shape) & (field.labels == "mitosis")
    points = (field.yx_px[counts] + 0.5) * field.mpp
    return find_hotspot(points, outline, _room(field.area, field.shape, field.mpp, outline))


def _room(area: Area, shape: tuple[int, int], mpp: float, outline: Outline) -> Region:
    if area.kind == "whole":
        return centres_in_field((shape[0] * mpp, shape[1] * mpp), outline)
    if area.cells is not None:
        # The last cells may reach beyond the field: they are no tissue for a shape that must not leave it.
        rows, columns = (side // area.side_px for side in shape)
        return centres_in_tissue(area.cells[:rows, :columns], area.side_px * mpp, outline)
    fine_um = min(CELL_UM, min(outline.half_height_um, outline.half_width_um) / 16)
    side_px = max(fine_um / mpp, max(shape) / MOST_CELLS)
    return centres_in_tissue(_cells_within(area, shape, side_px), side_px * mpp, outline)


def _cells_within(area: Area, shape: tuple[int, int], side_px: float) -> NDArray[np.bool_]:
    """Cells all four corners and the middle of which lie within an outline."""
    rows, columns = (int(side / side_px) for side in shape)
    edges = np.mgrid[0 : rows + 1, 0 : columns + 1].reshape(2, -1).T * side_px - 0.5
    corner = area.holds(np.clip(edges, -0.5, np.array(shape) - 0.5 - 1e-6), shape).reshape(rows + 1, columns + 1)
    return np.asarray(corner[:-1, :-1] & corner[1:, :-1] & corner[:-1, 1:] & corner[1:, 1:])
