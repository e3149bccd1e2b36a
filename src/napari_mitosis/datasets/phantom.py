"""A procedural phantom of H&E breast tumour, for demonstration and tests; never for accuracy claims.

Stain amounts are drawn first and turned into colour by the law of Beer and Lambert, as in a microscope.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from ..fields.field import Field
from ..tables import annotations_frame
from .phantom_cells import MIMICS, PHASES, Canvas, Map, fibroblast, figure, interphase, lymphocyte
from .sample import Sample

PHANTOM_MPP = 0.25
# Optical density of one unit of each stain in red, green and blue.
_HAEMATOXYLIN = np.array([0.80, 1.08, 0.60])
_EOSIN = np.array([0.14, 0.92, 0.52])
_CELL_PX = 37.0
_APART_PX = 70.0
_MARGIN_PX = 24.0


def phantom(
    shape: tuple[int, int] = (1024, 1024),
    seed: int = 0,
    *,
    n_mitoses: int = 12,
    n_mimics: int = 12,
    name: str = "phantom",
) -> Sample:
    """Draw a field at 0.25 um/px.

    Parameters
    ----------
    shape : tuple of int
        (H, W) in pixels, at least 128 each.
    seed : int
        The same seed and arguments give the same pixels.
    n_mitoses, n_mimics : int
        Figures to draw; phases and kinds of mimic take turns.
    name : str
        Of the field.

    Returns
    -------
    Sample
        With mask and annotations: mitoses first, in the order of their mask index, then mimics.

    Raises
    ------
    ValueError
        If the field is too small, or has no room for so many figures.
    """
    if min(shape) < 128:
        raise ValueError(f"a phantom is at least 128 px wide and high, not {shape}")
    rng = np.random.default_rng(seed)
    nests = _noise(shape, 55, rng) > rng.uniform(-0.75, -0.35)
    centres = _scatter(shape, _CELL_PX, rng)
    canvas, angle = _tissue(shape, nests, centres, rng)
    figures = _places(shape, n_mitoses + n_mimics, nests, rng)
    _populate(canvas, nests, angle, centres, figures, rng)
    mask = np.zeros(shape, dtype=np.uint16)
    rows = []
    kinds = [PHASES[i % 4] for i in range(n_mitoses)] + [MIMICS[i % 2] for i in range(n_mimics)]
    for i, (kind, (y, x)) in enumerate(zip(kinds, figures, strict=True)):
        cut, chromatin = figure(canvas, kind, y, x, rng)
        yy, xx = np.nonzero(chromatin)
        rows.append((yy.mean() + cut[0].start, xx.mean() + cut[1].start))
        if i < n_mitoses:
            mask[cut][chromatin] = i + 1
    labels = ["mitosis"] * n_mitoses + ["mimic"] * n_mimics
    annotations = annotations_frame([y for y, _ in rows], [x for _, x in rows], labels)
    field = Field.from_array(_develop(canvas, rng), PHANTOM_MPP, name)
    return Sample(field, annotations, mask=mask, case=name, dataset="phantom")


def _noise(shape: tuple[int, int], sigma: float | tuple[float, float], rng: np.random.Generator) -> Map:
    """Gaussian noise of unit variance with structures of about `sigma` px."""
    sigmas = np.broadcast_to(np.asarray(sigma, dtype=np.float64), 2)
    # Wide structures are drawn on a coarser grid: a filter of hundreds of pixels would take minutes.
    steps = np.maximum(1, (sigmas / 4).astype(int))
    small = tuple(int(n // step) + 4 for n, step in zip(shape, steps, strict=True))
    smooth = ndimage.gaussian_filter(rng.standard_normal(small, dtype=np.float32), sigmas / steps, mode="wrap")
    if (steps > 1).any():
        smooth = ndimage.zoom(smooth, steps.astype(float), order=1)
    smooth = smooth[: shape[0], : shape[1]]
    return np.asarray((smooth - smooth.mean()) / smooth.std(), dtype=np.float32)


def _scatter(shape: tuple[int, int], spacing: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Jittered hexagonal points (n, 2)."""
    rows = np.arange(-1, shape[0] / (spacing * 0.87) + 1)
    columns = np.arange(-1, shape[1] / spacing + 1)
    yy, xx = np.meshgrid(rows * spacing * 0.87, columns * spacing, indexing="ij")
    xx = xx + (np.arange(len(rows)) % 2)[:, None] * spacing / 2
    points = np.stack([yy.ravel(), xx.ravel()], axis=1)
    return points + rng.normal(0, spacing * 0.17, points.shape)


