"""A comparison as napari layers: one of points for each detector, and one that tells by how many each was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from napari.components import ViewerModel
from napari.layers import Image, Points
from qtpy.QtGui import QColor

from ..grave import Grave
from ..layers import RING_COLOUR, RING_WIDTH
from ..places import COMPARISON, KIND_KEY, insert_above, placed, set_points
from ..style import readable

if TYPE_CHECKING:
    from ...batches.compare import Comparison

FIRST_UM, STEP_UM = 13.0, 2.5
"""Diameter of the first detector's mark, and how much larger each next one is: they lie around one another."""


LABELS = "found by"
"""Name of the layer that tells of each figure by how many it was found."""

TISSUE = "#d9a9c8"
"""Ground of the words: eosin, darker than what surrounds most figures."""

TEXT = readable(RING_COLOUR, QColor(TISSUE))
"""The green of detections, as dark as it takes to be read on tissue."""


@dataclass(frozen=True)
class Style:
    """Colour and symbol of a detector: any two of them differ in both, also for the colour-blind."""

    colour: str
    symbol: str


STYLES: tuple[Style, ...] = (
    Style("#f0e442", "disc"),
    Style("#56b4e9", "square"),
    Style("#009e73", "diamond"),
    Style("#e69f00", "triangle_up"),
    Style("#0072b2", "triangle_down"),
    Style("#d55e00", "star"),
    Style("#ffffff", "cross"),
)


def style(number: int) -> Style:
    """Colour and symbol of the detector with this number."""
    return STYLES[number % len(STYLES)]


@dataclass(frozen=True, eq=False)
class Compared:
    """A comparison, and the epoch of the open field that it is of."""

    comparison: Comparison
    epoch: int

    @property
    def names(self) -> list[str]:
        """The detectors, in their order."""
        return list(self.comparison.detections)

    @property
    def summary(self) -> str:
        """Figures by number of finders, in words."""
        found_by = self.comparison.agreement["found_by"]
        of = len(self.names)
        parts = [f"{int((found_by == n).sum())} by {n} of {of}" for n in range(of, 0, -1)]
        return f"<b>{len(found_by)} figures</b>: {', '.join(parts)}"


class AgreementLayers:
    """The layers of one field's comparison.

    Parameters
    ----------
    viewer : ViewerModel
    owner : Image
        The field's layer.
    grave : Grave
    """

    def __init__(self, viewer: ViewerModel, owner: Image, grave: Grave) -> None:
        self._viewer = viewer
        self._grave = grave
        self._owner = owner
        self.layers: dict[str, Points] = {}
        self._visible: dict[str, bool] = {}
        self._labelled = False

    def show(self, comparison: Comparison) -> None:
        """Bring the layers up to date, in place where they are there."""
        stale = [name for name in self.layers if name not in comparison.detections and name != LABELS]
        for name in stale:
            self._grave.bury(self.layers.pop(name))
        mpp = float(comparison.field.mpp or 1.0)
        for number, (name, table) in enumerate(comparison.detections.items()):
            look = style(number)
            features = table.drop(columns=["y_px", "x_px", "y_um", "x_um"])
            options = {
                "symbol": look.symbol,
                "border_color": look.colour,
                "size": (FIRST_UM + STEP_UM * number) / mpp,
                "border_width": RING_WIDTH,
            }
            self._show_points(name, table, features, options)
        agreement = comparison.agreement
        features = agreement.drop(columns=["y_px", "x_px", "y_um", "x_um"]).assign(label=comparison.labels)
        away = 0.5 * (FIRST_UM + STEP_UM * len(comparison.detections)) / mpp  # beside the outermost mark
        text: dict[str, Any] = {
            "string": "{label}", "color": TEXT, "size": 11, "anchor": "lower_left", "translation": (-away, away)
        }  # fmt: skip
        options = {"size": 1.0, "border_color": "transparent", "text": text, "visible": self._labelled}
        self._show_points(LABELS, agreement, features, options)

    def _show_points(self, name: str, table: pd.DataFrame, features: pd.DataFrame, options: dict[str, Any]) -> None:
        """Update a layer of points, or make it."""
        points = table[["y_px", "x_px"]].to_numpy(dtype=np.float64)
        layer = self.layers.get(name)
        if layer is not None and layer in self._viewer.layers:
            # Text that reads a feature must not see points without theirs: take the points away meanwhile.
            set_points(layer, np.empty((0, 2)))
            layer.features = features.iloc[:0]
            set_points(layer, points)
            layer.features = features
            layer.refresh_text()
            return
        layer = self.layers[name] = Points(
            points,
            ndim=2,
            name=f"{self._owner.name}: {name}",
            face_color="transparent",
            features=features,
            **options,
            **placed(self._owner),
        )
        layer.metadata[KIND_KEY] = COMPARISON
        insert_above(self._viewer, layer, list(self._viewer.layers))

    def label(self, labelled: bool) -> None:
        """Write at each figure by how many it was found, or no longer; at first the marks stand alone."""
        self._labelled = labelled
        if LABELS in self._visible:
            self._visible[LABELS] = labelled
        elif LABELS in self.layers:
            self.layers[LABELS].visible = labelled

    def set_visible(self, visible: bool) -> None:
        """Show the layers as their user left them, or hide them all."""
        for name, layer in self.layers.items():
            if visible and name in self._visible:
                layer.visible = self._visible.pop(name)
            elif not visible and name not in self._visible:
                self._visible[name] = layer.visible
                layer.visible = False

    def remove(self) -> None:
        """Take the layers away, but not now: the list may be in the middle of clearing itself."""
        self._grave.bury(*self.layers.values())
        self.layers = {}
