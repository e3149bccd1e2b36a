"""From where a reader clicked to the centre of what was meant. Pure."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..decision.evidence import Evidence

SNAP_UM = 6.0
"""A blob further from the click than this was not meant."""

SNAP_LEVEL = 0.15
"""Cells with a score above this belong to a blob: far below any rule, for a reader marks what a rule leaves out."""


def snapped(evidence: Evidence | None, y_px: float, x_px: float, radius_um: float = SNAP_UM) -> tuple[float, float]:
    """The centroid of the blob under a click; the click itself where there is none.

    Parameters
    ----------
    evidence : Evidence or None
        Its score maps are averaged. Without maps there is nothing to snap to.
    y_px, x_px : float
        The click, in pixels of the field.
    radius_um : float
        Only cells of the blob within so much of the click count; its centroid is weighted with the score. Of several
        blobs, the one with the cell nearest to the click.

    Returns
    -------
    tuple of float
        (y, x) in pixels of the field.
    """
    if evidence is None or not evidence.maps:
        return y_px, x_px
    stride = evidence.stride
    shape = next(iter(evidence.maps.values())).shape
    reach = radius_um / (evidence.mpp * stride)
    centre = (np.array([y_px, x_px]) + 0.5) / stride - 0.5  # in cells
    low = np.maximum(np.floor(centre - reach).astype(int), 0)
    high = np.minimum(np.ceil(centre + reach).astype(int) + 1, shape)
    if (low >= high).any():
        return y_px, x_px
    window = (slice(low[0], high[0]), slice(low[1], high[1]))
    score = np.mean([scores[window].astype(np.float64) for scores in evidence.maps.values()], axis=0)
    ys, xs = (axis.astype(np.float64) for axis in np.mgrid[window])
    distance = np.hypot(ys - centre[0], xs - centre[1])
    inside = (score > SNAP_LEVEL) & (distance <= reach)
    if not inside.any():
        return y_px, x_px
    blobs, _ = ndimage.label(inside, structure=np.ones((3, 3), dtype=bool))
    nearest = np.unravel_index(np.argmin(np.where(inside, distance, np.inf)), distance.shape)
    weight = np.where(blobs == blobs[nearest], score, 0.0)
    cell = np.array([(ys * weight).sum(), (xs * weight).sum()]) / weight.sum()
    y, x = (cell + 0.5) * stride - 0.5
    return float(y), float(x)
