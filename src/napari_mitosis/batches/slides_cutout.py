"""A hotspot of a slide as a field of its own, to be reviewed, counted and reported like any other field."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..fields.field import Field
from ..files import replacing
from ..jobs import Job, Progress
from ..measures.hotspot import Hotspot
from .slides_area import Region

_STRIP_PX = 512
_TILE = (256, 256)
_SMALLER = 4
"""Each level of the pyramid is so many times smaller than the one before."""


def cutout_region(hotspot: Hotspot, mpp: float, shape: tuple[int, int]) -> Region:
    """The rectangle about the outline of a hotspot, cut at the slide's edge.

    Parameters
    ----------
    hotspot : Hotspot
    mpp : float
        um/px of the slide.
    shape : tuple of int
        (H, W) of the slide in pixels.
    """
    corners = hotspot.outline.corners_um(hotspot.centre_yx_um) / mpp
    low = np.floor(corners.min(axis=0)).astype(int).clip(0)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int), shape)
    return Region(int(low[0]), int(high[0]), int(low[1]), int(high[1]))


def cutout_name(slide: str, region: Region) -> str:
    """Name of the file of a cutout: the slide's, and where on it the first pixel lies."""
    return f"{slide} at y{region.y0} x{region.x0}.tif"


def save_cutout(field: Field, region: Region, path: Path) -> Job[Path]:
    """Write a part of a slide as a pyramidal OME-TIFF with its um/px; a file that is there already stays.

    Parameters
    ----------
    field : Field
        The slide.
    region : Region
    path : Path
        Its folder is made where it is absent.

    Yields
    ------
    Progress
        One for each strip that is read.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    UnknownResolution
        If the slide does not know its um/px.
    FieldError
        When the slide is damaged.
    OSError
        When the file cannot be written.
    """
    mpp = field.require_mpp("A hotspot")
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    strips, total = [], region.y1 - region.y0
    for y0 in range(region.y0, region.y1, _STRIP_PX):
        yield Progress(y0 - region.y0, total, "Reading the hotspot")
        strips.append(field.read(y0, min(y0 + _STRIP_PX, region.y1), region.x0, region.x1))
    yield Progress(total, total, "Writing the hotspot")
    with replacing(path) as partial:
        _write(partial, np.concatenate(strips), mpp)
    return path


def _write(path: Path, pixels: NDArray[np.uint8], mpp: float) -> None:
    import tifffile

    facts = {"axes": "YXS", "PhysicalSizeX": mpp, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": mpp}
    facts |= {"PhysicalSizeYUnit": "µm"}
    with tifffile.TiffWriter(path, ome=True) as tif:
        levels = _pyramid(pixels)
        tif.write(
            pixels, tile=_TILE, compression="zlib", compressionargs={"level": 1}, photometric="rgb", metadata=facts,
            subifds=len(levels) - 1,
        )  # fmt: skip
        for level in levels[1:]:
            tif.write(level, tile=_TILE, compression="zlib", photometric="rgb", metadata=None, subfiletype=1)


def _pyramid(pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """The pixels, then means of blocks of them, down to about a thousand pixels."""
    levels = [pixels]
    while max(levels[-1].shape[:2]) > 1024:
        last = levels[-1]
        h, w = (max(_SMALLER, n // _SMALLER * _SMALLER) for n in last.shape[:2])
        blocks = last[:h, :w].reshape(h // _SMALLER, _SMALLER, w // _SMALLER, _SMALLER, 3)
        levels.append(np.rint(blocks.mean(axis=(1, 3), dtype=np.float32)).astype(np.uint8))
    return levels
