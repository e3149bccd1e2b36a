"""Whole slides by OpenSlide: the levels of a pyramid as lazy pixels, decoded in a process of its own (`apart`).

Only the levels, um/px, the objective and the scanned area are taken from a slide. Its label and macro images,
which can show a patient's name, and all other properties of the file are never read.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FieldError
from . import apart
from .limits import MAX_WHOLE_PX, check_file
from .pixels import LazyPixels
from .resolution import square_mpp

SLIDE_SUFFIXES = frozenset({".svs", ".ndpi", ".vms", ".mrxs", ".scn", ".bif", ".dcm", ".svslide", ".czi"})
"""Files that are offered to OpenSlide. TIFF and OME-TIFF, pyramids too, are read by tifffile."""

_MACRO_FIRST = frozenset({".scn", ".bif"})
"""Slides whose first image is the macro, with the label: what OpenSlide does not know is not shown as a plain TIFF."""

_WHITE = np.uint8(255)


class SlideFile:
    """One open slide, shared by its levels, in the process that decodes it; opened when first read.

    Parameters
    ----------
    path : Path
        The file; of DICOM, any file of the series.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._slide: Any = None
        self._lock = threading.Lock()

    def ask(self, question: Callable[[Any], Any]) -> Any:
        """What `question` makes of the open slide; after an error the slide is opened anew.

        Raises
        ------
        FieldError
            When the slide cannot be opened or read.
        """
        try:
            with self._lock:
                if self._slide is None:
                    self._slide = _library()(str(self.path))
                slide = self._slide
            return question(slide)
        except FieldError:
            raise
        except Exception as error:  # OpenSlide refuses everything of a slide after its first error
            self.close()
            reason = str(error).strip() or type(error).__name__
            raise FieldError(self.path, f"the slide is damaged or of an unknown kind ({reason[:120]})") from error

    def close(self) -> None:
        """Let go of the file; the next question opens it again."""
        with self._lock:
            slide, self._slide = self._slide, None
        if slide is not None:
            slide.close()


