"""The hotspot: where a circle or a 4:3 rectangle of a chosen area holds the most mitoses. Exact, not sampled.

The centre of the shape is searched by branch and bound. A box of centres can hold at most the figures that lie
within the shape grown by the box, and at least those around one of its allowed centres. Boxes that cannot beat the
best place found so far are dropped; the others are quartered. The first boxes are those of a fine grid, of which one
convolution says how many figures each can reach; few are left after that. Once few figures decide a box, the places
where their outlines cross settle it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.signal import fftconvolve
from scipy.spatial import cKDTree

Shape = Literal["circle", "rectangle"]
SHAPES: tuple[Shape, ...] = ("circle", "rectangle")
HPF_10_MM2 = 2.37
"""Ten fields of 0.237 mm2."""

_RATIO = 4 / 3
_FEW = 16
"""So few figures on the edge of a box: all crossings of their outlines are tried."""
_TINY = 1e-7
_AT_ONCE = 1024
_FIRST = 0.01
"""Side of the first boxes, in half extents of the outline; larger where there would be more boxes than these."""
_FEWEST_BOXES, _MAX_BOXES, _BOXES_PER_POINT = 1_000, 1_000_000, 16
_MAX_SIDE = 2000
_TRIED = 64
_SLACK = 1e-9
"""Relative: a figure on the outline is inside, whatever rounding says."""

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Outline:
    """A shape of a given area.

    Attributes
    ----------
    shape : {"circle", "rectangle"}
        The rectangle is 4 wide and 3 high.
    half_height_um, half_width_um : float
        Half its extent; the radius of a circle.
    """

    shape: Shape
    half_height_um: float
    half_width_um: float

    @classmethod
    def of_area(cls, area_mm2: float, shape: Shape = "circle") -> Outline:
        """The outline of an area.

        Raises
        ------
        ValueError
            If the area is not positive or the shape is unknown.
        """
        if shape not in SHAPES:
            raise ValueError(f"there is no shape '{shape}'; there are {', '.join(SHAPES)}")
        if not (math.isfinite(area_mm2) and area_mm2 > 0):
            raise ValueError(f"area_mm2 must be positive, not {area_mm2}")
        area_um2 = area_mm2 * 1e6
        if shape == "circle":
            radius = math.sqrt(area_um2 / math.pi)
            return cls(shape, radius, radius)
        height = math.sqrt(area_um2 / _RATIO)
        return cls(shape, height / 2, height * _RATIO / 2)

    @property
    def area_mm2(self) -> float:
        """Its area."""
        factor = math.pi if self.shape == "circle" else 4.0
        return factor * self.half_height_um * self.half_width_um / 1e6

    @property
    def norm(self) -> float:
        """The norm in which it is a ball once both axes are scaled by its half extents."""
        return 2.0 if self.shape == "circle" else np.inf

    def holds(self, centre_yx_um: ArrayLike, points_yx_um: ArrayLike) -> Bools:
        """Which points lie within it (or on it), shape (n,), when it stands at a centre."""
        away = np.asarray(points_yx_um, dtype=np.float64).reshape(-1, 2) - np.asarray(centre_yx_um, dtype=np.float64)
        scaled = np.abs(away) / (self.half_height_um, self.half_width_um)
        length = np.hypot(*scaled.T) if self.shape == "circle" else scaled.max(axis=1, initial=0.0)
        return np.asarray(length <= 1 + _SLACK)

    def corners_um(self, centre_yx_um: tuple[float, float], sides: int = 72) -> Floats:
        """Its outline as a polygon, shape (n, 2)."""
        half = np.array([self.half_height_um, self.half_width_um])
        if self.shape == "rectangle":
            signs = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]], dtype=np.float64)
        else:
            angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
            signs = np.column_stack([np.sin(angle), np.cos(angle)])
        return np.asarray(np.asarray(centre_yx_um) + signs * half, dtype=np.float64)


@dataclass(frozen=True)
class Hotspot:
    """The place with the most mitoses.

    Attributes
    ----------
    outline : Outline
    y_um, x_um : float
        Its centre.
    count : int
        Mitoses in it.
    """

    outline: Outline
    y_um: float
    x_um: float
    count: int

    @property
    def centre_yx_um(self) -> tuple[float, float]:
        """Its centre."""
        return self.y_um, self.x_um


@dataclass(frozen=True, eq=False)
class Region:
    """Where the centre of an outline may stand: the cells of a grid that are set.

    Attributes
    ----------
    cells : ndarray of bool, shape (rows, columns)
    origin_yx_um : tuple of float
        Corner of cell (0, 0).
    cell_yx_um : tuple of float
        Height and width of a cell.
    """

    cells: Bools
    origin_yx_um: tuple[float, float]
    cell_yx_um: tuple[float, float]


def centres_in_field(size_yx_um: tuple[float, float], outline: Outline) -> Region:
    """Where an outline may stand so that it lies within a field from (0, 0) on; nowhere if it does not fit."""
    half = (outline.half_height_um, outline.half_width_um)
    room = tuple(side - 2 * reach for side, reach in zip(size_yx_um, half, strict=True))
    fits = min(room) >= -1e-6
    height, width = (max(side, 0.0) for side in room)
    return Region(np.full((1, 1), fits), half, (height, width))


def centres_in_tissue(tissue: NDArray[np.bool_], cell_um: float, outline: Outline, share: float = 1.0) -> Region:
    """Where an outline may stand so that it covers tissue only.

    Parameters
    ----------
    tissue : ndarray of bool, shape (rows, columns)
        Cells of the field that hold tissue; what lies beyond the grid holds none.
    cell_um : float
        Side of a cell.
    outline : Outline
    share : float
        Of the outline that must be tissue. With 1 it touches no cell without tissue, wherever in its cell the
        centre stands; with less the share is that at the cell's centre, and no part leaves the field.
    """
    rows, columns = tissue.shape
    grid = np.mgrid[-_reach(outline.half_height_um, cell_um) : _reach(outline.half_height_um, cell_um) + 1,
                    -_reach(outline.half_width_um, cell_um) : _reach(outline.half_width_um, cell_um) + 1]  # fmt: skip
    # The cells that the outline touches when its centre is anywhere in cell (0, 0): nearest points of the two cells.
    near = np.maximum(np.abs(grid) - 1, 0) * cell_um
    scaled = near / np.array([outline.half_height_um, outline.half_width_um])[:, None, None]
    touched = (np.hypot(*scaled) if outline.shape == "circle" else scaled.max(axis=0)) < 1
    beyond = _within_grid(np.ones((rows, columns), dtype=bool), touched)
    if share >= 1:
        return Region(_within_grid(tissue, touched), (0.0, 0.0), (cell_um, cell_um))
    covered = fftconvolve(tissue.astype(np.float64), touched.astype(np.float64), mode="same") / touched.sum()
    return Region(beyond & (covered >= share - 1e-9), (0.0, 0.0), (cell_um, cell_um))


def _reach(half_um: float, cell_um: float) -> int:
    return math.ceil(half_um / cell_um) + 1


def _within_grid(allowed: Bools, footprint: Bools) -> Bools:
    """Cells around which the whole footprint is allowed."""
    if footprint.all():
        missing = ndimage.maximum_filter((~allowed).astype(np.uint8), footprint.shape, mode="constant", cval=1)
        return np.asarray(missing == 0)
    padded = np.pad(~allowed, [(side // 2, side // 2) for side in footprint.shape], constant_values=True)
    blocked = fftconvolve(padded.astype(np.float64), footprint.astype(np.float64), mode="valid")
    return np.asarray(blocked < 0.5)


def find_hotspot(points_yx_um: ArrayLike, outline: Outline, region: Region) -> Hotspot | None:
    """The place of an outline that holds the most points; None where it cannot stand at all.

    Of equal places one is taken, always the same one for the same points in the same order.

    Parameters
    ----------
    points_yx_um : array_like of float, shape (n, 2)
    outline : Outline
    region : Region
        Where its centre may stand.
    """
    if not region.cells.any():
        return None
    half = np.array([outline.half_height_um, outline.half_width_um])
    points = np.asarray(points_yx_um, dtype=np.float64).reshape(-1, 2) / half
    search = _Search(points, outline.norm, region, half)
    y, x = search.best_place() * half
    return Hotspot(outline, float(y), float(x), search.best)


class _Search:
    """Branch and bound in coordinates in which the outline is a ball of radius 1."""

    def __init__(self, points: Floats, norm: float, region: Region, half: Floats) -> None:
        self._norm = norm
        self._tree = cKDTree(points) if len(points) else None
        self._points = points
        self._origin = np.array(region.origin_yx_um) / half
        self._cell = np.array(region.cell_yx_um) / half
        self._cells = region.cells
        self._sums = np.pad(region.cells.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        first = np.argwhere(region.cells)[0]
        self.best = -1
        self._place: Floats = self._origin + (first + 0.5) * self._cell

    def best_place(self) -> Floats:
        """Centre of the best place; its count is `best` then."""
        self._try(self._place[None])
        if self._tree is None:
            return self._place
        boxes, bounds = self._first_boxes()
        promising = np.argsort(-bounds, kind="stable")[:_TRIED]
        self._try(self._centres(boxes[promising][self._is_inner(boxes[promising])]))
        while len(boxes):
            # The most promising first: a good place found early spares most of the others.
            chosen = np.argsort(-bounds, kind="stable")[:_AT_ONCE]
            rest = np.ones(len(boxes), dtype=bool)
            rest[chosen] = False
            fresh, most = self._step(boxes[chosen])
            rest &= bounds > self.best
            boxes, bounds = np.concatenate([fresh, boxes[rest]]), np.concatenate([most, bounds[rest]])
        return self._place

    def _first_boxes(self) -> tuple[Floats, NDArray[np.int64]]:
        """Boxes of a grid that hold an allowed cell (low y, x, high y, x), and the most points that each can reach."""
        shape = np.array(self._cells.shape)
        extent = shape * self._cell
        many = min(_MAX_BOXES, max(_FEWEST_BOXES, _BOXES_PER_POINT * len(self._points)))
        side = max(_FIRST, math.sqrt(extent.prod() / many), extent.max() / _MAX_SIDE)
        step = np.array([2.0 ** round(math.log2(side / cell)) if cell > 0 else 1.0 for cell in self._cell])
        count = np.ceil(shape / step).astype(np.int64)
        low = np.stack(
            np.meshgrid(*(np.arange(n) * width for n, width in zip(count, step, strict=True)), indexing="ij")
        )
        boxes = np.concatenate([low, np.minimum(low + step[:, None, None], shape[:, None, None])]).reshape(4, -1).T
        held = self._holds_allowed(boxes)
        return boxes[held], self._reachable(step * self._cell, count)[held]

    def _reachable(self, side: Floats, count: NDArray[np.int64]) -> NDArray[np.int64]:
        """Points in the squares that the outline can touch while its centre is in a box, for each box of a grid."""
        if side.min() <= 0:
            return np.full(int(count.prod()), len(self._points))
        reach = np.ceil(1 / side).astype(np.int64) + 1
        at = np.floor((self._points - self._origin) / side).astype(np.int64) + reach
        shape = count + 2 * reach
        at = at[((at >= 0) & (at < shape)).all(axis=1)]
        squares = np.bincount(at @ (shape[1], 1), minlength=int(shape.prod())).reshape(shape)
        away = [np.maximum(np.abs(np.arange(-n, n + 1)) - 1, 0) * width for n, width in zip(reach, side, strict=True)]
        y, x = np.meshgrid(*away, indexing="ij")
        # A little more than the outline: which square a point on an edge lies in is up to rounding.
        touched = (np.hypot(y, x) if self._norm == 2 else np.maximum(y, x)) <= 1 + 1e-6
        sums = fftconvolve(squares.astype(np.float64), touched.astype(np.float64), mode="valid")
        return np.asarray(np.rint(sums), dtype=np.int64).ravel()

    def _centres(self, boxes: Floats) -> Floats:
        return np.asarray(self._origin + (boxes[:, :2] + boxes[:, 2:]) / 2 * self._cell)

    def _holds_allowed(self, boxes: Floats) -> Bools:
        """Which boxes, in cells, hold an allowed cell or a part of one."""
        whole = np.clip(np.hstack([np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])]), 0, [*self._cells.shape] * 2)
        y0, x0, y1, x1 = whole.astype(np.int64).T
        held = self._sums[y1, x1] - self._sums[y0, x1] - self._sums[y1, x0] + self._sums[y0, x0]
        return np.asarray(held > 0)

    def _step(self, boxes: Floats) -> tuple[Floats, NDArray[np.int64]]:
        """Drop what cannot be better, settle what is small enough, quarter the rest; the parts and their bounds."""
        low, high = self._origin + boxes[:, :2] * self._cell, self._origin + boxes[:, 2:] * self._cell
        centre, reach = (low + high) / 2, self._length((high - low) / 2)
        inner = self._is_inner(boxes)
        most = self._count(centre, 1 + reach)
        order = np.argsort(-most, kind="stable")
        self._try(centre[order][inner[order]][:_TRIED])
        small = inner & (most > self.best) & (4 * reach * most <= _FEW)
        small[small] = most[small] - self._count(centre[small], np.maximum(1 - reach[small], 0.0)) <= _FEW
        small |= inner & (reach < _TINY)
        for at in order[small[order]]:
            if most[at] > self.best:
                self._settle(boxes[at], centre[at], float(reach[at]))
        alive = ~small & (most > self.best)
        return self._quartered(boxes[alive], most[alive])

    def _is_inner(self, boxes: Floats) -> Bools:
        """Which boxes lie within one cell."""
        return np.asarray((np.ceil(boxes[:, 2:]) - np.floor(boxes[:, :2]) <= 1).all(axis=1))

    def _quartered(self, boxes: Floats, most: NDArray[np.int64]) -> tuple[Floats, NDArray[np.int64]]:
        low, high = boxes[:, :2], boxes[:, 2:]
        middle = (low + high) / 2
        # Cells are not cut as long as a box holds several.
        middle = np.where(high - low > 1, np.round(middle), middle)
        parts = [
            np.column_stack([(low if i else middle)[:, 0], (low if j else middle)[:, 1],
                             (middle if i else high)[:, 0], (middle if j else high)[:, 1]])
            for i in (1, 0) for j in (1, 0)
        ]  # fmt: skip
        quarters = np.concatenate(parts)
        held = self._holds_allowed(quarters)
        return quarters[held], np.tile(most, len(parts))[held]

    def _settle(self, box: Floats, centre: Floats, reach: float) -> None:
        """Try every place in a box where the count can be largest: crossings of outlines, and with its edges."""
        assert self._tree is not None
        near = self._points[self._tree.query_ball_point(centre, 1 + reach + _SLACK, p=self._norm)]
        away = self._length(near - centre)
        edge = near[away >= 1 - reach - _SLACK]
        low, high = self._origin + box[:2] * self._cell, self._origin + box[2:] * self._cell
        crossings = _circle_crossings if self._norm == 2 else _square_crossings
        places = crossings(edge, low, high)
        inside = ((places >= low - 1e-12) & (places <= high + 1e-12)).all(axis=1)
        self._try(np.clip(np.vstack([places[inside], centre[None]]), low, high))

    def _try(self, places: Floats) -> None:
        if not len(places):
            return
        counts = self._count(places, np.ones(len(places)))
        at = int(np.argmax(counts))
        if counts[at] > self.best:
            self.best, self._place = int(counts[at]), places[at]

    def _count(self, centres: Floats, radii: Floats) -> NDArray[np.int64]:
        if self._tree is None:
            return np.zeros(len(centres), dtype=np.int64)
        reach = radii * (1 + _SLACK)
        counts = self._tree.query_ball_point(centres, reach, p=self._norm, return_length=True)
        return np.asarray(counts, dtype=np.int64)

    def _length(self, vectors: Floats) -> Floats:
        absolute = np.abs(vectors)
        return np.asarray(np.hypot(*absolute.T) if self._norm == 2 else absolute.max(axis=1, initial=0.0))


def _circle_crossings(points: Floats, low: Floats, high: Floats) -> Floats:
    """Where unit circles around points cross one another and the edges of a box; and the box's corners."""
    places = [np.array([(y, x) for y in (low[0], high[0]) for x in (low[1], high[1])])]
    first, second = np.triu_indices(len(points), 1)
    a, b = points[first], points[second]
    apart = np.hypot(*(b - a).T)
    meet = (apart > 0) & (apart <= 2 * (1 + _SLACK))
    a, b, apart = a[meet], b[meet], apart[meet]
    up = np.sqrt(np.maximum(1 - (apart / 2) ** 2, 0.0))[:, None]
    across = np.column_stack([-(b - a)[:, 1], (b - a)[:, 0]]) / apart[:, None]
    places += [(a + b) / 2 + up * across, (a + b) / 2 - up * across]
    for axis in (0, 1):
        for edge in (low[axis], high[axis]):
            across_edge = 1 - (edge - points[:, axis]) ** 2
            some = points[across_edge >= 0]
            step = np.sqrt(across_edge[across_edge >= 0])
            for sign in (1, -1):
                place = np.empty_like(some)
                place[:, axis], place[:, 1 - axis] = edge, some[:, 1 - axis] + sign * step
                places.append(place)
    # A circle that cuts no other and no edge of the box may still lie in it: its own extremes stand for it.
    places += [points + np.array(step) for step in ((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0))]
    return np.vstack(places)


def _square_crossings(points: Floats, low: Floats, high: Floats) -> Floats:
    """Where the sides of squares of half side 1 around points cross, with one another and with the box's edges."""
    levels = [
        np.unique(np.concatenate([points[:, axis] - 1, points[:, axis] + 1, [low[axis], high[axis]]]))
        for axis in (0, 1)
    ]
    kept = [level[(level >= low[axis]) & (level <= high[axis])] for axis, level in enumerate(levels)]
    return np.stack(np.meshgrid(*kept, indexing="ij"), axis=-1).reshape(-1, 2)
