"""Fields and results as napari layers, in register to the pixel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Points
from napari.utils import Colormap, DirectLabelColormap
from napari.utils.colormaps import ensure_colormap
from numpy.typing import NDArray

from ..evidence import Evidence
from ..field import Field
from ..labels import IGNORED, MITOSIS, concentric_labels
from ..reader import FIELD_KEY, field_of
from ..resolution import check_mpp
from ..samples import ANNOTATIONS_KEY
from ..session import Result
from ..tables import check_annotations

OWNER_KEY = "napari_mitosis_of"
"""In a result layer's metadata: the unique id of the field's layer."""

CLEAR_BELOW = 0.35
"""Scores below this fade out, so that the score map does not darken the tissue."""

RING_UM = 15.0
"""Diameter of a detection's ring: a large mitosis fits in."""

RING_COLOUR = "#00e63c"
"""Green: neither haematoxylin nor eosin."""

LABEL_INNER_UM, LABEL_OUTER_UM = 3.0, 6.0
"""The fixed concentric label of the SegMitos paper, r12R24 at 0.25 um/px."""


def is_field_layer(layer: object) -> bool:
    """Whether a layer shows RGB pixels, one image."""
    return isinstance(layer, Image) and bool(layer.rgb) and layer.ndim == 2 and OWNER_KEY not in layer.metadata


def layer_mpp(layer: Image) -> float | None:
    """um/px of a layer by its scale and units, or None where its units are no length or its pixels not square."""
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
    layer.scale = (mpp, mpp)
    layer.units = ("um", "um")
    known = field_of(layer.metadata)
    if known is not None:
        layer.metadata = {**layer.metadata, FIELD_KEY: known.with_mpp(mpp)}


def score_map(evidence: Evidence) -> NDArray[np.float32]:
    """The mean of a field's score maps, shape (h, w), in [0, 1]: what the network saw, before any smoothing."""
    maps = [np.asarray(one, dtype=np.float32) for one in evidence.maps.values()]
    mean: NDArray[np.float32] = maps[0] if len(maps) == 1 else np.mean(maps, axis=0, dtype=np.float32)
    return mean


def clear_magma() -> Colormap:
    """Magma whose dark end is clear, so that tissue shows wherever the network saw nothing."""
    magma = ensure_colormap("magma")
    colours = np.array(magma.map(np.linspace(0.0, 1.0, 256)), dtype=np.float64)
    colours[:, 3] = np.clip(np.linspace(0.0, 1.0, 256) / CLEAR_BELOW, 0.0, 1.0)
    return Colormap(colours, name="magma, clear at 0")