def _tissue(
    shape: tuple[int, int], nests: NDArray[np.bool_], centres: NDArray[np.float64], rng: np.random.Generator
) -> tuple[Canvas, float]:
    """Stroma, cytoplasm with cell borders, and gaps; also the direction of the fibres."""
    angle = rng.uniform(0, np.pi)
    fibres = _fibres(shape, angle, rng)
    slow = _noise(shape, 40, rng)
    grain, coarse = _noise(shape, 1.0, rng), _noise(shape, 2.0, rng)
    e = 0.58 + 0.11 * fibres + 0.06 * slow + 0.03 * grain
    h = 0.08 + 0.025 * fibres + 0.02 * coarse
    border, tone = _cells(shape, centres, rng)
    membership = ndimage.gaussian_filter(nests.astype(np.float32), 4)
    web = _web(shape, rng)
    cell_e = 0.38 + 0.1 * web + 0.06 * slow + 0.03 * grain + 0.16 * border + 0.05 * tone
    cell_h = 0.11 + 0.045 * web + 0.02 * slow + 0.015 * grain + 0.05 * border + 0.02 * tone
    e = e + membership * (cell_e - e)
    h = h + membership * (cell_h - h)
    gaps = _gaps(shape, membership, fibres, rng)
    canvas = Canvas((h * gaps).astype(np.float32), (e * gaps).astype(np.float32), grain, coarse)
    return canvas, angle


def _web(shape: tuple[int, int], rng: np.random.Generator) -> Map:
    """The foamy net of a cytoplasm: 1 in its threads (where noise crosses zero), less in its meshes."""
    fine, wide = np.abs(_noise(shape, 2.6, rng)), np.abs(_noise(shape, 4.5, rng))
    return np.asarray(1.0 - 0.9 * fine - 0.5 * wide, dtype=np.float32)


def _cells(shape: tuple[int, int], centres: NDArray[np.float64], rng: np.random.Generator) -> tuple[Map, Map]:
    """Borders (1 where two cells meet, 0 within) and a tone of each cell; looked up at every second pixel."""
    rows, columns = np.arange(0, shape[0] + 1, 2), np.arange(0, shape[1] + 1, 2)
    yy, xx = np.meshgrid(rows, columns, indexing="ij")
    distance, nearest = cKDTree(centres).query(np.stack([yy.ravel(), xx.ravel()], axis=1), k=2)
    tones = rng.standard_normal(len(centres))[nearest[:, 0]]
    apart, tone = (
        ndimage.uniform_filter(values.reshape(yy.shape).repeat(2, axis=0).repeat(2, axis=1), 3)[: shape[0], : shape[1]]
        for values in (distance[:, 1] - distance[:, 0], tones)
    )
    return np.exp(-((apart / 2.2) ** 2)).astype(np.float32), tone.astype(np.float32)


def _fibres(shape: tuple[int, int], angle: float, rng: np.random.Generator) -> Map:
    """Wavy streaks along `angle`."""
    side = int(1.5 * max(shape)) + 40
    streaks = _noise((side, side), (1.1, 14.0), rng) + 0.7 * _noise((side, side), (3.0, 26.0), rng)
    slits = _noise((side, side), (1.8, 16.0), rng)
    streaks = streaks - 3.0 * np.clip(slits - 1.5, 0, 1)  # fixing pulls fibres apart
    yy, xx = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    wave_y = 13 * _noise(shape, 45, rng) + 4 * _noise(shape, 14, rng)
    wave_x = 14 * _noise(shape, 45, rng)
    v = yy - shape[0] / 2 + wave_y
    u = xx - shape[1] / 2 + wave_x
    c, s = np.cos(angle), np.sin(angle)
    at = np.stack([-s * u + c * v, c * u + s * v]) + side / 2
    bent: Map = ndimage.map_coordinates(streaks, at, order=1, mode="wrap")
    return bent


