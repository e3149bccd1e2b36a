"""Nuclei, mitotic figures and their mimics, drawn as optical density into a window of a phantom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
PHASES = ("prophase", "metaphase", "anaphase", "telophase")
MIMICS = ("apoptotic", "pyknotic")


@dataclass(eq=False)
class Canvas:
    """Amounts of haematoxylin and eosin at each pixel, and fine noise that all textures are cut from.

    Attributes
    ----------
    h, e : ndarray of float32, shape (H, W)
        Stain amounts; changed in place.
    grain : ndarray of float32, shape (H, W)
        Noise of unit variance with structures of about 2 px.
    coarse : ndarray of float32, shape (H, W)
        The same with structures of about 4 px.
    """

    h: Map
    e: Map
    grain: Map
    coarse: Map


@dataclass(frozen=True, eq=False)
class Window:
    """Pixels around a cell: where they are on the canvas, and their place relative to its centre."""

    cut: tuple[slice, slice]
    y: Map
    x: Map
    grain: Map
    coarse: Map


def window(canvas: Canvas, y: float, x: float, reach: int, rng: np.random.Generator) -> Window:
    """The part of the canvas within `reach` px of (y, x), with noise from somewhere else of the canvas."""
    height, width = canvas.h.shape
    y0, y1 = max(0, int(y) - reach), min(height, int(y) + reach + 1)
    x0, x1 = max(0, int(x) - reach), min(width, int(x) + reach + 1)
    oy = int(rng.integers(0, height - (y1 - y0) + 1))
    ox = int(rng.integers(0, width - (x1 - x0) + 1))
    there = (slice(oy, oy + y1 - y0), slice(ox, ox + x1 - x0))
    yy, xx = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    return Window((slice(y0, y1), slice(x0, x1)), yy - y, xx - x, canvas.grain[there], canvas.coarse[there])


def blob(
    w: Window,
    dy: float,
    dx: float,
    half: tuple[float, float],
    angle: float,
    rng: np.random.Generator,
    *,
    wobble: float = 0.06,
    ragged: float = 0.0,
    edge: float = 1.2,
) -> Map:
    """Soft ellipse with an irregular outline: 1 inside, 0 outside.

    Parameters
    ----------
    dy, dx : float
        Its centre, relative to the window's.
    half : tuple of float
        Half axes (along, across) in px; `angle` turns the first from the x axis.
    wobble : float
        Amplitude of slow waves of the outline; `ragged` that of noise.
    edge : float
        Width of the outline in px.
    """
    c, s = np.cos(angle), np.sin(angle)
    u = c * (w.x - dx) + s * (w.y - dy)
    v = -s * (w.x - dx) + c * (w.y - dy)
    radius = np.hypot(u / half[0], v / half[1])
    theta = np.arctan2(v / half[1], u / half[0])
    outline = 1.0 + sum(
        rng.normal(0, wobble / k**0.5) * np.cos(k * theta + rng.uniform(0, 2 * np.pi)) for k in range(2, 6)
    )
    outline = outline + ragged * w.coarse
    distance = (outline - radius) * min(half)
    soft: Map = (1.0 / (1.0 + np.exp(-np.clip(distance / edge * 3.0, -30, 30)))).astype(np.float32)
    return soft


def _stain(canvas: Canvas, w: Window, where: Map, h: Map | float, e: Map | float) -> None:
    """Replace the stain inside `where`."""
    canvas.h[w.cut] += where * (h - canvas.h[w.cut])
    canvas.e[w.cut] += where * (e - canvas.e[w.cut])


def interphase(canvas: Canvas, y: float, x: float, rng: np.random.Generator, size: float) -> None:
    """A vesicular tumour nucleus: membrane, clumped chromatin, nucleoli."""
    w = window(canvas, y, x, int(size * 1.6) + 4, rng)
    long = size * rng.uniform(1.0, 1.25)
    half = (long, size * size / long * rng.uniform(0.85, 1.0))
    angle = rng.uniform(0, np.pi)
    state = rng.bit_generator.state
    inside = blob(w, 0, 0, half, angle, rng, wobble=0.05)
    rng.bit_generator.state = state  # the same outline, smaller: what lies between is the membrane
    core = blob(w, 0, 0, (half[0] - 2.2, half[1] - 2.2), angle, rng, wobble=0.05, edge=2.0)
    # Some nuclei are pale and vesicular, some dense: few fields hold one sort only.
    tone = float(np.clip(rng.normal(0.34, 0.1), 0.18, 0.62))
    membrane = rng.uniform(0.4, 0.62) * (1 + 0.3 * w.coarse) * (inside - core)
    chromatin = np.clip(tone * (1 + 0.42 * w.coarse + 0.2 * w.grain) + membrane, 0.08, 1.05)
    _stain(canvas, w, inside, chromatin.astype(np.float32), 0.26)
    for _ in range(int(rng.choice(4, p=(0.2, 0.45, 0.25, 0.1)))):
        r, t = size * rng.uniform(0, 0.5), rng.uniform(0, 2 * np.pi)
        spot = blob(w, r * np.sin(t), r * np.cos(t), (rng.uniform(1.7, 3.2),) * 2, 0, rng)
        _stain(canvas, w, 0.8 * spot, 0.9, 0.35)


def lymphocyte(canvas: Canvas, y: float, x: float, rng: np.random.Generator) -> None:
    """A small round dark nucleus with a cartwheel of clumps."""
    w = window(canvas, y, x, 22, rng)
    r = rng.uniform(8.0, 11.0)
    inside = blob(w, 0, 0, (r, r * rng.uniform(0.88, 1)), rng.uniform(0, np.pi), rng, wobble=0.03)
    _stain(canvas, w, inside, (0.85 + 0.22 * w.coarse).astype(np.float32), 0.25)


def fibroblast(canvas: Canvas, y: float, x: float, angle: float, rng: np.random.Generator) -> None:
    """A slender nucleus along the fibres."""
    w = window(canvas, y, x, 32, rng)
    half = (rng.uniform(11, 20), rng.uniform(2.8, 4.5))
    inside = blob(w, 0, 0, half, angle, rng, wobble=0.1)
    _stain(canvas, w, inside, (rng.uniform(0.6, 0.9) * (1 + 0.2 * w.coarse)).astype(np.float32), 0.3)


def _clear(canvas: Canvas, w: Window, rng: np.random.Generator, half: tuple[float, float], angle: float) -> None:
    """The pale rounded cytoplasm of a dividing cell."""
    cell = blob(w, 0, 0, half, angle, rng, wobble=0.05, edge=5.0)
    _stain(
        canvas, w, 0.85 * cell, (0.06 + 0.03 * w.coarse).astype(np.float32), (0.24 + 0.07 * w.coarse).astype(np.float32)
    )


def _chromosomes(canvas: Canvas, w: Window, where: Map, depth: float) -> None:
    _stain(canvas, w, where, (depth * (1 + 0.07 * w.coarse)).astype(np.float32), 0.3)


def _prophase(canvas: Canvas, w: Window, rng: np.random.Generator) -> Map:
    _clear(canvas, w, rng, (28, 26), 0)
    r = rng.uniform(14, 18)
    inside = blob(w, 0, 0, (r, r * rng.uniform(0.85, 1)), rng.uniform(0, np.pi), rng, ragged=0.08)
    clumps = inside * (1 / (1 + np.exp(-(w.coarse + 0.45) * 4)))
    _chromosomes(canvas, w, 0.35 * inside, 0.8)
    _chromosomes(canvas, w, clumps.astype(np.float32), rng.uniform(1.15, 1.45))
    return inside


def _metaphase(canvas: Canvas, w: Window, rng: np.random.Generator) -> Map:
    angle = rng.uniform(0, np.pi)
    _clear(canvas, w, rng, (31, 28), angle)
    if rng.random() < 0.25:  # seen from a pole: a ring
        r = rng.uniform(13, 16)
        plate = blob(w, 0, 0, (r, r * 0.92), angle, rng, ragged=0.14)
        plate = plate * (1 - 0.75 * blob(w, 0, 0, (r * 0.42, r * 0.38), angle, rng, ragged=0.2))
    else:
        half = (rng.uniform(14, 19), rng.uniform(6.0, 8.5))
        plate = blob(w, 0, 0, half, angle, rng, wobble=0.1, ragged=0.3)
    _chromosomes(canvas, w, plate, rng.uniform(1.4, 1.8))
    return plate


def _pair(
    canvas: Canvas, w: Window, rng: np.random.Generator, apart: float, half: tuple[float, float], tilt: float
) -> Map:
    """Two plates `apart` px from each other, side by side across the axis of division."""
    angle = rng.uniform(0, np.pi)
    oy, ox = -np.cos(angle) * apart / 2, np.sin(angle) * apart / 2
    both = np.zeros_like(w.y)
    for sign in (1, -1):
        lean = angle + rng.normal(0, tilt)
        plate = blob(w, sign * oy, sign * ox, half, lean, rng, wobble=0.1, ragged=0.25)
        both = np.maximum(both, plate)
    _chromosomes(canvas, w, both, rng.uniform(1.35, 1.75))
    return both


def _anaphase(canvas: Canvas, w: Window, rng: np.random.Generator) -> Map:
    _clear(canvas, w, rng, (31, 29), 0)
    return _pair(canvas, w, rng, rng.uniform(15, 20), (rng.uniform(11, 15), rng.uniform(4.2, 5.8)), 0.1)


def _telophase(canvas: Canvas, w: Window, rng: np.random.Generator) -> Map:
    _clear(canvas, w, rng, (33, 30), 0)
    return _pair(canvas, w, rng, rng.uniform(24, 36), (rng.uniform(10, 13.5), rng.uniform(4.2, 5.6)), 0.25)


def _apoptotic(canvas: Canvas, w: Window, rng: np.random.Generator) -> Map:
    """Shrunken glassy cytoplasm in a gap, with smooth round globules."""
    r = rng.uniform(11, 15)
    _stain(canvas, w, 0.9 * blob(w, 0, 0, (r + 5, r + 4), 0, rng, edge=3.0), 0.02, 0.05)
    cell = blob(w, 0, 0, (r, r * 0.9), rng.uniform(0, np.pi), rng)
    _stain(canvas, w, cell, 0.12, (0.62 + 0.03 * w.grain).astype(np.float32))
    globules = np.zeros_like(w.y)
    for _ in range(int(rng.integers(1, 5))):
        d, t = rng.uniform(0, 0.55) * r, rng.uniform(0, 2 * np.pi)
        size = rng.uniform(2.2, 5.5)
        globules = np.maximum(globules, blob(w, d * np.sin(t), d * np.cos(t), (size, size), 0, rng, wobble=0.02))
    _stain(canvas, w, globules, rng.uniform(1.4, 1.8), 0.35)
    return globules


def _pyknotic(canvas: Canvas, w: Window, rng: np.random.Generator) -> Map:
    """A shrunken, evenly dark nucleus with a smooth outline."""
    half = (rng.uniform(7.5, 11), rng.uniform(6, 8))
    inside = blob(w, 0, 0, half, rng.uniform(0, np.pi), rng, wobble=0.03, edge=2.2)
    _stain(canvas, w, inside, (rng.uniform(1.1, 1.45) + 0.03 * w.grain).astype(np.float32), 0.4)
    return inside


_FIGURES: Mapping[str, Callable[[Canvas, Window, np.random.Generator], Map]] = MappingProxyType(
    {
        "prophase": _prophase,
        "metaphase": _metaphase,
        "anaphase": _anaphase,
        "telophase": _telophase,
        "apoptotic": _apoptotic,
        "pyknotic": _pyknotic,
    }
)


def figure(
    canvas: Canvas, kind: str, y: float, x: float, rng: np.random.Generator
) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    """Draw a mitotic figure (`PHASES`) or a mimic (`MIMICS`).

    Returns
    -------
    cut : tuple of slice
        Part of the canvas.
    chromatin : ndarray of bool
        Its chromatin within that part.
    """
    w = window(canvas, y, x, 46, rng)
    return w.cut, _FIGURES[kind](canvas, w, rng) > 0.5
