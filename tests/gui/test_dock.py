"""The detect dock in a real window: buttons are pressed, sliders moved."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels, Points

from napari_mitosis.decision.decide import decide
from napari_mitosis.gui.detect.run_panel import time_left
from napari_mitosis.jobs import Progress

from .conftest import DarknessDetector, add_field, bar, camera_of, card, drawn_field, press, run_to_end, settle


def points(viewer: Any, name: str = "field") -> Points:
    layer = viewer.layers[f"{name}: detections"]
    assert isinstance(layer, Points)
    return layer


def test_one_button_makes_everything(detected: Any) -> None:
    viewer, dock = detected
    assert [layer.name for layer in viewer.layers] == ["field", "field: score map", "field: detections"]
    assert viewer.layers.selection.active.name == "field"
    layer = points(viewer)
    assert list(layer.features.columns) == ["score", "area_um2", "label"]
    assert set(layer.features["label"]) == {"mitosis"}
    found = {tuple(np.round(yx).astype(int)) for yx in layer.data}
    assert found == {(60, 80), (180, 250), (120, 160)}
    assert bar(dock).count.text() == "3"
    area_mm2 = 256 * 320 * 0.25**2 / 1e6
    assert bar(dock).density.text() == f"{3 / area_mm2:.1f} / mm²"
    # The exact Poisson interval of a count of 3 is 0.62 to 8.77.
    assert f"{0.6187 / area_mm2:.1f}–{8.7673 / area_mm2:.1f}" in bar(dock).interval.text()


def test_sliders_move_the_count_and_never_the_network(detected: Any, detector: DarknessDetector, qtbot: Any) -> None:
    viewer, dock = detected
    layer, rule = points(viewer), dock.panel.rule
    counts = []
    for score in (0.5, 0.6, 0.72, 0.99, 0.1):
        rule.score.setValue(score)
        settle(qtbot, dock)
        counts.append(len(layer.data))
        assert bar(dock).count.text() == str(len(layer.data)) == str(len(layer.features))
        result = dock.session.current.result
        again = decide(result.evidence, rule.rule)
        assert np.array_equal(layer.data, again[["y_px", "x_px"]].to_numpy())
    assert counts == [2, 2, 1, 0, 3]
    rule.area.setValue(30.0)
    settle(qtbot, dock)
    assert (layer.features["area_um2"] > 30).all()
    assert len(layer.data) < 3
    rule.area.setValue(0.0)
    rule.smoothing.setValue(2.0)
    rule.mode.setCurrentIndex(0)
    settle(qtbot, dock)
    assert dock.session.current.rule.threshold == "otsu"
    assert not rule.threshold.isEnabled()
    assert "Otsu" in rule.threshold.toolTip()
    assert rule.threshold.value() == pytest.approx(dock.session.current.result.threshold, abs=0.01)
    assert points(viewer) is layer, "the layer is updated in place"
    assert detector.looks == 1


def test_reset_brings_the_cards_rule_back(detected: Any, qtbot: Any) -> None:
    viewer, dock = detected
    dock.panel.rule.score.setValue(0.99)
    settle(qtbot, dock)
    assert len(points(viewer).data) == 0
    press(dock.panel.rule.reset, qtbot)
    settle(qtbot, dock)
    assert dock.session.current.rule == card().decision_rule()
    assert dock.panel.rule.score.value() == pytest.approx(0.4)
    assert len(points(viewer).data) == 3


def test_the_line_in_the_histogram_is_the_score(detected: Any, qtbot: Any) -> None:
    """The line is dragged with the mouse from the slider's value to another score."""
    from qtpy.QtCore import QPoint, QPointF, Qt

    viewer, dock = detected
    histogram = dock.panel.rule.histogram
    assert histogram.counts.sum() == 3
    assert histogram.line() == pytest.approx(dock.panel.rule.score.value())

    def at(score: float) -> QPoint:
        scene = histogram.getPlotItem().getViewBox().mapViewToScene(QPointF(score, 0.3))
        return histogram.mapFromScene(scene)

    area = histogram.viewport()
    qtbot.mouseMove(area, at(0.4))
    qtbot.mousePress(area, Qt.MouseButton.LeftButton, pos=at(0.4))
    for score in (0.45, 0.5, 0.55, 0.6):
        drag(area, at(score))
        qtbot.wait(20)
    qtbot.mouseRelease(area, Qt.MouseButton.LeftButton, pos=at(0.6))
    settle(qtbot, dock)
    assert dock.panel.rule.score.value() == pytest.approx(0.6, abs=0.03)
    assert len(points(viewer).data) == 2
    dock.panel.rule.score.setValue(0.8)
    assert histogram.line() == pytest.approx(0.8)


def drag(area: Any, place: Any) -> None:
    """Move the mouse with its left button down, which pytest-qt cannot."""
    from qtpy.QtCore import QEvent, QPointF, Qt
    from qtpy.QtGui import QMouseEvent
    from qtpy.QtWidgets import QApplication

    local = QPointF(place)
    button = Qt.MouseButton.LeftButton
    event = QMouseEvent(
        QEvent.Type.MouseMove, local, QPointF(area.mapToGlobal(place)), button, button, Qt.KeyboardModifier.NoModifier
    )
    QApplication.sendEvent(area, event)


