"""`Field`: RGB pixels + um/px + identity; `open_field` opens any image file, lazily."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FieldError, UnknownResolution
from ..names import printable
from .limits import MAX_WHOLE_PX
from .pixels import LazyPixels, open_pixels
from .resolution import check_mpp, sidecar_mpp
from .slides import SLIDE_SUFFIXES, open_slide

_DIGEST_STRIP_PX = 4 * 2**20
_SAMPLE_PX = 256
_SAMPLES_PER_SIDE = 12
_OVERVIEW_PX = 16 * 2**20


@dataclass(frozen=True, eq=False)
class Field:
    """One field of tissue (an HPF, a region or a whole slide's level 0).

    Attributes
    ----------
    pixels : array-like of uint8, shape (H, W, 3)
        In memory (read-only), or lazy: slicing it gives something that `numpy.asarray` takes.
    mpp : float or None
        um/px; None = unknown, and all that needs micrometres raises `UnknownResolution`.
    name : str
        For a person.
    path : Path or None
        The file it came from.
    """

    pixels: Any
    mpp: float | None
    name: str
    path: Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", printable(self.name))

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return int(self.pixels.shape[0]), int(self.pixels.shape[1])

    @cached_property
    def digest(self) -> str:
        """Hex sha256 of shape and pixels, whatever the file format or um/px; read in strips.

        Of a slide of more than `MAX_WHOLE_PX` pixels, which takes an hour to decode, the overview and a grid of
        small patches of level 0 stand for the rest.

        Raises
        ------
        FieldError
            When the file is damaged.
        """
        height, width = self.shape
        if height * width > MAX_WHOLE_PX:
            return self._digest_of_samples()
        strip = max(1, min(height, _DIGEST_STRIP_PX // max(1, width)))
        if isinstance(self.pixels, LazyPixels) and not self.pixels.in_parts:
            strip = max(1, height)
        sha = hashlib.sha256(f"{height},{width};".encode())
        for y0 in range(0, height, strip):
            sha.update(self.read(y0, min(y0 + strip, height), 0, width).data)
        return sha.hexdigest()

    def _digest_of_samples(self) -> str:
        height, width = self.shape
        sha = hashlib.sha256(f"samples;{height},{width};".encode())
        for y0 in np.linspace(0, max(0, height - _SAMPLE_PX), _SAMPLES_PER_SIDE, dtype=int).tolist():
            for x0 in np.linspace(0, max(0, width - _SAMPLE_PX), _SAMPLES_PER_SIDE, dtype=int).tolist():
                sha.update(self.read(y0, min(y0 + _SAMPLE_PX, height), x0, min(x0 + _SAMPLE_PX, width)).data)
        level = len(self.levels) - 1
        rows, columns = self.levels[level].shape[:2]
        if rows * columns <= _OVERVIEW_PX:
            sha.update(self.read(0, rows, 0, columns, level).data)
        return sha.hexdigest()

    @cached_property
    def levels(self) -> tuple[Any, ...]:
        """Arrays of the pyramid, largest first, as lazy as `pixels`, which is the first; of most fields the only one.

        Raises
        ------
        FieldError
            When the file is damaged, changed or gone.
        """
        if not isinstance(self.pixels, LazyPixels):
            return (self.pixels,)
        return (self.pixels, *self.pixels.levels()[1:])

    def read(self, y0: int, y1: int, x0: int, x1: int, level: int = 0) -> NDArray[np.uint8]:
        """Return a copy of the pixels [y0, y1) x [x0, x1).

        Parameters
        ----------
        y0, y1, x0, x1 : int
            In pixels of the level.
        level : int
            Of `levels`; 0 = full resolution.

        Returns
        -------
        ndarray of uint8, shape (y1 - y0, x1 - x0, 3)

        Raises
        ------
        ValueError
            When the box does not lie inside the level.
        FieldError
            When the file is damaged, changed or gone.
        """
        pixels = self.pixels if level == 0 else self.levels[level]
        height, width = pixels.shape[:2]
        if not (0 <= y0 <= y1 <= height and 0 <= x0 <= x1 <= width):
            raise ValueError(f"[{y0}, {y1}) x [{x0}, {x1}) is not inside {self.name}, {height} x {width} px")
        try:
            return np.array(pixels[y0:y1, x0:x1], dtype=np.uint8, order="C")
        except FieldError:
            raise
        except Exception as error:
            raise FieldError(self.path or self.name, f"its pixels cannot be read ({error})") from error

    def numpy(self) -> NDArray[np.uint8]:
        """Return a copy of all pixels, shape (H, W, 3).

        Raises
        ------
        FieldError
            When the file is damaged, changed or gone.
        """
        return self.read(0, self.shape[0], 0, self.shape[1])

    def loaded(self) -> Field:
        """Return this field with its pixels in memory; itself when they are there already.

        Raises
        ------
        FieldError
            When the file is damaged, changed or gone.
        """
        if isinstance(self.pixels, np.ndarray):
            return self
        return self._replace(pixels=_frozen(self.numpy()))

    def require_mpp(self, what: str) -> float:
        """Return um/px, or say that `what` needs it.

        Raises
        ------
        UnknownResolution
            When the field does not know it.
        """
        if self.mpp is None:
            raise UnknownResolution(what, self.name)
        return self.mpp

    def area_mm2(self) -> float:
        """Area of the field in mm2.

        Raises
        ------
        UnknownResolution
            When the field does not know its um/px.
        """
        mpp = self.require_mpp("The area")
        return self.shape[0] * self.shape[1] * mpp**2 / 1e6

    def with_mpp(self, mpp: float | None) -> Field:
        """Return the same field with another um/px (None = unknown).

        Raises
        ------
        ValueError
            When it cannot be a pixel size.
        """
        return self._replace(mpp=None if mpp is None else check_mpp(mpp))

    def renamed(self, name: str) -> Field:
        """Return the same field under another name."""
        return self._replace(name=name)

    def _replace(self, **changes: Any) -> Field:
        other = replace(self, **changes)
        if "digest" in self.__dict__:  # the pixels are the same, and hashing a slide takes long
            other.__dict__["digest"] = self.digest
        return other

    @classmethod
    def from_array(cls, array: Any, mpp: float | None = None, name: str = "field", path: Path | None = None) -> Field:
        """Make a field of an array, without a copy where it is RGB already.

        Parameters
        ----------
        array : array-like of uint8, shape (H, W, 3) or (H, W, 4)
            Numpy, dask or zarr. Alpha is dropped. Numpy arrays must not be changed afterwards.
        mpp : float, optional
            um/px.

        Raises
        ------
        FieldError
            When it is greyscale, a stack, not 8-bit or empty, or `mpp` cannot be a pixel size.
        """
        source = path or name
        if not hasattr(array, "shape") or not hasattr(array, "dtype"):
            array = np.asarray(array)
        reason = _why_not_rgb(tuple(array.shape), np.dtype(array.dtype))
        if reason is not None:
            raise FieldError(source, reason)
        if array.shape[2] == 4:
            if not isinstance(array, np.ndarray) and not hasattr(array, "dask"):
                import dask.array as da  # heavy, and needed by zarr arrays with alpha only

                array = da.from_array(array)  # type: ignore[no-untyped-call]
            array = array[..., :3]
        if isinstance(array, np.ndarray):
            array = _frozen(array)
        try:
            return cls(array, None if mpp is None else check_mpp(mpp), name, path)
        except ValueError as error:
            raise FieldError(source, str(error)) from error


def open_field(path: str | PathLike[str], mpp: float | None = None) -> Field:
    """Open an image file as a field.

    Slides (SVS, NDPI, MRXS, SCN, BIF, DICOM; see `slides.SLIDE_SUFFIXES`) and TIFF of many tiles or strips (plain,
    tiled, OME, ImageJ, pyramidal) stay on disk and are decoded where they are read; PNG, BMP, JPEG and TIFF of one
    strip cannot be read in parts: they are decoded at once.

    Parameters
    ----------
    path : path-like
        An 8-bit RGB or RGBA image (alpha is dropped).
    mpp : float, optional
        um/px. It overrides a sidecar (``NAME.json`` or ``mpp.json`` with ``{"mpp": 0.25}``), which
        overrides the file's own metadata.

    Raises
    ------
    FieldError
        Naming the file and the reason.
    """
    field = lazy_field(path, mpp)
    return field if field.pixels.in_parts else field.loaded()


def lazy_field(path: str | PathLike[str], mpp: float | None = None) -> Field:
    """Open an image file as `open_field` does, reading only its header whatever the format.

    What cannot be read in parts is decoded anew at each read: use `Field.loaded` before reading it in parts.

    Raises
    ------
    FieldError
        Naming the file and the reason.
    """
    file = Path(path)
    slide = open_slide(file) if file.suffix.lower() in SLIDE_SUFFIXES and file.is_file() else None
    pixels, stated = slide or open_pixels(file)
    try:
        known = check_mpp(mpp) if mpp is not None else sidecar_mpp(file)
    except ValueError as error:
        raise FieldError(file, str(error)) from error
    return Field(pixels, stated if known is None else known, file.stem, file)


def _frozen(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A read-only view, so that nobody changes pixels under their digest."""
    view = array.view()
    view.flags.writeable = False
    return view


def _why_not_rgb(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str | None:
    if dtype != np.uint8:
        return f"its values are {dtype}; a field must be 8-bit RGB"
    if len(shape) == 2:
        return "it is greyscale; a field must be an RGB image"
    if len(shape) != 3:
        return f"it is a stack of shape {shape}; a field must be one RGB image"
    if shape[2] not in (3, 4):
        return f"its shape is {shape}; a field must be height x width x 3 (RGB) or 4 (RGBA)"
    return "it holds no pixels" if 0 in shape else None
