"""The images that are mutated: one of each kind that can be opened, and some that cannot."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import tifffile
from PIL import Image

RGB = np.random.default_rng(1).integers(0, 256, (48, 80, 3), dtype=np.uint8)
RGB[:24] = (220, 160, 190)  # flat tissue compresses into other structures than noise
RGB.flags.writeable = False

_APERIO = "Aperio Image Library v1\n48x80 [0,0 48x80] (16x16) JPEG|AppMag = 40|MPP = 0.2500"

_PILLOW: Mapping[str, tuple[str, dict[str, Any]]] = MappingProxyType(
    {
        "png": ("PNG", {"dpi": (101600, 101600)}),
        "png flat": ("PNG", {"compress_level": 0}),
        "bmp": ("BMP", {}),
        "jpeg": ("JPEG", {}),
        "jpeg progressive": ("JPEG", {"progressive": True}),
        "jpeg full colour": ("JPEG", {"subsampling": 0, "quality": 95}),
        "jpeg with exif": ("JPEG", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0", "dpi": (254, 254)}),
    }
)

_TIFF: Mapping[str, dict[str, Any]] = MappingProxyType(
    {
        "tiff": {},
        "tiff big-endian": {"byteorder": ">"},
        "tiff strips": {"rowsperstrip": 4},
        "tiff lzw": {"compression": "lzw", "rowsperstrip": 4},
        "tiff lzw predictor": {"compression": "lzw", "predictor": True},
        "tiff deflate": {"compression": "zlib", "tile": (16, 16)},
        "tiff packbits": {"compression": "packbits", "tile": (16, 16)},
        "tiff zstd": {"compression": "zstd", "tile": (16, 16)},
        "tiff lzma": {"compression": "lzma", "tile": (16, 16)},
        "tiff jpeg": {"compression": "jpeg", "tile": (16, 16)},
        "tiff jpeg strip": {"compression": "jpeg"},
        "tiff jpeg 2000": {"compression": "jpeg2000", "tile": (16, 16)},
        "tiff webp": {"compression": "webp", "tile": (16, 16)},
        "tiff tiled": {"tile": (16, 16)},
        "tiff planes": {"planarconfig": "separate", "tile": (16, 16)},
        "tiff resolution": {"resolution": (40000, 40000), "resolutionunit": 3},
        "tiff no metadata": {"metadata": None},
        "bigtiff": {"bigtiff": True, "tile": (16, 16)},
        "bigtiff big-endian": {"bigtiff": True, "byteorder": ">", "tile": (16, 16)},
        "ome": {"ome": True, "metadata": {"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}},
        "imagej": {"imagej": True, "resolution": (4, 4), "metadata": {"unit": "um"}},
        "aperio": {"tile": (16, 16), "compression": "jpeg", "description": _APERIO, "metadata": None},
    }
)


@functools.cache
def contents() -> Mapping[str, bytes]:
    """The content of one file of each of 33 kinds."""
    found: dict[str, bytes] = {}
    for name, (kind, options) in _PILLOW.items():
        found[name] = _saved(Image.fromarray(RGB), kind, **options)
    found["png rgba"] = _saved(Image.fromarray(RGB).convert("RGBA"), "PNG")
    found["png palette"] = _saved(Image.fromarray(RGB).quantize(8), "PNG")
    for name, options in _TIFF.items():
        stream = io.BytesIO()
        tifffile.imwrite(stream, RGB, photometric="rgb", **options)
        found[name] = stream.getvalue()
    found["tiff pyramid"] = _pyramid(subifds=True)
    found["tiff pages"] = _pyramid(subifds=False)
    assert len(found) == 33, len(found)
    return MappingProxyType(found)


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _pyramid(subifds: bool) -> bytes:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        writer.write(RGB, photometric="rgb", tile=(16, 16), subifds=1 if subifds else 0)
        writer.write(RGB[::2, ::2], photometric="rgb", tile=(16, 16), subfiletype=1)
    return stream.getvalue()
