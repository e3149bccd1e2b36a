"""Where training material comes from: windows cut from annotated fields and mosaics of annotated crops.

A window is larger than the crop that a network sees, so that rotation and zoom need not invent its corners.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..datasets.crops import TISSUE, Crop
from ..datasets.sample import Sample
from .stain import StainBank, stain_bank

WINDOW_PX = 288

# Nearer to the seam of a tile than this a figure is cut.
_RIM_PX = 10
# Side of a corner of a crop, and how far from its tip a mitosis must lie not to reach into it.
_CORNER_PX, _CORNER_CLEAR_PX = 40, 56


@dataclass(frozen=True, eq=False)
class Window:
    """Material for one training crop.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (side, side, 3)
    ignore : ndarray of bool, shape (side, side)
        Pixels that must not count as background: outside the field, or parts of a mitosis that its
        centroid's disc does not cover (the plates of a telophase).
    mitoses_yx : ndarray of float64, shape (n, 2)
        Centroids in window pixels; they may lie outside the window.
    mask : ndarray of uint8, shape (side, side), optional
        Strong labels: 1 on a mitosis, 0 elsewhere, 255 where that is not known.
    mimics_yx : ndarray of float64, shape (n, 2), optional
        Figures that a reader called mimics, in window pixels.
    """

    pixels: NDArray[np.uint8]
    ignore: NDArray[np.bool_]
    mitoses_yx: NDArray[np.float64]
    mask: NDArray[np.uint8] | None = None
    mimics_yx: NDArray[np.float64] | None = None


class FieldSource:
    """Annotated fields held in memory, padded by reflection so that a window may hang over the border.

    Parameters
    ----------
    samples : sequence of Sample
    window_px : int
        Side of the windows.
    unknown : sequence of ndarray of bool, shape (H, W), or None, optional
        For each field the pixels whose label nobody knows; they must not count as background.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        window_px: int = WINDOW_PX,
        unknown: Sequence[NDArray[np.bool_] | None] | None = None,
    ) -> None:
        if not samples:
            raise ValueError("a field source needs at least one annotated field")
        self.window_px = window_px
        self._pad = pad = window_px // 2
        self.shapes = [s.field.shape for s in samples]
        self.datasets = [s.dataset for s in samples]
        self._pixels = [np.pad(s.field.numpy(), ((pad, pad), (pad, pad), (0, 0)), "reflect") for s in samples]
        masks = unknown or [None] * len(samples)
        self._ignore = [_ignored(s, pad, extra) for s, extra in zip(samples, masks, strict=True)]
        self.mitoses = [s.centroids_yx("mitosis") for s in samples]
        self._positive_share, self._share = _shares([s.case for s in samples], [len(m) for m in self.mitoses])
        self.unsure = [s.centroids_yx("unsure") for s in samples]
        self.mimics = [s.centroids_yx("mimic") for s in samples]

    def pixels(self, index: int) -> NDArray[np.uint8]:
        """Field `index`, without its padding, shape (H, W, 3)."""
        return self._pixels[index][self._pad : -self._pad, self._pad : -self._pad]

    def window(self, index: int, y: float, x: float) -> Window:
        """The window of field `index` centred at pixel (y, x)."""
        h, w = self.shapes[index]
        top = int(np.clip(round(y), 0, h - 1))
        left = int(np.clip(round(x), 0, w - 1))
        cut = (slice(top, top + self.window_px), slice(left, left + self.window_px))
        offset = np.array([top - self._pad, left - self._pad], dtype=np.float64)
        ignore = self._ignore[index][cut]
        if len(self.unsure[index]):
            ignore = ignore.copy()
            for p in self.unsure[index] - offset:
                _paint_disc(ignore, p[0], p[1], 25.0)
        mitoses, mimics = self.mitoses[index] - offset, self.mimics[index] - offset
        return Window(self._pixels[index][cut], ignore, mitoses, mimics_yx=mimics)

    def positive(self, rng: np.random.Generator, reach_px: float = 44.0) -> Window:
        """A window with a mitosis at a random place within `reach_px` of its centre."""
        if not self._positive_share.any():
            return self.negative(rng)
        index = int(rng.choice(len(self.shapes), p=self._positive_share))
        y, x = self.mitoses[index][rng.integers(len(self.mitoses[index]))]
        dy, dx = rng.uniform(-reach_px, reach_px, 2)
        return self.window(index, y + dy, x + dx)

    def negative(self, rng: np.random.Generator) -> Window:
        """A window anywhere in a field of any case, all cases alike; what it holds is labelled as it is."""
        index = int(rng.choice(len(self.shapes), p=self._share))
        h, w = self.shapes[index]
        return self.window(index, rng.uniform(0, h), rng.uniform(0, w))

    def hard(self, rng: np.random.Generator, places: Sequence[tuple[int, float, float]]) -> Window:
        """A window about one of the mined `places` (field index, y, x), or about a labelled mimic."""
        mimics = [(i, float(y), float(x)) for i, m in enumerate(self.mimics) for y, x in m]
        both = list(places) + mimics
        if not both:
            return self.negative(rng)
        index, y, x = both[int(rng.integers(len(both)))]
        dy, dx = rng.uniform(-44, 44, 2)
        return self.window(index, y + dy, x + dx)


