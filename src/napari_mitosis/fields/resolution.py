"""um/px of an image file: from its metadata, or from a small sidecar file beside it."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ..errors import FieldError, brief

PLAUSIBLE_MPP = (0.05, 5.0)
"""A resolution outside this range is a default of some program (72 dpi is 353 um/px), not a measurement."""

_UM_PER_UNIT = {
    "m": 1e6,
    "cm": 1e4,
    "mm": 1e3,
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "nm": 1e-3,
    "å": 1e-4,
    "in": 25400.0,
    "inch": 25400.0,
}
_SQUARE_TOLERANCE = 0.01
_MAX_SIDECAR_BYTES = 2**22


def check_mpp(mpp: float) -> float:
    """Return `mpp` as a float when it can be the um/px of a light-microscope image.

    Raises
    ------
    ValueError
        When it is not a number or lies outside 0.01 to 20 um/px.
    """
    try:
        value = float(mpp)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"um/px must be a number, not {str(mpp)[:40]!r}") from None
    if not math.isfinite(value) or not 0.01 <= value <= 20.0:
        raise ValueError(f"{value:g} um/px cannot be a pixel size (40x scanners: about 0.25)")
    return value


def sidecar_mpp(path: Path) -> float | None:
    """um/px from ``NAME.json``, ``NAME.EXT.json`` or ``mpp.json`` beside the image; the first that has it.

    Raises
    ------
    FieldError
        Naming the sidecar, when it is not JSON or its ``mpp`` is no pixel size.
    """
    names = (f"{path.stem}.json", f"{path.name}.json", "mpp.json")
    for sidecar in (path.parent / name for name in names):
        if not sidecar.is_file():
            continue
        try:
            with sidecar.open("rb") as file:
                content = json.loads(file.read(_MAX_SIDECAR_BYTES))
        except (OSError, ValueError, RecursionError) as error:
            raise FieldError(sidecar, f"the sidecar file cannot be read as JSON ({brief(error)})") from error
        if isinstance(content, dict) and content.get("mpp") is not None:
            try:
                return check_mpp(content["mpp"])
            except ValueError as error:
                raise FieldError(sidecar, str(error)) from error
    return None


def tiff_mpp(tif: Any) -> float | None:
    """um/px from the OME-XML, ImageJ, Aperio or resolution tags of an open TIFF, in this order.

    Parameters
    ----------
    tif : tifffile.TiffFile
        The open file.

    Returns
    -------
    float or None
        None when the file does not state it, or states something implausible.

    Raises
    ------
    ValueError
        When the pixels are not square.
    """
    page = tif.pages[0]
    if tif.is_ome:
        return square_mpp(*_ome_sizes(tif.ome_metadata or ""))
    if tif.is_imagej:
        um = _um_per(str((tif.imagej_metadata or {}).get("unit", "")))
        return square_mpp(*_tag_sizes(page, um))
    aperio = re.search(r"\bMPP\s*=\s*([0-9.]+)", str(page.description))
    if aperio:
        stated = _number(aperio.group(1))
        return square_mpp(stated, stated)
    unit = page.tags.get("ResolutionUnit")
    # The standard's default, where the tag is absent, is the inch.
    return square_mpp(*_tag_sizes(page, {2: 25400.0, 3: 1e4}.get(int(unit.value) if unit else 2)))


def dpi_mpp(dpi: object) -> float | None:
    """um/px from dots per inch, as PNG, BMP and JPEG state them.

    Raises
    ------
    ValueError
        When the pixels are not square.
    """
    if not isinstance(dpi, tuple) or len(dpi) < 2:
        return None
    x, y = _number(dpi[0]), _number(dpi[1])
    return square_mpp(25400.0 / x if x else None, 25400.0 / y if y else None)


def square_mpp(x_um: float | None, y_um: float | None) -> float | None:
    """Join the two pixel sizes into one.

    Raises
    ------
    ValueError
        When both are plausible and differ by more than 1 %.
    """
    low, high = PLAUSIBLE_MPP
    sizes = [size for size in (x_um, y_um) if size is not None and low <= size <= high]
    if not sizes or (len(sizes) == 1 and x_um is not None and y_um is not None):
        return None
    if max(sizes) / min(sizes) > 1 + _SQUARE_TOLERANCE:
        raise ValueError(
            f"its pixels are not square ({x_um:g} x {y_um:g} um); resample the image to square pixels first"
        )
    return sum(sizes) / len(sizes)


def _ome_sizes(xml: str) -> tuple[float | None, float | None]:
    """PhysicalSizeX and PhysicalSizeY of the first image, in um."""
    try:
        root = ElementTree.fromstring(xml)
    except (ElementTree.ParseError, ValueError):
        return None, None
    for element in root.iter():
        if element.tag.rpartition("}")[2] == "Pixels":
            sizes = []
            for axis in "XY":
                stated = _number(element.get(f"PhysicalSize{axis}"))
                um = _um_per(element.get(f"PhysicalSize{axis}Unit", "um"))
                sizes.append(stated * um if stated and um else None)
            return sizes[0], sizes[1]
    return None, None


def _tag_sizes(page: Any, um_per_unit: float | None) -> tuple[float | None, float | None]:
    """Pixel sizes in um from the XResolution and YResolution tags (pixels per unit)."""
    sizes: list[float | None] = []
    for name in ("XResolution", "YResolution"):
        tag = page.tags.get(name)
        value = tag.value if tag is not None else None
        if not isinstance(value, tuple) or len(value) != 2 or um_per_unit is None:
            sizes.append(None)
            continue
        numerator, denominator = _number(value[0]), _number(value[1])
        sizes.append(um_per_unit * denominator / numerator if numerator and denominator else None)
    return sizes[0], sizes[1]


def _um_per(unit: str) -> float | None:
    return _UM_PER_UNIT.get(unit.replace("\\u00B5", "µ").strip().lower())


def _number(value: object) -> float | None:
    """`value` as a finite float above zero, or None."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None
