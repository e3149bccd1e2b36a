"""What a network saw in a field: score maps, before any threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Evidence:
    """The score maps of one field by one model version; no threshold has been applied.

    Attributes
    ----------
    maps : mapping of str to ndarray of float16, shape (h, w)
        Named score maps, each value a probability of mitosis in [0, 1]. Every map has the same shape.
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
    """

    maps: Mapping[str, NDArray[np.float16]]
    stride: float
    shape: tuple[int, int]
    mpp: float
    model: str
    field_digest: str

    @property
    def cell_um2(self) -> float:
        """Area of one map cell in um2."""
        return (self.stride * self.mpp) ** 2

    @property
    def area_mm2(self) -> float:
        """Area of the field in mm2."""
        return self.shape[0] * self.shape[1] * self.mpp**2 / 1e6
