"""Several detectors on one field: the figures of each, and who agrees with whom."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from napari_mitosis import jobs
from napari_mitosis.batches.batch import detect_fields, find_fields
from napari_mitosis.batches.compare import compare, found_by, newest_detectors, save_comparison
from napari_mitosis.cli import app
from napari_mitosis.decision.decide import Rule, decide
from napari_mitosis.errors import UnknownResolution, WeightsError
from napari_mitosis.fields.field import open_field
from napari_mitosis.inference.cache import EvidenceCache
from napari_mitosis.inference.pipeline import load_pipeline
from napari_mitosis.inference.predict import predict
from napari_mitosis.measures.agreement import PLACE_COLUMNS
from napari_mitosis.models.registry import detector_class, load_detector
from napari_mitosis.models.weights import load_weights, publish


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A field of coloured noise that states its um/px."""
    coarse = np.random.default_rng(0).uniform(60, 230, (24, 30, 3))
    pixels = np.kron(coarse, np.ones((8, 8, 1))).astype(np.uint8)
    path = tmp_path_factory.mktemp("field") / "field.png"
    Image.fromarray(pixels).save(path, dpi=(25_400 / 0.25, 25_400 / 0.25))
    return path


@pytest.fixture(scope="module")
def versions(model_folder: Path, path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions of the drawn SegMitos: one keeps half of what the others find, one is calibrated."""
    folder = tmp_path_factory.mktemp("versions")
    loose = Rule(method="peaks", disc_um=1.5, threshold=0.02, min_area_um2=0.0, min_score=0.0)
    evidence = jobs.run(predict(open_field(path), load_detector("segmitos", model_folder), device="cpu"))
    strict = replace(loose, threshold=float(decide(evidence, loose)["score"].median()))
    card = load_detector("segmitos", model_folder).card.model_copy(update={"rule": asdict(loose)})
    network = detector_class("segmitos").build("compact")
    load_weights(network, model_folder / "segmitos-0.0.1.safetensors")
    publish(network, card, folder)
    publish(network, card.model_copy(update={"version": "0.0.2", "rule": asdict(strict)}), folder)
    publish(network, card.model_copy(update={"version": "0.0.3", "calibration": ((0.0, 0.2), (1.0, 0.4))}), folder)
    return folder


NAMES = ["segmitos@0.0.1", "segmitos@0.0.2", "segmitos@0.0.3"]


def test_each_decides_by_its_card_and_figures_are_counted(versions: Path, tmp_path: Path, path: Path) -> None:
    steps: list[jobs.Progress] = []
    comparison = jobs.run(compare(open_field(path), NAMES, device="cpu", folder=versions), steps.append)
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert list(comparison.detections) == list(comparison.evidence) == list(comparison.cards) == NAMES
    for name in NAMES:
        report = jobs.run(detect_fields(find_fields([path]), load_pipeline(name, versions), tmp_path, device="cpu"))
        assert report.fields[0].count == len(comparison.detections[name])
    first, second, third = comparison.detections.values()
    assert len(first) == len(third) > len(second) > 0  # or the test shows nothing
    np.testing.assert_array_equal(first["probability"], first["score"])
    np.testing.assert_allclose(third["probability"], 0.2 + 0.2 * third["score"])
    figures = comparison.agreement
    assert figures.columns.tolist() == [*PLACE_COLUMNS, *NAMES, "found_by", "of"]
    assert figures[NAMES].notna().sum().tolist() == [len(first), len(second), len(third)]
    assert (figures["found_by"] == 3).sum() == len(second)
    assert comparison.labels == found_by(figures)
    assert comparison.labels[0] == "3 of 3"
    assert comparison.pairs.loc[NAMES[0], NAMES[2]] == 1
    both = 2 * len(second) / (len(first) + len(second))
    assert comparison.pairs.loc[NAMES[0], NAMES[1]] == pytest.approx(both)


def test_evidence_is_kept_for_later(versions: Path, path: Path) -> None:
    field = open_field(path)
    cache = EvidenceCache()
    one = jobs.run(compare(field, NAMES[:2], device="cpu", folder=versions, cache=cache))
    other = jobs.run(compare(field, NAMES[:2], device="cpu", folder=versions, cache=cache))
    assert all(one.evidence[name] is other.evidence[name] for name in NAMES[:2])


def test_tables_and_picture_are_written(versions: Path, tmp_path: Path, path: Path) -> None:
    field = open_field(path)
    comparison = jobs.run(compare(field, NAMES[:2], device="cpu", folder=versions))
    save_comparison(comparison, tmp_path / "out")
    figures = pd.read_csv(tmp_path / "out" / "agreement.csv")
    assert len(figures) == len(comparison.agreement) > 0
    detections = pd.read_csv(tmp_path / "out" / "detections.csv")
    assert detections["model"].value_counts().to_dict() == {
        name: len(table) for name, table in comparison.detections.items()
    }
    pairs = pd.read_csv(tmp_path / "out" / "pairs.csv", index_col="detector")
    np.testing.assert_allclose(pairs, comparison.pairs)
    with Image.open(tmp_path / "out" / "agreement.png") as picture:
        assert picture.size == (field.shape[1], field.shape[0])
        assert (np.asarray(picture) != field.numpy()).any()


def test_from_the_command_line(versions: Path, tmp_path: Path, path: Path) -> None:
    out = tmp_path / "out"
    common = ["--models", str(versions), "--out", str(out)]
    models = [part for name in NAMES[:2] for part in ("--model", name)]
    result = CliRunner().invoke(app, ["compare", str(path), *models, *common])
    assert result.exit_code == 0, result.output
    assert "2 of 2" in result.output
    assert "not calibrated" in result.output
    assert (out / "agreement.csv").is_file()
    result = CliRunner().invoke(app, ["compare", str(path), *common])
    assert result.exit_code == 1
    assert "two or more different models" in result.output
    assert newest_detectors(versions) == ["segmitos@0.0.3"]


def test_what_cannot_be_compared_is_told(versions: Path, path: Path) -> None:
    field = open_field(path)
    with pytest.raises(WeightsError, match="different"):
        jobs.run(compare(field, ["segmitos", "segmitos@0.0.3"], folder=versions))
    with pytest.raises(UnknownResolution):
        jobs.run(compare(field.with_mpp(None), NAMES, folder=versions))
