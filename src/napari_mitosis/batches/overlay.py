"""Pictures of a result: a field with its detections ringed, and its score map in colour. For looking, not for data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..fields.field import Field
from ..files import replacing

MAX_SIDE_PX = 4096
"""A larger field is drawn reduced by a whole factor: the picture of a slide must open anywhere."""

RING_RADIUS_UM = 8.0
"""Half the width of a large mitosis, and some room, so that the ring does not cover what it shows."""

RING_RGB = (0, 230, 60)
"""Green: neither haematoxylin nor eosin."""

_MAGMA = np.array(
    [
        (0, 0, 3), (10, 7, 34), (28, 16, 70), (53, 15, 106), (80, 18, 123), (105, 28, 128), (130, 37, 129),
        (156, 46, 127), (182, 54, 121), (208, 65, 111), (230, 81, 98), (245, 106, 91), (251, 136, 97),
        (254, 166, 113), (254, 196, 136), (253, 225, 163), (251, 252, 191),
    ],
    dtype=np.float64,
)  # fmt: skip
_MAGMA.flags.writeable = False


def reduction(shape: tuple[int, int], max_side_px: int = MAX_SIDE_PX) -> int:
    """Field pixels for each picture pixel: the smallest whole number that keeps the picture within bounds."""
    return max(1, -(-max(shape) // max_side_px))


def reduced_pixels(field: Field, factor: int) -> NDArray[np.uint8]:
    """Return the field reduced by block means, read in strips.

    Returns
    -------
    ndarray of uint8, shape (ceil(H / factor), ceil(W / factor), 3)

    Raises
    ------
    FieldError
        When the file is damaged.
    """
    if factor == 1:
        return field.numpy()
    height, width = field.shape
    strip = factor * max(1, 512 // factor)
    parts = [
        np.asarray(Image.fromarray(field.read(y0, min(y0 + strip, height), 0, width)).reduce(factor))
        for y0 in range(0, height, strip)
    ]
    return np.concatenate(parts)


def draw_overlay(
    field: Field, detections: pd.DataFrame, max_side_px: int = MAX_SIDE_PX, labels: Sequence[str] | None = None
) -> NDArray[np.uint8]:
    """Ring every detection in the field and write its score, or its label, below it.

    Parameters
    ----------
    field : Field
        Its um/px must be known.
    detections : DataFrame
        With `tables.DETECTION_COLUMNS`.
    max_side_px : int
        Longer fields are reduced by a whole factor.
    labels : sequence of str, optional
        A text for each detection, instead of its score.

    Returns
    -------
    ndarray of uint8, shape (ceil(H / factor), ceil(W / factor), 3)

    Raises
    ------
    UnknownResolution
        When the field does not know its um/px.
    FieldError
        When the file is damaged.
    """
    factor = reduction(field.shape, max_side_px)
    radius = max(6.0, RING_RADIUS_UM / field.require_mpp("The overlay") / factor)
    picture = reduced_pixels(field, factor)
    centres = [
        ((y + 0.5) / factor - 0.5, (x + 0.5) / factor - 0.5)
        for y, x in detections[["y_px", "x_px"]].to_numpy(dtype=np.float64)
    ]
    for y, x in centres:
        _ring(picture, y, x, radius)
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=15)
    texts = [f"{score:.2f}" for score in detections["score"]] if labels is None else labels
    for (y, x), text in zip(centres, texts, strict=True):
        left, top, right, bottom = draw.textbbox((0, 0), text, font=font, stroke_width=1)
        below = y + radius + 3 + (bottom - top) < image.height
        place = (x - (right - left) / 2, y + radius + 3 if below else y - radius - 5 - (bottom - top))
        draw.text(place, text, fill=RING_RGB, font=font, stroke_width=1, stroke_fill=(0, 0, 0))
    return np.asarray(image)


def _ring(picture: NDArray[np.uint8], y: float, x: float, radius: float) -> None:
    """Blend an antialiased ring, 2 px wide with a dark rim, into the picture."""
    reach = int(np.ceil(radius)) + 4
    y0, x0 = max(0, round(y) - reach), max(0, round(x) - reach)
    patch = picture[y0 : max(0, round(y) + reach + 1), x0 : max(0, round(x) + reach + 1)]
    ys, xs = np.mgrid[y0 : y0 + patch.shape[0], x0 : x0 + patch.shape[1]]
    off = np.abs(np.hypot(ys - y, xs - x) - radius)
    blended = patch.astype(np.float64)
    for half_width, colour in ((2.0, (0, 0, 0)), (1.0, RING_RGB)):
        cover = np.clip(half_width + 0.5 - off, 0.0, 1.0)[..., None]
        blended = blended * (1 - cover) + np.asarray(colour, dtype=np.float64) * cover
    patch[...] = np.rint(blended).astype(np.uint8)


def magma(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colour values in [0, 1]; shape (h, w) to (h, w, 3). What lies outside or is no number takes the nearest end."""
    at = np.clip(np.nan_to_num(values.astype(np.float64)), 0.0, 1.0) * (len(_MAGMA) - 1)
    steps = np.arange(len(_MAGMA))
    return np.stack([np.interp(at, steps, _MAGMA[:, c]) for c in range(3)], axis=-1).round().astype(np.uint8)


def draw_score_map(
    scores: NDArray[np.floating], stride: float, shape: tuple[int, int], max_side_px: int = MAX_SIDE_PX
) -> NDArray[np.uint8]:
    """Colour a score map (magma: 0 black, 1 pale yellow), in register with `draw_overlay` of the same field.

    Parameters
    ----------
    scores : ndarray, shape (h, w)
        Values in [0, 1].
    stride : float
        Field pixels for each map cell.
    shape : tuple of int
        (H, W) of the field, in pixels.
    max_side_px : int
        As for `draw_overlay`.

    Returns
    -------
    ndarray of uint8, shape (ceil(H / factor), ceil(W / factor), 3)
    """
    factor = reduction(shape, max_side_px)
    size = (-(-shape[1] // factor), -(-shape[0] // factor))
    # The last row and column of cells may reach beyond the field: only what lies on it is drawn.
    box = (0.0, 0.0, min(scores.shape[1], shape[1] / stride), min(scores.shape[0], shape[0] / stride))
    image = Image.fromarray(np.ascontiguousarray(scores, dtype=np.float32))
    return magma(np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=box)))


def save_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write a PNG; a reader never sees half of it.

    Raises
    ------
    OSError
        When it cannot be written.
    """
    with replacing(path) as partial:
        Image.fromarray(picture).save(partial, format="PNG")