def test_labels_are_made_on_demand_and_follow(detected: Any, qtbot: Any) -> None:
    viewer, dock = detected
    press(dock.panel.toggles["labels"], qtbot)
    layer = viewer.layers["field: concentric labels"]
    assert isinstance(layer, Labels)
    assert set(np.unique(layer.data)) == {0, 1, 255}
    # r 3 um is 12 px, R 6 um is 24 px about the centre of the first disc.
    assert [layer.data[60, 80 + d] for d in (0, 11, 13, 23, 25)] == [1, 1, 255, 255, 0]
    dock.panel.rule.score.setValue(0.72)
    qtbot.waitUntil(lambda: layer.data[180, 250] == 0, timeout=3000)
    assert layer.data[60, 80] == 1
    press(dock.panel.toggles["labels"], qtbot)
    assert not layer.visible


def test_walking_through_the_detections(detected: Any, qtbot: Any) -> None:
    viewer, dock = detected
    order = dock.session.current.result.detections
    for row in (0, 1, 2, 0):
        press(dock.panel.next, qtbot)
        assert camera_of(viewer).center[-2:] == pytest.approx(order.loc[row, ["y_um", "x_um"]].to_numpy(float))
        assert points(viewer).selected_data == {row}
    press(dock.panel.previous, qtbot)
    assert dock.panel.position.text().startswith("3 / 3 · score 0.4")


def test_selecting_a_ring_tells_of_its_figure(detected: Any) -> None:
    viewer, dock = detected
    centre = tuple(camera_of(viewer).center)
    points(viewer).selected_data = {1}
    assert dock.panel.position.text().startswith("2 / 3")
    assert tuple(camera_of(viewer).center) == centre, "the camera stays where its user is"
    points(viewer).selected_data = {0, 1}
    assert dock.panel.position.text().startswith("2 / 3")


def test_toggles_hide_and_bring_back(detected: Any, qtbot: Any) -> None:
    viewer, dock = detected
    for name, layer in (("score_map", "field: score map"), ("detections", "field: detections")):
        press(dock.panel.toggles[name], qtbot)
        assert not viewer.layers[layer].visible
        viewer.layers.remove(layer)
        settle(qtbot, dock)
        press(dock.panel.toggles[name], qtbot)
        assert viewer.layers[layer].visible
    assert len(points(viewer).data) == 3


def test_a_deleted_detections_layer_stays_away(detected: Any, qtbot: Any) -> None:
    viewer, dock = detected
    viewer.layers.remove("field: detections")
    dock.panel.rule.score.setValue(0.72)
    settle(qtbot, dock)
    assert "field: detections" not in viewer.layers
    assert bar(dock).count.text() == "1"


def test_disabled_controls_say_why(open_dock: Any, qtbot: Any) -> None:
    viewer, dock = open_dock()
    run, rule = dock.panel.run_panel.run, dock.panel.rule
    assert not run.isEnabled()
    assert "Open an RGB image" in run.toolTip()
    assert not rule.score.isEnabled()
    assert "Detect" in rule.score.toolTip()
    assert not dock.panel.next.isEnabled()
    assert "Detect" in dock.panel.next.toolTip()
    assert not dock.panel.run_panel.cancel.isEnabled()
    assert "Nothing" in dock.panel.run_panel.cancel.toolTip()
    add_field(viewer, mpp=None)
    assert not run.isEnabled()
    assert "µm/px" in run.toolTip()


def test_without_a_model_it_says_so(open_dock: Any) -> None:
    viewer, dock = open_dock(cards=[])
    add_field(viewer)
    assert dock.panel.run_panel.run.toolTip() == "No model is installed."


def test_the_pixel_size_can_be_given(open_dock: Any, qtbot: Any) -> None:
    viewer, dock = open_dock()
    layer = add_field(viewer, mpp=None)
    assert dock.panel.pixel_size.isVisible()
    assert bar(dock).mpp.text() == "µm/px unknown"
    dock.panel.pixel_size.mpp.setValue(0.25)
    assert tuple(layer.scale) == (0.25, 0.25)
    assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
    run_to_end(dock, qtbot)
    assert bar(dock).count.text() == "3"
    assert "0.005 mm²" in bar(dock).interval.text()
    assert dock.panel.pixel_size.isHidden()
    # Another size: what was seen at the old one is dropped with its layers.
    dock.panel.pixel_size.mpp.setValue(0.5)
    qtbot.waitUntil(lambda: [one.name for one in viewer.layers] == ["field"])
    assert bar(dock).count.text() == "–"
    # napari's own controls count as well.
    layer.scale = (0.3, 0.3)
    assert dock.panel.pixel_size.mpp.value() == pytest.approx(0.3)


