"""Ablations of DeepDet (DeepMitosis, tables 1 and 3 and section 4.2.4).

What the paper varies at detection time is varied on the networks of the cross-validation; what must be trained is
trained on one fold for a stated number of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...datasets.crops import read_crops
from ...datasets.icpr import read_icpr2012
from ...datasets.sample import Sample
from ...decision.decide import Rule
from ...decision.evidence import Evidence
from ...inference.device import choose_device, inference_on
from ...inference.objects import all_boxes, as_candidates
from ...inference.tiling import Tile, read_tile
from ...jobs import Job, Progress, retold
from ...models.deepdet import CompactDeepDet, DeepDet, RegionHead
from ...models.rpn import COMPACT_OPTIONS, RPN, LiteFeatures, ProposalHead, compact_head
from ...models.trunks import fold_batch_norms
from ...models.weights import load_weights
from ..box_training import BoxRecipe, train_boxes
from ..crossval import Scored, count_all, cross_fitted_rules, folds, measure
from ..deepdet import load_start
from .rows import RADIUS_UM, as_row, saying

Outputs = tuple[Tensor, Tensor, Tensor, Tensor]
_HALO_PX = 32


@dataclass(frozen=True)
class Variant:
    """One way to make boxes of what a trained network gives.

    Attributes
    ----------
    table, name : str
    proposals : int
        Regions that the classifier looks at.
    sizes : tuple of int
        Which of the anchors' sizes take part, by their place.
    classified : bool
        Whether the classifier looks at all, or the proposals are the detections.
    """

    table: str
    name: str
    proposals: int = 300
    sizes: tuple[int, ...] = (0, 1, 2)
    classified: bool = True


VARIANTS = (
    Variant("stages", "RPN and classifier, 300 proposals"),
    Variant("stages", "RPN of it, alone", classified=False),
    Variant("proposals", "50", proposals=50),
    Variant("proposals", "100", proposals=100),
    Variant("proposals", "300"),
    Variant("anchors used", "22, 32 px", sizes=(0, 1)),
    Variant("anchors used", "32, 48 px", sizes=(1, 2)),
    Variant("anchors used", "32 px", sizes=(1,)),
    Variant("anchors used", "22, 32, 48 px"),
)


def ablation(runs: Path, data: Path) -> Job[pd.DataFrame]:
    """F of the held-out fields of protocol S, one step of detection changed at a time, with rules of its own each.

    Parameters
    ----------
    runs : Path
        Run folder of DeepDet's cross-validation.

    Returns
    -------
    DataFrame
        See `rows.as_row`.
    """
    samples = read_icpr2012(data / "icpr2012")
    scored: dict[Variant, list[Scored]] = {v: [] for v in VARIANTS}
    done = 0
    for name, test in folds(samples, "S").items():
        network = CompactDeepDet()
        load_weights(network, runs / name / "model.safetensors")
        fold_batch_norms(network.eval())
        for sample in [samples[i] for i in test]:
            for variant, evidence in looked_at(sample, network, VARIANTS).items():
                scored[variant].append(Scored(sample, name, evidence))
            done += 1
            yield Progress(done, len(samples), f"{name}: {sample.field.name}")
    return (yield from _table({(v.table, v.name): fields for v, fields in scored.items()}))


def trained_ablation(runs: Path, data: Path, out: Path, *, steps: int) -> Job[pd.DataFrame]:
    """F on the first fold of protocol S of networks that differ in anchors or in the scale of the image.

    Each is trained for `steps`; its rule is chosen on the same five fields, so figures compare with one another only.

    Parameters
    ----------
    runs : Path
        Run folder of the compact SegMitos, from which trunk and decoder start.
    """
    samples = read_icpr2012(data / "icpr2012")
    crops = read_crops(data / "ami_br") + read_crops(data / "tupac_crops")
    name, test = next(iter(folds(samples, "S").items()))
    start = runs / name / "model.safetensors"
    train = [s for i, s in enumerate(samples) if i not in test]
    scored: dict[tuple[str, str], list[Scored]] = {}
    for (table, variant), build in TRAINED.items():
        place = out / f"{table} {variant}".replace(", ", "-").replace(" ", "-")
        network = build()
        load_start(network, start)
        job = train_boxes(network, train, crops, BoxRecipe().of(0, steps), place, start.parent / "mined.json")
        yield from retold(job, saying(variant))
        fold_batch_norms(network.eval())
        plain = Variant(table, variant, sizes=tuple(range(len(network.options.sizes_px))))
        key = (f"{table}, fold {name}, {steps} steps", variant)
        # Every field is a fold of its own: the rule of each is chosen on the others.
        scored[key] = [
            Scored(samples[i], samples[i].field.name, looked_at(samples[i], network, (plain,))[plain]) for i in test
        ]
    return (yield from _table(scored))


def _variant(sizes_px: tuple[float, ...], zoom: int) -> Callable[[], DeepDet]:
    """A compact DeepDet with other anchors (in field pixels), or on an enlarged image."""

    def build() -> DeepDet:
        options = replace(
            COMPACT_OPTIONS, sizes_px=tuple(s * zoom for s in sizes_px), min_px=COMPACT_OPTIONS.min_px * zoom
        )
        channels = LiteFeatures.channels
        same = options.per_cell == COMPACT_OPTIONS.per_cell
        head = compact_head() if same else ProposalHead(channels, channels, options.per_cell)
        return DeepDet(LiteFeatures(), head, RegionHead(channels, 256, 128), options, zoom=zoom, stride=8, pool=2)

    return build


TRAINED: Mapping[tuple[str, str], Callable[[], DeepDet]] = {
    ("anchors", "22, 32, 48 px"): _variant((22.0, 32.0, 48.0), 1),
    ("anchors", "32, 64, 128 px"): _variant((32.0, 64.0, 128.0), 1),
    ("scale", "2"): _variant((22.0, 32.0, 48.0), 2),
}


@torch.inference_mode()
def looked_at(sample: Sample, network: DeepDet, variants: tuple[Variant, ...]) -> dict[Variant, Evidence]:
    """Evidence of every variant from one look of the network at the whole field."""
    field = sample.field
    h, w = field.shape
    tile = Tile(0, h, 0, w)
    pixels, top, left = read_tile(field, tile, field.shape, 1.0, _HALO_PX, _HALO_PX, network.multiple)
    place = choose_device("auto")
    by_variant = {}
    with inference_on(network, place):
        image = pixels.to(place).contiguous(memory_format=torch.channels_last)
        outputs = network(image)
        shape = (image.shape[2], image.shape[3])
        for variant in variants:
            boxes = _boxes(network, outputs, shape, variant).float().cpu().numpy()
            by_variant[variant] = _evidence(sample, all_boxes(boxes, tile, top, left), variant)
    return by_variant


def _boxes(network: DeepDet, outputs: Outputs, shape: tuple[int, int], variant: Variant) -> Tensor:
    options = network.options
    features, logits, offsets, anchors = outputs
    used = [s * len(options.ratios) + r for s in variant.sizes for r in range(len(options.ratios))]
    logits, offsets = (
        x.reshape(1, -1, options.per_cell, x.shape[-1])[:, :, used].flatten(1, 2) for x in (logits, offsets)
    )
    anchors = anchors.reshape(-1, options.per_cell, 4)[:, used].flatten(0, 1)
    network.options = replace(options, proposals=variant.proposals)
    try:
        detect = network.detect if variant.classified else lambda o, s: RPN.detect(network, o, s)
        return detect((features, logits, offsets, anchors), shape)
    finally:
        network.options = options


def _evidence(sample: Sample, boxes: NDArray[np.float32], variant: Variant) -> Evidence:
    return Evidence(
        maps={},
        stride=8.0,
        shape=sample.field.shape,
        mpp=sample.field.require_mpp("an ablation"),
        model=f"deepdet, {variant.name}",
        field_digest=sample.field.digest,
        candidates=as_candidates([boxes], ("detector",), sample.field.shape, 1.0),
        scores=("detector",),
    )


def _table(scored: Mapping[tuple[str, str], list[Scored]]) -> Job[pd.DataFrame]:
    rows = []
    for (table, name), fields in scored.items():
        counts = yield from retold(count_all(fields, Rule(), RADIUS_UM), saying(name))
        rules = cross_fitted_rules(fields, counts, Rule())
        rows.append(as_row(table, name, measure(fields, rules, RADIUS_UM)))
    return pd.DataFrame(rows)
