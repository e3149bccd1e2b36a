"""Turn windows into a training batch: geometry, stain, blur, noise and JPEG, and the labels that follow.

Rotations, shifts and mirror images are the paper's (SegMitos, 3.1.4); zoom, stain, blur and JPEG are added
because scanners and compression differ more than the paper's four data sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import imagecodecs
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..datasets.labels import BACKGROUND, IGNORED, concentric_labels, random_radii
from .stain import COLOUR, Colour, StainBank, disturb_colour
from .windows import Window

LABELS = ("random", "fixed", "circle", "mask")
"""Kinds of labels a dense network can be taught."""


@dataclass(frozen=True)
class Augmentation:
    """How far each disturbance may go; the defaults are those of all compact networks.

    Attributes
    ----------
    crop_px : int
        Side of the crops that a network sees.
    margin_px : int
        Width of the rim of a crop in which nothing counts as background: what lies there is seen with less
        context than in a whole field.
    zoom : tuple of float
        Smallest and largest; scanners differ by a tenth, and nuclei of one grade from those of another by more.
    colour : Colour
    blur_share, blur_sigma_px : float
        Share of crops out of focus, and the largest standard deviation.
    noise : float
        Largest standard deviation, of 255.
    jpeg_share, jpeg_quality
        Share of crops that are compressed once more, and between which qualities.
    label : {"random", "fixed", "circle", "mask"}
        Random concentric labels, those of 12 and 24 px, discs of 12 px without a ring, or the pixels of the masks
        (random concentric ones where there is none).
    """

    crop_px: int = 192
    margin_px: int = 0
    zoom: tuple[float, float] = (0.7, 1.4)
    colour: Colour = COLOUR
    blur_share: float = 0.3
    blur_sigma_px: float = 1.2
    noise: float = 3.0
    jpeg_share: float = 0.6
    jpeg_quality: tuple[int, int] = (40, 95)
    label: str = "random"

    def in_stains_of(self, bank: StainBank) -> Augmentation:
        """The same, with windows moved towards the stains of `bank`."""
        return replace(self, colour=replace(self.colour, bank=bank))


def plain(crop_px: int, **changes: Any) -> Augmentation:
    """Turned and mirrored crops, not disturbed otherwise: what the papers do."""
    still = Augmentation(
        crop_px, zoom=(1.0, 1.0), colour=Colour(stain=0.0, offset=0.0), blur_share=0.0, noise=0.0, jpeg_share=0.0
    )
    return replace(still, **changes)


def make_batch(
    windows: Sequence[Window], rng: np.random.Generator, how: Augmentation, stride: int
) -> tuple[Tensor, Tensor]:
    """Augmented crops and their concentric labels.

    Parameters
    ----------
    windows : sequence of Window
        N windows.
    rng : numpy.random.Generator
        The only source of randomness.
    how : Augmentation
    stride : int
        Crop pixels for each label cell.

    Returns
    -------
    crops : Tensor of float32, shape (N, 3, crop_px, crop_px)
        RGB in [0, 255].
    labels : Tensor of int64, shape (N, crop_px / stride, crop_px / stride)
    """
    crops, turn = _turned(windows, rng, how)
    ignored = _ignored(windows, turn, how, stride)
    labels = np.stack([_labels(w, m, rng, how, stride) for w, m in zip(windows, turn, strict=True)])
    if how.label == "mask":
        strong = _strong(windows, turn, how, stride).numpy()
        known = np.array([w.mask is not None and bool((w.mask != IGNORED).any()) for w in windows])
        labels[known] = strong[known]
    labels[ignored & (labels == BACKGROUND)] = IGNORED
    return _disturbed(crops, rng, how), torch.from_numpy(labels.astype(np.int64))


def centroid_batch(
    windows: Sequence[Window], rng: np.random.Generator, how: Augmentation
) -> tuple[Tensor, list[NDArray[np.float64]], Tensor]:
    """Augmented crops with the centroids in them, for losses that make their own targets.

    Returns
    -------
    crops : Tensor of float32, shape (N, 3, crop_px, crop_px)
        RGB in [0, 255].
    centroids : list of ndarray, shape (n, 2)
        Mitoses (y, x) in crop pixels; only those within the crop or up to 30 px beyond it.
    ignore : Tensor of bool, shape (N, crop_px, crop_px)
        Pixels that must not count as background.
    """
    crops, moved, ignored = point_batch(windows, [w.mitoses_yx for w in windows], rng, how)
    centroids = [points[((points > -30) & (points < how.crop_px + 30)).all(axis=1)] for points in moved]
    return crops, centroids, ignored


def point_batch(
    windows: Sequence[Window], points: Sequence[NDArray[np.float64]], rng: np.random.Generator, how: Augmentation
) -> tuple[Tensor, list[NDArray[np.float64]], Tensor]:
    """Augmented crops with any points of their windows, such as outlines.

    Parameters
    ----------
    points : sequence of ndarray, shape (n, 2)
        (y, x) in pixels of each window.

    Returns
    -------
    crops, points, ignore
        As from `centroid_batch`, but every point, wherever it comes to lie.
    """
    crops, turn = _turned(windows, rng, how)
    ignored = torch.from_numpy(_ignored(windows, turn, how, 1))
    sides = [w.pixels.shape[0] for w in windows]
    moved = [_moved(p, side, matrix, how) for p, side, matrix in zip(points, sides, turn, strict=True)]
    return _disturbed(crops, rng, how), moved, ignored


def strong_batch(
    windows: Sequence[Window], rng: np.random.Generator, how: Augmentation, stride: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Augmented crops with concentric labels and, of windows that have a mask, strong ones.

    Returns
    -------
    crops : Tensor of float32, shape (N, 3, crop_px, crop_px)
        RGB in [0, 255].
    concentric, strong : Tensor of int64, shape (N, crop_px / stride, crop_px / stride)
        A cell that holds both mitosis and background has no strong label.
    """
    crops, turn = _turned(windows, rng, how)
    ignored = _ignored(windows, turn, how, stride)
    labels = np.stack([_labels(w, m, rng, how, stride) for w, m in zip(windows, turn, strict=True)])
    labels[ignored & (labels == BACKGROUND)] = IGNORED
    strong = _strong(windows, turn, how, stride)
    return _disturbed(crops, rng, how), torch.from_numpy(labels.astype(np.int64)), strong


