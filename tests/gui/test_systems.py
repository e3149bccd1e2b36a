"""Every detector from the dock: one press of the button, then its rule is tuned without a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from napari.layers import Points, Shapes

from napari_mitosis.datasets.samples import hotspot
from napari_mitosis.decision.evidence import Evidence
from napari_mitosis.gui.detect.dock import DetectDock
from napari_mitosis.gui.panel.menu import open_step
from napari_mitosis.gui.panel.panel import Panel
from napari_mitosis.inference.pipeline import load_pipeline, split_verifier
from napari_mitosis.jobs import Job
from napari_mitosis.models.card import ModelCard
from napari_mitosis.models.registry import detector_class, list_cards, registered
from napari_mitosis.models.weights import publish
from napari_mitosis.session import Session
from napari_mitosis.training.systems import system

from .conftest import MPP, add_field, press, run_to_end, settle

SHIPPED = {card.detector: card for card in list_cards() if not card.members}
ENSEMBLES = [card.name for card in list_cards() if card.members]
SINGLE = sorted(name for name, cls in registered().items() if cls.kind == "detector")

SEEDS = {"deepdet": 4}
"""Of fresh networks: with these they find something."""


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of fresh networks of every class that no weights ship for yet."""
    folder = tmp_path_factory.mktemp("models")
    for name in [*SINGLE, *(name for name, cls in registered().items() if cls.kind == "verifier")]:
        if name not in SHIPPED:
            torch.manual_seed(SEEDS.get(name, 3))
            card = system(name).card(version="0.0.1", seed=3)
            network = detector_class(name).build(card.config)
            for key, value in network.named_parameters():
                if key.startswith("stage1.out."):  # MSSN begins with outputs that are 0 everywhere
                    torch.nn.init.normal_(value, std=0.3)
            publish(network, card, folder)
    return folder


