"""MSSN's second stage: distances between figures, learned from pairs (Ma et al. 2018, III-B)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .trunks import EfficientNetLite0

KINDS = ("mitosis", "mimic", "other")
"""Mitotic figure, what looks like one and is none, any other nucleus."""
SIDE_PX = 72
VOTE_PX = ((0, 0), (-2, 0), (2, 0), (0, -2), (0, 2))
"""Where the windows that vote stand about a candidate; the paper's are up to 2 px away."""
MARGIN = 1.0
EMBEDDING = 32
REFERENCES = 96
_TEMPERATURE = 0.2


def contrastive_loss(embeddings: Tensor, kinds: Tensor, margin: float = MARGIN) -> Tensor:
    """All pairs of a batch: their distance where the kind is the same, else max(0, M - distance).

    The paper draws pairs at random; here each figure is paired with every other, and pairs of the same and of
    different kinds weigh alike, however many there are.

    Parameters
    ----------
    embeddings : Tensor, shape (n, e)
    kinds : Tensor of int64, shape (n,)
        Places in `KINDS`.
    margin : float
        The paper's M.

    Returns
    -------
    Tensor
        A scalar; 0 without any pair.
    """
    n = len(embeddings)
    first, second = torch.triu_indices(n, n, 1, device=embeddings.device)
    # The hair keeps the root's slope finite where two figures are the same.
    distance = ((embeddings[first] - embeddings[second]).square().sum(dim=1) + 1e-12).sqrt()
    same = kinds[first] == kinds[second]
    total = embeddings.sum() * 0.0
    if same.any():
        total = total + distance[same].mean()
    if (~same).any():
        total = total + (margin - distance[~same]).clamp(min=0).mean()
    return total


def similarity(embeddings: Tensor, references: Tensor) -> Tensor:
    """Share of the summed similarity that goes to mitoses; above a half where they outweigh the other two kinds.

    The similarity of two figures is exp(-distance / 0.2): the paper calls it a probability and leaves its form
    open.

    Parameters
    ----------
    embeddings : Tensor, shape (n, e)
    references : Tensor, shape (3, r, e)
        Embeddings of `r` figures of each of `KINDS`.

    Returns
    -------
    Tensor, shape (n,)
        In [0, 1].
    """
    distance = torch.cdist(
        embeddings.float(), references.float().flatten(0, 1), compute_mode="donot_use_mm_for_euclid_dist"
    )
    summed = torch.logsumexp(-distance.reshape(-1, *references.shape[:2]) / _TEMPERATURE, dim=2)
    return summed.softmax(dim=1)[:, 0]


def voting_windows(crops: Tensor, side: int = SIDE_PX) -> Tensor:
    """The windows of `VOTE_PX` in each crop, each turned by a quarter more than the last and the last mirrored.

    Turning costs nothing, as every window is looked at anyway, and makes the vote less one of direction.

    Parameters
    ----------
    crops : Tensor, shape (n, 3, side + 4, side + 4)

    Returns
    -------
    Tensor, shape (n, 5, 3, side, side)
    """
    windows = []
    for turn, (dy, dx) in enumerate(VOTE_PX):
        window = crops[:, :, 2 + dy : 2 + dy + side, 2 + dx : 2 + dx + side].rot90(turn % 4, (2, 3))
        windows.append(window.flip(3) if turn >= 4 else window)
    return torch.stack(windows, dim=1)


def windows_about(pixels: Tensor, points: Sequence[tuple[int, float, float]], side: int = SIDE_PX) -> Tensor:
    """Windows (n, 3, side, side) of a batch about points (image, y, x), the border repeated."""
    half = side // 2
    padded = F.pad(pixels, (half, half, half, half), mode="replicate")
    cut = []
    for image, y, x in points:
        # Pixel i is i + half in the padded image, and the centre of an even window lies before its middle pixel.
        top, left = (min(max(round(v + 0.5), 0), n) for v, n in ((y, pixels.shape[2]), (x, pixels.shape[3])))
        cut.append(padded[image, :, top : top + side, left : left + side])
    return torch.stack(cut) if cut else pixels.new_zeros((0, 3, side, side))


class PaperEmbedding(nn.Module):
    """Ten layers: nine 3 x 3 convolutions and a fully connected one.

    The paper shows layers 1, 7, 8, 9 and the last, and tells no more. Chosen here: 32, 32, pool, 64, 64, pool,
    128, 128, 128, pool, 256, 256 maps with batch normalisation and ReLU, their mean, and a fully connected layer;
    embeddings have length 1, so that the margin has a meaning.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs in (32, 32, 0, 64, 64, 0, 128, 128, 128, 0, 256, 256):
            if not outputs:
                layers.append(nn.MaxPool2d(2, 2))
                continue
            layers.append(
                nn.Sequential(
                    nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
                    nn.BatchNorm2d(outputs),
                    nn.ReLU(inplace=True),
                )
            )
            inputs = outputs
        self.layers = nn.Sequential(*layers)
        self.last = nn.Linear(256, EMBEDDING)

    def forward(self, x: Tensor) -> Tensor:
        features = self.layers((x - 127.0) / 128.0).mean(dim=(2, 3))
        return F.normalize(self.last(features), dim=1)


class CompactEmbedding(nn.Module):
    """Features of EfficientNet-Lite0 in a window -> a vector of length 1.

    Means over the window at strides 16 and 32, and over its middle at stride 16 before and after the trunk's
    fifth stage: a figure fills a seventh of its window, and a mean over all of it alone would lose it.
    """

    def __init__(self) -> None:
        super().__init__()
        before, after, last = 80, *EfficientNetLite0.channels[2:]
        self.hidden = nn.Linear(before + 2 * after + last, 128)
        self.norm = nn.LayerNorm(128)
        self.last = nn.Linear(128, EMBEDDING)

    def forward(self, before: Tensor, after: Tensor, last: Tensor) -> Tensor:
        """Features (n, 80, h, w) and (n, 112, h, w) at stride 16, (n, 192, h', w') at stride 32 -> (n, e)."""
        middle = [f[:, :, 1:-1, 1:-1].mean(dim=(2, 3)) for f in (after, before)]
        pooled = torch.cat([after.mean(dim=(2, 3)), *middle, last.mean(dim=(2, 3))], dim=1)
        hidden = F.relu(self.norm(self.hidden(pooled.float())))
        return F.normalize(self.last(F.dropout(hidden, 0.2, self.training)), dim=1)
