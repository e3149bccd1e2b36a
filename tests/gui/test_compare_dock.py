"""The dock that compares detectors: two real networks on a piece of the sample field."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtGui import QColor

from napari_mitosis.datasets.samples import hotspot
from napari_mitosis.gui.compare.dock import CompareDock
from napari_mitosis.gui.compare.layers import STYLES, TEXT, TISSUE
from napari_mitosis.gui.panel.dock import open_step
from napari_mitosis.gui.style import READABLE, contrast
from napari_mitosis.models.registry import detector_class, list_cards, load_detector
from napari_mitosis.models.weights import load_weights, publish

from .conftest import add_field, camera_of, press

WEIGHTS = Path(str(resources.files("napari_mitosis") / "weights"))
STRICT, LOOSE = "segmitos@1.0.0", "segmitos@2.0.0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped SegMitos under two rules: what the strict one finds, the loose one finds as well."""
    made = tmp_path_factory.mktemp("compared")
    card = load_detector("segmitos").card
    network = detector_class("segmitos").build(card.config)
    load_weights(network, WEIGHTS / f"{card.name.replace('@', '-')}.safetensors")
    loose = {**card.rule, "min_score": 0.1, "min_area_um2": 0.0, "threshold": 0.1}
    for version, rule in (("1.0.0", card.rule), ("2.0.0", loose)):
        publish(network, card.model_copy(update={"version": version, "poses": 1, "rule": rule}), made)
    return made


@pytest.fixture
def dock(make_napari_viewer: Any, folder: Path, qtbot: Any) -> Any:
    viewer = make_napari_viewer(show=True)
    made = CompareDock(viewer, list_cards(folder), folder)
    viewer.window.add_dock_widget(made, name="Compare detectors", area="right")
    qtbot.wait(50)
    return made


def add_sample(dock: CompareDock) -> Any:
    return add_field(dock.viewer, np.ascontiguousarray(hotspot()[0][0][:512, 300:812]))


def run_to_end(dock: CompareDock, qtbot: Any) -> None:
    press(dock.run_button, qtbot)
    assert dock.running
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)


def test_two_detectors_are_compared(dock: CompareDock, qtbot: Any) -> None:
    viewer = dock.viewer
    add_sample(dock)
    run_to_end(dock, qtbot)
    assert dock.message.text() == ""
    comparison = dock.compared[str(dock.session.active)].comparison
    strict, loose = comparison.detections[STRICT], comparison.detections[LOOSE]
    assert len(loose) > len(strict) > 0
    both = viewer.layers["field: found by"]
    assert list(both.features["label"]) == comparison.labels
    assert comparison.labels.count("2 of 2") == len(strict)
    assert f"{len(strict)} by 2 of 2" in dock.summary.text()
    layers = [viewer.layers[f"field: {name}"] for name in (STRICT, LOOSE)]
    assert np.array_equal(layers[0].data, strict[["y_px", "x_px"]].to_numpy())
    assert "probability" in layers[0].features
    assert {str(layer.symbol[0]) for layer in layers} == {"disc", "square"}
    assert not np.allclose(layers[0].border_color[0], layers[1].border_color[0])
    # Words lie on the tissue only where they are asked for; they can be read there.
    assert not both.visible
    assert all(layer.visible for layer in layers)
    press(dock.labels, qtbot)
    assert both.visible
    for ground in (TISSUE, "#f5f5f5", "#ffffff"):
        assert contrast(QColor(TEXT), QColor(ground)) >= READABLE
    assert np.allclose(both.text.color.constant, QColor(TEXT).getRgbF(), atol=0.01)
    # The table: most found first; a dash where a detector found nothing.
    assert dock.table.rowCount() == len(comparison.agreement)
    texts = [[dock.table.item(row, column).text() for column in range(3)] for row in (0, len(loose) - 1)]
    assert texts[0][0] == "2 of 2"
    assert float(texts[0][1]) == pytest.approx(comparison.agreement[STRICT].iloc[0], abs=0.006)
    assert texts[1][:2] == ["1 of 2", "–"]
    dock.table.selectRow(1)
    figure = comparison.agreement.iloc[1]
    assert camera_of(viewer).center[-2:] == pytest.approx(figure[["y_um", "x_um"]].to_numpy(float))
    # Once more: the same layers, from what was seen before.
    run_to_end(dock, qtbot)
    assert viewer.layers["field: found by"] is both
    assert len([layer for layer in viewer.layers if layer.name.startswith("field: ")]) == 3


def test_it_says_why_it_cannot_run(dock: CompareDock) -> None:
    assert "Open an RGB image" in dock.run_button.toolTip()
    add_field(dock.viewer, mpp=None)
    assert "pixel size" in dock.run_button.toolTip()
    dock.viewer.layers[0].scale = (0.25, 0.25)
    dock.viewer.layers[0].units = ("um", "um")
    assert dock.run_button.isEnabled()
    dock.checks[LOOSE].setChecked(False)
    assert "two or more" in dock.run_button.toolTip()
    assert not dock.run_button.isEnabled()


def test_cancel_leaves_nothing(dock: CompareDock, qtbot: Any) -> None:
    add_sample(dock)
    press(dock.run_button, qtbot)
    assert not dock.run_button.isEnabled()
    press(dock.cancel_button, qtbot)
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)
    assert [layer.name for layer in dock.viewer.layers] == ["field"]
    assert dock.run_button.isEnabled()


def test_layers_go_with_their_field(dock: CompareDock, qtbot: Any) -> None:
    field = add_sample(dock)
    run_to_end(dock, qtbot)
    press(dock.labels, qtbot)
    add_field(dock.viewer, name="other")
    assert not dock.viewer.layers["field: found by"].visible
    assert dock.table.isHidden()
    dock.viewer.layers.selection.active = field
    assert dock.viewer.layers["field: found by"].visible
    dock.viewer.layers.remove(field)
    qtbot.waitUntil(lambda: [layer.name for layer in dock.viewer.layers] == ["other"])
    assert dock.compared == {}


def test_any_two_detectors_look_different() -> None:
    assert len({look.colour for look in STYLES}) == len({look.symbol for look in STYLES}) == len(STYLES) >= 6


def test_it_is_a_step_of_the_panel(make_napari_viewer: Any) -> None:
    page: Any = open_step(make_napari_viewer(), "Compare")
    assert any(name.startswith("segmitos@") for name in page.checks)
