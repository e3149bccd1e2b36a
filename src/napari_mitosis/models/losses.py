"""Losses of the dense detectors."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

IGNORED = 255


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
