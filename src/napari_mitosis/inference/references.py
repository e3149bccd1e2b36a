"""Why: the annotated figures that a candidate looks most like, as MSSN's second stage sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from ..errors import WeightsError
from ..fields.field import Field
from ..jobs import Job, Progress
from ..models.registry import Detector
from ..tables import check_annotations
from .device import choose_device, inference_on
from .examine import read_crop
from .tiling import model_scale

_KINDS = ("mitosis", "mimic")


@runtime_checkable
class EmbeddingNetwork(Protocol):
    """A network whose second stage places figures in a space where alike ones are near (MSSN)."""

    examine_px: int

    def embed_crops(self, crops: torch.Tensor) -> torch.Tensor:
        """(n, 3, examine_px, examine_px) RGB in [0, 255] -> (n, e)."""
        ...


@dataclass(frozen=True, eq=False)
class References:
    """Annotated figures to compare candidates with.

    Attributes
    ----------
    thumbnails : ndarray of uint8, shape (n, side, side, 3)
        Each figure with what is about it, at the um/px of the model.
    kinds : tuple of str
        ``mitosis`` or ``mimic``, one a figure.
    embeddings : ndarray of float32, shape (n, e)
    """

    thumbnails: NDArray[np.uint8]
    kinds: tuple[str, ...]
    embeddings: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.kinds)

    def of_kind(self, kind: str) -> References:
        """Only the figures of one kind, in their order."""
        chosen = np.array([k == kind for k in self.kinds], dtype=bool)
        return References(self.thumbnails[chosen], (kind,) * int(chosen.sum()), self.embeddings[chosen])


def reference_figures(
    field: Field, annotations: pd.DataFrame, detector: Detector, *, device: str = "auto"
) -> Job[References]:
    """Cut and embed the mitoses and mimics of an annotated field: a user's own, or a phantom's.

    Parameters
    ----------
    annotations : DataFrame
        With `tables.ANNOTATION_COLUMNS`; figures that nobody is sure of are left out.

    Raises
    ------
    UnknownResolution
        If the field does not know its um/px.
    WeightsError
        If the detector does not compare figures.
    """
    frame = check_annotations(annotations)
    frame = frame[frame["label"].isin(_KINDS)]
    points = frame[["y_px", "x_px"]].to_numpy(dtype=np.float64)
    thumbnails, embeddings = yield from look_at(field, points, detector, device=device)
    return References(thumbnails, tuple(str(label) for label in frame["label"]), embeddings)


def look_at(
    field: Field, points_yx: NDArray[np.float64], detector: Detector, *, device: str = "auto", batch: int = 64
) -> Job[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Thumbnails and embeddings of places of a field, such as candidates.

    Parameters
    ----------
    points_yx : ndarray, shape (n, 2)
        (y, x) in field pixels.
    batch : int
        Places for each pass.

    Returns
    -------
    thumbnails : ndarray of uint8, shape (n, side, side, 3)
    embeddings : ndarray of float32, shape (n, e)

    Raises
    ------
    UnknownResolution
        If the field does not know its um/px.
    WeightsError
        If the detector does not compare figures.
    """
    if not isinstance(detector.network, EmbeddingNetwork):
        raise WeightsError(f"{detector.card.name} does not compare figures; mssn does")
    network = cast(EmbeddingNetwork, detector.network)
    scale = model_scale(field.require_mpp(f"Comparison with {detector.card.name}"), detector.card.mpp)
    place = choose_device(device)
    field = field.loaded() if len(points_yx) else field
    side = network.examine_px
    thumbnails, embeddings = [np.zeros((0, side, side, 3), dtype=np.uint8)], []
    for start in range(0, max(1, len(points_yx)), batch):
        yield Progress(start, len(points_yx), f"{detector.card.name}: figures")
        crops = [read_crop(field, y, x, side, scale) for y, x in points_yx[start : start + batch]]
        pixels = torch.cat(crops) if crops else torch.zeros(0, 3, side, side)
        thumbnails.append(pixels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy())
        with inference_on(detector.network, place):
            embeddings.append(network.embed_crops(pixels.to(place)).float().cpu().numpy())
    return np.concatenate(thumbnails), np.concatenate(embeddings)


def together(references: Sequence[References]) -> References:
    """References of several fields as one set.

    Raises
    ------
    ValueError
        If there are none.
    """
    if not references:
        raise ValueError("there are no references to put together")
    return References(
        np.concatenate([r.thumbnails for r in references]),
        tuple(kind for r in references for kind in r.kinds),
        np.concatenate([r.embeddings for r in references]),
    )


def nearest(
    references: References, embedding: NDArray[np.float32], k: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The `k` figures, or all if there are fewer, that are nearest to an embedding, the nearest first.

    Parameters
    ----------
    embedding : ndarray of float32, shape (e,)

    Returns
    -------
    indices : ndarray of int, shape (k,)
        Places in `references`; of equally near figures the first comes first.
    distances : ndarray of float32, shape (k,)

    Raises
    ------
    ValueError
        If `k` is negative.
    """
    if k < 0:
        raise ValueError(f"k must not be negative, not {k}")
    distances = np.linalg.norm(references.embeddings - embedding[None], axis=1).astype(np.float32)
    order = np.argsort(distances, kind="stable")[:k]
    return order, distances[order]
