"""Losses of the dense detectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..datasets.labels import BACKGROUND, IGNORED, LabelMap, concentric_labels, random_concentric_labels
from .configured import Places


def concentric_loss(logits: Tensor, labels: Tensor, reduction: Literal["sum", "normalised"] = "sum") -> Tensor:
    """Softmax cross-entropy over disc and background; the ring takes no part (SegMitos, equation 1).

    Parameters
    ----------
    logits : Tensor, shape (N, 2, H, W)
        Scores of background and mitosis.
    labels : Tensor of int64, shape (N, H, W)
        1 in the disc, 0 in the background, 255 in the ring. The gradient in the ring is exactly zero.
    reduction : {"sum", "normalised"}
        ``"sum"`` is the paper's, made for learning rates near 1e-10. ``"normalised"`` divides the same sum
        by the number of disc cells (at least one for each image), so that learning rates do not depend on
        the size of crops, and a hard background cell still weighs as much as a mitotic one.

    Returns
    -------
    Tensor
        A scalar. Weight decay, the paper's last term, is the optimiser's.
    """
    total = F.cross_entropy(logits.float(), labels, ignore_index=IGNORED, reduction="sum")
    if reduction == "sum":
        return total
    disc_cells = (labels == 1).sum().clamp(min=labels.shape[0])
    return total / disc_cells


def random_labels(
    centroids: Places,
    shape: tuple[int, int],
    stride: int,
    rng: np.random.Generator,
    ignore: Tensor | None = None,
) -> Tensor:
    """Random concentric labels of a batch of crops (SegMitos, section 3.2).

    Parameters
    ----------
    centroids : sequence of ndarray, shape (n, 2)
        Mitoses (y, x) of each crop, in its pixels.
    shape : tuple of int
        (H, W) of the crops.
    ignore : Tensor of bool, shape (N, H, W), optional
        Pixels that are not known to be background; a cell that touches one is ignored.

    Returns
    -------
    Tensor of int64, shape (N, H / stride, W / stride)
    """
    cells = (shape[0] // stride, shape[1] // stride)
    return _without(
        [random_concentric_labels(cells, points, rng, stride=stride) for points in centroids], stride, ignore
    )


def fixed_labels(
    centroids: Places,
    shape: tuple[int, int],
    stride: int,
    radii_px: tuple[float, float],
    ignore: Tensor | None = None,
) -> Tensor:
    """Concentric labels of a batch of crops, all with the same radii; see `random_labels`."""
    cells = (shape[0] // stride, shape[1] // stride)
    return _without(
        [concentric_labels(cells, points, *radii_px, stride=stride) for points in centroids], stride, ignore
    )


def _without(drawn: Sequence[LabelMap], stride: int, ignore: Tensor | None) -> Tensor:
    """Label maps (N, h, w) in which a background cell that touches an ignored pixel is ignored, too."""
    labels = torch.from_numpy(np.stack(drawn).astype(np.int64))
    if ignore is not None:
        unknown = F.max_pool2d(ignore[:, None].float(), stride)[:, 0].cpu() > 0
        labels[unknown & (labels == BACKGROUND)] = IGNORED
    return labels
