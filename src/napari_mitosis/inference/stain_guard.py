"""Stain guard: whether a field looks like anything that a version was trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..fields.appearance import appearance
from ..fields.field import Field
from ..models.card import ModelCard
from .tiling import Tile, model_scale, model_shape, read_tile

TILE_PX = 256
_SIDE = 3
"""Tiles are read from so many rows and columns of a field, evenly spread."""


def look_at(field: Field, mpp: float) -> NDArray[np.float64]:
    """The look of a field at a network's scale (`fields.appearance`), from nine tiles spread over it.

    Parameters
    ----------
    field : Field
    mpp : float
        um/px at which the network sees it.

    Raises
    ------
    MitosisError
        If its um/px is unknown or far from the network's.
    """
    scale = model_scale(field.require_mpp("Comparing stains"), mpp)
    shape = model_shape(field.shape, scale)
    h, w = (min(TILE_PX, n) for n in shape)
    tops, lefts = (
        sorted({int(v) for v in np.linspace(0, n - side, _SIDE)}) for n, side in zip(shape, (h, w), strict=True)
    )
    tiles = []
    for y in tops:
        for x in lefts:
            pixels, top, left = read_tile(
                field, Tile(y, min(y + h, shape[0]), x, min(x + w, shape[1])), shape, scale, 0, 0, 1
            )
            part = pixels[0, :, top : top + h, left : left + w].permute(1, 2, 0)
            tiles.append(part.round().clamp(0, 255).numpy().astype(np.uint8))
    return appearance(tiles)


def unusual_stain(field: Field, card: ModelCard) -> str:
    """A sentence for the reader where a version has seen nothing like this field; empty where it has.

    Raises
    ------
    MitosisError
        See `look_at`.
    """
    if card.seen is None:
        return ""
    distance = card.seen.distance(look_at(field, card.mpp))
    if distance <= 1:
        return ""
    return (
        f"Unusual stain or focus for {card.name}, {distance:.1f} times as far from its training as is usual: "
        "check more candidates, those below the threshold too."
    )
