"""MSSN: windows of four kinds find candidates, a Siamese network compares them with known figures (Ma et al. 2018).

The paper gives the windows, the loss and the vote, but no layers; what was chosen is said where it stands
(``mssn_stage1.py``, ``mssn_siamese.py``).

*paper*: four networks of their own and a Siamese network of ten layers. *compact*: the four windows on the shared
first layers of EfficientNet-Lite0, whose later layers, with an embedding on top, are the Siamese network. The
trunk begins as that of a SegMitos which was trained on the same figures: four small networks from nothing would
need far more figures than there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from ..datasets.labels import BACKGROUND, IGNORED, MITOSIS, concentric_labels
from .configured import Configured, Places, Rng
from .mssn_siamese import (
    EMBEDDING,
    KINDS,
    REFERENCES,
    SIDE_PX,
    CompactEmbedding,
    PaperEmbedding,
    contrastive_loss,
    similarity,
    voting_windows,
    windows_about,
)
from .mssn_stage1 import REACH_PX, STRIDE, SUB_MODELS, CompactStage1, PaperStage1, stem_cells
from .registry import register
from .trunks import EfficientNetLite0

POSITIVE_PX, RING_PX = 10.0, 20.0
"""A window is a mitosis up to the one distance from a centroid, and background beyond the other."""
FIRED = 0.3
"""A sub-model fires above this score: low, as a figure that no sub-model names is lost for good."""
SHIFT = 4.0
"""Figures are some sixty times (e^4) as frequent in training windows as in tissue: what scores are corrected by."""
_SURE = 2.4e-4  # a score map of float16 does not tell more from certainty
JOIN_PX = 16.0
Map = NDArray[np.float32]


class MSSN(nn.Module):
    """What both configurations share: score maps, joining them, and the comparison with reference figures.

    Attributes
    ----------
    references : Tensor, shape (3, r, e)
        Embeddings of `r` figures of each of `mssn_siamese.KINDS`. They are kept with the weights; no pixels are.
    """

    stride = STRIDE
    multiple = STRIDE
    border_px = REACH_PX + STRIDE
    map_names = SUB_MODELS
    join_names = ("stage1",)
    examine_px = SIDE_PX + 4
    examine_names = ("similarity",)
    references: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("references", torch.zeros(len(KINDS), REFERENCES, EMBEDDING))

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 255] -> logits (N, 4, H / 8, W / 8) of the sub-models."""
        raise NotImplementedError

    def embed(self, windows: Tensor) -> Tensor:
        """(n, 3, 72, 72) in [0, 255] -> embeddings (n, e)."""
        raise NotImplementedError

    def scores(self, pixels: Tensor) -> Tensor:
        """Probability of mitosis at each cell by each sub-model, (N, 4, H / 8, W / 8)."""
        logits: Tensor = self(pixels)
        return logits.float().sigmoid()

    def join(self, maps: Mapping[str, Map]) -> pd.DataFrame:
        """Candidates of the sub-models, joined; see `join_maps`."""
        return join_maps(maps)

    def examine(self, crops: Tensor) -> Tensor:
        """Vote of the windows about each candidate, (n, 3, 76, 76) -> (n, 1): `similarity`, their mean."""
        if not len(crops):
            return crops.new_zeros((0, 1))
        windows = voting_windows(crops)
        votes = similarity(self.embed(windows.flatten(0, 1)), self.references)
        return votes.reshape(windows.shape[:2]).mean(dim=1, keepdim=True)

    def embed_crops(self, crops: Tensor) -> Tensor:
        """Embedding of the middle window of crops of `examine_px`, (n, 3, 76, 76) -> (n, e)."""
        return self.embed(crops[:, :, 2:-2, 2:-2])


