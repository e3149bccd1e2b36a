"""What every registered detector must do, whatever its network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_mitosis import jobs
from napari_mitosis.decision.decide import Rule, decide
from napari_mitosis.decision.evidence import CANDIDATE_COLUMNS
from napari_mitosis.errors import MitosisError, UnknownResolution, WeightsError
from napari_mitosis.fields.field import Field
from napari_mitosis.inference.cache import EvidenceCache
from napari_mitosis.inference.predict import predict
from napari_mitosis.models.card import ModelCard
from napari_mitosis.models.registry import (
    BoxNetwork,
    Detector,
    JoiningNetwork,
    detector_class,
    list_cards,
    load_detector,
    registered,
)
from napari_mitosis.models.weights import publish, read_state
from napari_mitosis.tables import check_detections

# Paper configurations have their own tests: they take gigabytes.
SMALL = [(name, "compact") for name, cls in registered().items() if cls.kind == "detector" and "compact" in cls.configs]


def make_card(name: str, config: str, **changes) -> ModelCard:
    values = {
        "detector": name,
        "config": config,
        "version": "0.0.1",
        "title": name,
        "mpp": 0.25,
        "tile_px": 512,
        "halo_px": 128,
        "parameters": 1,
        "rule": {},
        "rule_chosen_on": "nothing",
        "trained_on": "nothing",
        "terms": "test",
    }
    return ModelCard(**{**values, **changes})


@pytest.fixture(scope="module", params=SMALL, ids=lambda p: "-".join(p))
def detector(request) -> Detector:
    """The shipped version where there is one, else fresh weights."""
    name, config = request.param
    if any(card.detector == name for card in list_cards()):
        return load_detector(name)
    torch.manual_seed(0)
    return Detector(make_card(name, config), detector_class(name).build(config).eval())


def tissue(shape=(300, 420), seed=0) -> Field:
    """Smooth coloured noise, so that scores vary over the field."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(60, 230, (shape[0] // 8 + 2, shape[1] // 8 + 2, 3))
    fine = np.kron(coarse, np.ones((8, 8, 1)))[: shape[0], : shape[1]]
    return Field.from_array((fine + rng.normal(0, 10, fine.shape)).clip(0, 255).astype(np.uint8), 0.25, "noise")


def assert_alike(one, other, tolerance=0.05, mean=0.003):
    """The same maps, and the same candidates as far as they are sure ones."""
    for name, score_map in one.maps.items():
        difference = np.abs(score_map.astype(np.float32) - other.maps[name].astype(np.float32))
        assert difference.max() < tolerance
        assert difference.mean() < mean


def look(field, detector, **kwargs):
    return jobs.run(predict(field, detector, device="cpu", **kwargs))


