"""The simulated reader: which fields it annotates, what it writes, and how the table is summed up."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from napari_mitosis.datasets.sample import Sample
from napari_mitosis.errors import DatasetError
from napari_mitosis.fields.field import Field
from napari_mitosis.finetune.plan import Figure
from napari_mitosis.finetune.reader_protocol import base_plan, summary
from napari_mitosis.finetune.simulated_reader import Setting, drawn, reader_figures, setting_plan
from napari_mitosis.tables import annotations_frame

CASES = ["A"] * 5 + ["B"] * 4


@pytest.fixture
def samples() -> list[Sample]:
    def one(number: int, case: str) -> Sample:
        pixels = np.random.default_rng(number).integers(150, 255, (64, 64, 3), dtype=np.uint8)
        field = Field.from_array(pixels, 0.25, f"{case}{number}", path=None)
        return Sample(field, annotations_frame([10.0, 40.0], [10.0, 50.0]), case=case)

    return [one(i, case) for i, case in enumerate(CASES)]


def test_each_setting_parts_the_fields(samples):
    false = {0: 1, 1: 9, 2: 0, 3: 7, 4: 9}
    for seed in range(3):
        draw = drawn(samples, Setting("A", 2, seed), false)
        assert draw == drawn(samples, Setting("A", 2, seed), false)
        assert sorted((*draw.chosen, *draw.opened, *draw.own)) == [0, 1, 2, 3, 4]
        assert (len(draw.chosen), len(draw.opened)) == (2, 1)
        assert {samples[i].case for i in draw.others} == {"B"}
        mistaken = drawn(samples, Setting("A", 2, seed, "mistaken"), false)
        assert mistaken.chosen == (1, 4)
        assert mistaken.others == draw.others  # compared on the same fields in every run
    assert len({drawn(samples, Setting("A", 2, seed), false).chosen for seed in range(5)}) > 1
    with pytest.raises(DatasetError, match="too few"):
        drawn(samples, Setting("A", 4, 0), false)


def test_the_reader_marks_every_mitosis_and_every_false_detection(samples):
    # At 0.25 um/px a detection within 30 px is the mitosis; the one at (40, 20) is not.
    found = pd.DataFrame({"y_px": [12.0, 40.0], "x_px": [12.0, 10.0], "score": [0.9, 0.8]})
    figures = reader_figures(samples[0], found)
    assert Counter(f.label for f in figures) == {"mitosis": 2, "mimic": 1}
    assert [(f.y_px, f.x_px) for f in figures if f.label == "mimic"] == [(40.0, 10.0)]


def test_the_plan_learns_from_the_drawn_fields_only(samples):
    setting = Setting("B", 2, 1)
    draw = drawn(samples, setting, dict.fromkeys(range(5, 9), 0))
    old = [Sample(s.field.renamed(f"old{i}"), s.annotations) for i, s in enumerate(samples[:4])]
    figures = {i: (Figure(y_px=1.0, x_px=float(i), label="mimic"),) for i in draw.chosen}
    plan = setting_plan(samples, old, setting, draw, base_plan("segmitos@1.0.0", "", 5.0, 1, 0), figures)
    assert [f.name for f in plan.fields] == [samples[i].field.name for i in draw.chosen]
    assert all(f.complete and f.role == "train" for f in plan.fields)
    assert [f.figures for f in plan.fields] == [figures[i] for i in draw.chosen]
    assert not any(t.figures for t in plan.tissue)
    compared = {samples[i].field.name for i in (*draw.own, *draw.others)}
    assert not compared & {t.name for t in plan.tissue}


def test_the_summary_is_a_mean_of_slides_with_its_interval():
    table = pd.DataFrame(
        {
            "annotated": [3] * 6,
            "pick": ["random"] * 6,
            "slide": ["A", "A", "A", "A", "B", "B"],
            "own_parent_f": [0.5] * 6,
            "own_child_f": [0.6, 0.6, 0.5, 0.7, 0.4, 0.4],
            "own_gain": [0.1, 0.1, 0.0, 0.2, -0.1, -0.1],
            "own_recalibrated_f": [0.55] * 6,
            "others_gain": [0.0] * 6,
            "old_gain": [-0.01] * 6,
            "offered": [True, False, True, True, False, False],
        }
    )
    row = summary(table).iloc[0]
    assert row["gain"] == pytest.approx(0.0)  # slide A gains 0.1, slide B loses as much, whatever the number of runs
    assert row["adopted"] == pytest.approx((0.3 / 4 + 0) / 2)
    assert row["gain_low"] < 0 < row["gain_high"]
    assert (row["offered"], row["worst_offered"], row["slides"], row["runs"]) == (3, 0.0, 2, 6)