def join_maps(maps: Mapping[str, Map], fired: float = FIRED, join_px: float = JOIN_PX) -> pd.DataFrame:
    """Maxima of each sub-model above its threshold; those of several within a few pixels are one candidate.

    Any one sub-model suffices (Ma et al., III-A).

    Parameters
    ----------
    maps : mapping of str to ndarray of float32, shape (h, w)
        By `SUB_MODELS`; a cell is `STRIDE` pixels.
    fired : float
        Threshold of each sub-model.
    join_px : float
        Maxima nearer than this are joined.

    Returns
    -------
    DataFrame
        y, x : place in cells, the mean of the 3 x 3 cells about it weighted by score.
        stage1 : mean of the sub-models' log odds, less `SHIFT`, as a probability.
        s72, s96, cross, s120 : largest score of each within a cell.
        fired : which of them are above the threshold, 1 for s72, 2 for s96, 4 for cross, 8 for s120, added up.
    """
    names = [name for name in SUB_MODELS if name in maps]
    stack = np.stack([maps[name] for name in names]) if names else np.zeros((0, 0, 0), dtype=np.float32)
    columns = ["y", "x", "stage1", *SUB_MODELS, "fired"]
    if not stack.size:
        return pd.DataFrame(np.zeros((0, len(columns))), columns=columns)
    near = ndimage.maximum_filter(stack, size=(1, 3, 3), mode="constant")
    peaks = (stack == near) & (stack > fired)
    mean = stack.mean(axis=0)
    places = np.argwhere(peaks.any(axis=0))
    # The best first: by the mean of all, then in reading order.
    places = places[np.argsort(-near[:, places[:, 0], places[:, 1]].mean(axis=0), kind="stable")]
    kept: list[NDArray[np.intp]] = []
    for place in places:
        if all(np.hypot(*(place - other)) * STRIDE >= join_px for other in kept):
            kept.append(place)
    rows = []
    for y, x in kept:
        by_name = dict(zip(names, near[:, y, x].astype(np.float64), strict=True))
        scores = [by_name.get(name, 0.0) for name in SUB_MODELS]
        mask = sum(2**i for i, score in enumerate(scores) if score > fired)
        rows.append([*_middle(mean, int(y), int(x)), _together(list(by_name.values())), *scores, float(mask)])
    return pd.DataFrame(np.array(rows, dtype=np.float64).reshape(-1, len(columns)), columns=columns)


def _together(scores: Sequence[float]) -> float:
    """Probability of a mitosis in tissue, where training windows gave these."""
    clipped = np.clip(scores, _SURE, 1 - _SURE)
    odds = float(np.log(clipped / (1 - clipped)).mean()) - SHIFT
    return float(1 / (1 + np.exp(-odds)))


def _middle(score: Map, y: int, x: int) -> tuple[float, float]:
    """Mean place of the 3 x 3 cells about a cell, weighted by score."""
    top, left = max(y - 1, 0), max(x - 1, 0)
    part = score[top : y + 2, left : x + 2].astype(np.float64)
    if part.sum() <= 0:
        return float(y), float(x)
    rows, columns = np.indices(part.shape)
    return float((rows * part).sum() / part.sum()) + top, float((columns * part).sum() / part.sum()) + left


class PaperMSSN(MSSN):
    """Four networks of their own and a Siamese network of ten layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stage1 = PaperStage1()
        self.embedding = PaperEmbedding()

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.stage1(pixels)
        return logits

    def embed(self, windows: Tensor) -> Tensor:
        embeddings: Tensor = self.embedding(windows)
        return embeddings


class CompactMSSN(MSSN):
    """Both stages on one EfficientNet-Lite0.

    The trunk is taken as it comes, from a SegMitos (`start_from`), and is not trained: stage 1 shares its first
    layers and continues on its own, stage 2 learns an embedding of what the whole trunk sees. Training the
    trunk's last layers by pairs, too, made the similarity to mitoses worse on fields that it did not see:
    there are too few figures.
    """

    traced = ""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = EfficientNetLite0()
        self.stage1 = CompactStage1()
        self.embedding = CompactEmbedding()
        self.trunk.requires_grad_(False)

    def train(self, mode: bool = True) -> CompactMSSN:
        super().train(mode)
        self.trunk.eval()
        return self

    def start_from(self, trunk: Mapping[str, Tensor]) -> None:
        """Take a trunk, and begin the branches of stage 1 with its next layers."""
        self.trunk.load_state_dict(trunk)
        self.stage1.start_from(self.trunk)

    def stem(self, pixels: Tensor) -> Tensor:
        """Stem cells (N, 24, (H - 19) / 4 + 1, (W - 19) / 4 + 1), without gradient."""
        with torch.no_grad():
            return stem_cells(self.trunk, pixels)

    def forward(self, pixels: Tensor) -> Tensor:
        padded = F.pad(pixels, (REACH_PX,) * 4, mode="replicate")
        logits: Tensor = self.stage1(self.stem(padded))
        return logits

    def window_features(self, windows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the trunk sees in windows (n, 3, 72, 72), for `CompactEmbedding`, without gradient."""
        with torch.no_grad():
            x = self.trunk.stem((windows - 127.0) / 128.0)
            features = []
            for stage in self.trunk.stages:
                x = stage(x)
                features.append(x)
        return features[3], features[4], features[5]

    def embed(self, windows: Tensor) -> Tensor:
        embeddings: Tensor = self.embedding(*self.window_features(windows))
        return embeddings