class Counted:
    """The engine itself; how often it was asked is counted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.looks = 0

    def cards(self) -> list[ModelCard]:
        return [*list_cards(), *list_cards(self.folder)]

    def load(self, name: str) -> Any:
        shipped = {card.name for card in list_cards()}
        return Watched(load_pipeline(name, None if set(split_verifier(name)) - {""} <= shipped else self.folder), self)


class Watched:
    """A pipeline; its looks are counted."""

    def __init__(self, pipeline: Any, engine: Counted) -> None:
        self._pipeline, self._engine = pipeline, engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    def look(self, field: Any, *, device: str, cache: Any) -> Job[Evidence]:
        self._engine.looks += 1
        return (yield from self._pipeline.look(field, device=device, cache=cache))


@pytest.fixture
def engine(models: Path) -> Counted:
    return Counted(models)


@pytest.fixture
def opened(make_napari_viewer: Any, engine: Counted, qtbot: Any) -> Callable[..., Any]:
    """Opens the dock over a piece of the sample field."""

    def opener() -> Any:
        viewer = make_napari_viewer(show=True)
        dock = DetectDock(viewer, Session(engine.load), engine.cards())
        Panel(dock.desk, {"Detect": dock})
        open_step(viewer, "Detect")
        dock.panel.toggles["score_map"].setChecked(True)
        dock.panel.rule.advanced.setChecked(True)
        pixels = hotspot()[0][0]
        add_field(viewer, np.ascontiguousarray(pixels[:288, 420:708]))
        qtbot.wait(50)
        return viewer, dock

    return opener


def choose(dock: DetectDock, detector: str) -> None:
    panel = dock.panel.run_panel
    at = next(i for i, card in enumerate(panel._cards) if detector in (card.detector, card.name))
    panel.model.setCurrentIndex(at)


def drag_until_it_changes(dock: DetectDock, layer: Any, sliders: list[Any], qtbot: Any) -> bool:
    """Move sliders from end to end until the points or their scores are others."""
    before = (len(layer.data), layer.features.to_numpy().tolist())
    for slider in sliders:
        for share in (0.05, 0.3, 0.95, 0.6):
            low, high = slider.minimum(), slider.maximum()
            slider.setValue(low + share * (high - low))
            settle(qtbot, dock)
            if (len(layer.data), layer.features.to_numpy().tolist()) != before:
                return True
    return False


@pytest.mark.parametrize("name", [*SINGLE, *ENSEMBLES])
def test_a_detector_runs_from_the_dock(opened: Callable[..., Any], engine: Counted, qtbot: Any, name: str) -> None:
    viewer, dock = opened()
    choose(dock, name)
    run_to_end(dock, qtbot)
    assert dock.panel.message.text() == ""
    result = dock.session.current.result
    rule = dock.panel.rule
    layer = viewer.layers["field: detections"]
    assert isinstance(layer, Points)
    maps = result.evidence.maps
    singles = [f"field: score map {one}" for one in maps] if len(maps) > 1 else []
    assert [one for one in viewer.layers if one.name in singles] == [viewer.layers[one] for one in singles]
    assert not any(viewer.layers[one].visible for one in singles)
    assert ("field: score map" in viewer.layers) == bool(maps) == dock.panel.toggles["score_map"].isEnabled()
    assert rule.weights.isVisible() == (len(rule.weights.names) > 1)
    assert rule.smoothing.isVisible() == (result.evidence.candidates is None and result.rule.method == "blobs")
    assert rule.disc.isVisible() == (result.evidence.candidates is None and result.rule.method == "peaks")
    # Everything that was seen counts, so that fresh networks show something, too.
    lowest = replace(
        result.rule, threshold=0.02 if result.evidence.candidates is None else 0.0, min_score=0.0, min_area_um2=0.0
    )
    dock.live.request(dock.session.active, lowest)
    settle(qtbot, dock)
    seen = len(dock.session.current.result.candidates)
    assert seen >= len(layer.data) > 0
    assert drag_until_it_changes(dock, layer, list(rule.weights.sliders.values()) or [rule.score], qtbot)
    assert engine.looks == 1
    assert viewer.layers["field: detections"] is layer


def test_a_verifier_looks_once_more(opened: Callable[..., Any], engine: Counted, qtbot: Any) -> None:
    """Its weight is a slider; the box is offered because a verifier is there."""
    viewer, dock = opened()
    choose(dock, "segmitos")
    run_to_end(dock, qtbot)
    plain = dock.session.current.result
    panel = dock.panel.run_panel
    assert not panel.verify.isChecked()
    press(panel.verify, qtbot)
    assert panel.wanted == "segmitos@1.0.0+deepver@1.0.0"
    run_to_end(dock, qtbot)
    assert dock.panel.message.text() == ""
    result = dock.session.current.result
    assert result.evidence.scores == ("detector", "verifier")
    assert result.evidence.model == panel.wanted
    assert len(result.evidence.candidates) == len(plain.candidates) > 0
    assert dock.panel.rule.weights.names == ("detector", "verifier")
    layer = viewer.layers["field: detections"]
    dock.panel.rule.score.setValue(0.0)
    settle(qtbot, dock)
    assert {"detector", "verifier"} <= set(layer.features.columns)
    looks, slider = engine.looks, dock.panel.rule.weights.sliders["verifier"]
    slider.setValue(1.0)
    settle(qtbot, dock)
    assert layer.features["score"].to_numpy() == pytest.approx(layer.features["verifier"].to_numpy())
    slider.setValue(0.0)
    settle(qtbot, dock)
    assert layer.features["score"].to_numpy() == pytest.approx(layer.features["detector"].to_numpy())
    assert engine.looks == looks
    # Without the box the card's own rule is back.
    press(panel.verify, qtbot)
    run_to_end(dock, qtbot)
    assert dock.session.current.rule == plain.rule


def test_without_a_verifier_the_box_says_so(make_napari_viewer: Any, engine: Counted) -> None:
    cards = [card for card in engine.cards() if card.kind == "detector"]
    dock = DetectDock(make_napari_viewer(), Session(engine.load), cards)
    assert not dock.panel.run_panel.verify.isEnabled()
    assert "No verifier" in dock.panel.run_panel.verify.toolTip()
    dock.desk.shutdown()


def test_why_shows_the_nearest_known_figures(opened: Callable[..., Any], qtbot: Any) -> None:
    viewer, dock = opened()
    page: Any = open_step(viewer, "Why")
    assert "Detect in this field first" in page.ask.toolTip()
    choose(dock, "mssn")
    dock.run()
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)
    dock.live.request(dock.session.active, replace(dock.session.current.rule, threshold=0.0, min_score=0.0))
    settle(qtbot, dock)
    dock.figures.go(1)
    assert dock.panel.position.text().startswith("1 /")
    assert "fired" in dock.panel.figure.text()
    press(page.ask, qtbot)
    shown = page.panel
    qtbot.waitUntil(lambda: not shown.isHidden(), timeout=60_000)
    assert {kind: len(pictures) for kind, pictures in shown.thumbnails.items()} == {"mitosis": 4, "mimic": 4}
    assert all(picture.pixmap().width() > 20 for picture in shown.thumbnails["mimic"])
    dock.figures.go(1)
    assert shown.isHidden(), "they belong to the figure before"


def test_boxes_from_centroids(opened: Callable[..., Any], qtbot: Any) -> None:
    viewer, dock = opened()
    choose(dock, "segmitos")
    run_to_end(dock, qtbot)
    press(dock.panel.centroid_boxes, qtbot)
    qtbot.waitUntil(lambda: "field: estimated boxes" in viewer.layers, timeout=20_000)
    fixed = viewer.layers["field: fixed boxes"]
    assert isinstance(fixed, Shapes)
    points = dock.session.current.result.detections[["y_px", "x_px"]].to_numpy()
    # The fixed box of 7.5 um is 30 px wide.
    assert np.array([one.mean(axis=0) for one in fixed.data]) == pytest.approx(points)
    np.testing.assert_allclose([np.ptp(box[:, 0]) for box in fixed.data], 7.5 / MPP, rtol=1e-5)
    assert "follow the score map" in dock.panel.message.text()
