"""An ensemble of published detectors: loaded by its card, run by `predict`, fused live by its rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from napari_mitosis import jobs
from napari_mitosis.cli import app
from napari_mitosis.decision.decide import Rule, decide
from napari_mitosis.decision.evidence import CANDIDATE_COLUMNS, Evidence
from napari_mitosis.errors import WeightsError
from napari_mitosis.fields.field import Field, open_field
from napari_mitosis.inference.cache import EvidenceCache
from napari_mitosis.inference.ensemble import SUREST, combine, ensemble_rule, with_probability
from napari_mitosis.inference.pipeline import EnsemblePipeline, load_pipeline
from napari_mitosis.inference.predict import predict
from napari_mitosis.measures.calibrate import Calibration
from napari_mitosis.models.card import Member, ModelCard
from napari_mitosis.models.registry import detector_class, find_version, list_cards, load_detector
from napari_mitosis.models.weights import publish
from napari_mitosis.session import Session
from napari_mitosis.tables import DETECTION_COLUMNS, check_detections

MPP = 0.25
LOOSE = asdict(Rule(method="peaks", disc_um=1.5, threshold=0.02, min_area_um2=0.0, min_score=0.0))
KNOTS = ((0.0, 0.1), (1.0, 0.9))


def ensemble_card(*members: str, rule: Rule, **changes: object) -> ModelCard:
    values = {
        "detector": "ensemble",
        "config": "compact",
        "version": "0.0.1",
        "title": "two together",
        "mpp": MPP,
        "tile_px": 512,
        "halo_px": 64,
        "parameters": 1,
        "rule": asdict(rule),
        "rule_chosen_on": "nothing",
        "members": [Member(model=name, rule=LOOSE, calibration=KNOTS) for name in members],
        "trained_on": "nothing",
        "terms": "none",
    }
    return ModelCard.model_validate({**values, **changes})


@pytest.fixture(scope="module")
def two_models(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn SegMitos and a drawn IDSIA DNN, and the card of an ensemble of both."""
    folder = tmp_path_factory.mktemp("two")
    for path in model_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    torch.manual_seed(0)
    card = load_detector("segmitos", folder).card
    rule = asdict(Rule(method="peaks", threshold=0.3, min_score=0.0))
    changes = {"detector": "idsia", "title": "drawn weights", "halo_px": 64, "rule": rule, "poses": 1}
    publish(detector_class("idsia").build("compact"), card.model_copy(update=changes), folder)
    rule = ensemble_rule({"segmitos": 1.0, "idsia": 1.0}, 0.2)
    ensemble_card("segmitos@0.0.1", "idsia@0.0.1", rule=rule).save(folder / "ensemble-0.0.1.json")
    return folder


@pytest.fixture(scope="module")
def field() -> Field:
    rng = np.random.default_rng(0)
    coarse = np.kron(rng.uniform(60, 230, (12, 14, 3)), np.ones((8, 8, 1)))
    return Field.from_array(coarse.astype(np.uint8), MPP, "noise")


def members_alone(folder: Path, field: Field) -> dict[str, pd.DataFrame]:
    tables = {}
    for member in find_version("ensemble", folder)[0].members:
        evidence = jobs.run(predict(field, load_detector(member.model, folder), device="cpu"))
        found = decide(evidence, member.decision_rule())
        tables[member.name] = with_probability(found, Calibration(member.calibration))
    return tables


def test_it_is_listed_and_loaded_like_any_detector(two_models: Path) -> None:
    assert [card.name for card in list_cards(two_models)] == ["ensemble@0.0.1", "idsia@0.0.1", "segmitos@0.0.1"]
    ensemble = load_pipeline("ensemble", two_models)
    assert isinstance(ensemble, EnsemblePipeline)
    assert (
        [one.name for one in ensemble.members]
        == [one.name for one in ensemble.cards]
        == ["segmitos@0.0.1", "idsia@0.0.1"]
    )
    assert ensemble.fingerprint == load_pipeline("ensemble@0.0.1", two_models).fingerprint
    assert ensemble.fingerprint not in {one.fingerprint for one in ensemble.members}


def test_without_its_members_it_is_not_offered(two_models: Path, tmp_path: Path) -> None:
    for name in ("ensemble-0.0.1.json", "segmitos-0.0.1.json", "segmitos-0.0.1.safetensors"):
        (tmp_path / name).write_bytes((two_models / name).read_bytes())
    assert [card.name for card in list_cards(tmp_path)] == ["segmitos@0.0.1"]
    with pytest.raises(WeightsError, match="there are no weights for 'ensemble'"):
        load_pipeline("ensemble", tmp_path)


def test_evidence_holds_what_each_member_found(two_models: Path, field: Field) -> None:
    ensemble = load_pipeline("ensemble", two_models)
    steps: list[jobs.Progress] = []
    evidence = jobs.run(ensemble.look(field, device="cpu"), steps.append)
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert evidence.model == "ensemble@0.0.1"
    assert evidence.field_digest == field.digest
    assert evidence.scores == (SUREST, "segmitos", "idsia")
    assert evidence.information == ("found_by",)
    frame = evidence.candidates
    assert frame is not None
    alone = members_alone(two_models, field)
    for name, table in alone.items():
        given = frame[name][frame[name] > 0]
        assert len(table) > 3
        np.testing.assert_array_equal(np.sort(given), np.sort(table["probability"]))
    assert frame["found_by"].sum() == sum(len(table) for table in alone.values())
    assert (frame["found_by"] == 2).any()
    np.testing.assert_array_equal(frame[SUREST], frame[["segmitos", "idsia"]].max(axis=1))


