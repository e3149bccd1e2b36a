"""Detections of every shipped model on the sample fields stay what they were."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pinned import COLUMNS, PARTS, PINS, part_of, seen

from napari_mitosis import decide

NEAR_PX = 1.0
SCORE = 0.01
AREA = 0.05
"""Share of an area by which it may differ: a cell or two of a blob."""


@pytest.mark.parametrize("field", PARTS)
def test_detections_are_those_that_are_pinned(field: str) -> None:
    pins = json.loads(PINS.read_text(encoding="utf-8"))[field]
    looks = seen(part_of(field))
    assert looks.keys() == pins.keys()
    for model, (evidence, rule) in looks.items():
        found = decide(evidence, rule)[COLUMNS].to_numpy()
        certain, possible = (np.array(pins[model][kind]).reshape(-1, 4) for kind in ("certain", "possible"))
        for y, x, score, area in certain:
            nearest = np.linalg.norm(found[:, :2] - (y, x), axis=1).argmin() if len(found) else None
            assert nearest is not None, f"{model} lost the figure at {y:.0f}, {x:.0f}"
            assert np.allclose(found[nearest, :2], (y, x), atol=NEAR_PX), f"{model} lost the figure at {y:.0f}, {x:.0f}"
            assert found[nearest, 2] == pytest.approx(score, abs=SCORE), model
            assert found[nearest, 3] == pytest.approx(area, rel=AREA, abs=3.0), model
        known = np.concatenate([certain, possible])[:, :2]
        for y, x in found[:, :2]:
            distance = np.linalg.norm(known - (y, x), axis=1).min(initial=np.inf)
            assert distance <= NEAR_PX, f"{model}: new at {y:.0f}, {x:.0f}"
