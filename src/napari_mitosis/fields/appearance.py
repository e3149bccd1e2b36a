"""What tissue looks like in a few numbers: its stain, and how sharp it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Orthonormal axes of the density of red, green and blue: how dark, red against blue, and green against both.
# Statistics are hardly correlated along them, as along the axes of Reinhard et al. (2001).
OPPONENT = np.array([[3**-0.5] * 3, [2**-0.5, 0.0, -(2**-0.5)], [6**-0.5, -2 * 6**-0.5, 6**-0.5]])

NUMBERS = 7
"""Mean and spread of the density along each axis of `OPPONENT`, and the sharpness."""


def statistics(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean and spread of the optical density of an image, shape (H, W, 3), along `OPPONENT`; shape (2, 3)."""
    step = max(1, int((pixels.shape[0] * pixels.shape[1] / 65536) ** 0.5))
    density = -np.log((pixels[::step, ::step].reshape(-1, 3) + 1.0) / 256.0) @ OPPONENT.T
    return np.stack([density.mean(axis=0), density.std(axis=0)])


def sharpness(pixels: NDArray[np.uint8]) -> float:
    """Logarithm of how much of the contrast, shape (H, W, 3), lies between neighbouring pixels; lower out of focus."""
    density = -np.log((pixels.astype(np.float64) + 1.0) / 256.0) @ OPPONENT[0]
    steps = np.concatenate([np.diff(density, axis=0).ravel(), np.diff(density, axis=1).ravel()])
    return float(np.log((steps.std() + 1e-3) / (density.std() + 1e-2)))


def appearance(tiles: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """The look of a field from some of its tiles, at the scale at which a network sees it.

    Parameters
    ----------
    tiles : sequence of ndarray of uint8, shape (h, w, 3)

    Returns
    -------
    ndarray of float64, shape (7,)
        See `NUMBERS`.

    Raises
    ------
    ValueError
        If there is no tile.
    """
    if not tiles:
        raise ValueError("the look of nothing was asked for")
    each = np.array([statistics(tile) for tile in tiles])
    mean = each[:, 0].mean(axis=0)
    # The spread of all pixels together: within the tiles, and of their means.
    spread = np.sqrt((each[:, 1] ** 2).mean(axis=0) + each[:, 0].var(axis=0))
    return np.concatenate([mean, spread, [np.mean([sharpness(tile) for tile in tiles])]])