def test_weights_and_threshold_work_without_a_network(two_models: Path, field: Field) -> None:
    ensemble = load_pipeline("ensemble", two_models)
    evidence = jobs.run(ensemble.look(field, device="cpu"))
    alone = members_alone(two_models, field)
    for name in ("segmitos", "idsia"):
        one = decide(evidence, replace(ensemble_rule({name: 1.0}, 0.3), min_distance_um=0.0))
        check_detections(one[list(DETECTION_COLUMNS)])
        expected = alone[name]["probability"]
        np.testing.assert_allclose(one["score"], np.sort(expected[expected > 0.3])[::-1])
    both = decide(evidence, replace(ensemble_rule({"segmitos": 3.0, "idsia": 1.0}, 0.0), min_distance_um=0.0))
    np.testing.assert_allclose(both["score"], 0.75 * both["segmitos"] + 0.25 * both["idsia"])
    assert len(both) == len(evidence.candidates)  # type: ignore[arg-type]


def test_what_the_members_saw_is_remembered(two_models: Path, field: Field) -> None:
    cache = EvidenceCache()
    jobs.run(predict(field, load_detector("segmitos", two_models), device="cpu", cache=cache))
    ensemble = load_pipeline("ensemble", two_models)
    calls: list[str] = []
    for one in ensemble.members:
        one.detector.network.register_forward_hook(lambda *_, name=one.card.detector: calls.append(name))
    messages: list[str] = []
    first = jobs.run(ensemble.look(field, device="cpu", cache=cache), lambda step: messages.append(step.message))
    assert "known from before" in messages[0]
    again = jobs.run(ensemble.look(field, device="cpu", cache=cache))
    assert "segmitos" not in calls
    pd.testing.assert_frame_equal(first.candidates, again.candidates)


def test_it_is_no_single_detector(two_models: Path) -> None:
    with pytest.raises(WeightsError, match="load_pipeline"):
        load_detector("ensemble", two_models)


def test_it_runs_in_a_session_and_from_the_command_line(
    two_models: Path, tmp_path: Path, write_field: Callable[..., Path]
) -> None:
    path = write_field("field.png", [(60, 60), (120, 200)])
    pipeline = load_pipeline("ensemble", two_models)
    session = Session(load=lambda name: load_pipeline(name, two_models))
    session.open("field", open_field(path))
    result_in_session = jobs.run(session.detection("field", "ensemble", "cpu"))
    result = CliRunner().invoke(
        app, ["detect", str(path), "--model", "ensemble", "--models", str(two_models), "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "out" / "detections.csv")
    expected = pipeline.decide(jobs.run(pipeline.look(open_field(path), device="cpu")))
    assert {"segmitos", "idsia", "height_px", "width_px"} <= set(table.columns)
    assert len(table) == len(expected) > 0
    np.testing.assert_allclose(table["score"], expected["score"], atol=1e-6)
    pd.testing.assert_frame_equal(result_in_session.detections, expected)


def test_boxes_have_the_area_of_the_surest() -> None:
    def table(rows: list[tuple[float, ...]]) -> pd.DataFrame:
        return pd.DataFrame(rows, columns=[*DETECTION_COLUMNS, "probability"])

    a = table([(40.0, 80.0, 10.0, 20.0, 0.5, 12.0, 0.8), (200.0, 200.0, 50.0, 50.0, 0.2, 7.0, 0.1)])
    b = table([(44.0, 80.0, 11.0, 20.0, 0.9, 30.0, 0.3)])
    evidence = combine({"a": a, "b": b}, (300, 300), MPP, "ensemble@1", "digest")
    frame = evidence.candidates
    assert frame is not None
    assert frame.columns.tolist() == [*CANDIDATE_COLUMNS, SUREST, "a", "b", "found_by"]
    assert frame[["y_px", "x_px", SUREST, "a", "b", "found_by"]].to_numpy().tolist() == [
        [40.0, 80.0, 0.8, 0.8, 0.3, 2.0],
        [200.0, 200.0, 0.1, 0.1, 0.0, 1.0],
    ]
    detections = decide(evidence, ensemble_rule({"a": 1.0, "b": 1.0}, 0.0))
    np.testing.assert_allclose(detections["area_um2"], [12.0, 7.0])
    np.testing.assert_allclose(detections["score"], [0.55, 0.05])


def test_nothing_found_is_empty_evidence() -> None:
    empty = pd.DataFrame(columns=[*DETECTION_COLUMNS, "probability"], dtype=np.float64)
    evidence = combine({"a": empty, "b": empty}, (10, 10), MPP, "ensemble@1", "digest")
    assert isinstance(evidence, Evidence)
    assert decide(evidence, ensemble_rule({"a": 1.0}, 0.0)).empty
