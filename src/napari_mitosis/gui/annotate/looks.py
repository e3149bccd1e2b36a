"""How figures of each label are drawn: about the nucleus, not over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from napari.layers import Points


@dataclass(frozen=True)
class Look:
    """Colour, napari's symbol and size of the figures with a label."""

    colour: str
    symbol: str
    size_um: float


# Yellow, blue and white differ for the colour-blind as well, and from haematoxylin, eosin and a detection's green.
LOOKS: Mapping[str, Look] = MappingProxyType(
    {
        "mitosis": Look("#ffd92f", "disc", 19.0),
        "mimic": Look("#1fa8ff", "square", 17.0),
        "unsure": Look("#ffffff", "diamond", 24.0),
    }
)
LINE = 0.045
"""Width of the line, as a share of the size."""


def apply_looks(points: Points, labels: Sequence[str], mpp: float) -> None:
    """Give each point the look of its label; what is as it should be is not set again, for each setting is drawn."""
    looks = [LOOKS[label] for label in labels]
    if not looks:
        return
    sizes = np.array([look.size_um / mpp for look in looks])
    symbols = [look.symbol for look in looks]
    colours = np.array([_rgba(look.colour) for look in looks])
    if [str(symbol) for symbol in points.symbol] != symbols:
        points.symbol = symbols
    if not np.array_equal(points.size, sizes):
        points.size = sizes
    if not np.allclose(points.border_color, colours):
        points.border_color = colours
    if np.asarray(points.face_color)[:, 3].any():
        points.face_color = np.zeros((len(looks), 4))


def _rgba(colour: str) -> tuple[float, float, float, float]:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue, 1.0
