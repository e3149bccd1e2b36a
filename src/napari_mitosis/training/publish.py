"""From a training run to a model version with its card."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..datasets.sample import Sample
from ..decision.decide import Rule
from ..measures.evaluate import Evaluation
from ..models.card import Measure

TERMS = (
    "Research use only; not a medical device. Trained on ICPR 2012 MITOSIS and ICPR 2014 MITOS-ATYPIA contest "
    "fields (no licence stated) and on crops of AMi-Br (repository MIT; its MIDOG 2021 images CC BY-NC-ND) and "
    "TUPAC16 (none stated): not for commercial use. Started from EfficientNet-Lite0 (ImageNet), Apache-2.0."
)


def as_measure(name: str, evaluation: Evaluation, radius_um: float, command: str) -> Measure:
    """One evaluation as an entry of a card; 0 stands for what is undefined because nothing was detected."""
    low, high = evaluation.interval["f"]
    counts = evaluation.counts
    return Measure(
        name=name,
        fields=len(evaluation.per_field),
        mitoses=counts.tp + counts.fn,
        radius_um=radius_um,
        precision=_figure(counts.precision),
        recall=_figure(counts.recall),
        f=_figure(counts.f),
        f_low=_figure(low),
        f_high=_figure(high),
        command=command,
    )


def _figure(value: float) -> float:
    # JSON knows no NaN, and a card that cannot be read back is worse than a 0.
    return 0.0 if math.isnan(value) else round(value, 4)


def describe(samples: Sequence[Sample]) -> str:
    """Data sets with their numbers of fields and mitoses, for a card."""
    names = sorted({s.dataset for s in samples})
    parts = []
    for name in names:
        of_set = [s for s in samples if s.dataset == name]
        parts.append(f"{name}: {len(of_set)} fields, {sum(len(s.centroids_yx()) for s in of_set)} mitoses")
    return "; ".join(parts)


def read_report(path: Path) -> dict[str, Any]:
    """What `write_report` wrote."""
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return report


def write_report(
    path: Path,
    rule: Rule,
    chosen_on: str,
    measures: Sequence[Measure],
    calibration: Sequence[tuple[float, float]] = (),
) -> None:
    """Keep the shipped rule, all measures and the knots of the calibration as JSON."""
    # JSON knows no infinity: a limit that is none is left out.
    values = {name: value for name, value in asdict(rule).items() if value != math.inf}
    report = {
        "rule": values,
        "rule_chosen_on": chosen_on,
        "measures": [m.model_dump() for m in measures],
        "calibration": [list(knot) for knot in calibration],
    }
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
