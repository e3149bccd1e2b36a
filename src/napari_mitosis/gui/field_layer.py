"""A layer of RGB pixels as a field: its um/px, its annotations, its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from napari.layers import Image

from ..datasets.samples import ANNOTATIONS_KEY
from ..fields.field import Field
from ..fields.npe2_reader import FIELD_KEY, field_of
from ..fields.resolution import check_mpp
from ..tables import check_annotations
from .places import OWNER_KEY

UNMEASURED_KEY = "napari_mitosis_unmeasured"
"""In the metadata of a layer whose um are so in name only: its scale then. A layer of another scale was measured."""


def is_measured(layer: Image) -> bool:
    """Whether scale and units of a layer may be taken at their word."""
    nominal = layer.metadata.get(UNMEASURED_KEY)
    return nominal is None or tuple(float(size) for size in layer.scale[-2:]) != nominal


def measured(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """A layer's metadata without the note that its units are so in name only."""
    return {name: value for name, value in metadata.items() if name != UNMEASURED_KEY}


def is_field_layer(layer: object) -> bool:
    """Whether a layer shows RGB pixels, one image."""
    return isinstance(layer, Image) and bool(layer.rgb) and layer.ndim == 2 and OWNER_KEY not in layer.metadata


def layer_mpp(layer: Image) -> float | None:
    """um/px of a layer by its scale and units, or None where its units are no length (but in name), or its pixels not
    square."""
    if not is_measured(layer):
        return None
    y, x = (float(size) for size in layer.scale[-2:])
    try:
        um = [float((1.0 * unit).to("um").magnitude) for unit in layer.units[-2:]]
    except Exception:  # pint has no common error for "pixel is no length"
        return None
    if abs(y * um[0] - x * um[1]) > 0.01 * abs(y * um[0]):
        return None
    try:
        return check_mpp(y * um[0])
    except ValueError:
        return None


def field_of_layer(layer: Image) -> Field:
    """The field that a layer shows.

    Raises
    ------
    FieldError
        When its pixels are not 8-bit RGB.
    """
    pixels = layer.data[0] if layer.multiscale else layer.data
    known = field_of(layer.metadata)
    # A pyramid's first level is another object than the pixels that its file was opened with.
    if known is not None and (known.pixels is pixels or (layer.multiscale and known.shape == pixels.shape[:2])):
        mpp = layer_mpp(layer)
        return (known if mpp is None or known.mpp is not None else known.with_mpp(mpp)).renamed(layer.name)
    return Field.from_array(pixels, mpp=layer_mpp(layer), name=layer.name)


def scale_field_layer(layer: Image, mpp: float) -> None:
    """Give a field's layer its true size, so that napari's scale bar is right."""
    layer.metadata = measured(layer.metadata)
    layer.scale = (mpp, mpp)
    layer.units = ("um", "um")
    known = field_of(layer.metadata)
    if known is not None:
        layer.metadata = {**layer.metadata, FIELD_KEY: known.with_mpp(mpp)}


def annotations_of(metadata: Mapping[str, Any]) -> pd.DataFrame | None:
    """The annotations in the metadata of a field's layer, or None where there are none or they are malformed."""
    annotations = metadata.get(ANNOTATIONS_KEY)
    if not isinstance(annotations, pd.DataFrame):
        return None
    try:
        return check_annotations(annotations)
    except ValueError:
        return None
