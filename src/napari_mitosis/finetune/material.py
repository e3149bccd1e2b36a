"""What may be learnt from a field: the reader's figures, what is surely background, and what nobody knows.

An unannotated nucleus is no negative unless the reader marked the field complete. In every other field the parent
speaks for tissue in which it sees nothing at all, and for figures of which it is sure (self-distillation); what
lies between is ignored by the loss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..datasets.sample import Sample
from ..decision.decide import Rule, decide
from ..decision.evidence import Evidence
from ..measures.calibrate import uncut
from ..tables import annotations_frame
from ..training.stain import StainBank, stain_bank
from ..training.windows import FieldSource, Window

SILENT = 0.05
"""Scores below this are silence: the parent sees nothing there."""

APART_UM = 7.5
"""A candidate nearer than this to a figure is that figure."""

DISC_UM = 6.0
"""Radius about a candidate that nobody judged, within which nothing is learnt."""


@dataclass(frozen=True, eq=False)
class Known:
    """A field ready to learn from.

    Attributes
    ----------
    sample : Sample
        Its annotations are those to learn.
    unknown : ndarray of bool, shape (H, W), or None
        Pixels that must not count as background.
    places_yx : ndarray, shape (n, 2)
        Hard negatives besides the annotated mimics: known background in which the parent sees something.
    """

    sample: Sample
    unknown: NDArray[np.bool_] | None
    places_yx: NDArray[np.float64]


def annotated(sample: Sample, complete: bool, evidence: Evidence, rule: Rule) -> Known:
    """A field with a reader's annotations.

    Parameters
    ----------
    complete : bool
        Whether the reader marked the field as complete.
    evidence : Evidence
        What the parent saw in it.
    rule : Rule
        How the parent makes candidates of it.
    """
    figures = sample.annotations[["y_px", "x_px"]].to_numpy(dtype=np.float64)
    candidates = decide(evidence, uncut(rule))[["y_px", "x_px"]].to_numpy(dtype=np.float64)
    judged = _near(candidates, figures, APART_UM / evidence.mpp)
    if complete:
        return Known(sample, None, candidates[~judged])
    unknown = _loud(evidence)
    _paint(unknown, candidates[~judged], DISC_UM / evidence.mpp, True)
    # What the reader called a mimic is background, however loud the parent is about it.
    mimics = sample.centroids_yx("mimic")
    _paint(unknown, mimics, DISC_UM / evidence.mpp, False)
    return Known(sample, unknown, np.empty((0, 2)))


def distilled(sample: Sample, evidence: Evidence, rule: Rule) -> Known:
    """A field without annotations, as its parent sees it: figures it is sure of, and silence.

    Sure is a score in the upper half of what the rule lets through.
    """
    table = decide(evidence, uncut(rule))
    points = table[["y_px", "x_px"]].to_numpy(dtype=np.float64)
    lowest = max(rule.min_score, rule.threshold if isinstance(rule.threshold, float) else rule.floor)
    sure = (table["score"] >= (1 + lowest) / 2).to_numpy()
    unknown = _loud(evidence)
    _paint(unknown, points[~sure], DISC_UM / evidence.mpp, True)
    return Known(
        Sample(sample.field, annotations_frame(points[sure, 0], points[sure, 1], "mitosis")), unknown, np.empty((0, 2))
    )


def without(known: Known, units: Sequence[tuple[float, float, float, float]]) -> Known:
    """The same field with nothing to learn in these rectangles (y0, x0, y1, x1 in pixels)."""
    shape = known.sample.field.shape
    unknown = np.zeros(shape, dtype=bool) if known.unknown is None else known.unknown.copy()
    frame, places = known.sample.annotations, known.places_yx
    for y0, x0, y1, x1 in units:
        unknown[max(0, math.floor(y0)) : max(0, math.ceil(y1)), max(0, math.floor(x0)) : max(0, math.ceil(x1))] = True
        inside = frame["y_px"].between(y0, y1) & frame["x_px"].between(x0, x1)
        frame = frame[~inside].reset_index(drop=True)
        gone = (places[:, 0] >= y0) & (places[:, 0] <= y1) & (places[:, 1] >= x0) & (places[:, 1] <= x1)
        places = places[~gone]
    return Known(Sample(known.sample.field, frame), unknown, places)


class Material:
    """Draws the windows of a batch.

    Parameters
    ----------
    fields : sequence of Known
        With a reader's annotations.
    tissue : sequence of Known
        As the parent sees it.
    window_px : int
    shares : tuple of float
        Of a batch: a mitosis, a mimic or hard negative, anywhere in annotated fields, tissue. Half of the
        windows of tissue hold a figure that the parent is sure of.
    """

    def __init__(
        self,
        fields: Sequence[Known],
        tissue: Sequence[Known],
        window_px: int,
        shares: tuple[float, float, float, float],
    ) -> None:
        self._fields = FieldSource([k.sample for k in fields], window_px, [k.unknown for k in fields])
        self._places = [(i, float(y), float(x)) for i, k in enumerate(fields) for y, x in k.places_yx]
        self._tissue = (
            FieldSource([k.sample for k in tissue], window_px, [k.unknown for k in tissue]) if tissue else None
        )
        self._shares = shares

    def stains(self) -> StainBank | None:
        """Stains of the reader's fields and of the tissue, to see the figures of one in the stain of the other.

        None where there is no tissue: fields of one slide have nothing to lend each other.
        """
        if self._tissue is None:
            return None
        return stain_bank(
            [[source.pixels(i) for i in range(len(source.shapes))] for source in (self._fields, self._tissue)]
        )

    def draw(self, rng: np.random.Generator, count: int) -> list[Window]:
        """`count` windows."""
        shares = np.array(self._shares)
        if self._tissue is None:
            shares[3] = 0
        edges = np.round(np.cumsum(shares) / shares.sum() * count).astype(int)
        positive, hard, anywhere, tissue = np.diff(edges, prepend=0)
        windows = [self._fields.positive(rng) for _ in range(positive)]
        windows += [self._fields.hard(rng, self._places) for _ in range(hard)]
        windows += [self._fields.negative(rng) for _ in range(anywhere)]
        for i in range(tissue):
            assert self._tissue is not None
            windows.append(self._tissue.positive(rng) if i % 2 else self._tissue.negative(rng))
        return windows


def _near(points: NDArray[np.float64], others: NDArray[np.float64], reach_px: float) -> NDArray[np.bool_]:
    if not len(points) or not len(others):
        return np.zeros(len(points), dtype=bool)
    distances = np.linalg.norm(points[:, None] - others[None], axis=2)
    return np.asarray(distances.min(axis=1) < reach_px)


def _loud(evidence: Evidence) -> NDArray[np.bool_]:
    """Pixels in which any score map is not silent, and 3 um about them, shape (H, W)."""
    h, w = evidence.shape
    loud = np.zeros((h, w), dtype=bool)
    for scores in evidence.maps.values():
        cells = scores > SILENT
        reach = max(1, round(3.0 / (evidence.mpp * evidence.stride)))
        cells = ndimage.binary_dilation(cells, iterations=reach)
        rows = np.minimum((np.arange(h) / evidence.stride).astype(int), cells.shape[0] - 1)
        columns = np.minimum((np.arange(w) / evidence.stride).astype(int), cells.shape[1] - 1)
        loud |= cells[rows][:, columns]
    return loud


def _paint(area: NDArray[np.bool_], points: NDArray[np.float64], radius_px: float, value: bool) -> None:
    """Set the pixels of `area` within the radius of each point."""
    h, w = area.shape
    for y, x in points:
        ys = slice(max(0, int(y - radius_px)), min(h, int(y + radius_px) + 2))
        xs = slice(max(0, int(x - radius_px)), min(w, int(x + radius_px) + 2))
        yy = np.arange(ys.start, max(ys.start, ys.stop))[:, None] - y
        xx = np.arange(xs.start, max(xs.start, xs.stop))[None, :] - x
        area[ys, xs][yy**2 + xx**2 <= radius_px**2] = value
