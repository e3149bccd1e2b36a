"""Pixels of image files, decoded when they are asked for.

A source knows its shape from the header alone, holds no file open (so it can be pickled to another process
and the file can be moved), and turns every failure of a decoder into a `FieldError`.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from ..errors import FieldError, brief
from .apart import MANY_PX, block
from .codecs import SELF_SIZED, UNBOUNDED, check_coded, check_scans, why_not_decoded
from .limits import (
    MAX_WHOLE_PX,
    check_file,
    check_planes,
    check_size,
    check_tiff,
    imagej_planes,
    ome_planes,
    other_file,
    quiet,
)
from .resolution import dpi_mpp, tiff_mpp

MAX_CHUNK_BYTES = 64 * 2**20
"""A TIFF whose tiles or strips are larger than this cannot be read in parts at a bearable cost."""

_STRIP_PX = 1024

_FEW_CHUNKS = 8  # with fewer tiles or strips in the image, decoding it whole is the cheaper way

# Kinds of TIFF that no bright-field scanner writes; their parsers are not asked.
_NOT_ASKED: dict[str, Any] = {
    f"is_{kind}": False
    for kind in ("lsm", "stk", "mmstack", "ndtiff", "fluoview", "sis", "scanimage", "nih", "mdgel", "eer", "avs")
}

_TIFF_MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_PILLOW_MAGIC = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG", b"BM": "BMP"}


class LazyPixels:
    """An H x W x 3 uint8 array that lies in a file; slicing it decodes.

    Attributes
    ----------
    path : Path
        The file.
    shape : tuple of int
        (H, W, 3), from the header.
    in_parts : bool
        Whether a slice costs about as much as its share of the file; else each decodes most of it.
    level : int
        Of the file's pyramid; 0 = full resolution.
    most_here_px : float
        For more decoded pixels than that, a slice is decoded in a process of its own; see `apart`.
    magnification : float or None
        Power of the objective, where the file states it.

    Notes
    -----
    Slicing raises `FieldError` when the file is damaged, changed or gone.
    """

    dtype: ClassVar[np.dtype[np.uint8]] = np.dtype(np.uint8)
    ndim: ClassVar[int] = 3
    magnification: float | None = None
    level: int = 0
    most_here_px: float = math.inf

    def __init__(self, path: Path, height: int, width: int) -> None:
        self.path = path
        self.shape = (height, width, 3)
        self.in_parts = False

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the decoded pixels."""
        return self.size

    def levels(self) -> list[LazyPixels]:
        """All levels of the pyramid, largest first; this one alone where there is no pyramid."""
        return [self]

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        whole: NDArray[Any] = self._block(0, self.shape[0], 0, self.shape[1])
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        parts = key if isinstance(key, tuple) else (key,)
        boxes, local = [], []
        for axis, part in enumerate(parts[:2]):
            if not isinstance(part, slice) or (part.step or 1) < 1:
                whole = self._block(0, self.shape[0], 0, self.shape[1])
                return np.asarray(whole[key])  # rare: let numpy sort it out
            start, stop, step = part.indices(self.shape[axis])
            boxes.append((start, max(start, stop)))
            local.append(slice(None, None, step))
        if len(boxes) == 1:
            boxes.append((0, self.shape[1]))
            local.append(slice(None))
        return self._block(*boxes[0], *boxes[1])[(*local, *parts[2:])]

    def _block(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[np.uint8]:
        if y1 <= y0 or x1 <= x0:
            return np.empty((max(0, y1 - y0), max(0, x1 - x0), 3), dtype=np.uint8)
        cost_px = (y1 - y0) * (x1 - x0) if self.in_parts else self.shape[0] * self.shape[1]
        if cost_px > self.most_here_px:
            return block(self.path, self.level, self.shape, (y0, y1, x0, x1), cost_px)
        return self.decoded(y0, y1, x0, x1)

    def decoded(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[np.uint8]:
        """The pixels [y0, y1) x [x0, x1), decoded in this process.

        Raises
        ------
        FieldError
            When the file is damaged, changed or gone.
        """
        try:
            block = self._decode(y0, y1, x0, x1)
        except FieldError:
            raise
        except MemoryError as error:
            raise FieldError(self.path, "there is not enough memory to read it") from error
        except Exception as error:  # decoders raise whatever they like on damaged data
            raise FieldError(self.path, f"its pixels cannot be decoded ({brief(error, 120)})") from error
        if block.shape != (y1 - y0, x1 - x0, 3) or block.dtype != np.uint8:
            raise FieldError(self.path, "the file changed since it was opened")
        return block

    def _decode(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[np.uint8]:
        raise NotImplementedError


class ImagePixels(LazyPixels):
    """Pixels of a PNG, BMP or JPEG; every slice decodes the whole file."""

    most_here_px = MANY_PX

    def _decode(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[np.uint8]:
        block: NDArray[np.uint8] = np.empty((y1 - y0, x1 - x0, 3), dtype=np.uint8)
        with _open_pillow(self.path) as image:
            if image.size != (self.shape[1], self.shape[0]):
                raise FieldError(self.path, "the file changed since it was opened")
            for top in range(y0, y1, _STRIP_PX):  # all at once, it would be in memory three times
                bottom = min(top + _STRIP_PX, y1)
                block[top - y0 : bottom - y0] = np.asarray(image.crop((x0, top, x1, bottom)))[..., :3]
        return block


class TiffPixels(LazyPixels):
    """Pixels of the first series of a TIFF; a slice decodes only the tiles or strips it touches."""

    def __init__(
        self,
        path: Path,
        height: int,
        width: int,
        channels_first: bool,
        in_parts: bool,
        most_here_px: float = MANY_PX,
        level: int = 0,
    ) -> None:
        super().__init__(path, height, width)
        self.level, self.most_here_px = level, most_here_px
        self.channels_first = channels_first
        self.in_parts = in_parts

    def _decode(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[np.uint8]:
        import zarr  # slow to import, and only large fields need it

        with _tiff(self.path) as tif:
            page = tif.series[0].levels[self.level].keyframe
            if int(page.compression) in SELF_SIZED:
                check_coded(self.path, tif.filehandle, page, (y0, y1, x0, x1))
            store = tif.series[0].aszarr(level=self.level)
            try:
                array: Any = zarr.open_array(store, mode="r")
                if self.channels_first:
                    return np.ascontiguousarray(np.moveaxis(np.asarray(array[:3, y0:y1, x0:x1]), 0, -1))
                return np.ascontiguousarray(array[y0:y1, x0:x1, :3])
            finally:
                store.close()

    def levels(self) -> list[LazyPixels]:
        """All levels of the pyramid, largest first; this one alone where there is no pyramid.

        Raises
        ------
        FieldError
            When the file is damaged, changed or gone.
        """
        try:
            with _tiff(self.path) as tif:
                sizes = [[int(level.shape[level.axes.index(axis)]) for axis in "YX"] for level in tif.series[0].levels]
        except Exception as error:
            raise FieldError(self.path, f"its levels cannot be read ({brief(error, 120)})") from error
        return [
            TiffPixels(self.path, height, width, self.channels_first, self.in_parts, self.most_here_px, number)
            for number, (height, width) in enumerate(sizes)
        ]


def open_pixels(path: Path) -> tuple[LazyPixels, float | None]:
    """Read the header of an image file.

    Returns
    -------
    pixels : LazyPixels
        Undecoded, H x W x 3 uint8.
    mpp : float or None
        um/px that the file states.

    Raises
    ------
    FieldError
        When the file is missing, empty, of another kind, or not one 8-bit RGB or RGBA image.
    """
    head = _head(path)
    try:
        if head.startswith(_TIFF_MAGIC):
            return _open_tiff(path)
        if any(head.startswith(magic) for magic in _PILLOW_MAGIC):
            return _open_image(path)
    except FieldError:
        raise
    except MemoryError as error:
        raise FieldError(path, "there is not enough memory to read it") from error
    except Exception as error:  # a damaged header can trip any part of a parser
        raise FieldError(path, f"the file is damaged ({brief(error, 120)})") from error
    raise FieldError(path, "it is not a TIFF, PNG, BMP or JPEG image")


def _head(path: Path) -> bytes:
    check_file(path)
    try:
        with path.open("rb") as file:
            return file.read(32)
    except (OSError, ValueError) as error:
        raise FieldError(path, f"it cannot be opened ({brief(error, 120)})") from error


def _open_image(path: Path) -> tuple[LazyPixels, float | None]:
    with _open_pillow(path) as image:
        width, height = image.size
        try:
            mpp = dpi_mpp(image.info.get("dpi"))
        except ValueError as error:
            raise FieldError(path, str(error)) from error
    return ImagePixels(path, height, width), mpp


def _open_pillow(path: Path) -> Image.Image:
    """Open a PNG, BMP or JPEG and refuse all that is not one 8-bit RGB(A) image of bearable size."""
    head = _head(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=tuple(_PILLOW_MAGIC.values()))
    except Image.DecompressionBombError as error:
        raise FieldError(path, _too_large()) from error
    reason = _why_not_pillow(image, head)
    try:
        if reason is not None:
            raise FieldError(path, reason)
        check_size(path, image.height, image.width, check_file(path))
        if image.format == "JPEG":
            check_scans(path, path.read_bytes())
    except BaseException:
        image.close()
        raise
    return image


def _why_not_pillow(image: Image.Image, head: bytes) -> str | None:
    if getattr(image, "n_frames", 1) > 1:
        return "it holds several images; save one RGB image"
    # Pillow silently narrows 16-bit RGB to 8 bits; byte 24 of a PNG is its bit depth.
    if image.mode.startswith(("I", "F")) or (image.format == "PNG" and head[24] == 16):
        return "it has 16 or more bits per channel; save it as 8-bit RGB"
    if image.mode in ("1", "L", "LA"):
        return "it is greyscale; a field must be an RGB image"
    if image.mode not in ("RGB", "RGBA"):
        return f"its colours are stored as {_MODES.get(image.mode, image.mode)}; save it as 8-bit RGB"
    if image.width * image.height > MAX_WHOLE_PX:
        return _too_large()
    return None


_MODES = {"P": "a palette", "PA": "a palette", "CMYK": "CMYK", "YCbCr": "YCbCr", "LAB": "CIE Lab"}


def _too_large() -> str:
    return f"it is larger than {MAX_WHOLE_PX // 10**6} megapixels; save it as a tiled TIFF"


@contextlib.contextmanager
def _tiff(path: Path) -> Iterator[tifffile.TiffFile]:
    """An open TIFF whose parser will come to an end, and stays within this file."""
    check_tiff(path, check_file(path))
    with quiet("tifffile"), tifffile.TiffFile(path, _multifile=False, **_NOT_ASKED) as tif:
        if tif.is_ome:
            xml = tif.ome_metadata or ""
            other = other_file(xml, path.name)
            if other is not None:
                raise FieldError(path, f"its pixels lie in another file ('{other[:60]}'); save it as one file")
            check_planes(path, ome_planes(xml))
        elif tif.is_imagej:
            check_planes(path, imagej_planes(tif.pages[0].description))  # type: ignore[union-attr]  # the first is a page
        yield tif


def _open_tiff(path: Path) -> tuple[LazyPixels, float | None]:
    with _tiff(path) as tif:
        if not tif.series:
            raise FieldError(path, "it holds no image")
        level = tif.series[0].levels[0]
        page = level.keyframe
        reason = _why_not_tiff(level, page, tif.is_ome) or _why_torn(page, tif.filehandle.size)
        reason = reason or why_not_decoded(page)
        if reason is not None:
            raise FieldError(path, reason)
        axes = level.axes
        height, width = (int(level.shape[axes.index(axis)]) for axis in "YX")
        if (height, width) != (page.imagelength, page.imagewidth):
            raise FieldError(path, "the file is damaged (its header states two different sizes)")
        check_size(path, height, width, tif.filehandle.size)
        chunk_bytes = math.prod(page.chunks)
        in_parts = chunk_bytes <= MAX_CHUNK_BYTES and chunk_bytes * _FEW_CHUNKS <= math.prod(level.shape)
        if not in_parts and height * width > MAX_WHOLE_PX:
            raise FieldError(path, _too_large())
        try:
            mpp = tiff_mpp(tif)
        except ValueError as error:
            raise FieldError(path, str(error)) from error
        most = 0 if int(page.compression) in UNBOUNDED else MANY_PX
        return TiffPixels(path, height, width, not axes.startswith("YX"), in_parts, most), mpp


def _why_not_tiff(level: Any, page: Any, is_ome: bool) -> str | None:
    if level.dtype is None or level.dtype != np.uint8:
        kind = level.dtype if level.dtype is not None else "an unknown type"
        if level.dtype is not None and level.dtype.kind in "ui":
            kind = f"{level.dtype.itemsize * 8}-bit ({level.dtype})"
        return f"its values are {kind}; save it as 8-bit RGB"
    photometric = getattr(page.photometric, "name", str(page.photometric))
    if photometric in ("PALETTE", "SEPARATED", "CIELAB", "ICCLAB", "ITULAB", "CFA", "LOGLUV"):
        return f"its colours are stored as {photometric.lower()}; save it as 8-bit RGB"
    axes = level.axes
    if axes == "YX":
        return "it is greyscale; a field must be an RGB image"
    channels = "S" if "S" in axes else "C"
    # Some OME writers store the three colours of a bright-field image as three channels.
    if channels == "C" and not is_ome:
        channels = "S"
    others = axes.replace("Y", "").replace("X", "").replace(channels, "")
    if others or channels not in axes:
        return "it is a stack of several images; save one RGB image"
    if axes not in (f"YX{channels}", f"{channels}YX"):
        return f"its axes are in an unknown order ({axes})"
    if level.shape[axes.index(channels)] not in (3, 4):
        return f"it has {level.shape[axes.index(channels)]} channels, not RGB or RGBA"
    if min(level.shape) < 1:
        return "it holds no pixels"
    return None


def _why_torn(page: Any, file_bytes: int) -> str | None:
    """Why the tiles or strips cannot all be in the file, as in a torn download or a forged header."""
    offsets, counts = page.dataoffsets, page.databytecounts
    if len(offsets) != len(counts) or len(offsets) < math.prod(page.chunked) or not any(counts):
        return "its pixel data are missing"
    if any(start + count > file_bytes for start, count in zip(offsets, counts, strict=True)):
        return "the file is truncated: some of its pixel data are missing"
    return None
