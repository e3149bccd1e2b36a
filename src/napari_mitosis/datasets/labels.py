"""What a network is taught for a centroid: circle and concentric labels (SegMitos, section 3.2).

A label map holds `MITOSIS`, `BACKGROUND` and `IGNORED`. A cell (i, j) of a map with stride s has its centre
at ((i + 0.5) * s - 0.5) in the pixel frame of the field, as in `evidence.Evidence`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

BACKGROUND = 0
MITOSIS = 1
IGNORED = 255

LabelMap = NDArray[np.uint8]


def concentric_labels(
    shape: tuple[int, int],
    centroids_yx: ArrayLike,
    inner_px: ArrayLike = 12.0,
    outer_px: ArrayLike = 24.0,
    *,
    stride: float = 1.0,
) -> LabelMap:
    """Discs of mitosis inside ignored rings.

    Parameters
    ----------
    shape : tuple of int
        (h, w) of the label map, in cells.
    centroids_yx : array_like, shape (n, 2)
        Centroids (y, x) in field pixels.
    inner_px, outer_px : array_like, scalar or shape (n,)
        Radius of the disc and outer radius of the ring, in field pixels. The paper's fixed pairs are
        (12, 24) and (15, 30).
    stride : float
        Field pixels for each cell.

    Returns
    -------
    ndarray of uint8, shape (h, w)
        A disc wins over any ring that it meets; a ring wins over background.

    Raises
    ------
    ValueError
        If a radius is not positive or an outer one is smaller than its inner one.
    """
    points = np.asarray(centroids_yx, dtype=np.float64).reshape(-1, 2)
    inner = np.broadcast_to(np.asarray(inner_px, dtype=np.float64), len(points))
    outer = np.broadcast_to(np.asarray(outer_px, dtype=np.float64), len(points))
    if len(points) and (inner.min() <= 0 or (outer < inner).any()):
        raise ValueError("radii must be positive, and the outer one not smaller than the inner one")
    labels = np.zeros(shape, dtype=np.uint8)
    discs = []
    for (y, x), r, big in zip(points, inner, outer, strict=True):
        window, distance2 = _window(shape, y, x, big, stride)
        labels[window][distance2 <= big * big] = IGNORED
        discs.append((window, distance2 <= r * r))
    for window, disc in discs:
        labels[window][disc] = MITOSIS
    return labels


def circle_labels(
    shape: tuple[int, int], centroids_yx: ArrayLike, radius_px: ArrayLike = 12.0, *, stride: float = 1.0
) -> LabelMap:
    """Discs without a ring: everything outside is background (the paper's r12 and r15)."""
    return concentric_labels(shape, centroids_yx, radius_px, radius_px, stride=stride)


def random_radii(
    n: int,
    rng: np.random.Generator,
    inner: tuple[float, float] = (10.0, 17.0),
    ratio: tuple[float, float] = (1.5, 2.5),
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Radii r ~ U(10, 17) px and R = a r, a ~ U(1.5, 2.5), of `n` random concentric labels."""
    r = rng.uniform(*inner, size=n)
    return r, r * rng.uniform(*ratio, size=n)


def random_concentric_labels(
    shape: tuple[int, int],
    centroids_yx: ArrayLike,
    rng: np.random.Generator,
    inner: tuple[float, float] = (10.0, 17.0),
    ratio: tuple[float, float] = (1.5, 2.5),
    *,
    stride: float = 1.0,
) -> LabelMap:
    """Concentric labels with the paper's random radii; draw anew for each crop."""
    points = np.asarray(centroids_yx, dtype=np.float64).reshape(-1, 2)
    r, big = random_radii(len(points), rng, inner, ratio)
    return concentric_labels(shape, points, r, big, stride=stride)


def labels_from_boxes(
    shape: tuple[int, int], boxes_yxhw: ArrayLike, *, inner_ratio: float = 0.7, stride: float = 1.0
) -> LabelMap:
    """Concentric labels from boxes: radii R = max(h, w) and r = 0.7 R about the centre (figure 13).

    Parameters
    ----------
    boxes_yxhw : array_like, shape (n, 4)
        Top, left, height and width in field pixels.

    Notes
    -----
    With the paper's 0.7 the disc just circumscribes a square box; a smaller `inner_ratio` keeps it inside.
    """
    boxes = np.asarray(boxes_yxhw, dtype=np.float64).reshape(-1, 4)
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    big = boxes[:, 2:].max(axis=1, initial=0.0)
    return concentric_labels(shape, centres, inner_ratio * big, big, stride=stride)


def labels_from_mask(mask: NDArray[np.integer], *, stride: int = 1) -> LabelMap:
    """Strong labels: every pixel of the mask is mitosis, everything else background.

    At a stride above 1 a cell that holds both is ignored.
    """
    inside = mask > 0
    if stride == 1:
        return inside.astype(np.uint8) * np.uint8(MITOSIS)
    h, w = (-(-n // stride) for n in mask.shape)
    padded = np.pad(inside, ((0, h * stride - mask.shape[0]), (0, w * stride - mask.shape[1])), mode="edge")
    share = padded.reshape(h, stride, w, stride).mean(axis=(1, 3))
    labels = np.full((h, w), IGNORED, dtype=np.uint8)
    labels[share == 0] = BACKGROUND
    labels[share == 1] = MITOSIS
    return labels


def _window(
    shape: tuple[int, int], y: float, x: float, radius: float, stride: float
) -> tuple[tuple[slice, slice], NDArray[np.float64]]:
    """The cells that a circle can reach, and their squared distances in field pixels to its centre."""
    slices: list[slice] = []
    axes: Sequence[tuple[float, int]] = ((y, shape[0]), (x, shape[1]))
    offsets = []
    for centre, size in axes:
        lo = int(np.floor((centre - radius + 0.5) / stride - 0.5))
        hi = int(np.ceil((centre + radius + 0.5) / stride - 0.5)) + 1
        lo, hi = max(lo, 0), min(max(hi, 0), size)
        lo = min(lo, hi)
        slices.append(slice(lo, hi))
        offsets.append((np.arange(lo, hi) + 0.5) * stride - 0.5 - centre)
    distance2 = offsets[0][:, None] ** 2 + offsets[1][None, :] ** 2
    return (slices[0], slices[1]), distance2