def test_evidence_has_the_promised_shape_and_range(detector):
    field = tissue()
    evidence = look(field, detector)
    stride = detector.dense.stride
    assert set(evidence.maps) == set(detector.dense.map_names)
    for score_map in evidence.maps.values():
        assert score_map.dtype == np.float16
        assert score_map.shape == (-(-300 // stride), -(-420 // stride))
        assert np.isfinite(score_map).all()
        assert score_map.min() >= 0
        assert score_map.max() <= 1
    assert evidence.stride == stride
    assert evidence.shape == field.shape
    assert evidence.model == detector.card.name
    assert evidence.field_digest == field.digest
    assert evidence.weighable


def test_candidates_lie_in_the_field_and_hold_probabilities(detector):
    evidence = look(tissue(), detector)
    network = detector.network
    if not isinstance(network, (BoxNetwork, JoiningNetwork)):
        assert evidence.candidates is None
        return
    frame = evidence.candidates
    assert tuple(frame.columns[:4]) == CANDIDATE_COLUMNS
    assert set(evidence.scores) <= set(frame.columns)
    assert np.isfinite(frame.to_numpy()).all()
    assert frame[list(evidence.scores)].to_numpy().min(initial=0) >= 0
    assert frame[list(evidence.scores)].to_numpy().max(initial=0) <= 1
    assert frame["y_px"].between(-0.5, 299.5).all()
    assert frame["x_px"].between(-0.5, 419.5).all()
    assert (frame[["height_px", "width_px"]] > 0).all(axis=None)
    detections = decide(evidence, Rule(threshold=0.0, min_score=0.0, min_area_um2=0.0, min_distance_um=0.0))
    check_detections(detections)
    assert set(evidence.scores + evidence.information) <= set(detections.columns)


@pytest.mark.parametrize("shape", [(1, 1), (5, 700), (33, 31), (256, 256)])
def test_any_shape_of_field_is_scored(detector, shape):
    evidence = look(tissue(shape), detector)
    stride = detector.dense.stride
    for score_map in evidence.maps.values():
        assert score_map.shape == (-(-shape[0] // stride), -(-shape[1] // stride))


def test_tiled_is_whole(detector):
    field = tissue((512, 640))
    whole = look(field, detector, tile_px=1024)
    tiled = look(field, detector, tile_px=256)
    for name, score_map in whole.maps.items():
        difference = np.abs(score_map.astype(np.float32) - tiled.maps[name].astype(np.float32))
        # bfloat16 keeps 8 bits; beyond the halo a network of this depth sees next to nothing.
        assert difference.max() < 0.05
        assert difference.mean() < 0.003


def test_the_same_field_gives_the_same_evidence(detector):
    a, b = look(tissue(), detector), look(tissue(), detector)
    for name in a.maps:
        np.testing.assert_array_equal(a.maps[name], b.maps[name])


def test_a_field_of_other_um_per_px_is_seen_at_the_models(detector):
    field = tissue((400, 400))
    double = Field.from_array(np.kron(field.numpy(), np.ones((2, 2, 1), dtype=np.uint8)), 0.125, "double")
    small, large = look(field, detector), look(double, detector)
    assert large.stride == 2 * small.stride
    for name, score_map in small.maps.items():
        assert large.maps[name].shape == score_map.shape
        difference = np.abs(large.maps[name].astype(np.float32) - score_map.astype(np.float32))
        assert difference.mean() < 0.02


def test_saved_and_loaded_weights_score_alike(detector, tmp_path):
    name = detector.card.detector
    network = detector_class(name).build("compact")
    card = publish(network, detector.card.model_copy(update={"version": "0.0.2"}), tmp_path)
    first = load_detector(card.name, tmp_path)
    again = load_detector(f"{name}", tmp_path)
    field = tissue((96, 128))
    for map_name, score_map in look(field, first).maps.items():
        np.testing.assert_array_equal(look(field, again).maps[map_name], score_map)
    assert first.card.decision_rule() == detector.card.decision_rule()


def test_damaged_or_foreign_weights_are_refused(detector, tmp_path):
    name = detector.card.detector
    card = publish(detector_class(name).build("compact"), make_card(name, "compact"), tmp_path)
    weights = next(tmp_path.glob("*.safetensors"))
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(WeightsError, match="sha256"):
        load_detector(card.name, tmp_path)
    with pytest.raises(WeightsError, match="pickle"):
        read_state(tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match="there are"):
        load_detector("nobody", tmp_path)


@pytest.mark.parametrize("name", sorted(registered()))
def test_training_steps_lower_the_loss_and_the_unknown_teaches_nothing(name):
    """Of verifiers, too. Where nothing is annotated and all is to be ignored, there is no gradient."""
    torch.manual_seed(0)
    cls = detector_class(name)
    network = cls.build("compact").train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    x = torch.rand(2, 3, 128, 128) * 120 + 100
    x[:, :, 52:76, 52:76] -= 80
    centroids = [np.array([[63.5, 63.5]])] * 2
    losses = []
    for _ in range(6):
        loss = cls.loss(network, x, centroids, np.random.default_rng(0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    nothing, unknown = [np.zeros((0, 2))] * 2, torch.ones(2, 128, 128, dtype=torch.bool)
    assert cls.loss(network.eval(), x, nothing, np.random.default_rng(0), ignore=unknown).item() == 0


def test_unknown_um_per_px_and_absent_devices_are_told(detector):
    with pytest.raises(UnknownResolution, match="um/px"):
        look(tissue().with_mpp(None), detector)
    with pytest.raises(MitosisError, match="no device"):
        jobs.run(predict(tissue(), detector, device="tpu"))


def test_known_evidence_is_not_computed_again(detector, tmp_path):
    calls = []
    handle = detector.network.register_forward_hook(lambda *_: calls.append(1))
    try:
        cache = EvidenceCache(tmp_path)
        first = look(tissue(), detector, cache=cache)
        seen = len(calls)
        assert seen > 0
        assert look(tissue(), detector, cache=cache) is first
        from_disk = look(tissue(), detector, cache=EvidenceCache(tmp_path))
        assert len(calls) == seen
        for name, score_map in first.maps.items():
            np.testing.assert_array_equal(from_disk.maps[name], score_map)
        look(tissue().with_mpp(0.5), detector, cache=cache)
        assert len(calls) > seen
    finally:
        handle.remove()


def test_a_device_short_of_memory_gets_smaller_tiles(detector):
    """The real network, on a device that refuses inputs above a size."""
    limit = 600

    def refuse(_module, inputs):
        if max(inputs[0].shape[2:]) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    field = tissue((700, 512))
    expected = look(field, detector, tile_px=1024)
    handle = detector.network.register_forward_pre_hook(refuse)
    try:
        messages = []
        small = jobs.run(predict(field, detector, device="cpu", tile_px=1024), messages.append)
    finally:
        handle.remove()
    assert "memory was short" in messages[-1].message
    for name, score_map in expected.maps.items():
        assert np.abs(score_map.astype(np.float32) - small.maps[name].astype(np.float32)).max() < 0.05


def test_poses_are_turned_back_before_their_mean(detector):
    """A field that is its own mirror image is scored as its own mirror image; a turned one as turned."""
    field = tissue((256, 320))
    once = look(field, detector, poses=1)
    every = look(field, detector, poses=8)
    turned = Field.from_array(np.rot90(field.numpy()).copy(), 0.25, "turned")
    every_turned = look(turned, detector, poses=8)
    for name, score_map in every.maps.items():
        back = np.rot90(every_turned.maps[name].astype(np.float32), -1)
        assert np.abs(back - score_map.astype(np.float32)).max() < 0.05
        assert np.abs(score_map.astype(np.float32) - once.maps[name].astype(np.float32)).mean() < 0.1
    with pytest.raises(ValueError, match="poses"):
        look(field, detector, poses=9)


def test_closing_the_job_stops_it(detector):
    calls = []
    handle = detector.network.register_forward_hook(lambda *_: calls.append(1))
    try:
        job = predict(tissue((512, 512)), detector, device="cpu", tile_px=128)
        next(job)
        next(job)
        seen = len(calls)
        job.close()
        assert len(calls) == seen < 16
    finally:
        handle.remove()
