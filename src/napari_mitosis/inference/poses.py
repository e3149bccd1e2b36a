"""The eight right-angle poses of a tile: a mitosis looks the same in each, a network's doubts do not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import torch
from torch import Tensor

# (quarter turns, mirrored): the plain image, its mirror image, then half and quarter turns of both.
POSES = ((0, False), (0, True), (2, False), (2, True), (1, False), (1, True), (3, False), (3, True))


def mean_over_poses(scores: Callable[[Tensor], Tensor], pixels: Tensor, count: int) -> Tensor:
    """Mean score of the first `count` poses, each turned back.

    Parameters
    ----------
    scores : callable
        (N, 3, H, W) -> (N, maps, h, w).
    pixels : Tensor, shape (N, 3, H, W)
    count : int
        1 = the plain image only.

    Raises
    ------
    ValueError
        If there are not so many poses.
    """
    if not 1 <= count <= len(POSES):
        raise ValueError(f"there are 1 to {len(POSES)} poses, not {count}")
    total: Tensor | None = None
    for quarters, mirrored in islice(POSES, count):
        posed = _turned(pixels, quarters)
        posed = posed.flip(3) if mirrored else posed
        seen = scores(posed.contiguous(memory_format=torch.channels_last))
        seen = _turned(seen.flip(3) if mirrored else seen, -quarters)
        total = seen if total is None else total + seen
    assert total is not None
    return total / count


def _turned(images: Tensor, quarters: int) -> Tensor:
    """Images (N, C, H, W) turned by quarters; without a copy where there is nothing to turn."""
    return torch.rot90(images, quarters, (2, 3)) if quarters else images