def test_the_card_tells_origin_figures_and_terms(open_dock: Any, qtbot: Any) -> None:
    _, dock = open_dock()
    panel = dock.panel.run_panel
    assert not panel.card.isVisible()
    assert "F 1.00 (0.90–1.00)" in panel.headline.text()
    assert "not a medical device" in panel.headline.text()
    press(panel.card_button, qtbot)
    assert panel.card.isVisible()
    for words in (
        "not a medical device",
        "drawn discs, all",
        "0.90–1.00",
        "Terms",
        "free",
        "Trained on",
        "What F means",
        "Where it fails",
    ):
        assert words in panel.card.text()


def test_devices_are_found_in_the_background(open_dock: Any, qtbot: Any) -> None:
    _, dock = open_dock()
    settle(qtbot, dock)
    offered = [dock.panel.run_panel.device.itemText(i) for i in range(dock.panel.run_panel.device.count())]
    assert offered[0] == "auto"
    assert offered[-1] == "cpu"


def test_time_left() -> None:
    assert time_left(2.0, Progress(1, 5)) == "8 s left"
    assert time_left(60.0, Progress(1, 5)) == "4 min left"
    assert time_left(2.0, Progress(0, 5)) == time_left(2.0, Progress(5, 5)) == ""


def test_progress_is_shown_and_cancel_works(open_dock: Any, detector: DarknessDetector, qtbot: Any) -> None:
    viewer, dock = open_dock()
    add_field(viewer)
    panel = dock.panel.run_panel
    detector.gate.clear()
    press(panel.run, qtbot)
    qtbot.waitUntil(detector.tiles_started.is_set)
    assert panel.progress.isVisible()
    assert not panel.run.isEnabled()
    assert "under way" in panel.run.toolTip()
    press(panel.cancel, qtbot)
    detector.gate.set()
    qtbot.waitUntil(lambda: not dock.running)
    assert dock.panel.message.text() == "Cancelled."
    assert not panel.progress.isVisible()
    assert [one.name for one in viewer.layers] == ["field"]
    run_to_end(dock, qtbot)
    assert bar(dock).count.text() == "3"


def test_a_failed_run_says_why(open_dock: Any, detector: DarknessDetector, qtbot: Any) -> None:
    viewer, dock = open_dock()
    add_field(viewer)
    detector.error = RuntimeError("the disc fell out")
    run_to_end(dock, qtbot)
    assert dock.panel.message.text() == "Detection failed: the disc fell out"
    assert dock.panel.message.isVisible()
    detector.error = None
    run_to_end(dock, qtbot)
    assert bar(dock).count.text() == "3"
    assert not dock.panel.message.isVisible()


def test_other_images_are_no_fields(open_dock: Any) -> None:
    viewer, dock = open_dock()
    viewer.add_image(np.zeros((32, 32), dtype=np.uint8))
    assert len(dock.session) == 0
    viewer.add_image(np.zeros((32, 32, 3), dtype=np.uint16), rgb=True)
    assert len(dock.session) == 0
    assert "uint16" in dock.panel.message.text()


def test_slow_decisions_leave_the_window_alone(detected: Any, qtbot: Any) -> None:
    """A decision known to be slow goes into a worker; of the rules that pile up only the last is decided."""
    _, dock = detected
    decided: list[Any] = []
    dock.live.decided.connect(decided.append)
    dock.live.quick_s = 0.0
    rule = dock.panel.rule.rule
    for smoothing in (0.6, 0.7, 0.8, 0.9):
        dock.live.request(dock.session.active, replace(rule, smoothing_um=smoothing))
    assert decided == []
    qtbot.waitUntil(lambda: bool(decided) and decided[-1].rule.smoothing_um == 0.9)
    assert [result.rule.smoothing_um for result in decided] == [0.9] or [
        result.rule.smoothing_um for result in decided
    ] == [0.6, 0.9]
    settle(qtbot, dock)


def test_the_dock_fits_its_width(detected: Any, qtbot: Any) -> None:
    viewer, dock = detected
    viewer.window.resize(1280, 800)
    qtbot.wait(100)
    assert dock.panel.width() <= dock.width()
    for part in (dock.panel.run_panel, dock.panel.rule):
        assert part.geometry().right() < dock.width()


def test_it_opens_without_torch() -> None:
    """In a fresh process; `benchmarks/start.py` has the seconds."""
    code = (
        "import sys, napari; v = napari.Viewer(show=True);"
        "from napari_mitosis.gui.detect.dock import DetectDock; d = DetectDock(v);"
        "v.window.add_dock_widget(d); d.panel.repaint(); print('TORCH', 'torch' in sys.modules); v.close()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-2:] == ["TORCH", "False"]


def test_napari_opens_the_dock_from_its_menu(make_napari_viewer: Any) -> None:
    viewer = make_napari_viewer()
    _, holder = viewer.window.add_plugin_dock_widget("napari-mitosis", "Mitosis panel")
    add_field(viewer, drawn_field())
    assert len(holder.panel.desk.session) == 1
    assert holder.panel.result_bar.field.text() == "field"
