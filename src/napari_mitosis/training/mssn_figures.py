"""Figures of the three kinds that MSSN's second stage compares: mitoses, mimics and other nuclei."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..datasets.crops import Crop
from ..models.mssn_siamese import KINDS
from .mining import Place
from .windows import FieldSource, Window

WINDOW_PX = 112
"""A figure with enough about it to turn and zoom a window of 72 px."""
_JITTER_PX = 3.0
_APART_PX = 30.0


class CropFigures:
    """Labelled figures of crops, and the dark places between them as other nuclei.

    All kinds are cut from the same crops in the same way, so that where a crop ends tells nothing of the kind.
    """

    def __init__(self, crops: Sequence[Crop]) -> None:
        self._pixels = [crop.pixels() for crop in crops]
        self._points = [crop.points[["y_px", "x_px"]].to_numpy(np.float64) for crop in crops]
        self._places: dict[str, list[tuple[int, float, float]]] = {"mitosis": [], "mimic": []}
        for i, crop in enumerate(crops):
            side = min(crop.shape)
            for y, x, label in zip(crop.points["y_px"], crop.points["x_px"], crop.points["label"], strict=True):
                # What lies near the edge is cut.
                if label in self._places and min(y, x, side - y, side - x) >= 36:
                    self._places[label].append((i, float(y), float(x)))
        self._large = [i for i, p in enumerate(self._pixels) if min(p.shape[:2]) >= 120]

    def draw(self, kind: str, rng: np.random.Generator) -> Window | None:
        """A window about a figure of this kind; None where there is none."""
        if kind == "other":
            if not self._large:
                return None
            index = self._large[int(rng.integers(len(self._large)))]
            place = dark_place(self._pixels[index], self._points[index], rng, 36)
            if place is None:
                return None
            return self._window(index, *place)
        places = self._places[kind]
        if not places:
            return None
        return self._window(*places[int(rng.integers(len(places)))])

    def _window(self, index: int, y: float, x: float) -> Window:
        half = WINDOW_PX // 2
        padded = np.pad(self._pixels[index], ((half, half), (half, half), (0, 0)), "reflect")
        top, left = round(y), round(x)
        return _plain(padded[top : top + WINDOW_PX, left : left + WINDOW_PX])


class FieldFigures:
    """Mitoses of annotated fields, mimics among their false candidates, dark places as other nuclei."""

    def __init__(self, fields: FieldSource, false: Sequence[Place]) -> None:
        self._fields = fields
        labelled = [[(i, float(y), float(x)) for y, x in points] for i, points in enumerate(fields.mimics)]
        self._places: dict[str, list[Place]] = {
            "mitosis": [(i, float(y), float(x)) for i, points in enumerate(fields.mitoses) for y, x in points],
            "mimic": [*false, *(place for places in labelled for place in places)],
        }

    def draw(self, kind: str, rng: np.random.Generator) -> Window | None:
        """A window about a figure of this kind; None where there is none."""
        if kind == "other":
            return self._other(rng)
        places = self._places[kind]
        if not places:
            return None
        index, y, x = places[int(rng.integers(len(places)))]
        dy, dx = rng.uniform(-_JITTER_PX, _JITTER_PX, 2)
        return self._cut(index, y + dy, x + dx)

    def _other(self, rng: np.random.Generator) -> Window | None:
        index = int(rng.integers(len(self._fields.shapes)))
        h, w = self._fields.shapes[index]
        y0, x0 = int(rng.integers(0, max(1, h - 128))), int(rng.integers(0, max(1, w - 128)))
        known = np.concatenate([self._fields.mitoses[index], self._fields.unsure[index]]) - (y0, x0)
        place = dark_place(self._fields.pixels(index)[y0 : y0 + 128, x0 : x0 + 128], known, rng, 8)
        return None if place is None else self._cut(index, place[0] + y0, place[1] + x0)

    def _cut(self, index: int, y: float, x: float) -> Window:
        whole = self._fields.window(index, y, x).pixels
        top = (len(whole) - WINDOW_PX) // 2
        return _plain(whole[top : top + WINDOW_PX, top : top + WINDOW_PX])


Figures = CropFigures | FieldFigures


def draw_figures(
    sources: Sequence[tuple[Figures, float]], counts: Sequence[int], rng: np.random.Generator
) -> tuple[list[Window], NDArray[np.int64]]:
    """Windows about figures of each kind.

    Parameters
    ----------
    sources : sequence of (figures, share)
        Where to draw from; a source that has none of a kind leaves it to the others.
    counts : sequence of int
        How many of each of `KINDS`.

    Returns
    -------
    windows : list of Window
    kinds : ndarray of int64, shape (n,)
        Places in `KINDS`.
    """
    shares = np.array([share for _, share in sources])
    windows, kinds = [], []
    for kind, count in enumerate(counts):
        for _ in range(count):
            for source in rng.choice(len(sources), size=len(sources), replace=False, p=shares / shares.sum()):
                window = sources[int(source)][0].draw(KINDS[kind], rng)
                if window is not None:
                    windows.append(window)
                    kinds.append(kind)
                    break
    return windows, np.array(kinds, dtype=np.int64)


def dark_place(
    pixels: NDArray[np.uint8], known: NDArray[np.float64], rng: np.random.Generator, border: int
) -> tuple[float, float] | None:
    """The darkest place about a random one: most likely a nucleus. None where all of it is near a known figure."""
    dark = ndimage.uniform_filter(pixels.mean(axis=2, dtype=np.float32), 9)
    h, w = dark.shape
    rows, columns = np.arange(h)[:, None], np.arange(w)[None, :]
    free = np.ones(dark.shape, dtype=bool)
    free[:border] = free[h - border :] = False
    free[:, :border] = free[:, w - border :] = False
    for y, x in known:
        free &= (rows - y) ** 2 + (columns - x) ** 2 > _APART_PX**2
    places = np.argwhere(free)
    if not len(places):
        return None
    y, x = places[int(rng.integers(len(places)))]
    near = free & (np.abs(rows - y) <= 20) & (np.abs(columns - x) <= 20)
    best = int(np.argmin(np.where(near, dark, np.inf)))
    return float(best // w), float(best % w)


def _plain(pixels: NDArray[np.uint8]) -> Window:
    return Window(np.ascontiguousarray(pixels), np.zeros(pixels.shape[:2], dtype=bool), np.zeros((0, 2)))