def _gaps(shape: tuple[int, int], membership: Map, fibres: Map, rng: np.random.Generator) -> Map:
    """1 in tissue, near 0 in the white clefts around nests and in lumina."""
    edge = np.exp(-(((membership - 0.45) / 0.12) ** 2))
    cleft = edge * (_noise(shape, 14, rng) + 0.3 * fibres > 0.9)
    lumen = (_noise(shape, 16, rng) + 0.2 * _noise(shape, 4, rng) > 2.4).astype(np.float32)
    open_ = ndimage.gaussian_filter(np.maximum(cleft, lumen).astype(np.float32), 1.5)
    return np.asarray(1 - 0.97 * np.clip(1.4 * open_, 0, 1), dtype=np.float32)


def _places(
    shape: tuple[int, int], count: int, nests: NDArray[np.bool_], rng: np.random.Generator
) -> list[tuple[float, float]]:
    """Places in nests, away from the border and from each other."""
    places: list[tuple[float, float]] = []
    for attempt in range(400 * max(count, 1)):
        if len(places) == count:
            break
        y = rng.uniform(_MARGIN_PX, shape[0] - _MARGIN_PX)
        x = rng.uniform(_MARGIN_PX, shape[1] - _MARGIN_PX)
        inside = nests[int(y), int(x)] or attempt > 200 * count
        if inside and all(np.hypot(y - a, x - b) >= _APART_PX for a, b in places):
            places.append((y, x))
    if len(places) < count:
        raise ValueError(f"a field of {shape} px has no room for {count} figures")
    return places


def _populate(
    canvas: Canvas,
    nests: NDArray[np.bool_],
    angle: float,
    centres: NDArray[np.float64],
    figures: Sequence[tuple[float, float]],
    rng: np.random.Generator,
) -> None:
    """Ordinary nuclei, everywhere but where a figure will be."""
    shape = canvas.h.shape
    taken = cKDTree(np.array(figures, dtype=np.float64).reshape(-1, 2)) if figures else None
    typical = rng.uniform(12.0, 15.0)
    for y, x in centres:
        if not (0 <= y < shape[0] and 0 <= x < shape[1]):
            continue
        if taken is not None and taken.query((y, x))[0] < 44:
            continue
        if canvas.e[int(y), int(x)] < 0.15:  # a gap
            continue
        if nests[int(y), int(x)]:
            if rng.random() < 0.9:
                interphase(canvas, y, x, rng, float(np.clip(rng.normal(typical, 2.2), 8.5, 21)))
            elif rng.random() < 0.3:
                lymphocyte(canvas, y, x, rng)
        elif rng.random() < 0.3:
            lymphocyte(canvas, y, x, rng)
        elif rng.random() < 0.75:
            fibroblast(canvas, y, x, angle + rng.normal(0, 0.3), rng)


def _develop(canvas: Canvas, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Stain amounts -> RGB: Beer and Lambert, focus, light, camera."""
    shape = canvas.h.shape
    gain = rng.uniform(1.12, 1.3, 2)  # the median colour of scanned tumours
    focus = rng.uniform(1.05, 1.35)
    h = ndimage.gaussian_filter(np.clip(canvas.h, 0, None), focus) * gain[0]
    e = ndimage.gaussian_filter(np.clip(canvas.e, 0, None), focus) * gain[1]
    # No two laboratories' stains have the same hue.
    haematoxylin, eosin = _HAEMATOXYLIN + rng.normal(0, 0.02, 3), _EOSIN + rng.normal(0, 0.02, 3)
    density = h[..., None] * haematoxylin + e[..., None] * eosin
    light = 244.0 * (1 + 0.012 * _noise(shape, 300, rng))[..., None]
    camera = ndimage.gaussian_filter(rng.standard_normal((*shape, 3)), (0.6, 0.6, 0)) * 3.0
    rgb: NDArray[np.uint8] = np.clip(light * np.exp(-density) + camera, 0, 255).round().astype(np.uint8)
    return rgb
