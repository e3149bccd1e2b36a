"""Fields and results as napari layers, in register to the pixel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Points, Shapes
from napari.utils import Colormap, DirectLabelColormap
from napari.utils.colormaps import ensure_colormap
from numpy.typing import NDArray

from ..datasets.labels import IGNORED, MITOSIS, concentric_labels
from ..decision.evidence import Evidence
from ..session import Result
from .detect.weights import Weights
from .places import OWNER_KEY, insert_above, look_at, placed, set_points

CLEAR_BELOW = 0.35
"""Scores below this fade out, so that the score map does not darken the tissue."""

NOT_FEATURES = ("y_px", "x_px", "y_um", "x_um", "height_px", "width_px")
"""Columns of detections that the layer draws and need not tell."""

RING_UM = 18.0
"""Diameter of a detection's ring: it lies outside the chromatin of a large mitosis."""

RING_WIDTH = 0.045
"""Of its line, as a share of the diameter: thin, so that the eye stays on the nucleus."""

RING_COLOUR = "#00e63c"
"""Green: neither haematoxylin nor eosin."""

LABEL_INNER_UM, LABEL_OUTER_UM = 3.0, 6.0
"""The fixed concentric label of the SegMitos paper, r12R24 at 0.25 um/px."""


BOX_LINE_PX = 1.5
KEPT_BOX, DROPPED_BOX = RING_COLOUR, "#9aa3b2"
CENTROID_BOXES: Mapping[str, str] = MappingProxyType({"fixed boxes": "#ffb81c", "estimated boxes": "#56b4e9"})
"""Boxes made of centroids, and their colours."""

RANKS = ("score map ", "score map", "concentric labels", "boxes", *CENTROID_BOXES, "detections")
"""Which result lies above which, lowest first; "score map " with a name behind it is one of several."""


def score_map(evidence: Evidence, weights: Weights = ()) -> NDArray[np.float32]:
    """A field's score maps as one, shape (h, w), in [0, 1]: what the network saw, before any smoothing.

    Parameters
    ----------
    evidence : Evidence
        With at least one map.
    weights : tuple of (str, float)
        Of a rule. Those that name no map (scores of candidates) do not matter: then it is the plain mean.
    """
    shares = {name: share for name, share in weights if name in evidence.maps} or dict.fromkeys(evidence.maps, 1.0)
    total = sum(shares.values())
    fused = np.zeros(next(iter(evidence.maps.values())).shape, dtype=np.float32)
    for name, share in shares.items():
        if share > 0:
            fused += evidence.maps[name].astype(np.float32) * np.float32(share / total)
    return np.minimum(fused, np.float32(1))


def clear_magma() -> Colormap:
    """Magma whose dark end is clear, so that tissue shows wherever the network saw nothing."""
    magma = ensure_colormap("magma")
    colours = np.array(magma.map(np.linspace(0.0, 1.0, 256)), dtype=np.float64)
    colours[:, 3] = np.clip(np.linspace(0.0, 1.0, 256) / CLEAR_BELOW, 0.0, 1.0)
    return Colormap(colours, name="magma, clear at 0")


