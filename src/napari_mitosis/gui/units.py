"""One kind of unit in a viewer that shows fields of known and of unknown um/px.

napari draws with units only where those of all layers are of one kind. A layer in pixels beside one in micrometres
takes the scale bar's unit away from both, with a warning that stays. So while the um/px of any field is known, the
layers of the others are in micrometres in name. A note on the layer says so, nobody measures by them, and the scale
bar is away while such a field is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable

from napari.components import ViewerModel
from napari.layers import Image

from .field_layer import UNMEASURED_KEY, is_measured, layer_mpp, measured


def agree(layers: Iterable[Image]) -> None:
    """Give layers of fields units of one kind.

    Parameters
    ----------
    layers : iterable of Image
        Of all open fields.
    """
    fields = list(layers)
    known = any(layer_mpp(layer) is not None for layer in fields)
    for layer in fields:
        # The note first: a change of units is told at once, and whoever hears of it asks what they are worth.
        if known and all(str(unit) == "pixel" for unit in layer.units[-2:]):
            layer.metadata = {**layer.metadata, UNMEASURED_KEY: tuple(float(size) for size in layer.scale[-2:])}
            layer.units = ("um", "um")
        elif not known and not is_measured(layer):
            layer.metadata = measured(layer.metadata)
            layer.units = ("pixel", "pixel")
        elif is_measured(layer) and UNMEASURED_KEY in layer.metadata:  # its scale was stated by hand
            layer.metadata = measured(layer.metadata)


class HonestScaleBar:
    """Keeps napari's scale bar away from a field whose micrometres are so in name only.

    Parameters
    ----------
    viewer : ViewerModel
    """

    def __init__(self, viewer: ViewerModel) -> None:
        # napari 0.9 moved the scale bar; older ones have it at the viewer itself.
        self._bar = getattr(getattr(viewer, "canvas", None), "overlays", viewer).scale_bar
        self._away = False

    def follow(self, layer: Image | None) -> None:
        """This field is looked at."""
        away = layer is not None and not is_measured(layer)
        if away and self._bar.visible:
            self._away, self._bar.visible = True, False
        elif self._away and not away:
            self._away, self._bar.visible = False, True