def window_labels(centroids: Places, shape: tuple[int, int], ignore: Tensor | None = None) -> Tensor:
    """What the windows of a batch are: within 10 px of a centroid a mitosis, beyond 20 px background.

    The paper takes all beyond 10 px for background; what lies between is neither here, as a window 11 px away
    still shows the whole figure.

    Parameters
    ----------
    centroids : sequence of ndarray, shape (n, 2)
        (y, x) in pixels.
    shape : tuple of int
        (H, W) of the batch, in pixels.
    ignore : Tensor of bool, shape (N, H, W), optional
        Pixels that are not known to be background; a window is ignored where its middle cell holds one.

    Returns
    -------
    Tensor of int64, shape (N, H / 8, W / 8)
    """
    cells = (shape[0] // STRIDE, shape[1] // STRIDE)
    drawn = [concentric_labels(cells, points, POSITIVE_PX, RING_PX, stride=STRIDE) for points in centroids]
    labels = torch.from_numpy(np.stack(drawn).astype(np.int64))
    if ignore is not None:
        unknown = F.max_pool2d(ignore[:, None].float(), STRIDE)[:, 0].cpu() > 0
        labels[unknown & (labels == BACKGROUND)] = IGNORED
    return labels


def windows_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each sub-model over windows that are known, divided by the number of mitotic ones.

    Parameters
    ----------
    logits : Tensor, shape (N, 4, h, w)
    labels : Tensor of int64, shape (N, h, w)
    """
    known = labels != IGNORED
    target = (labels == MITOSIS).float()[:, None].expand_as(logits)
    each = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
    mitotic = (labels == MITOSIS).sum().clamp(min=labels.shape[0])
    return (each * known[:, None]).sum() / (mitotic * logits.shape[1])


@register("mssn")
class MSSNDetector(Configured):
    """The detector as the registry sees it."""

    title = "MSSN: windows of four kinds, then a Siamese comparison with known figures"
    networks: ClassVar = {"compact": CompactMSSN, "paper": PaperMSSN}

    @staticmethod
    def loss(network: nn.Module, pixels: Tensor, centroids: Places, rng: Rng, ignore: Tensor | None = None) -> Tensor:
        """The loss of the windows plus the contrastive loss of mitoses and dark places that are background."""
        assert isinstance(network, MSSN)
        labels = window_labels(centroids, (pixels.shape[2], pixels.shape[3]), ignore)
        loss = windows_loss(network(pixels), labels.to(pixels.device))
        inside = [
            (i, float(y), float(x))
            for i, points in enumerate(centroids)
            for y, x in points
            if 0 <= y < pixels.shape[2] and 0 <= x < pixels.shape[3]
        ]
        others = _other_nuclei(pixels, labels, rng)
        if len(inside) + len(others) < 2:
            return loss
        kinds = torch.tensor([0] * len(inside) + [2] * len(others), device=pixels.device)
        return loss + contrastive_loss(network.embed(windows_about(pixels, inside + others)), kinds)

    @staticmethod
    def mimic_loss(network: nn.Module, pixels: Tensor, centroids: Places, mimics: Places) -> Tensor:
        """Contrastive loss of mitoses and what a reader called mimics: they are to lie apart."""
        assert isinstance(network, MSSN)
        places, kinds = [], []
        for kind, figures in enumerate((centroids, mimics)):
            for i, points in enumerate(figures):
                for y, x in points[((points >= 0) & (points < pixels.shape[2:])).all(axis=1)]:
                    places.append((i, float(y), float(x)))
                    kinds.append(kind)
        if 1 not in kinds or len(kinds) < 2:
            return torch.zeros((), device=pixels.device)
        embeddings = network.embed(windows_about(pixels, places))
        return contrastive_loss(embeddings, torch.tensor(kinds, device=pixels.device))


def _other_nuclei(pixels: Tensor, labels: Tensor, rng: np.random.Generator) -> list[tuple[int, float, float]]:
    """Of some background cells of each image the darkest: (image, y, x)."""
    cells = (labels.shape[1] * STRIDE, labels.shape[2] * STRIDE)
    dark = F.avg_pool2d(pixels[:, :, : cells[0], : cells[1]].mean(dim=1, keepdim=True), STRIDE)[:, 0].cpu().numpy()
    nuclei = []
    for i, label in enumerate(labels.cpu().numpy()):
        places = np.argwhere(label == BACKGROUND)
        if len(places):
            drawn = places[rng.integers(len(places), size=8)]
            y, x = drawn[np.argmin(dark[i][drawn[:, 0], drawn[:, 1]])]
            nuclei.append((i, (float(y) + 0.5) * STRIDE - 0.5, (float(x) + 0.5) * STRIDE - 0.5))
    return nuclei
