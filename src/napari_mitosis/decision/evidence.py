"""What a network saw in a field: score maps, candidates or both, before any threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

CANDIDATE_COLUMNS: tuple[str, ...] = ("y_px", "x_px", "height_px", "width_px")
"""Centre and size of a candidate's box in field pixels; score columns and information columns follow."""

BOX_SIZE: tuple[str, ...] = CANDIDATE_COLUMNS[2:]
"""Height and width of a candidate's box in field pixels; detections made of candidates keep them."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """The score maps or candidates of one field by one model version; no threshold has been applied.

    Attributes
    ----------
    maps : mapping of str to ndarray of float16, shape (h, w)
        Named score maps, each value a probability of mitosis in [0, 1]. Every map has the same shape. Empty
        for detectors that find boxes.
    stride : float
        Field pixels for each map cell. Cell (i, j) covers field pixels [i * stride, (i + 1) * stride), so
        its centre stands at ((i + 0.5) * stride - 0.5) in the (y, x) pixel frame of the field.
    shape : tuple of int
        (H, W) of the field, in pixels; h = ceil(H / stride).
    mpp : float
        um/px of the field.
    model : str
        Model version, such as ``segmitos@1.0.0``.
    field_digest : str
        `Field.digest` of the field that was looked at.
    candidates : DataFrame or None
        What a detector of boxes, a second stage or an ensemble found; decisions are then made on these. Float64
        columns `CANDIDATE_COLUMNS`, then `scores`, then columns that only inform.
    scores : tuple of str
        Names of the score columns of `candidates`, each in [0, 1]; the first is that of the first stage.
    """

    maps: Mapping[str, NDArray[np.float16]]
    stride: float
    shape: tuple[int, int]
    mpp: float
    model: str
    field_digest: str
    candidates: pd.DataFrame | None = None
    scores: tuple[str, ...] = ()

    @property
    def weighable(self) -> tuple[str, ...]:
        """What fusion weights may name: the score columns of candidates, else the score maps."""
        return self.scores if self.candidates is not None else tuple(self.maps)

    @property
    def information(self) -> tuple[str, ...]:
        """Columns of the candidates that are no score and no place."""
        if self.candidates is None:
            return ()
        known = {*CANDIDATE_COLUMNS, *self.scores}
        return tuple(name for name in self.candidates.columns if name not in known)

    @property
    def cell_um2(self) -> float:
        """Area of one map cell in um2."""
        return (self.stride * self.mpp) ** 2

    @property
    def area_mm2(self) -> float:
        """Area of the field in mm2."""
        return self.shape[0] * self.shape[1] * self.mpp**2 / 1e6
