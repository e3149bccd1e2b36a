"""What estimated boxes are worth: against the boxes of outlines, beside the fixed box (DeepMitosis, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from ...datasets.icpr import read_icpr2012
from ...datasets.sample import Sample
from ...decision.decide import Rule
from ...decision.estimate_boxes import BOX_COLUMNS, box_iou, box_rule, estimate_boxes, fixed_boxes
from ...errors import WeightsError
from ...jobs import Job, Progress
from ..crossval import Scored, collect

_EDGES = list(BOX_COLUMNS[2:6])
_THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
_DRAWS = 2000

Overlaps = list[NDArray[np.float64]]
Covered = list[NDArray[np.bool_]]


def ablation(runs: Path, data: Path) -> Job[pd.DataFrame]:
    """Overlap of fixed and of estimated boxes with those of the masks, on the held-out fields of protocol S.

    Parameters
    ----------
    runs : Path
        Run folder of the cross-validation of any detector with score maps.
    data : Path
        Folder with icpr2012.

    Returns
    -------
    DataFrame
        A row for the fixed box and for each map and threshold, also for that which is best on all slides but the
        field's own, where there are several: share of centroids that a blob covers; mean IoU with its 95 %
        interval (bootstrap over fields); its mean over the covered ones; mean difference from the fixed box
        there; share of IoU of at least 0.5.

    Raises
    ------
    WeightsError
        If the folder holds no scored fields with score maps.
    """
    scored = [s for s in collect(runs, read_icpr2012(data / "icpr2012"), "S") if len(s.sample.centroids_yx())]
    if not scored or not scored[0].evidence.maps:
        raise WeightsError(f"{runs} holds no held-out score maps of protocol S")
    truths = [mask_boxes(s.sample) for s in scored]
    fixed = []
    for s, truth in zip(scored, truths, strict=True):
        fixed.append(_overlap(fixed_boxes(s.sample.centroids_yx(), s.evidence.mpp), truth))
    rows = [_row("fixed 7.5 um", fixed, fixed, [np.zeros(len(f), dtype=bool) for f in fixed])]
    maps = _maps(scored[0])
    cases = [s.sample.case for s in scored]
    for i, (name, weights) in enumerate(maps.items()):
        yield Progress(i, len(maps), name)
        plain = replace(box_rule(scored[0].evidence), weights=weights)
        rules = [replace(plain, threshold=threshold) for threshold in _THRESHOLDS]
        otsu, *tried = [_estimated(scored, truths, rule) for rule in (plain, *rules)]
        rows.append(_row(f"{name}, Otsu", otsu[0], fixed, otsu[1]))
        for threshold, (overlaps, covered) in zip(_THRESHOLDS, tried, strict=True):
            rows.append(_row(f"{name}, above {threshold:g}", overlaps, fixed, covered))
        if len(set(cases)) == 1:
            continue
        best = [tried[k] for k in _best_elsewhere([overlaps for overlaps, _ in tried], cases)]
        chosen = [overlaps[k] for k, (overlaps, _) in enumerate(best)]
        covered = [blob[k] for k, (_, blob) in enumerate(best)]
        rows.append(_row(f"{name}, threshold of other slides", chosen, fixed, covered))
    return pd.DataFrame(rows)


def mask_boxes(sample: Sample) -> NDArray[np.float64]:
    """Edges y0, x0, y1, x1 of the box of each mitosis in a mask, shape (n, 4).

    Raises
    ------
    ValueError
        If the sample has no mask, or a mitosis has no pixel in it.
    """
    mask = sample.mask
    if mask is None:
        raise ValueError(f"{sample.field.name} has no mask")
    slices = ndimage.find_objects(mask.astype(np.int32), len(sample.centroids_yx()))
    edges = []
    for number, place in enumerate(slices, start=1):
        if place is None:
            raise ValueError(f"mitosis {number} of {sample.field.name} has no pixel in its mask")
        rows, columns = place
        edges.append((rows.start - 0.5, columns.start - 0.5, rows.stop - 0.5, columns.stop - 0.5))
    return np.array(edges, dtype=np.float64).reshape(-1, 4)


def _maps(scored: Scored) -> dict[str, tuple[tuple[str, float], ...]]:
    """Fusion weights of every map alone, and of the mean of all."""
    names = list(scored.evidence.maps)
    alone: dict[str, tuple[tuple[str, float], ...]] = {name: ((name, 1.0),) for name in names}
    return alone if len(names) == 1 else {**alone, "mean of maps": ()}


def _estimated(scored: Sequence[Scored], truths: Sequence[NDArray[np.float64]], rule: Rule) -> tuple[Overlaps, Covered]:
    """Of each field: IoU of its boxes under a rule, and which of them are estimated."""
    overlaps, covered = [], []
    for s, truth in zip(scored, truths, strict=True):
        boxes = estimate_boxes(s.evidence, s.sample.centroids_yx(), rule)
        overlaps.append(_overlap(boxes, truth))
        covered.append(boxes["estimated"].to_numpy(dtype=bool))
    return overlaps, covered


def _best_elsewhere(tried: Sequence[Overlaps], cases: Sequence[str]) -> list[int]:
    """For each field, which of the variants has the highest mean IoU on the fields of other cases."""
    best = []
    for case in cases:
        rest = [k for k, other in enumerate(cases) if other != case]
        best.append(int(np.argmax([np.concatenate([overlaps[k] for k in rest]).mean() for overlaps in tried])))
    return best


def _overlap(boxes: pd.DataFrame, truth: NDArray[np.float64]) -> NDArray[np.float64]:
    return box_iou(boxes[_EDGES].to_numpy(dtype=np.float64), truth)


def _row(
    name: str,
    overlaps: Sequence[NDArray[np.float64]],
    fixed: Sequence[NDArray[np.float64]],
    covered: Sequence[NDArray[np.bool_]],
) -> dict[str, object]:
    iou, plain, blob = np.concatenate(overlaps), np.concatenate(fixed), np.concatenate(covered)
    low, high = _interval(overlaps)
    return {
        "table": "boxes",
        "variant": name,
        "estimated": round(float(blob.mean()), 3),
        "iou": round(float(iou.mean()), 3),
        "iou_low": round(low, 3),
        "iou_high": round(high, 3),
        "iou_of_estimated": round(float(iou[blob].mean()), 3) if blob.any() else float("nan"),
        "gain_over_fixed": round(float((iou - plain)[blob].mean()), 3) if blob.any() else float("nan"),
        "iou_from_0.5": round(float((iou >= 0.5).mean()), 3),
        "fields": len(overlaps),
        "mitoses": len(iou),
    }


def _interval(overlaps: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """95 % interval of the mean over mitoses, by drawing fields."""
    rng = np.random.default_rng(0)
    sums, counts = np.array([o.sum() for o in overlaps]), np.array([len(o) for o in overlaps])
    drawn = rng.integers(len(overlaps), size=(_DRAWS, len(overlaps)))
    low, high = np.quantile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)
