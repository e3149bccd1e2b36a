"""What the ``napari-mitosis`` command opens: one panel, from the window's first size to its last step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QMenu, QWidget

from napari_mitosis.datasets.samples import sample_folder
from napari_mitosis.gui.panel.dock import DOCK_NAME, open_panel
from napari_mitosis.gui.panel.menu import MENU_NAME
from napari_mitosis.gui.panel.panel import Panel


def canvas_of(panel: Panel) -> QOpenGLWidget:
    canvases = [one for one in panel.desk.window.findChildren(QOpenGLWidget) if one.isVisible()]
    return max(canvases, key=lambda one: one.width() * one.height())


def test_without_files_a_card_says_what_to_do_and_a_sample_is_one_click_away(opened: Any, qtbot: Any) -> None:
    viewer, panel = opened()
    page = panel.pages["Fields"]
    assert panel.step == "Fields"
    assert page.welcome.isVisible()
    assert not panel.result_bar.isVisible()
    page.welcome.samples["quiet"].click()
    assert [layer.name for layer in viewer.layers] == ["quiet"]
    assert not page.welcome.isVisible()
    assert panel.result_bar.field.text() == "quiet"
    qtbot.waitUntil(lambda: page.list.rowCount() == 1 and not page.list.item(0, 0).icon().isNull(), timeout=10_000)


def test_files_open_and_bad_ones_are_told_of(opened: Any, tmp_path: Path) -> None:
    bad = tmp_path / "bad.tif"
    bad.write_text("no image")
    viewer, panel = opened(bad, sample_folder() / "quiet.tif", mpp=0.3)
    assert [layer.name for layer in viewer.layers] == ["quiet"]
    assert panel.desk.session.current.field.mpp == pytest.approx(0.3)
    assert "bad.tif" in panel.page("Detect").panel.message.text()


def test_a_detection_is_started(opened: Any, qtbot: Any) -> None:
    viewer, panel = opened(sample_folder() / "quiet.tif", detect=True)
    dock = panel.page("Detect")
    qtbot.waitUntil(lambda: dock.running, timeout=10_000)
    qtbot.waitUntil(lambda: not dock.running, timeout=120_000)
    assert "quiet: detections" in viewer.layers
    assert "quiet: score map" not in viewer.layers, "tissue is not covered before somebody asks for it"


def test_no_step_makes_the_window_grow_and_the_image_keeps_most_of_it(opened: Any, qtbot: Any) -> None:
    _viewer, panel = opened(sample_folder() / "quiet.tif")
    window = panel.desk.window
    window.resize(1366, 768)
    qtbot.wait(100)
    for name in panel.steps:
        page = panel.show_step(name)
        qtbot.wait(120)
        assert (window.width(), window.height()) == (1366, 768), name
        assert canvas_of(panel).width() > 1366 / 2, name
        holder = panel.stack.currentWidget().viewport()
        assert page.minimumSizeHint().width() <= holder.width(), f"{name} is cut at its side"
    assert not [dock for dock in window.findChildren(QWidget) if dock.objectName() == "layer list" and dock.isVisible()]
    panel.layers.click()
    assert [dock for dock in window.findChildren(QWidget) if dock.objectName() == "layer list" and dock.isVisible()]


def test_menu_and_steps_know_each_other_and_nothing_opens_twice(opened: Any, qtbot: Any) -> None:
    viewer, panel = opened()
    menu = viewer.window.plugins_menu.findChild(QMenu, MENU_NAME)
    entries = {action.text(): action for action in menu.actions()}
    assert list(entries) == list(panel.steps)
    docks = set(viewer.window.dock_widgets)
    for name, entry in entries.items():
        entry.trigger()
        assert panel.step == name
        assert [other for other, action in entries.items() if action.isChecked()] == [name]
    panel.buttons["Review"].click()
    assert entries["Review"].isChecked()
    # napari's own entry knows the same dock: it is checked, and hides it and shows it.
    naparis = next(action.menu() for action in viewer.window.plugins_menu.actions() if action.text() == "Mitosis")
    own = next(action for action in naparis.actions() if action.text() == DOCK_NAME)
    naparis.aboutToShow.emit()
    assert own.isChecked()
    for _ in range(2):
        own.trigger()
    assert set(viewer.window.dock_widgets) == docks
    assert panel.isVisible()
    # Closed with the x, it comes back as it was.
    pages = dict(panel.pages)
    viewer.window.remove_dock_widget(viewer.window.dock_widgets[DOCK_NAME])
    assert open_panel(viewer) is panel
    qtbot.waitUntil(panel.isVisible)
    assert panel.step == "Review"
    assert panel.pages == pages
    assert len(viewer.window.plugins_menu.findChildren(QMenu, MENU_NAME)) == 1


def zoomed(viewer: Any) -> tuple[float, ...]:
    camera = getattr(viewer, "scene", viewer).camera
    return (*(float(value) for value in camera.center[-2:]), float(camera.zoom))


def test_a_field_fits_the_canvas_and_its_view_is_kept(opened: Any, qtbot: Any) -> None:
    viewer, panel = opened(sample_folder() / "quiet.tif", sample_folder() / "mimics.tif")
    canvas, camera = canvas_of(panel), getattr(viewer, "scene", viewer).camera

    def fits() -> bool:
        height = 1024 * camera.zoom * viewer.layers["quiet"].scale[-1]
        return 0.85 * min(canvas.width(), canvas.height()) < height <= min(canvas.width(), canvas.height())

    panel.desk.fields.choose(next(iter(panel.desk.fields)))
    qtbot.waitUntil(fits)
    panel.desk.window.resize(1200, 700)
    qtbot.waitUntil(fits)
    camera.zoom, camera.center = 6.0, (40.0, 60.0)
    panel.keys.step(1)
    qtbot.wait(50)
    qtbot.waitUntil(fits)
    panel.keys.step(-1)
    qtbot.waitUntil(lambda: zoomed(viewer) == pytest.approx((40.0, 60.0, 6.0)))
    viewer.reset_view()
    qtbot.waitUntil(fits)


def test_typing_the_pixel_size_leaves_the_image_where_it_is_and_is_remembered(
    opened: Any, qtbot: Any, tmp_path: Path
) -> None:
    from PIL import Image

    for name in ("one.png", "two.png"):
        Image.open(sample_folder() / "quiet.tif").crop((0, 0, 400, 300 + len(name))).save(tmp_path / name)
    viewer, panel = opened(tmp_path / "one.png")
    row = panel.page("Detect").panel.pixel_size
    assert row.isVisible()
    qtbot.wait(50)
    before = zoomed(viewer)[2]
    row.usual.click()
    assert panel.desk.session.current.field.mpp == 0.25
    qtbot.wait(50)
    assert zoomed(viewer)[2] * 0.25 == pytest.approx(before)
    assert not row.isVisible()
    qtbot.waitUntil(lambda: len(panel.desk.workers) == 0, timeout=10_000)
    # The same pixels under another name, in another window.
    (tmp_path / "later").mkdir()
    copy = (tmp_path / "one.png").rename(tmp_path / "later" / "renamed.png")
    _, later = opened(copy)
    qtbot.waitUntil(lambda: later.desk.session.current.field.mpp == 0.25, timeout=10_000)


def test_a_restart_brings_back_fields_detections_rule_and_view(opened: Any, qtbot: Any) -> None:
    paths = [sample_folder() / "quiet.tif", sample_folder() / "mimics.tif"]
    viewer, panel = opened(*paths, keep=True)
    dock = panel.page("Detect")
    dock.run()
    qtbot.waitUntil(lambda: not dock.running, timeout=120_000)
    dock.panel.rule.sensitivity.setValue(0.9)
    qtbot.waitUntil(lambda: dock.session.current.result.rule.sensitivity == 0.9, timeout=10_000)
    count, seen_at = panel.result_bar.count.text(), panel.desk.seen_at[dock.session.active]
    camera = getattr(viewer, "scene", viewer).camera
    camera.zoom, camera.center = 7.0, (50.0, 70.0)
    panel.desk.closing.emit()
    panel.desk.shutdown()
    viewer.close()

    again, panel = opened(keep=True)
    dock, session = panel.page("Detect"), panel.desk.session
    assert [layer.name for layer in again.layers] == ["quiet", "mimics"]
    assert session.current.field.name == "quiet"
    qtbot.waitUntil(lambda: session.current.result is not None, timeout=120_000)
    assert panel.result_bar.count.text() == count
    assert session.current.result.rule.sensitivity == 0.9
    assert abs(panel.desk.seen_at[session.active].secsTo(seen_at)) <= 1
    assert zoomed(again) == pytest.approx((50.0, 70.0, 7.0))
