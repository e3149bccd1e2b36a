"""Detections of every shipped model on parts of the sample fields: what a change of code must not change.

``python tests/pins/pinned.py`` writes ``pins.json`` anew: for a new version of weights, never to make a test pass.
Everything is computed in float32, so that processors with and without bfloat16 agree. A figure is *certain* where
rules a little stricter keep it, and *possible* where rules a little looser do: what lies between may flip from one
processor to another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import torch

from napari_mitosis import Evidence, Rule, decide, load_pipeline, open_field, run
from napari_mitosis.fields.field import Field
from napari_mitosis.inference.cache import EvidenceCache

PINS = Path(__file__).with_name("pins.json")
MODELS = ("segmitos", "partmitosis", "deepdet", "deepdet+deepver", "rpn", "idsia", "mssn", "ensemble")
# Top, left: where most models find something.
PARTS: Mapping[str, tuple[int, int]] = {"hotspot": (448, 128), "mimics": (352, 128), "quiet": (192, 32)}
SIDE_PX = 448
COLUMNS = ["y_px", "x_px", "score", "area_um2"]


def part_of(name: str) -> Field:
    """A square of a sample field."""
    folder = Path(str(resources.files("napari_mitosis"))) / "sample_data"
    field = open_field(folder / f"{name}.tif")
    top, left = PARTS[name]
    pixels = field.read(top, top + SIDE_PX, left, left + SIDE_PX)
    return Field.from_array(pixels, field.require_mpp("A pin"), f"{name} {top} {left}")


def seen(field: Field) -> dict[str, tuple[Evidence, Rule]]:
    """Evidence and shipped rule of every model, by its name."""
    cache = EvidenceCache()
    looks: dict[str, tuple[Evidence, Rule]] = {}
    with mock.patch("napari_mitosis.inference.device.precision", return_value=torch.float32):
        for name in MODELS:
            pipeline = load_pipeline(name)
            looks[name] = run(pipeline.look(field, device="cpu", cache=cache)), pipeline.rule
    return looks


def moved(rule: Rule, by: float) -> Rule:
    """The rule with each of its limits raised (or lowered, for a negative number) by so much."""
    threshold = rule.threshold if rule.threshold == "otsu" else float(np.clip(rule.threshold + by, 0, 1))
    return replace(
        rule,
        threshold=threshold,
        min_score=float(np.clip(rule.min_score + by, 0, 1)),
        min_area_um2=rule.min_area_um2 * (1 + 5 * by),
    )


def pin(evidence: Evidence, rule: Rule) -> dict[str, list[list[float]]]:
    """Detections under the rule; which of them are certain, and what else is possible."""
    found = decide(evidence, rule)
    certain = near(found, decide(evidence, moved(rule, 0.02)))
    loose = decide(evidence, moved(rule, -0.02))
    doubtful = pd.concat([found[~certain], loose[~near(loose, found)]])
    return {"certain": rows(found[certain]), "possible": rows(doubtful)}


def near(left: pd.DataFrame, right: pd.DataFrame, within_px: float = 1.5) -> np.ndarray:
    """Which rows of one table lie by a row of the other."""
    a, b = (table[["y_px", "x_px"]].to_numpy(np.float64) for table in (left, right))
    if not len(b):
        return np.zeros(len(a), dtype=bool)
    apart = np.linalg.norm(a[:, None] - b[None], axis=2)
    return np.asarray(apart.min(axis=1) <= within_px)


def rows(table: pd.DataFrame) -> list[list[float]]:
    """Place, score and area, rounded for the file."""
    return [[round(float(v), 4) for v in row] for row in table[COLUMNS].to_numpy()]


def main() -> None:
    """Write the pins."""
    pins = {
        field: {model: pin(evidence, rule) for model, (evidence, rule) in seen(part_of(field)).items()}
        for field in PARTS
    }
    text = json.dumps(pins, indent=1).replace("\n     ", "").replace("\n    ]", "]")
    PINS.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