class SlidePixels(LazyPixels):
    """Pixels of one level of a slide. What was not scanned is white.

    Attributes
    ----------
    magnification : float or None
        Power of the objective, as the file states it.
    scanned_px : tuple of int
        (y0, y1, x0, x1) of the scanned area, in pixels of level 0.
    """

    most_here_px = 0

    def __init__(self, path: Path, header: Mapping[str, Any], level: int = 0, file: SlideFile | None = None) -> None:
        sizes = header["sizes"]
        super().__init__(path, *sizes[level])
        self.in_parts = True
        self.level = level
        self.magnification: float | None = header["magnification"]
        self.scanned_px: tuple[int, int, int, int] = tuple(header["scanned_px"])
        self._header, self._file = header, file

    @classmethod
    def of(cls, path: Path, header: Mapping[str, Any]) -> SlidePixels:
        """Level 0 of a slide that is decoded in this process."""
        return cls(path, header, file=SlideFile(path))

    def levels(self) -> list[LazyPixels]:
        """All levels, largest first."""
        return [SlidePixels(self.path, self._header, level, self._file) for level in range(len(self._header["sizes"]))]

    def close(self) -> None:
        """Let go of the file, as before it is moved; the next read opens it again."""
        apart.let_go()

    def _decode(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[np.uint8]:
        if (y1 - y0) * (x1 - x0) > MAX_WHOLE_PX:
            raise FieldError(
                self.path, f"{x1 - x0} x {y1 - y0} px are too many at once; read a region, or a lower level"
            )
        full, shown = self._header["sizes"][0], self._header["sizes"][self.level]
        corner = (round(x0 * full[1] / shown[1]), round(y0 * full[0] / shown[0]))
        file = self._file or SlideFile(self.path)
        region = file.ask(lambda slide: slide.read_region(corner, self.level, (x1 - x0, y1 - y0)))
        return _on_white(np.asarray(region))


def open_slide(path: Path) -> tuple[SlidePixels, float | None] | None:
    """Read the header of a slide, in another process.

    Returns
    -------
    pixels : SlidePixels
        Level 0.
    mpp : float or None
        um/px that the file states.
        None instead of both when the file is a plain TIFF under a slide's name, which needs no OpenSlide.

    Raises
    ------
    FieldError
        When the file is damaged, of an unknown kind, or nothing is installed that reads it.
    """
    check_file(path)
    header = apart.slide_header(path)
    return None if header is None else (SlidePixels(path, header), header["mpp"])


def read_header(path: Path) -> dict[str, Any] | None:
    """What is asked of a slide before its pixels, as JSON: sizes as (H, W), um/px, objective, scanned area, series.

    None where the file is a plain TIFF under a slide's name.

    Raises
    ------
    FieldError
        When the file is damaged, of an unknown kind, or nothing is installed that reads it.
    """
    library = _library()
    if library is None:
        if path.suffix.lower() == ".svs":  # which tifffile reads as well
            return None
        raise FieldError(path, "to read slides of this kind, run: pip install 'napari-mitosis[slides]'")
    if hasattr(library, "detect_format"):
        kind = library.detect_format(str(path))
        if kind == "generic-tiff" or (kind is None and _is_tiff(path)):
            if path.suffix.lower() in _MACRO_FIRST:
                raise FieldError(path, "it is a damaged slide, or no slide; a plain TIFF should be named .tif")
            return None
        if kind is None:
            raise FieldError(path, "it is no slide that OpenSlide knows, or it is damaged")
    file = SlideFile(path)
    sizes, properties = file.ask(lambda slide: (slide.level_dimensions, slide.properties))
    shapes = [(int(height), int(width)) for width, height in sizes]
    try:
        mpp = square_mpp(_stated(properties, "mpp-x"), _stated(properties, "mpp-y"))
    except ValueError as error:
        raise FieldError(path, str(error)) from error
    power, scanned = _stated(properties, "objective-power"), _bounds(properties, shapes[0])
    # What OpenSlide calls the slide that a file belongs to: the same for all files of a DICOM series.
    series = properties.get("openslide.quickhash-1")
    file.close()
    return {"sizes": shapes, "mpp": mpp, "magnification": power, "scanned_px": scanned, "series": series}


def one_of_each_series(paths: Sequence[Path]) -> list[Path]:
    """Of DICOM files that make up one slide (a file for each level, label and macro) the first; all other files.

    Parameters
    ----------
    paths : sequence of Path
        Files that cannot be opened are kept: opening them will tell.
    """
    kept, seen = [], set()
    for path in paths:
        series = None
        if path.suffix.lower() == ".dcm":
            with contextlib.suppress(FieldError):
                header = apart.slide_header(path)
                series = None if header is None or header["series"] is None else (path.parent, header["series"])
        if series is None or series not in seen:
            kept.append(path)
        seen.add(series)
    return kept


def _library() -> Any:
    """The class that opens slides: OpenSlide, or TiffSlide where the former has no wheel; None without both."""
    try:
        from openslide import OpenSlide  # both load native code that only slides need
    except (ImportError, OSError):
        try:
            from tiffslide import TiffSlide
        except ImportError:
            return None
        return TiffSlide
    return OpenSlide


def _is_tiff(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) in (b"II", b"MM")


def _stated(properties: Any, name: str) -> float | None:
    """A property as a number above zero; both libraries have the same names under a prefix of their own."""
    for prefix in ("openslide", "tiffslide"):
        try:
            value = float(properties[f"{prefix}.{name}"])
        except (KeyError, TypeError, ValueError):
            continue
        return value if np.isfinite(value) and value > 0 else None
    return None


def _bounds(properties: Any, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """(y0, y1, x0, x1) of the scanned area inside the slide; all of it where the file does not state it."""
    height, width = _stated(properties, "bounds-height"), _stated(properties, "bounds-width")
    if height is None or width is None:
        return 0, shape[0], 0, shape[1]
    y0, x0 = int(_stated(properties, "bounds-y") or 0), int(_stated(properties, "bounds-x") or 0)
    return min(y0, shape[0]), min(y0 + int(height), shape[0]), min(x0, shape[1]), min(x0 + int(width), shape[1])


def _on_white(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB of an image with alpha laid over white."""
    if rgba.shape[2] == 3:
        return np.ascontiguousarray(rgba)
    alpha = rgba[..., 3]
    rgb = np.ascontiguousarray(rgba[..., :3])
    if alpha.min() == _WHITE:
        return rgb
    share = alpha[..., None].astype(np.float32) / 255
    return np.asarray(np.rint(rgb * share + 255 * (1 - share)), dtype=np.uint8)
