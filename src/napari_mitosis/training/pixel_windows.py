"""Which pixels a pixel classifier learns: all near a centroid, and others drawn by a weight (IDSIA DNN, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..datasets.sample import Sample
from .windows import CropSource, FieldSource, Window

Pixel = tuple[int, int, int]
"""Field, row and column."""


class PixelSource:
    """Windows about single pixels of annotated fields.

    Parameters
    ----------
    samples : sequence of Sample
    window_px : int
        Side of the windows.
    positive_px : float
        Pixels closer than this to a centroid are of the class mitosis.
    """

    def __init__(self, samples: Sequence[Sample], window_px: int, positive_px: float) -> None:
        self.fields = FieldSource(samples, window_px)
        self.positive_px = positive_px
        self.positives = np.concatenate([self._positives(i) for i in range(len(samples))])
        self._cell_px = 1
        self._shapes: list[tuple[int, int]] = []
        self._ends = np.zeros(0)

    def weigh(self, maps: Sequence[NDArray[np.float32]], cell_px: int) -> None:
        """Set the weight D(p) of every pixel; negatives are drawn in proportion to it.

        Parameters
        ----------
        maps : sequence of ndarray, shape (h, w)
            For each field; cell (i, j) holds for the pixels [i * cell_px, (i + 1) * cell_px) x ... .

        Raises
        ------
        ValueError
            If the maps do not cover their fields.
        """
        for weights, (height, width) in zip(maps, self.fields.shapes, strict=True):
            if weights.shape != (-(-height // cell_px), -(-width // cell_px)):
                raise ValueError(f"a weight map of {weights.shape} does not cover {height} x {width} px")
        self._cell_px = cell_px
        self._shapes = [(m.shape[0], m.shape[1]) for m in maps]
        self._ends = np.cumsum(np.concatenate([m.ravel() for m in maps]), dtype=np.float64)

    def negative_pixel(self, rng: np.random.Generator) -> Pixel:
        """A pixel that is not of the class mitosis, drawn with probability in proportion to its weight."""
        if not len(self._ends):
            raise ValueError("weigh the pixels before drawing negatives")
        firsts = np.cumsum([0] + [h * w for h, w in self._shapes])
        while True:
            cell = int(np.searchsorted(self._ends, rng.random() * self._ends[-1], side="right"))
            index = int(np.searchsorted(firsts, cell, side="right")) - 1
            row, column = divmod(cell - int(firsts[index]), self._shapes[index][1])
            y = row * self._cell_px + int(rng.integers(self._cell_px))
            x = column * self._cell_px + int(rng.integers(self._cell_px))
            height, width = self.fields.shapes[index]
            if y < height and x < width and not self._near(index, y, x):
                return index, y, x

    def positive(self, rng: np.random.Generator) -> Window:
        """The window about one of the pixels of class mitosis, all alike likely; anywhere if there are none."""
        if not len(self.positives):
            return self.fields.negative(rng)
        index, y, x = (int(v) for v in self.positives[rng.integers(len(self.positives))])
        return self.fields.window(index, y, x)

    def negative(self, rng: np.random.Generator) -> Window:
        """The window about a pixel drawn by weight."""
        return self.fields.window(*self.negative_pixel(rng))

    def _near(self, index: int, y: int, x: int) -> bool:
        points = self.fields.mitoses[index]
        return bool(((points[:, 0] - y) ** 2 + (points[:, 1] - x) ** 2 < self.positive_px**2).any())

    def _positives(self, index: int) -> NDArray[np.int64]:
        """Field, row and column of each pixel of class mitosis."""
        height, width = self.fields.shapes[index]
        near: set[Pixel] = set()
        for py, px in self.fields.mitoses[index]:
            reach = self.positive_px
            for y in range(max(0, int(py - reach)), min(height, int(py + reach) + 2)):
                for x in range(max(0, int(px - reach)), min(width, int(px + reach) + 2)):
                    if (y - py) ** 2 + (x - px) ** 2 < reach**2:
                        near.add((index, y, x))
        return np.array(sorted(near), dtype=np.int64).reshape(-1, 3)


class CentredMosaics:
    """Mosaics of crops with a mitosis near the centre.

    Parameters
    ----------
    crops : CropSource
        Its windows are the material; they must be larger than `window_px`.
    window_px : int
        Side of the windows.
    reach_px : float
        The mitosis lies within it of the centre.
    """

    def __init__(self, crops: CropSource, window_px: int, reach_px: float) -> None:
        if crops.window_px < window_px + 2:
            raise ValueError("the mosaics must be larger than the windows cut from them")
        self._crops = crops
        self.window_px = window_px
        self.reach_px = reach_px

    def positive(self, rng: np.random.Generator) -> Window:
        """A window with a mitosis near its centre; one without a mitosis if twenty mosaics hold none there."""
        for _ in range(20):
            window = self._crops.mosaic(rng)
            free = window.pixels.shape[0] - self.window_px
            # Top left corners that put a figure within reach of the centre, and the window inside the mosaic.
            corners = window.mitoses_yx - (self.window_px - 1) / 2 + rng.uniform(-1, 1, 2) * self.reach_px / 2**0.5
            corners = np.round(corners)
            corners = corners[((corners >= 0) & (corners <= free)).all(axis=1)]
            if len(corners):
                break
        else:
            corners = np.zeros((1, 2))
        top, left = (int(v) for v in corners[rng.integers(len(corners))])
        return self._cut(window, top, left)

    def anywhere(self, rng: np.random.Generator) -> Window:
        """A window cut anywhere from a mosaic."""
        window = self._crops.mosaic(rng)
        free = window.pixels.shape[0] - self.window_px
        top, left = (int(v) for v in rng.integers(0, free + 1, 2))
        return self._cut(window, top, left)

    def _cut(self, window: Window, top: int, left: int) -> Window:
        part = (slice(top, top + self.window_px), slice(left, left + self.window_px))
        return Window(window.pixels[part], window.ignore[part], window.mitoses_yx - (top, left))
