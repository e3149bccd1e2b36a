"""Fields as small pictures, made in workers."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image
from qtpy.QtGui import QImage

from ...fields.field import Field
from ...jobs import Job, Progress

SIDE_PX = 56
MOST_ROWS = 4096


def thumbnail_job(key: Any, field: Field, pixels: Any) -> Job[tuple[Any, Field, QImage]]:
    """A field as a picture of at most `SIDE_PX`; `pixels` may be a coarser level of it."""
    yield Progress(0, 1, "drawing a thumbnail")
    height, width = int(pixels.shape[0]), int(pixels.shape[1])
    step = max(1, min(height, width) // MOST_ROWS)
    image = Image.fromarray(np.ascontiguousarray(np.asarray(pixels[::step, ::step])[..., :3]))
    image.thumbnail((SIDE_PX, SIDE_PX), reducing_gap=2.0)
    small = np.ascontiguousarray(np.asarray(image.convert("RGB")))
    high, wide = small.shape[:2]
    pixels_of_image = small.tobytes()  # Qt does not keep them: it must have its own copy before they go
    return key, field, QImage(pixels_of_image, wide, high, 3 * wide, QImage.Format.Format_RGB888).copy()