class FieldLayers:
    """The result layers of one field: score maps, concentric labels, boxes, detections, in this order.

    A layer that its user has deleted stays away until it is asked for again.

    Parameters
    ----------
    viewer : ViewerModel
    owner : Image
        The field's layer. It is never changed here.
    bury : callable
        Takes layers that are to go.
    picked : callable
        Told the row of a detection that is selected alone, be it by mouse.

    Attributes
    ----------
    maps : dict of str to Image
        Each score map on its own, where there are several; hidden at first.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        owner: Image,
        bury: Callable[..., None],
        picked: Callable[[int], None] = lambda row: None,
    ) -> None:
        self._viewer = viewer
        self._owner = owner
        self._bury = bury
        self._picked = picked
        self._weights: Weights = ()
        self._set_aside: list[Layer] = []
        self.maps: dict[str, Image] = {}
        self.score_map: Image | None = None
        self.detections: Points | None = None
        self.labels: Labels | None = None
        self.boxes: Shapes | None = None
        self.centroid_boxes: dict[str, Shapes] = {}

    def _named(self) -> list[tuple[str, Layer]]:
        """Every layer made here with its name, lowest first; some may be gone from the viewer."""
        singles = [(f"score map {name}", layer) for name, layer in self.maps.items()]
        others = (
            ("score map", self.score_map), ("concentric labels", self.labels), ("boxes", self.boxes),
            *self.centroid_boxes.items(), ("detections", self.detections),
        )  # fmt: skip
        return [*singles, *((name, layer) for name, layer in others if layer is not None)]

    def all(self) -> list[Layer]:
        """The layers that exist, lowest first."""
        return [layer for _, layer in self._named() if self._alive(layer)]

    def show(self, wanted: Mapping[str, bool] | None) -> None:
        """Show the kinds of layers that are wanted; None: the field is not looked at, hide them all."""
        switched = ("score_map", "detections", "labels", "boxes")
        kinds = {name: getattr(self, name) for name in switched}
        for name, layer in kinds.items():
            if layer is not None:
                layer.visible = wanted is not None and wanted[name]
        others = [*self.maps.values(), *self.centroid_boxes.values()]
        if wanted is None:
            self._set_aside += [layer for layer in others if layer.visible]
            for layer in self._set_aside:
                layer.visible = False
        else:
            for layer in self._set_aside:
                layer.visible = True
            self._set_aside = []

    def drop_maps(self) -> None:
        """Take score maps away: they are of other evidence, and nobody asks for them now."""
        self._bury(*self.maps.values(), self.score_map, *self.centroid_boxes.values())
        self.maps, self.centroid_boxes, self.score_map = {}, {}, None

    def has_maps(self) -> bool:
        """Whether the fused score map is there."""
        return self._alive(self.score_map)

    def show_evidence(self, evidence: Evidence, visible: bool, weights: Weights = ()) -> None:
        """Show the score maps of new evidence: fused by the weights, and each on its own but hidden."""
        singles = evidence.maps if len(evidence.maps) > 1 else {}
        gone: list[Layer] = [layer for name, layer in self.maps.items() if name not in singles]
        self.maps = {name: layer for name, layer in self.maps.items() if name in singles}
        if not evidence.maps and self.score_map is not None:
            gone.append(self.score_map)
            self.score_map = None
        self._bury(*gone, *self.centroid_boxes.values())
        self.centroid_boxes = {}
        for name, scores in singles.items():
            known = self.maps.get(name)
            self.maps[name] = self._show_map(
                known, scores.astype(np.float32), evidence.stride, f"score map {name}", None
            )
        if evidence.maps:
            self._weights = weights
            fused = score_map(evidence, weights)
            self.score_map = self._show_map(self.score_map, fused, evidence.stride, "score map", visible)

    def show_weights(self, evidence: Evidence, weights: Weights) -> None:
        """Fuse the score maps that are shown by other weights, in place."""
        if self.score_map is not None and self._alive(self.score_map) and weights != self._weights:
            self._weights = weights
            if len(evidence.maps) > 1:
                self.score_map.data = score_map(evidence, weights)

    def _show_map(
        self, layer: Image | None, data: NDArray[np.float32], stride: float, name: str, visible: bool | None
    ) -> Image:
        """Bring a layer up to date or make it; `visible` None leaves a layer as it is and hides a new one."""
        place = placed(self._owner, (stride, stride), (stride - 1) / 2)
        if layer is not None and self._alive(layer):  # of another model, whose stride may be another
            layer.data, layer.scale, layer.translate = data, place["scale"], place["translate"]
            layer.visible = layer.visible if visible is None else visible
            return layer
        image_layer = Image(
            data,
            name=f"{self._owner.name}: {name}",
            colormap=clear_magma(),
            contrast_limits=(0.0, 1.0),
            blending="translucent",
            opacity=0.6,
            interpolation2d="linear",
            visible=bool(visible),
            **place,
        )
        self._add(image_layer, name)
        return image_layer

    def show_detections(self, result: Result, visible: bool | None = None) -> None:
        """Bring the Points layer up to date, in place. `visible` other than None makes it anew if it is gone."""
        layer = self.detections if self._alive(self.detections) else None
        if layer is None and visible is None:
            return
        points = result.detections[["y_px", "x_px"]].to_numpy(dtype=np.float64)
        features = result.detections.drop(columns=list(NOT_FEATURES), errors="ignore").assign(label="mitosis")
        if layer is None:
            layer = self.detections = Points(
                np.empty((0, 2)),
                ndim=2,
                name=f"{self._owner.name}: detections",
                size=RING_UM / result.evidence.mpp,
                symbol="disc",
                face_color="transparent",
                border_color=RING_COLOUR,
                border_width=RING_WIDTH,
                features={"score": np.empty(0), "area_um2": np.empty(0), "label": np.empty(0, dtype=object)},
                **placed(self._owner),
            )
            layer.selected_data.events.items_changed.connect(self._selected)
            self._add(layer, "detections")
        if visible is not None:
            layer.visible = visible
        layer.selected_data = set()
        set_points(layer, points)
        layer.features = features

    def show_only(self, kept: NDArray[np.bool_]) -> None:
        """Draw the rings of these detections alone; the rows stay."""
        layer = self.detections
        if layer is None or not self._alive(layer) or len(layer.data) != len(kept):
            return
        if not np.array_equal(layer.shown, kept):
            layer.shown = kept

    def _selected(self, *_: object) -> None:
        chosen = set(self.detections.selected_data) if self.detections is not None else set()
        if len(chosen) == 1:
            self._picked(int(chosen.pop()))

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
            **placed(self._owner, (float(stride), float(stride)), (stride - 1) / 2),
        )
        self._add(self.labels, "concentric labels")

    def show_boxes(self, edges: NDArray[np.float64], kept: NDArray[np.bool_], visible: bool) -> None:
        """Show boxes, edges (n, 4) y0, x0, y1, x1 in pixels of the field: kept ones green, dropped ones grey."""
        colours = [KEPT_BOX if is_kept else DROPPED_BOX for is_kept in kept]
        self.boxes = self._show_shapes(self.boxes, edges, colours, "boxes")
        self.boxes.visible = visible

    def show_centroid_boxes(self, boxes: Mapping[str, NDArray[np.float64]]) -> None:
        """Show boxes made of centroids side by side, one layer for each kind, such as fixed and estimated ones."""
        for name, edges in boxes.items():
            colours = [CENTROID_BOXES[name]] * len(edges)
            self.centroid_boxes[name] = self._show_shapes(self.centroid_boxes.get(name), edges, colours, name)
            self.centroid_boxes[name].visible = True

    def _show_shapes(self, layer: Shapes | None, edges: NDArray[np.float64], colours: list[str], name: str) -> Shapes:
        """Bring a layer of rectangles up to date, in place, or make it."""
        alive = self._alive(layer)
        if layer is None or not alive:
            layer = Shapes(
                None,
                ndim=2,
                name=f"{self._owner.name}: {name}",
                face_color="transparent",
                **placed(self._owner),
            )
        layer.data = []
        if len(edges):
            y0, x0, y1, x1 = edges.T
            corners = np.stack([np.stack(pair, axis=1) for pair in ((y0, x0), (y0, x1), (y1, x1), (y1, x0))], axis=1)
            layer.add_rectangles(corners, edge_width=BOX_LINE_PX, edge_color=colours, face_color="transparent")
        if not alive:
            self._add(layer, name)
        return layer

    def look_at(self, row: int, centre_px: tuple[float, float]) -> None:
        """Centre a place of the field, close up, and select this row of the detections layer."""
        look_at(self._viewer, self._owner, centre_px)
        self.select(row)

    def select(self, row: int | None) -> None:
        """Select this row of the detections layer alone, or none."""
        layer = self.detections
        if layer is not None and self._alive(layer):
            chosen = {row} if row is not None and row < len(layer.data) else set()
            if set(layer.selected_data) != chosen:
                layer.selected_data = chosen
                layer.refresh(thumbnail=False, data_displayed=False, extent=False)

    def remove(self) -> None:
        """Take the result layers away."""
        self._bury(*self.all())
        self.score_map = self.detections = self.labels = self.boxes = None
        self.maps, self.centroid_boxes, self._set_aside = {}, {}, []

    def renamed(self) -> None:
        """Follow the name of the field's layer."""
        for what, layer in self._named():
            if self._alive(layer):
                layer.name = f"{self._owner.name}: {what}"

    def _alive(self, layer: Layer | None) -> bool:
        return layer is not None and layer in self._viewer.layers

    def _add(self, layer: Layer, name: str) -> None:
        """Insert above the field's layer and those results that lie lower."""
        lower = [other for known, other in self._named() if other is not layer and _rank(known) <= _rank(name)]
        insert_above(self._viewer, layer, [self._owner, *lower])


def _rank(name: str) -> int:
    return RANKS.index(name) if name in RANKS else 0


def result_owner(layer: object) -> str | None:
    """Unique id of the field's layer that a result layer belongs to, or None."""
    owner = layer.metadata.get(OWNER_KEY) if isinstance(layer, Layer) else None
    return owner if isinstance(owner, str) else None
