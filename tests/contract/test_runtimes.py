"""Every detector sees the same by every runtime."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

from napari_mitosis import jobs, load_detector, open_field
from napari_mitosis.datasets.samples import sample_folder
from napari_mitosis.fields.field import Field
from napari_mitosis.inference import runtime
from napari_mitosis.inference.predict import predict
from napari_mitosis.models.registry import list_cards

CPU = torch.device("cpu")
SINGLE = sorted({card.detector for card in list_cards() if card.kind == "detector" and not card.members})


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of these tests, shared by them."""
    folder = tmp_path_factory.getbasetemp() / "converted"
    monkeypatch.setattr(runtime, "cache_folder", lambda: folder)
    return folder


@pytest.fixture(scope="module")
def part() -> Field:
    sample = open_field(sample_folder() / "hotspot.tif")
    return Field.from_array(sample.read(448, 672, 128, 384), 0.25, "part of a sample")


@pytest.mark.parametrize("name", SINGLE)
def test_runtimes_see_the_same(name: str, part: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32: the same maps and boxes up to rounding, over two shapes of tiles."""
    pytest.importorskip("openvino")
    detector = load_detector(name)
    looks = {}
    with mock.patch("napari_mitosis.inference.device.precision", return_value=torch.float32):
        for wanted in ("torch", "openvino"):
            monkeypatch.setenv(runtime.RUNTIME_VARIABLE, wanted)
            looks[wanted] = jobs.run(predict(part, detector, device="cpu", tile_px=192, poses=1))
        if getattr(detector.network, "traced", None) is not None:
            assert runtime.network_for(detector, CPU) is not detector.network, "it was converted"
    one, other = looks["torch"], looks["openvino"]
    for map_name, score in one.maps.items():
        np.testing.assert_allclose(other.maps[map_name].astype(float), score.astype(float), atol=2e-3)
    if one.candidates is not None and other.candidates is not None:
        assert len(one.candidates) == len(other.candidates) > 0
        order = ["y_px", "x_px"]
        places, others = (frame.sort_values(order)[order].to_numpy() for frame in (one.candidates, other.candidates))
        np.testing.assert_allclose(places, others, atol=0.1)


def test_a_version_is_converted_once(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    monkeypatch.delenv(runtime.RUNTIME_VARIABLE, raising=False)
    first = load_detector("segmitos")
    runtime.network_for(first, CPU)
    (folder,) = own_cache.glob(f"{first.fingerprint[:32]}-*")
    with mock.patch.object(runtime, "_convert", side_effect=AssertionError("converted again")):
        again = load_detector("segmitos")
        assert runtime.network_for(again, CPU) is not again.network
    (folder / "model.xml").write_text("damaged")
    damaged = load_detector("segmitos")
    assert runtime.network_for(damaged, CPU) is not damaged.network, "what is damaged is converted again"
    assert len((folder / "model.xml").read_text()) > 1000


def test_torch_is_the_way_out(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    detector = load_detector("segmitos")
    assert runtime.runtime_of(detector, torch.device("cuda")) == "torch"
    with monkeypatch.context() as absent:
        absent.setattr(runtime, "find_spec", lambda name: None)
        assert runtime.network_for(detector, CPU) is detector.network
    pytest.importorskip("openvino")
    monkeypatch.delenv(runtime.RUNTIME_VARIABLE, raising=False)
    monkeypatch.setattr(runtime, "_converted", mock.Mock(side_effect=RuntimeError("no such operation")))
    assert runtime.network_for(detector, CPU) is detector.network
    assert "no such operation" in caplog.text