class CropSource:
    """Small crops, each centred on an annotated figure, assembled into mosaics with tissue that holds none.

    The seams of a mosaic and the place of figures in it carry no information: tiles have a random size and
    origin, and are cut at random from crops that are turned and mirrored. Neither does the stain: half of the
    tiles hold no mitosis, and they come from the same slides (corners of crops), from labelled mimics and from
    crops of the group ``tissue``.

    Parameters
    ----------
    crops : sequence of Crop
        Square ones.
    window_px : int
        Side of the mosaics.
    empty : float
        Share of the tiles without a mitosis.
    """

    tile_range = (64, 128)

    def __init__(self, crops: Sequence[Crop], window_px: int = WINDOW_PX, empty: float = 0.5) -> None:
        if not crops:
            raise ValueError("a crop source needs at least one crop")
        self.window_px = window_px
        self.pixels = [crop.pixels() for crop in crops]
        self.groups = [crop.group for crop in crops]
        self._points = [
            crop.points.loc[crop.points["label"] == "mitosis", ["y_px", "x_px"]].to_numpy(np.float64) for crop in crops
        ]
        mitotic = [len(points) > 0 for points in self._points]
        self._with = [i for i, there in enumerate(mitotic) if there]
        self._without = [i for i, there in enumerate(mitotic) if not there]
        cases: dict[str, list[int]] = defaultdict(list)
        for i in self._with:
            if min(self.pixels[i].shape[:2]) < 2 * _CORNER_CLEAR_PX:
                continue
            cases[f"{crops[i].path.parent.parent}:{crops[i].case}"].append(i)
        self._cases = list(cases.values())
        self._empty = empty if self._with else 1.0

    def mosaic(self, rng: np.random.Generator) -> Window:
        """A window filled with tiles."""
        pixels = np.empty((self.window_px, self.window_px, 3), dtype=np.uint8)
        ignore = np.zeros((self.window_px, self.window_px), dtype=bool)
        mitoses: list[NDArray[np.float64]] = []
        tile = int(rng.integers(self.tile_range[0], self.tile_range[1] + 1))
        y0, x0 = (-int(v) for v in rng.integers(0, tile, 2))
        for top in range(y0, self.window_px, tile):
            for left in range(x0, self.window_px, tile):
                source, points = self._tile(rng, tile)
                ys, ye = max(top, 0), min(top + tile, self.window_px)
                xs, xe = max(left, 0), min(left + tile, self.window_px)
                pixels[ys:ye, xs:xe] = source[ys - top : ye - top, xs - left : xe - left]
                for y, x in points:
                    if _RIM_PX <= y < tile - _RIM_PX and _RIM_PX <= x < tile - _RIM_PX:
                        mitoses.append(np.array([[top + y, left + x]]))
                    else:  # cut by the seam: neither mitosis nor background
                        _paint_disc(ignore[ys:ye, xs:xe], top + y - ys, left + x - xs, 25.0)
        points = np.concatenate(mitoses) if mitoses else np.empty((0, 2))
        return Window(pixels, ignore, points)

    def _tile(self, rng: np.random.Generator, size: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """Pixels (size, size, 3) of a tile, and its mitoses."""
        if rng.random() >= self._empty:
            return self._cut(self._with[int(rng.integers(len(self._with)))], rng, size)
        if self._without and (not self._cases or rng.random() < 0.6):
            return self._cut(self._without[int(rng.integers(len(self._without)))], rng, size)
        return self._quilt(rng, size), np.empty((0, 2))

    def _cut(self, index: int, rng: np.random.Generator, size: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """A part of a crop in one of its eight poses, and the mitoses in or about it."""
        pixels, points = self.pixels[index], self._points[index]
        grow = max(0, -(-(size - min(pixels.shape[:2])) // 2))
        if grow:
            pixels, points = np.pad(pixels, ((grow, grow), (grow, grow), (0, 0)), "reflect"), points + grow
        source, turned = _turn(pixels, points, int(rng.integers(8)))
        top = int(rng.integers(0, source.shape[0] - size + 1))
        left = int(rng.integers(0, source.shape[1] - size + 1))
        part = source[top : top + size, left : left + size]
        moved = turned - (top, left)
        near = ((moved > -25) & (moved < size + 25)).all(axis=1)
        return part, moved[near]

    def _quilt(self, rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
        """Corners of crops of one slide: tissue about mitoses, without them."""
        members = self._cases[int(rng.integers(len(self._cases)))]
        whole = np.empty((size, size, 3), dtype=np.uint8)
        for top in range(0, size, _CORNER_PX):
            for left in range(0, size, _CORNER_PX):
                piece = self._corner(members, rng)
                area = whole[top : top + _CORNER_PX, left : left + _CORNER_PX]
                area[:] = piece[: area.shape[0], : area.shape[1]]
        return whole

    def _corner(self, members: Sequence[int], rng: np.random.Generator) -> NDArray[np.uint8]:
        """A corner of a crop, turned; with no labelled mitosis in reach, if that is found in 20 tries."""
        for _ in range(20):
            index = members[int(rng.integers(len(members)))]
            source, points = _turn(self.pixels[index], self._points[index], int(rng.integers(8)))
            if not (points < _CORNER_CLEAR_PX).all(axis=1).any():
                break
        return source[:_CORNER_PX, :_CORNER_PX]


def stains_of(fields: FieldSource | None, crops: CropSource | None, crops_of_each: int = 300) -> StainBank:
    """Statistics of all the material of a training: of fields by data set, of annotated crops, of other tissue."""
    groups: dict[str, list[NDArray[np.uint8]]] = defaultdict(list)
    if fields is not None:
        for index, name in enumerate(fields.datasets):
            groups[f"fields {name}"].append(fields.pixels(index))
    if crops is not None:
        for pixels, group in zip(crops.pixels, crops.groups, strict=True):
            groups["tissue" if group == TISSUE else "crops"].append(pixels)
    # Crops are sorted by slide: every k-th is of all slides.
    return stain_bank([members[:: -(-len(members) // crops_of_each)] for members in groups.values()])


def _shares(cases: Sequence[str], counts: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How often each field is drawn for a mitosis, and for anything.

    Fields and cases with many mitoses would crowd out the others: both are drawn by the root of their count. For
    anything else all cases are drawn alike often.
    """
    case = np.unique(np.asarray(cases, dtype=object).astype(str), return_inverse=True)[1]
    count = np.asarray(counts, dtype=np.float64)
    per_field, per_case = np.sqrt(count), np.sqrt(np.bincount(case, count))
    within = np.bincount(case, per_field)
    positive = per_field * (per_case / np.maximum(within, 1e-9))[case]
    any_field = 1 / np.bincount(case)[case]
    return positive / max(positive.sum(), 1e-9), any_field / any_field.sum()


def _turn(
    pixels: NDArray[np.uint8], points: NDArray[np.float64], pose: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """One of the eight right-angle poses of a square crop and of its points."""
    quarter, mirror = pose % 4, pose >= 4
    size = pixels.shape[0]
    y, x = points[:, 0], points[:, 1]
    for _ in range(quarter):  # np.rot90 takes (y, x) to (size - 1 - x, y)
        y, x = size - 1 - x, y
    turned = np.rot90(pixels, quarter)
    if mirror:
        turned, x = turned[:, ::-1], size - 1 - x
    return turned, np.stack([y, x], axis=1)


def _paint_disc(area: NDArray[np.bool_], y: float, x: float, radius: float) -> None:
    """Set the pixels of `area` within `radius` of (y, x)."""
    ys = slice(max(0, int(y - radius)), max(0, int(y + radius) + 2))
    xs = slice(max(0, int(x - radius)), max(0, int(x + radius) + 2))
    part = area[ys, xs]
    yy = np.arange(part.shape[0])[:, None] + ys.start - y
    xx = np.arange(part.shape[1])[None, :] + xs.start - x
    part |= yy**2 + xx**2 <= radius**2


def _ignored(sample: Sample, pad: int, unknown: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Pixels of known mitoses, those that nobody knows, and everything beyond the field."""
    mask = sample.mask
    inside = np.zeros(sample.field.shape, dtype=bool) if mask is None else mask > 0
    if unknown is not None:
        inside |= unknown
    return np.pad(inside, pad, constant_values=True)