def _strong(windows: Sequence[Window], turn: NDArray[np.float64], how: Augmentation, stride: int) -> Tensor:
    """Strong labels (N, crop_px / stride, crop_px / stride), 255 where there are none or a cell holds both."""
    unknown = np.full(windows[0].pixels.shape[:2], IGNORED, dtype=np.uint8)
    mask = torch.from_numpy(np.stack([unknown if w.mask is None else w.mask for w in windows]))[:, None].float()
    grid = _grid(turn, windows[0].pixels.shape[0], how.crop_px, 1)
    pixel = F.grid_sample(mask, grid, mode="nearest", padding_mode="border", align_corners=False)
    low, high = -F.max_pool2d(-pixel, stride)[:, 0], F.max_pool2d(pixel, stride)[:, 0]
    return torch.where(low == high, low, torch.tensor(float(IGNORED))).long()


def _turned(
    windows: Sequence[Window], rng: np.random.Generator, how: Augmentation
) -> tuple[Tensor, NDArray[np.float64]]:
    """Crops turned, mirrored and zoomed, and the matrices that did it."""
    turn = np.stack([_random_matrix(rng, how.zoom) for _ in windows])
    pixels = torch.from_numpy(np.stack([w.pixels for w in windows])).permute(0, 3, 1, 2).float()
    grid = _grid(turn, windows[0].pixels.shape[0], how.crop_px, 1)
    crops = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return crops, turn


