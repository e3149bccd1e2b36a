"""The sample fields of napari's *File > Open Sample*. Drawn by a program; see ``sample_data/README.md``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..fields.npe2_reader import LayerData, field_layer
from .folder import read_folder

ANNOTATIONS_KEY = "napari_mitosis_annotations"
"""In a sample layer's metadata: where its figures are, a frame with `tables.ANNOTATION_COLUMNS`."""

# How each field is drawn: (seed, mitoses, mimics). The names sort with the liveliest first.
RECIPES: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {"hotspot": (1, 14, 6), "mimics": (5, 3, 16), "quiet": (9, 0, 4)}
)


def sample_folder() -> Path:
    """Where the sample fields are installed."""
    return Path(str(resources.files("napari_mitosis") / "sample_data"))


def hotspot() -> list[LayerData]:
    """A field with many mitoses."""
    return _layers("hotspot")


def mimics() -> list[LayerData]:
    """A field with few mitoses and many mimics."""
    return _layers("mimics")


def quiet() -> list[LayerData]:
    """A field without mitosis."""
    return _layers("quiet")


def _layers(name: str) -> list[LayerData]:
    sample = next(s for s in read_folder(sample_folder()) if s.field.name.startswith(name))
    pixels, options, kind = field_layer(sample.field)
    metadata: dict[str, Any] = {**options["metadata"], ANNOTATIONS_KEY: sample.annotations}
    return [(pixels, {**options, "metadata": metadata}, kind)]
