"""Pictures of a report: a field with what is counted in it, and a thumbnail of each counted figure."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from ..batches.overlay import draw_overlay, reduction
from ..fields.field import Field

OVERLAY_PX = 1000
THUMBNAIL_UM = 24.0
THUMBNAIL_PX = 120
_ASSUMED_MPP = 0.25
_AREA_RGB, _HOTSPOT_RGB = (0, 90, 255), (255, 120, 0)


def overlay(
    field: Field,
    mitoses: pd.DataFrame,
    numbers: Sequence[int],
    outline_px: ArrayLike | None = None,
    hotspot_px: ArrayLike | None = None,
) -> str:
    """A field with its counted figures ringed and numbered, as a data URL.

    Parameters
    ----------
    field : Field
    mitoses : DataFrame
        y_px and x_px.
    numbers : sequence of int
        Of the figures, as in the table of the report.
    outline_px, hotspot_px : array_like, shape (n, 2), optional
        Corners of the area that counts (blue) and of the hotspot (orange).
    """
    known = field if field.mpp is not None else field.with_mpp(_ASSUMED_MPP)
    picture = draw_overlay(known, mitoses, OVERLAY_PX, [str(number) for number in numbers])
    image = Image.fromarray(picture)
    factor = reduction(field.shape, OVERLAY_PX)
    draw = ImageDraw.Draw(image)
    for corners, colour in ((outline_px, _AREA_RGB), (hotspot_px, _HOTSPOT_RGB)):
        if corners is not None:
            yx = (np.asarray(corners, dtype=np.float64).reshape(-1, 2) + 0.5) / factor - 0.5
            ring = [(float(x), float(y)) for y, x in (*yx, yx[0])]
            draw.line(ring, fill=colour, width=3, joint="curve")
    return data_url(image)


def thumbnail(field: Field, y_px: float, x_px: float) -> str:
    """The tissue around a place, as a data URL; what lies beyond the field is white."""
    half = max(4, round(THUMBNAIL_UM / 2 / (field.mpp or _ASSUMED_MPP)))
    height, width = field.shape
    y, x = round(y_px), round(x_px)
    crop: NDArray[np.uint8] = np.full((2 * half + 1, 2 * half + 1, 3), 255, dtype=np.uint8)
    y0, y1, x0, x1 = max(0, y - half), min(height, y + half + 1), max(0, x - half), min(width, x + half + 1)
    crop[y0 - y + half : y1 - y + half, x0 - x + half : x1 - x + half] = field.read(y0, y1, x0, x1)
    return data_url(Image.fromarray(crop).resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS))


def data_url(image: Image.Image) -> str:
    """An image as a JPEG within a page."""
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
