"""MSSN compares candidates with reference figures that it keeps as embeddings only: a child needs them anew.

Learning moves the space that figures are placed in, and the pixels of the parent's references are not kept. How far
the reader's own figures moved is measured, and the parent's references are moved alike; figures of the reader then
take the place of some of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..inference.device import inference_on
from ..models.mssn import MSSN
from ..models.mssn_siamese import KINDS
from ..training.windows import FieldSource
from .material import Known

MOST_OWN = 0.5
"""Share of the references of a kind that may be the reader's."""


def renew_references(
    child: nn.Module, parent: nn.Module, fields: Sequence[Known], window_px: int, device: torch.device
) -> None:
    """Set the references of `child` in place; a network that keeps none is left as it is.

    Parameters
    ----------
    child, parent : nn.Module
        The trained network, and the one that it began as.
    fields : sequence of Known
        What the child learned from: their mitoses and mimics become references.
    """
    if not isinstance(child, MSSN) or not isinstance(parent, MSSN):
        return
    crops = {kind: _crops(fields, kind, window_px, child.examine_px) for kind in KINDS[:2]}
    if not any(len(c) for c in crops.values()):
        return
    now, before = ({k: _embedded(n, c, device) for k, c in crops.items() if len(c)} for n in (child, parent))
    moved = torch.cat([now[k] - before[k] for k in now]).mean(dim=0)
    references = parent.references.detach().cpu() + moved
    for number, kind in enumerate(KINDS[:2]):
        new = now.get(kind, torch.empty(0, references.shape[2]))[: int(MOST_OWN * references.shape[1])]
        references[number, : len(new)] = new
    child.references.copy_(references.to(child.references.device))


def _crops(fields: Sequence[Known], kind: str, window_px: int, side: int) -> NDArray[np.uint8]:
    """The figures of a kind, each with what is about it, shape (n, side, side, 3)."""
    source = FieldSource([known.sample for known in fields], window_px)
    edge = (window_px - side) // 2
    windows = [
        source.window(i, float(y), float(x)).pixels[edge : edge + side, edge : edge + side]
        for i, known in enumerate(fields)
        for y, x in known.sample.centroids_yx(kind)
    ]
    return np.stack(windows) if windows else np.empty((0, side, side, 3), dtype=np.uint8)


def _embedded(network: MSSN, crops: NDArray[np.uint8], device: torch.device) -> Tensor:
    with inference_on(network, device):
        pixels = torch.from_numpy(crops).permute(0, 3, 1, 2).float().to(device)
        embeddings: Tensor = network.embed_crops(pixels).float().cpu()
    return embeddings.clone()
