"""Stain and colour of training windows: drawn anew for each, so that no stain tells a class.

Crops and fields come from different laboratories, and most crops hold a mitosis: a network would learn the stain
of the one and call it the other. Each window is therefore moved towards the statistics of another image.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..fields.appearance import OPPONENT, statistics

# Unit optical densities of haematoxylin, eosin and a residual (Ruifrok and Johnston), one stain a row.
HED = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105], [0.268, 0.570, 0.776]])

_LARGEST_GAIN = 2.5


@dataclass(frozen=True, eq=False)
class StainBank:
    """Stain statistics of images that windows may be made to look like.

    Attributes
    ----------
    mean, spread : ndarray of float64, shape (n, 3)
        Of the optical density (natural logarithm) along `OPPONENT`, one image a row.
    share : ndarray of float64, shape (n,)
        How often each is drawn; they sum to 1.
    """

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    share: NDArray[np.float64]

    def draw(self, count: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and spread of `count` targets, shape (count, 3) each; between two images as often as at one."""
        first, second = rng.choice(len(self.share), (2, count), p=self.share)
        between = (rng.random((count, 1)) * (rng.random((count, 1)) < 0.5)).astype(np.float64)
        mean = self.mean[first] + between * (self.mean[second] - self.mean[first])
        spread = self.spread[first] + between * (self.spread[second] - self.spread[first])
        return mean, spread


def stain_bank(groups: Sequence[Iterable[NDArray[np.uint8]]]) -> StainBank:
    """Statistics of images of several origins; every group is drawn alike often, whatever its size.

    Parameters
    ----------
    groups : sequence of iterables of ndarray of uint8, shape (H, W, 3)
        Images of one scanner, data set or laboratory each; empty groups are left out.

    Raises
    ------
    ValueError
        If there is no image at all.
    """
    each = [[statistics(pixels) for pixels in group] for group in groups]
    each = [group for group in each if group]
    if not each:
        raise ValueError("a stain bank needs at least one image")
    table = np.array([row for group in each for row in group])
    share = np.concatenate([np.full(len(group), 1 / (len(group) * len(each))) for group in each])
    return StainBank(table[:, 0], table[:, 1], share / share.sum())


@dataclass(frozen=True)
class Colour:
    """How far the colour of a window may be disturbed.

    Attributes
    ----------
    stain : float
        Spread of the logarithm of the gain of each stain (haematoxylin, eosin, residual).
    offset : float
        Largest shift of the density of each stain.
    transfer : float
        Share of windows that are moved towards the statistics of another image of the bank; how far is uniform.
    gamma, contrast, brightness : float
        Largest change of the logarithm of gamma, of contrast about the middle grey, and of brightness (of 1).
    hue : float
        Largest turn about the grey axis in radians.
    bank : StainBank, optional
        Without one nothing is transferred.
    """

    stain: float = 0.25
    offset: float = 0.04
    transfer: float = 0.0
    gamma: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    hue: float = 0.0
    bank: StainBank | None = None


COLOUR = Colour(stain=0.15, offset=0.03, transfer=0.7, gamma=0.15, contrast=0.15, brightness=0.05, hue=0.08)
"""What all compact networks are trained with."""


def disturb_colour(crops: Tensor, rng: np.random.Generator, how: Colour) -> Tensor:
    """Crops in other stains and colours.

    Parameters
    ----------
    crops : Tensor of float32, shape (N, 3, H, W)
        RGB in [0, 255].

    Returns
    -------
    Tensor of float32, shape (N, 3, H, W)
        RGB; a little may lie outside [0, 255].
    """
    n, _, h, w = crops.shape
    density = -torch.log((crops + 1.0) / 256.0)
    matrix, bias = _density_change(density, rng, how)
    # Gamma is a power of the transmitted light: a factor of the density.
    gamma = np.exp(rng.uniform(-how.gamma, how.gamma, n))[:, None]
    matrix, bias = matrix * gamma[:, :, None], bias * gamma
    density = _affine(density.reshape(n, 3, h * w), matrix, bias)
    rgb = 256.0 * torch.exp(-density.clamp_(min=0.0)) - 1.0
    if how.contrast or how.brightness or how.hue:
        rgb = _affine(rgb, *_light_change(n, rng, how))
    return rgb.reshape(n, 3, h, w)


def _density_change(
    density: Tensor, rng: np.random.Generator, how: Colour
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matrices (N, 3, 3) and shifts (N, 3) of the density: the transfer, then the jitter of each stain."""
    n = len(density)
    gain = np.exp(rng.normal(0, how.stain, (n, 3)).clip(-2 * how.stain, 2 * how.stain))
    shift = rng.uniform(-how.offset, how.offset, (n, 3))
    to_stain = np.linalg.inv(HED)
    # Density D -> D @ to_stain (amounts) -> scaled -> @ HED: one 3 x 3 matrix for each crop.
    matrix = np.einsum("ij,nj,jk->nki", to_stain, gain, HED)
    bias = shift @ HED
    if how.bank is None or how.transfer <= 0:
        return matrix, bias
    first_matrix, first_bias = _transfer(density, rng, how.bank, how.transfer)
    return matrix @ first_matrix, (matrix @ first_bias[:, :, None])[:, :, 0] + bias


def _transfer(
    density: Tensor, rng: np.random.Generator, bank: StainBank, share: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matrices and shifts of the density that move each crop's statistics towards those of another image."""
    n = len(density)
    few = density[:, :, ::3, ::3].reshape(n, 3, -1).double().numpy()
    along = np.einsum("ij,njp->nip", OPPONENT, few)
    mean, spread = along.mean(axis=2), along.std(axis=2)
    target_mean, target_spread = bank.draw(n, rng)
    gain = (target_spread / np.maximum(spread, 0.02)).clip(1 / _LARGEST_GAIN, _LARGEST_GAIN)
    far = rng.random((n, 1)) * (rng.random((n, 1)) < share)
    gain = np.exp(far * np.log(gain))
    shift = mean + far * (target_mean - mean) - gain * mean
    matrix = np.einsum("ji,nj,jk->nik", OPPONENT, gain, OPPONENT)
    return matrix, shift @ OPPONENT


def _light_change(n: int, rng: np.random.Generator, how: Colour) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matrices and shifts of RGB: a turn about the grey axis, contrast and brightness."""
    angle = rng.uniform(-how.hue, how.hue, n)
    axis = np.full(3, 3**-0.5)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    turn = cos * np.eye(3) + (1 - cos) * np.outer(axis, axis) + sin * cross
    contrast = 1 + rng.uniform(-how.contrast, how.contrast, n)
    bright = 255.0 * rng.uniform(-how.brightness, how.brightness, n)
    bias = np.repeat((bright + 127.5 * (1 - contrast))[:, None], 3, axis=1)
    return turn * contrast[:, None, None], bias


def _affine(values: Tensor, matrix: NDArray[np.float64], bias: NDArray[np.float64]) -> Tensor:
    """``matrix @ values + bias`` of each of N crops of shape (3, pixels)."""
    shift = torch.from_numpy(bias.astype(np.float32))[:, :, None]
    return torch.baddbmm(shift, torch.from_numpy(matrix.astype(np.float32)), values)