class FieldLayers:
    """The result layers of one field: score map, detections, concentric labels.

    A layer that its user has deleted stays away until it is asked for again.

    Parameters
    ----------
    viewer : ViewerModel
    owner : Image
        The field's layer. It is never changed here.
    bury : callable
        Takes layers that are to go.
    """

    def __init__(self, viewer: ViewerModel, owner: Image, bury: Callable[[list[Layer]], None]) -> None:
        self._viewer = viewer
        self._owner = owner
        self._bury = bury
        self.score_map: Image | None = None
        self.detections: Points | None = None
        self.labels: Labels | None = None

    def all(self) -> list[Layer]:
        """The layers that exist, lowest first."""
        return [layer for layer in (self.score_map, self.labels, self.detections) if self._alive(layer)]

    def show_evidence(self, evidence: Evidence, visible: bool) -> None:
        """Show the score map of new evidence, below the detections."""
        data = score_map(evidence)
        stride = evidence.stride
        place = self._placed((stride, stride), (stride - 1) / 2)
        layer = self.score_map
        if layer is not None and self._alive(layer):  # of another model, whose stride may be another
            layer.data, layer.scale, layer.translate, layer.visible = data, place["scale"], place["translate"], visible
            return
        self.score_map = Image(
            data,
            name=f"{self._owner.name}: score map",
            colormap=clear_magma(),
            contrast_limits=(0.0, 1.0),
            blending="translucent",
            opacity=0.6,
            interpolation2d="linear",
            visible=visible,
            **place,
        )
        self._add(self.score_map, 1)

    def show_detections(self, result: Result, visible: bool | None = None) -> None:
        """Bring the Points layer up to date, in place. `visible` other than None makes it anew if it is gone."""
        layer = self.detections if self._alive(self.detections) else None
        if layer is None and visible is None:
            return
        points = result.detections[["y_px", "x_px"]].to_numpy(dtype=np.float64)
        features = result.detections[["score", "area_um2"]].assign(label="mitosis")
        if layer is None:
            layer = self.detections = Points(
                np.empty((0, 2)),
                ndim=2,
                name=f"{self._owner.name}: detections",
                size=RING_UM / result.evidence.mpp,
                symbol="disc",
                face_color="transparent",
                border_color=RING_COLOUR,
                border_width=0.1,
                features={"score": np.empty(0), "area_um2": np.empty(0), "label": np.empty(0, dtype=object)},
                **self._placed((1.0, 1.0), 0.0),
            )
            self._add(layer, 3)
        if visible is not None:
            layer.visible = visible
        layer.selected_data = set()
        layer.data = points
        layer.features = features

    def show_labels(self, points_yx: NDArray[np.float64], shape: tuple[int, int], mpp: float, visible: bool) -> None:
        """Show the concentric labels that a network would be taught for these centroids."""
        stride = max(1, -(-max(shape) // 4096))
        cells = (-(-shape[0] // stride), -(-shape[1] // stride))
        data = concentric_labels(cells, points_yx, LABEL_INNER_UM / mpp, LABEL_OUTER_UM / mpp, stride=float(stride))
        if self._alive(self.labels) and self.labels is not None:
            self.labels.data = data
            self.labels.visible = visible
            return
        colours: dict[int | None, Any] = {
            None: "transparent", 0: "transparent", MITOSIS: (0.0, 0.9, 0.24, 1.0), IGNORED: (1.0, 0.72, 0.1, 1.0)
        }  # fmt: skip
        self.labels = Labels(
            data,
            name=f"{self._owner.name}: concentric labels",
            colormap=DirectLabelColormap(color_dict=colours),
            opacity=0.45,
            visible=visible,
            **self._placed((float(stride), float(stride)), (stride - 1) / 2),
        )
        self._add(self.labels, 2)

    def look_at(self, row: int, centre_px: tuple[float, float]) -> None:
        """Centre a place of the field, close up, and select this row of the detections layer."""
        world = self._owner.data_to_world(centre_px)
        # napari 0.9 moved the camera; older ones have it at the viewer itself.
        camera = getattr(self._viewer, "scene", self._viewer).camera
        camera.center = tuple(float(value) for value in world)
        field_zoom = 1.0 / float(self._owner.scale[-1])  # one field pixel on one screen pixel
        camera.zoom = max(camera.zoom, field_zoom)
        layer = self.detections
        if layer is not None and self._alive(layer) and row < len(layer.data):
            layer.selected_data = {row}
            layer.refresh()

    def remove(self) -> None:
        """Take the result layers away."""
        self._bury(self.all())
        self.score_map = self.detections = self.labels = None

    def renamed(self) -> None:
        """Follow the name of the field's layer."""
        for layer, what in (
            (self.score_map, "score map"), (self.labels, "concentric labels"), (self.detections, "detections")
        ):  # fmt: skip
            if layer is not None and self._alive(layer):
                layer.name = f"{self._owner.name}: {what}"

    def _alive(self, layer: Layer | None) -> bool:
        return layer is not None and layer in self._viewer.layers

    def _placed(self, cell_px: tuple[float, float], offset_px: float) -> dict[str, Any]:
        """Scale, place and owner of a layer whose first cell has its centre at `offset_px` of the field."""
        owner = self._owner
        scale = np.asarray(owner.scale[-2:], dtype=np.float64)
        place = np.asarray(owner.translate[-2:], dtype=np.float64)
        return {
            "scale": tuple(scale * cell_px),
            "translate": tuple(place + scale * offset_px),
            "units": owner.units[-2:],
            "metadata": {OWNER_KEY: str(owner.unique_id)},
        }

    def _add(self, layer: Layer, rank: int) -> None:
        """Insert above the field's layer and those results that lie lower; the selection stays as it was."""
        layers = self._viewer.layers
        ranks = {id(self.score_map): 1, id(self.labels): 2, id(self.detections): 3}
        above = [self._owner, *(other for other in self.all() if other is not layer and ranks[id(other)] < rank)]
        at = max(layers.index(other) for other in above if other in layers) + 1
        selected, active = set(layers.selection), layers.selection.active
        layers.insert(at, layer)
        layers.selection = {one for one in selected if one in layers}
        if active is not None and active in layers:
            layers.selection.active = active


def result_owner(layer: object) -> str | None:
    """Unique id of the field's layer that a result layer belongs to, or None."""
    owner = layer.metadata.get(OWNER_KEY) if isinstance(layer, Layer) else None
    return owner if isinstance(owner, str) else None


def annotations_of(metadata: Mapping[str, Any]) -> pd.DataFrame | None:
    """The annotations in the metadata of a field's layer, or None where there are none or they are malformed."""
    found = metadata.get(ANNOTATIONS_KEY)
    if not isinstance(found, pd.DataFrame):
        return None
    try:
        return check_annotations(found)
    except ValueError:
        return None
