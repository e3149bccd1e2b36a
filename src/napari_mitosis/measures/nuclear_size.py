"""A guess of the pixel size from how large nuclei are drawn, where nothing states it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

NUCLEUS_UM = 7.0
"""Reference: what is dark of a nucleus of about 8 um across. A choice, no measurement of the patient's cells."""

LEAST_NUCLEI = 20
_LEAST_PX = 30
_SOLID = 0.85
"""Least share of its convex hull that a nucleus fills: clumps and strands fill less."""
_SMOOTH_PX = 1.0
_PALER = 0.3
"""How far the threshold lies below Otsu's, towards the paler tissue: Otsu's own leaves pale nuclei in pieces."""


def nuclear_diameter_px(image: NDArray[np.uint8]) -> float | None:
    """Median diameter of the nuclei of H&E tissue, each weighted by its area so that specks do not decide.

    Haematoxylin is taken as the optical density in red, which eosin hardly absorbs: unlike an unmixing with fixed
    stain vectors it does not depend on the laboratory's stain.

    Parameters
    ----------
    image : ndarray of uint8, shape (h, w, 3)
        RGB.

    Returns
    -------
    float or None
        Diameter in pixels of the disc of the same area; None with fewer than `LEAST_NUCLEI` nuclei.
    """
    from skimage.filters import threshold_otsu  # slow to load
    from skimage.measure import regionprops_table

    density = ndimage.gaussian_filter(-np.log10((image[..., 0].astype(np.float64) + 1) / 256), _SMOOTH_PX)
    if float(np.ptp(density)) == 0:
        return None
    threshold = float(threshold_otsu(density))  # type: ignore[no-untyped-call]
    threshold -= _PALER * (threshold - float(np.median(density[density <= threshold])))
    dark = ndimage.binary_fill_holes(density > threshold)
    nuclei = ndimage.label(dark)[0]
    table = regionprops_table(nuclei, properties=("area", "solidity"))  # type: ignore[no-untyped-call]
    areas = np.sort(table["area"][(table["area"] >= _LEAST_PX) & (table["solidity"] > _SOLID)])
    if len(areas) < LEAST_NUCLEI:
        return None
    share = np.cumsum(areas) / areas.sum()
    return 2 * float(np.sqrt(areas[np.searchsorted(share, 0.5)] / np.pi))


def guess_mpp(image: NDArray[np.uint8]) -> float | None:
    """Guess um/px as `NUCLEUS_UM` over the median diameter of the nuclei.

    A guess, for a reader to accept or not: nuclei of lymphocytes and of large tumour cells differ by more than two
    times, and the guess with them.

    Parameters
    ----------
    image : ndarray of uint8, shape (h, w, 3)
        RGB, of H&E tissue.

    Returns
    -------
    float or None
        um/px to a hundredth; None where there are too few nuclei to tell.
    """
    diameter = nuclear_diameter_px(image)
    return None if diameter is None else max(0.01, round(NUCLEUS_UM / diameter, 2))