def _ignored(windows: Sequence[Window], turn: NDArray[np.float64], how: Augmentation, stride: int) -> NDArray[np.bool_]:
    """Cells of the crops that must not count as background, (N, crop_px / stride, crop_px / stride).

    Beyond its window a crop shows a mirror image, in which nobody knows where the mitoses are.
    """
    known = torch.from_numpy(np.stack([~w.ignore for w in windows]))[:, None].float()
    grid = _grid(turn, windows[0].pixels.shape[0], how.crop_px, stride)
    known = F.grid_sample(known, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    ignored = known[:, 0].numpy() < 0.5
    rim = -(-how.margin_px // stride)
    if rim:
        ignored[:, :rim] = ignored[:, -rim:] = True
        ignored[:, :, :rim] = ignored[:, :, -rim:] = True
    return np.asarray(ignored)


def _disturbed(crops: Tensor, rng: np.random.Generator, how: Augmentation) -> Tensor:
    """Crops with other stain, blur, noise and compression."""
    crops = _blur(disturb_colour(crops, rng, how.colour), rng, how)
    crops = crops + torch.from_numpy(rng.normal(0, rng.uniform(0, how.noise), crops.shape).astype(np.float32))
    crops = _jpeg(crops.clamp_(0, 255), rng, how)
    return crops.contiguous(memory_format=torch.channels_last)


def _random_matrix(rng: np.random.Generator, zoom: tuple[float, float]) -> NDArray[np.float64]:
    """2 x 2 matrix from crop (y, x) about its centre to window (y, x) about its centre."""
    angle = rng.uniform(0, 2 * np.pi)
    scale = np.exp(rng.uniform(np.log(zoom[0]), np.log(zoom[1])))
    c, s = np.cos(angle), np.sin(angle)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    matrix: NDArray[np.float64] = np.array([[c, -s * mirror], [s, c * mirror]]) / scale
    return matrix


def _grid(turn: NDArray[np.float64], side: int, size: int, stride: int) -> Tensor:
    """Sampling grid (N, size / stride, size / stride, 2) in `grid_sample`'s (x, y) of [-1, 1]."""
    cells = size // stride
    axis = (np.arange(cells) + 0.5) * stride - size / 2
    yx = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    there = np.matmul(yx[None], turn.transpose(0, 2, 1)[:, None]) / (side / 2)
    return torch.from_numpy(there[..., ::-1].astype(np.float32).copy())


def _labels(
    window: Window, turn: NDArray[np.float64], rng: np.random.Generator, how: Augmentation, stride: int
) -> NDArray[np.uint8]:
    """The label map of one crop, drawn in the crop's own frame."""
    scale = 1.0 / np.sqrt(abs(np.linalg.det(turn)))
    points = _points(window, turn, how)
    n = len(points)
    if how.label in ("random", "mask"):
        inner, outer = random_radii(n, rng)
    elif how.label == "fixed":
        inner, outer = np.full(n, 12.0), np.full(n, 24.0)
    elif how.label == "circle":
        inner, outer = np.full(n, 12.0), np.full(n, 12.0)
    else:
        raise ValueError(f"label must be one of {', '.join(LABELS)}, not {how.label!r}")
    cells = how.crop_px // stride
    return concentric_labels((cells, cells), points, inner * scale, outer * scale, stride=stride)


def _points(window: Window, turn: NDArray[np.float64], how: Augmentation) -> NDArray[np.float64]:
    """Mitoses of a window in the frame of its crop."""
    return _moved(window.mitoses_yx, window.pixels.shape[0], turn, how)


def _moved(points: NDArray[np.float64], side: int, turn: NDArray[np.float64], how: Augmentation) -> NDArray[np.float64]:
    """Points of a window with this side in the frame of its crop."""
    centre = (points + 0.5 - side / 2) @ np.linalg.inv(turn).T
    return np.asarray(centre + how.crop_px / 2 - 0.5)


def _blur(crops: Tensor, rng: np.random.Generator, how: Augmentation) -> Tensor:
    """Gaussian blur of a share of the crops, as of a field out of focus."""
    out = crops.clone()
    for i in np.flatnonzero(rng.random(len(crops)) < how.blur_share):
        sigma = rng.uniform(0.3, how.blur_sigma_px)
        t = torch.arange(-4, 5, dtype=torch.float32)
        kernel = torch.exp(-(t**2) / (2 * sigma**2))
        kernel = kernel / kernel.sum()
        x = F.pad(crops[i : i + 1], (4, 4, 4, 4), mode="reflect").permute(1, 0, 2, 3)
        x = F.conv2d(x, kernel[None, None, :, None])
        out[i] = F.conv2d(x, kernel[None, None, None, :])[:, 0]
    return out


def _jpeg(crops: Tensor, rng: np.random.Generator, how: Augmentation) -> Tensor:
    """Compress a share of the crops, once, at a random quality; the 8 x 8 grid falls where it falls."""
    chosen = np.flatnonzero(rng.random(len(crops)) < how.jpeg_share)
    for i in chosen:
        image = np.ascontiguousarray(crops[i].permute(1, 2, 0).numpy().round().astype(np.uint8))
        quality = int(rng.integers(how.jpeg_quality[0], how.jpeg_quality[1] + 1))
        coded = imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(image, level=quality))
        crops[i] = torch.from_numpy(coded.astype(np.float32)).permute(2, 0, 1)
    return crops
