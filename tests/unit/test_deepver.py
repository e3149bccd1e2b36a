"""The verifier: its networks, what it is shown, and what it makes of any detector's candidates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from napari_mitosis.decision.decide import Decider, Rule, decide
from napari_mitosis.decision.evidence import CANDIDATE_COLUMNS, Evidence
from napari_mitosis.errors import WeightsError
from napari_mitosis.fields.field import Field
from napari_mitosis.inference.examine import examine, read_crop
from napari_mitosis.inference.verify import verify
from napari_mitosis.jobs import run
from napari_mitosis.models.deepver import CROP_PX, DeepVer
from napari_mitosis.models.presets import verified_rule
from napari_mitosis.models.registry import Detector, detector_class, load_detector
from napari_mitosis.training.deepver import SYSTEM, crop_loss


@pytest.fixture(scope="module")
def verifier() -> Detector:
    torch.manual_seed(0)
    return Detector(SYSTEM.card(version="0.0.1", seed=0), DeepVer.build("compact").eval())


def noise(shape=(300, 260)) -> Field:
    rng = np.random.default_rng(0)
    return Field.from_array(rng.integers(0, 255, (*shape, 3), dtype=np.uint8), 0.25, "noise")


def blob_evidence(field: Field) -> Evidence:
    score = np.zeros((75, 65), dtype=np.float16)
    score[10:16, 10:16], score[40:44, 50:54] = 0.9, 0.6
    return Evidence({"score": score}, 4.0, field.shape, 0.25, "segmitos@1", field.digest)


def test_it_is_a_verifier_and_no_detector():
    assert detector_class("deepver").kind == "verifier"


def test_both_configurations_turn_crops_into_probabilities():
    for config in DeepVer.configs:
        torch.manual_seed(0)
        network = DeepVer.build(config).eval()
        with torch.inference_mode():
            scores = network.examine(torch.rand(3, 3, CROP_PX, CROP_PX) * 255)
        assert scores.shape == (3, 1)
        assert scores.min() >= 0
        assert scores.max() <= 1
    with pytest.raises(ValueError, match="compact, paper"):
        DeepVer.build("huge")
    size = sum(v.numel() for v in DeepVer.build("compact").state_dict().values()) * 2
    assert size < 8 * 2**20


def test_a_crop_and_its_quarter_turn_score_alike(verifier):
    crop = torch.rand(1, 3, CROP_PX, CROP_PX) * 255
    with torch.inference_mode():
        one, turned = verifier.network.examine(crop), verifier.network.examine(torch.rot90(crop, 1, (2, 3)))
    torch.testing.assert_close(one, turned, atol=1e-5, rtol=1e-4)


def test_crops_are_centred_on_their_place_and_mirrored_beyond_the_field():
    field = noise()
    crop = read_crop(field, 150, 100, CROP_PX, 1.0)
    expected = field.read(102, 198, 52, 148)
    np.testing.assert_array_equal(crop[0].permute(1, 2, 0).numpy(), expected)
    corner = read_crop(field, 0, 0, CROP_PX, 1.0)[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(corner[48 + 5, 48 + 7], corner[48 - 5, 48 - 7])
    np.testing.assert_array_equal(corner[48, 48], field.numpy()[0, 0])


def test_scores_come_in_the_order_of_the_places(verifier):
    field = noise()
    points = np.array([[20.0, 30.0], [150.0, 200.0], [280.0, 10.0], [90.0, 90.0], [1.0, 250.0]])
    every = run(examine(field, points, verifier, device="cpu", batch=2))
    assert every.shape == (5, 1)
    backwards = run(examine(field, points[::-1], verifier, device="cpu", batch=5))
    np.testing.assert_allclose(every, backwards[::-1], atol=5e-3)
    assert run(examine(field, np.zeros((0, 2)), verifier, device="cpu")).shape == (0, 1)


def test_verification_adds_a_column_and_moves_nothing(verifier):
    field = noise()
    evidence = blob_evidence(field)
    rule = Rule(smoothing_um=0, threshold=0.3, min_score=0.8)
    verified = run(verify(field, evidence, verifier, rule, device="cpu"))
    assert verified.model == "segmitos@1+deepver@0.0.1"
    assert verified.scores == ("detector", "verifier")
    before = Decider(evidence).candidates(rule)
    for name in ("y_px", "x_px"):
        np.testing.assert_array_equal(verified.candidates[name], before[name])
    np.testing.assert_allclose(verified.candidates["detector"], [0.9, 0.6], atol=1e-3)
    alone = decide(verified, Rule(threshold=0, min_score=0, min_area_um2=0, weights=(("detector", 1.0),)))
    np.testing.assert_allclose(
        alone[["y_px", "x_px", "score", "area_um2"]], before[["y_px", "x_px", "score", "area_um2"]]
    )
    both = decide(verified, replace(verified_rule(verifier.card, verifier.card), min_score=0.0))
    expected = verified.candidates[["detector", "verifier"]].mean(axis=1).sort_values(ascending=False)
    np.testing.assert_allclose(both["score"], expected)


def test_candidates_of_a_box_detector_keep_what_is_known_of_them(verifier):
    field = noise()
    frame = pd.DataFrame(
        [[50.0, 60.0, 30.0, 20.0, 0.7, 3.0], [200.0, 100.0, 25.0, 25.0, 0.01, 1.0]],
        columns=[*CANDIDATE_COLUMNS, "box", "fired"],
    )
    evidence = Evidence({}, 1.0, field.shape, 0.25, "deepdet@1", field.digest, candidates=frame, scores=("box",))
    verified = run(verify(field, evidence, verifier, Rule(min_score=0.9), device="cpu"))
    assert len(verified.candidates) == 1  # the other is below any sensible first score
    assert verified.candidates["fired"].tolist() == [3.0]
    assert verified.candidates["detector"].tolist() == [0.7]


def test_what_cannot_examine_is_told(verifier):
    field = noise()
    with pytest.raises(WeightsError, match="cannot examine"):
        run(verify(field, blob_evidence(field), load_detector("segmitos"), Rule(), device="cpu"))


def test_the_card_names_the_rule_for_both(verifier):
    card = verifier.card.model_copy(update={"verified": {"verifier": "deepver", "rule": {"min_score": 0.4}}})
    assert verified_rule(card, verifier.card).min_score == 0.4
    assert dict(verified_rule(verifier.card, verifier.card).weights) == {"detector": 0.5, "verifier": 0.5}


def test_crops_between_mitosis_and_not_are_left_out():
    logits = torch.tensor([[2.0, -2.0], [-2.0, 2.0], [0.0, 5.0]])
    middle = (CROP_PX - 1) / 2
    places = [np.zeros((0, 2)), np.array([[middle + 3, middle]]), np.array([[middle + 15, middle]])]
    assert crop_loss(logits, places).item() == pytest.approx(crop_loss(logits[:2], places[:2]).item())
    assert crop_loss(logits[:2], places[:2]) < crop_loss(-logits[:2], places[:2])
