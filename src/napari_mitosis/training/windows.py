"""Where training material comes from: windows cut from annotated fields and mosaics of annotated crops.

A window is larger than the crop that a network sees, so that rotation and zoom need not invent its corners.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..datasets.crops import Crop
from ..datasets.sample import Sample

WINDOW_PX = 288


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
    """

    pixels: NDArray[np.uint8]
    ignore: NDArray[np.bool_]
    mitoses_yx: NDArray[np.float64]
    mask: NDArray[np.uint8] | None = None


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
        self._pixels = [np.pad(s.field.numpy(), ((pad, pad), (pad, pad), (0, 0)), "reflect") for s in samples]
        own = unknown or [None] * len(samples)
        self._ignore = [_ignored(s, pad, extra) for s, extra in zip(samples, own, strict=True)]
        self.mitoses = [s.centroids_yx("mitosis") for s in samples]
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
        return Window(self._pixels[index][cut], ignore, self.mitoses[index] - offset)

    def positive(self, rng: np.random.Generator, reach_px: float = 44.0) -> Window:
        """A window with a mitosis at a random place within `reach_px` of its centre."""
        counts = np.array([len(m) for m in self.mitoses])
        if counts.sum() == 0:
            return self.negative(rng)
        # Fields with many mitoses would crowd out the others: draw the field by the root of its count.
        share = np.sqrt(counts)
        index = int(rng.choice(len(counts), p=share / share.sum()))
        y, x = self.mitoses[index][rng.integers(counts[index])]
        dy, dx = rng.uniform(-reach_px, reach_px, 2)
        return self.window(index, y + dy, x + dx)

    def negative(self, rng: np.random.Generator) -> Window:
        """A window anywhere in any field; what it holds is labelled as it is."""
        index = int(rng.integers(len(self.shapes)))
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
    """Small crops, each centred on an annotated figure, assembled into mosaics.

    The seams of a mosaic and the place of figures in it carry no information: tiles have a random size and
    origin, and are cut at random from crops that are turned and mirrored.
    """

    tile_range = (100, 128)

    def __init__(self, crops: Sequence[Crop], window_px: int = WINDOW_PX) -> None:
        if not crops:
            raise ValueError("a crop source needs at least one crop")
        self.window_px = window_px
        self._pixels = []
        self._points = []
        for crop in crops:
            pixels = crop.pixels()
            points = crop.points.loc[crop.points["label"] == "mitosis", ["y_px", "x_px"]].to_numpy(np.float64)
            grow = max(0, -(-(self.tile_range[1] - min(pixels.shape[:2])) // 2))
            if grow:
                pixels = np.pad(pixels, ((grow, grow), (grow, grow), (0, 0)), "reflect")
            self._pixels.append(pixels)
            self._points.append(points + grow)
        mitotic = np.array([len(p) > 0 for p in self._points])
        # Crops of mimics are rare and worth more than their share.
        weight = np.where(mitotic, 1.0, 4.0)
        self._weight = np.cumsum(weight / weight.sum())

    def mosaic(self, rng: np.random.Generator) -> Window:
        """A window filled with tiles."""
        pixels = np.empty((self.window_px, self.window_px, 3), dtype=np.uint8)
        ignore = np.zeros((self.window_px, self.window_px), dtype=bool)
        mitoses: list[NDArray[np.float64]] = []
        tile = int(rng.integers(self.tile_range[0], self.tile_range[1] + 1))
        y0, x0 = (-int(v) for v in rng.integers(0, tile, 2))
        for top in range(y0, self.window_px, tile):
            for left in range(x0, self.window_px, tile):
                self._place(rng, tile, top, left, pixels, ignore, mitoses)
        points = np.concatenate(mitoses) if mitoses else np.empty((0, 2))
        return Window(pixels, ignore, points)

    def _place(
        self,
        rng: np.random.Generator,
        tile: int,
        top: int,
        left: int,
        pixels: NDArray[np.uint8],
        ignore: NDArray[np.bool_],
        mitoses: list[NDArray[np.float64]],
    ) -> None:
        index = int(np.searchsorted(self._weight, rng.random()))
        source, points = _turn(self._pixels[index], self._points[index], int(rng.integers(8)))
        cy = int(rng.integers(0, source.shape[0] - tile + 1))
        cx = int(rng.integers(0, source.shape[1] - tile + 1))
        ys, ye = max(top, 0), min(top + tile, self.window_px)
        xs, xe = max(left, 0), min(left + tile, self.window_px)
        pixels[ys:ye, xs:xe] = source[cy + ys - top : cy + ye - top, cx + xs - left : cx + xe - left]
        for y, x in points - (cy, cx):
            if 10 <= y < tile - 10 and 10 <= x < tile - 10:
                mitoses.append(np.array([[top + y, left + x]]))
            else:  # cut by the seam: neither mitosis nor background
                part = ignore[ys:ye, xs:xe]
                _paint_disc(part, top + y - ys, left + x - xs, 25.0)


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
