"""The simulated reader: which fields it annotates, what it writes, and how the table is summed up."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from napari_mitosis.datasets.sample import Sample
from napari_mitosis.decision.decide import Rule, decide
from napari_mitosis.fields.field import Field
from napari_mitosis.finetune.simulated_reader import Setting, drawn, reader_figures, see, setting_plan, summary
from napari_mitosis.inference.cache import load_evidence
from napari_mitosis.jobs import run
from napari_mitosis.tables import annotations_frame

CASES = ["A"] * 5 + ["B"] * 4


@pytest.fixture
def samples() -> list[Sample]:
    def one(number: int, case: str) -> Sample:
        pixels = np.random.default_rng(number).integers(150, 255, (64, 64, 3), dtype=np.uint8)
        field = Field.from_array(pixels, 0.25, f"{case}{number}", path=None)
        return Sample(field, annotations_frame([10.0, 40.0], [10.0, 50.0]), case=case)

    return [one(i, case) for i, case in enumerate(CASES)]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_each_seed_draws_other_fields_of_the_slide(samples, k):
    seen = []
    for seed in range(3):
        chosen, others = drawn(samples, Setting("A", k, seed))
        assert len(chosen) == k
        assert sorted(chosen + others) == [0, 1, 2, 3, 4]
        assert (chosen, others) == drawn(samples, Setting("A", k, seed))
        seen.append(tuple(chosen))
    assert len(set(seen)) == 3


def test_the_reader_marks_every_mitosis_and_every_false_detection(samples):
    # At 0.25 um/px a detection within 30 px is the mitosis; the one at (40, 20) is not.
    found = pd.DataFrame({"y_px": [12.0, 40.0], "x_px": [12.0, 10.0], "score": [0.9, 0.8]})
    figures = reader_figures(samples[0], found)
    assert Counter(f.label for f in figures) == {"mitosis": 2, "mimic": 1}
    assert [(f.y_px, f.x_px) for f in figures if f.label == "mimic"] == [(40.0, 10.0)]


def test_the_plan_learns_from_the_drawn_fields_only(samples, tmp_path):
    rule = Rule()
    run(see(samples, "B", "segmitos@1.0.0", _weights(), tmp_path / "seen"))
    setting = Setting("B", 2, 1)
    plan = setting_plan(samples, setting, "segmitos@1.0.0", _weights(), rule, tmp_path / "seen", 5.0, 1)
    chosen, _ = drawn(samples, setting)
    assert [f.name for f in plan.fields] == [samples[i].field.name for i in chosen]
    assert all(f.complete and f.role == "train" for f in plan.fields)
    evidence = load_evidence(tmp_path / "seen" / f"{plan.fields[0].name}.npz")
    assert evidence is not None
    assert plan.fields[0].figures == reader_figures(samples[chosen[0]], decide(evidence, rule))


def test_tissue_comes_from_other_slides_and_without_labels(samples, tmp_path):
    many = samples + samples[:5]
    run(see(many, "B", "segmitos@1.0.0", _weights(), tmp_path / "seen"))
    plan = setting_plan(many, Setting("B", 1, 0), "segmitos@1.0.0", _weights(), Rule(), tmp_path / "seen", 5.0, 1)
    assert {t.name[0] for t in plan.tissue} == {"A"}
    assert not any(t.figures for t in plan.tissue)


def test_the_summary_is_a_mean_of_slides_with_its_interval():
    table = pd.DataFrame(
        {
            "annotated": [3] * 6,
            "slide": ["A", "A", "A", "A", "B", "B"],
            "parent_f": [0.5] * 6,
            "child_f": [0.6, 0.6, 0.5, 0.7, 0.4, 0.4],
            "gain": [0.1, 0.1, 0.0, 0.2, -0.1, -0.1],
            "offered": [True, False, True, True, False, False],
        }
    )
    row = summary(table).iloc[0]
    assert row["gain"] == pytest.approx(0.0)  # slide A gains 0.1, slide B loses as much, whatever the number of runs
    assert row["adopted"] == pytest.approx((0.3 / 4 + 0) / 2)
    assert row["gain_low"] < 0 < row["gain_high"]
    assert (row["offered"], row["worst_offered"], row["slides"], row["runs"]) == (3, 0.0, 2, 6)


def _weights():
    from napari_mitosis.models.registry import find_version

    return find_version("segmitos@1.0.0")[1].parent
