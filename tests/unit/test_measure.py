"""Detections against annotated fields, by the engine and by the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from napari_mitosis.batches.batch import detect_fields, find_fields, read_detections
from napari_mitosis.batches.measure import as_dict, measure_model, measure_table, save
from napari_mitosis.cli import app
from napari_mitosis.datasets import open_samples
from napari_mitosis.errors import DatasetError, UnknownResolution
from napari_mitosis.inference.pipeline import pipeline_of
from napari_mitosis.jobs import run
from napari_mitosis.models.registry import Detector

Write = Callable[..., Path]
RADIUS_UM = 5.0


@pytest.fixture
def annotated(tmp_path: Path, write_field: Write) -> Path:
    """Discs: two right, one without an annotation, one annotation without a disc, and a field without any."""
    write_field("set/a.png", [(60, 70), (180, 250), (200, 60)])
    write_field("set/b.png", [])
    folder = tmp_path / "set"
    (folder / "a.csv").write_text("y,x,label\n62,71,mitosis\n180,250,mitosis\n30,300,mitosis\n200,60,mimic\n")
    (folder / "b.csv").write_text("y,x\n")
    return folder


def test_a_model_is_measured(annotated: Path, darkness_detector: Detector, tmp_path: Path) -> None:
    measured = run(measure_model(open_samples(annotated), pipeline_of(darkness_detector), RADIUS_UM))
    content = as_dict(measured)
    assert (content["tp"], content["fp"], content["fn"]) == (2, 1, 1)
    assert content["fields"] == 2
    assert content["f"] == pytest.approx(2 / 3)
    save(measured, tmp_path / "m")
    written = json.loads((tmp_path / "m" / "evaluation.json").read_text())
    assert written["per_field"][0]["tp"] == 2
    assert written["per_field"][1]["precision"] is None
    picture = np.asarray(Image.open(tmp_path / "m" / "pr_curve.png").convert("RGB"))
    assert picture.shape == (800, 800, 3)
    assert picture.std() > 5
    assert pd.read_csv(tmp_path / "m" / "pr_curve.csv")["recall"].max() == pytest.approx(2 / 3)


def test_the_radius_decides(annotated: Path, darkness_detector: Detector) -> None:
    measured = run(measure_model(open_samples(annotated), pipeline_of(darkness_detector), 0.3))
    assert measured.evaluation.counts.tp == 1  # (62, 71) is 0.56 um from its disc


def test_a_table_gives_what_the_model_gives(annotated: Path, darkness_detector: Detector, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(detect_fields(find_fields([annotated]), pipeline_of(darkness_detector), out, pictures=False))
    samples = open_samples(annotated)
    by_table = as_dict(measure_table(samples, read_detections(out / "detections.csv"), RADIUS_UM))
    by_model = as_dict(run(measure_model(samples, pipeline_of(darkness_detector), RADIUS_UM)))
    assert {k: by_table[k] for k in ("tp", "fp", "fn", "f")} == {k: by_model[k] for k in ("tp", "fp", "fn", "f")}


def test_a_table_of_other_fields_is_refused(annotated: Path, darkness_detector: Detector) -> None:
    samples = open_samples(annotated)
    frames = {"elsewhere.png": pd.DataFrame()}
    with pytest.raises(DatasetError, match=r"elsewhere\.png"):
        measure_table(samples, frames, RADIUS_UM)
    with pytest.raises(DatasetError, match="no annotated field"):
        measure_table([], {}, RADIUS_UM)


def test_a_field_without_pixel_size_stops_the_measure(annotated: Path, darkness_detector: Detector) -> None:
    Image.fromarray(np.full((64, 64, 3), 220, np.uint8)).save(annotated / "b.png")
    samples = open_samples(annotated)
    with pytest.raises(UnknownResolution, match="'b'"):
        run(measure_model(samples, pipeline_of(darkness_detector), RADIUS_UM))
    measured = run(measure_model(samples, pipeline_of(darkness_detector), RADIUS_UM, mpp=0.25))
    assert measured.evaluation.counts.tp == 2


def test_the_command_prints_and_writes(annotated: Path, model_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "e"
    arguments = ["evaluate", annotated, "--models", model_folder, "--out", out, "--radius", 5, "--device", "cpu"]
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    content = json.loads((out / "evaluation.json").read_text())
    assert content["model"] == "segmitos@0.0.1"
    assert content["mitoses"] == 3
    for word in ("Precision", "Recall", "95 % interval", str(content["fp"])):
        assert word in done.output


def test_the_command_reads_a_table(annotated: Path, darkness_detector: Detector, tmp_path: Path) -> None:
    run(detect_fields(find_fields([annotated]), pipeline_of(darkness_detector), tmp_path / "d", pictures=False))
    arguments = ["evaluate", annotated, "--detections", tmp_path / "d" / "detections.csv", "--out", tmp_path / "e"]
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    assert "0.667" in done.output
    refused = CliRunner().invoke(app, [*(str(a) for a in arguments), "--score", "0.9"])
    assert refused.exit_code == 2


def test_a_folder_without_annotations_says_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["evaluate", str(tmp_path), "--out", str(tmp_path / "e")])
    assert done.exit_code == 1
    assert "no annotated image" in done.output
