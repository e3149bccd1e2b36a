"""The npe2 reader: napari asks it to open image files as fields. It imports neither napari nor Qt."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FieldError
from .field import Field, open_field
from .limits import MAX_WHOLE_PX
from .pixels import LazyPixels
from .slides import SLIDE_SUFFIXES

LayerData = tuple[Any, ...]
ReaderFunction = Callable[[str | Sequence[str]], list[LayerData]]

SUFFIXES = SLIDE_SUFFIXES | {".tif", ".tiff", ".png", ".bmp", ".jpg", ".jpeg"}

PLAIN_PX = 3000
"""A field in memory with a longer side is shown by levels: drawn small, every second pixel of it would be noise."""

FIELD_KEY = "napari_mitosis_field"
"""Key of the `Field` in the metadata of its Image layer."""

_NO_LAYERS: tuple[LayerData, ...] = ((None,),)  # napari's own sign for "read, but nothing to show"


def napari_get_reader(path: str | Sequence[str]) -> ReaderFunction | None:
    """Return a reader when every path has the suffix of an image, or None.

    Parameters
    ----------
    path : str or sequence of str
        A file, or several files.

    Returns
    -------
    callable or None
        `read_fields`.
    """
    paths = [path] if isinstance(path, str) else list(path)
    if not paths or any(Path(name).suffix.lower() not in SUFFIXES for name in paths):
        return None
    return read_fields


def read_fields(path: str | Sequence[str]) -> list[LayerData]:
    """Open files as fields, one RGB Image layer each; several files never become a stack.

    Returns
    -------
    list of (pixels, keyword arguments, "image")
        Where um/px is known the layer has scale and units, so that napari's scale bar is right.

    Raises
    ------
    FieldError
        When a file cannot be used. In napari's window a message names file and reason instead, and the
        other files open.
    """
    layers = []
    for name in [path] if isinstance(path, str) else path:
        try:
            layers.append(field_layer(open_field(name)))
        except FieldError as error:
            if not _shown_in_window(str(error)):
                raise
    return layers or list(_NO_LAYERS)


def field_layer(field: Field, max_px: int = MAX_WHOLE_PX) -> LayerData:
    """Layer data of a field: (pixels, keyword arguments of ``add_image``, "image").

    Parameters
    ----------
    field : Field
        The field.
    max_px : int
        A larger field is shown by the levels of its pyramid, for napari decodes a whole level to draw it.

    Raises
    ------
    FieldError
        When the field is larger and its file holds no pyramid.
    """
    options: dict[str, Any] = {"name": field.name, "rgb": True, "metadata": {FIELD_KEY: field}}
    if field.mpp is not None:
        options |= {"scale": (field.mpp, field.mpp), "units": ("um", "um")}
    height, width = field.shape
    if isinstance(field.pixels, np.ndarray) and max(height, width) > PLAIN_PX:
        return shrunk_levels(field.pixels), {**options, "multiscale": True}, "image"
    if height * width <= max_px or not isinstance(field.pixels, LazyPixels):
        return field.pixels, options, "image"
    levels = list(field.levels)
    if math.prod(levels[-1].shape[:2]) > max_px:
        raise FieldError(
            field.path or field.name,
            f"{width} x {height} px are too many to show without a pyramid; save it as a pyramidal TIFF",
        )
    return levels, {**options, "multiscale": True}, "image"


def shrunk_levels(pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """The pixels, then means of 2 x 2 of the level before, until one is no larger than `PLAIN_PX`.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (h, w, 3)

    Returns
    -------
    list of ndarray of uint8, shape (h / 2**n, w / 2**n, 3)
        The first is `pixels` itself; an odd last row or column is left out of the next level.
    """
    levels = [pixels]
    while max(levels[-1].shape[:2]) > PLAIN_PX:
        large = levels[-1][: levels[-1].shape[0] // 2 * 2, : levels[-1].shape[1] // 2 * 2]
        total = large[0::2, 0::2].astype(np.uint16)
        for y, x in ((0, 1), (1, 0), (1, 1)):
            total += large[y::2, x::2]
        levels.append(((total + 2) >> 2).astype(np.uint8))
    return levels


def field_of(metadata: Mapping[str, Any]) -> Field | None:
    """The field in the metadata of a layer that this reader made, or None."""
    field = metadata.get(FIELD_KEY)
    return field if isinstance(field, Field) else None


def _shown_in_window(message: str) -> bool:
    """Show an error in napari's window, if there is one.

    napari reports an exception of a reader as its own "tried to read ... but it gave an error" with a
    traceback, and hides our reason; so where somebody listens to its notifications, use these.
    """
    notifications = sys.modules.get("napari.utils.notifications")
    if notifications is None or not notifications.notification_manager.notification_ready.callbacks:
        return False
    notifications.show_error(message)
    return True
