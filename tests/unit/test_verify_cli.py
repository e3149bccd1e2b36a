"""A verifier behind the commands: which one, what the tables hold, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from napari_mitosis.batches.batch import CSV_COLUMNS, csv_columns, read_detections
from napari_mitosis.cli import app
from napari_mitosis.decision.decide import decide
from napari_mitosis.errors import WeightsError
from napari_mitosis.fields.field import open_field
from napari_mitosis.inference.cache import EvidenceCache
from napari_mitosis.inference.pipeline import load_pipeline
from napari_mitosis.inference.predict import predict
from napari_mitosis.inference.verify import load_verifier, verify
from napari_mitosis.jobs import run
from napari_mitosis.models.card import read_card
from napari_mitosis.models.deepver import DeepVer
from napari_mitosis.models.presets import verified_rule
from napari_mitosis.models.registry import load_detector
from napari_mitosis.models.weights import publish
from napari_mitosis.tables import DETECTION_COLUMNS
from napari_mitosis.training.deepver import SYSTEM

Write = Callable[..., Path]
DISCS = [(60, 70), (180, 250)]


@pytest.fixture(scope="module")
def both(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a drawn detector and a drawn verifier."""
    folder = tmp_path_factory.mktemp("both")
    for path in model_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    torch.manual_seed(1)
    network = DeepVer.build("compact")
    with torch.no_grad():  # scores of all heights
        network.fc.weight.mul_(30.0)
    publish(network.eval(), SYSTEM.card(version="0.0.2", seed=1), folder)
    return folder


def call(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
    return " ".join(done.output.split())


def test_detect_verifies_and_keeps_both_scores(tmp_path: Path, write_field: Write, both: Path) -> None:
    field, out = write_field("a.png", DISCS), tmp_path / "out"
    shown = call("detect", field, "--models", both, "--out", out, "--verify", "--score", 0, "--threshold", 0.05)
    table = pd.read_csv(out / "detections.csv")
    assert list(table.columns) == csv_columns(load_pipeline("segmitos+deepver", both))
    assert set(table.columns) - set(CSV_COLUMNS) == {"height_px", "width_px", "detector", "verifier"}
    assert set(table["model"]) == {"segmitos@0.0.1+deepver@0.0.2"}
    assert "segmitos@0.0.1+deepver@0.0.2" in shown
    np.testing.assert_allclose(table["score"], (table["detector"] + table["verifier"]) / 2)
    assert json.loads((out / "summary.json").read_text())["rule"]["weights"] == [["detector", 0.5], ["verifier", 0.5]]
    assert len(list(out.glob("*.score_map.png"))) == 1
    assert list(read_detections(out / "detections.csv")["a.png"].columns) == list(DETECTION_COLUMNS)


def test_one_job_predicts_and_verifies(write_field: Write, both: Path) -> None:
    field = open_field(write_field("a.png", DISCS))
    detector, verifier = load_detector("segmitos", both), load_verifier("deepver", both)
    pipeline = load_pipeline("segmitos@0.0.1+deepver", both)
    assert pipeline.name == "segmitos@0.0.1+deepver@0.0.2"
    cache = EvidenceCache()
    steps: list[tuple[int, int]] = []
    job = pipeline.look(field, device="cpu", cache=cache)
    seen = run(job, on_progress=lambda p: steps.append((p.done, p.total)))
    assert steps == sorted(steps)
    assert {total for _, total in steps} == {100}
    assert steps[-1][0] >= 90
    first = run(predict(field, detector, device="cpu"))
    plain = run(verify(field, first, verifier, detector.card.decision_rule(), device="cpu"))
    assert seen.candidates is not None
    pd.testing.assert_frame_equal(seen.candidates, plain.candidates)
    assert run(pipeline.look(field, device="cpu", cache=cache)) is seen, "what was seen is remembered"
    assert pipeline.rule == verified_rule(detector.card, verifier.card)
    pd.testing.assert_frame_equal(pipeline.decide(seen), decide(plain, pipeline.rule))
    stricter = pipeline.with_rule(replace(pipeline.rule, min_score=0.99))
    assert len(stricter.decide(seen)) <= len(pipeline.decide(seen))
    assert stricter.fingerprint == pipeline.fingerprint, "the evidence is the same"


def test_the_card_names_its_verifier_and_its_rule(tmp_path: Path, write_field: Write, both: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    for path in both.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    card = read_card(folder / "segmitos-0.0.1.json")
    rule = {"threshold": 0.1, "min_score": 0.0, "min_area_um2": 0.0, "weights": [["detector", 0.3], ["verifier", 0.7]]}
    named = card.model_copy(update={"verified": {"verifier": "deepver@0.0.2", "rule": rule}})
    (folder / "segmitos-0.0.1.json").write_text(named.model_dump_json())
    out = tmp_path / "out"
    call("detect", write_field("a.png", DISCS), "--models", folder, "--out", out, "--verify", "--no-pictures")
    used = json.loads((out / "summary.json").read_text())["rule"]
    assert (used["threshold"], used["weights"]) == (0.1, rule["weights"])
    table = pd.read_csv(out / "detections.csv")
    assert len(table)
    np.testing.assert_allclose(table["score"], 0.3 * table["detector"] + 0.7 * table["verifier"])


def test_evaluate_measures_the_pair(tmp_path: Path, write_field: Write, both: Path) -> None:
    write_field("fields/a.png", DISCS)
    table = pd.DataFrame({"y_px": [60.0, 180.0], "x_px": [70.0, 250.0], "label": "mitosis"})
    table.to_csv(tmp_path / "fields" / "a.csv", index=False)
    out = tmp_path / "out"
    options = ["--models", both, "--out", out, "--kind", "folder", "--verifier", "deepver@0.0.2"]
    call("evaluate", tmp_path / "fields", *options)
    result = json.loads((out / "evaluation.json").read_text())
    assert result["model"] == "segmitos@0.0.1+deepver@0.0.2"
    assert result["mitoses"] == 2
    detections = tmp_path / "detections.csv"
    pd.DataFrame(columns=["file", *DETECTION_COLUMNS]).to_csv(detections, index=False)
    shown = call("evaluate", tmp_path / "fields", "--detections", detections, "--verify", code=2)
    assert "nothing is left to verify" in shown


def test_a_detector_is_no_verifier(tmp_path: Path, write_field: Write, both: Path) -> None:
    with pytest.raises(WeightsError, match=r"segmitos@0\.0\.1 is a detector; it cannot verify"):
        load_verifier("segmitos", both)
    options = ["--models", both, "--out", tmp_path / "out", "--verifier"]
    shown = call("detect", write_field("a.png", DISCS), *options, "segmitos", code=1)
    assert "cannot verify" in shown
    shown = call("detect", write_field("a.png", DISCS), *options, "deepver@9.9.9", code=1)
    assert "there are no weights for 'deepver@9.9.9'" in shown
