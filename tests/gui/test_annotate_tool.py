"""Click to annotate, with real mouse events on the canvas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPointF, Qt

from napari_mitosis.annotations.store import Journal
from napari_mitosis.gui.annotate import AnnotatePanel, annotating_of

from .conftest import add_field, camera_of, press
from .mouse import SHIFT, Mouse


@pytest.fixture
def table(open_dock: Any, qtbot: Any, tmp_path: Any, monkeypatch: Any) -> Any:
    """Viewer, panel and mouse with one field of 256 x 320 px at 0.25 um/px, its notebook open, the mode on."""
    monkeypatch.setenv("NAPARI_MITOSIS_JOURNAL", str(tmp_path / "journal.sqlite"))
    viewer, dock = open_dock()
    layer = add_field(viewer)
    panel = AnnotatePanel(dock.desk)
    viewer.window.add_dock_widget(panel, name="Annotate", area="left")
    annotating = annotating_of(dock.desk)
    qtbot.waitUntil(lambda: annotating.current is not None, timeout=10000)
    qtbot.wait(50)
    viewer.reset_view()
    press(panel.mode, qtbot)
    return viewer, panel, Mouse(viewer, dock, layer)


def figures(panel: Any) -> list[tuple[int, int, str]]:
    frame = panel.annotating.notebook.figures
    return [(round(y), round(x), label) for y, x, label in frame[["y_px", "x_px", "label"]].to_numpy()]


def assert_figures(panel: Any, expected: list[tuple[int, int, str]]) -> None:
    """These figures, each within a pixel: where the whole field is seen, one of the screen is as large."""
    marked = figures(panel)
    assert [label for *_, label in marked] == [label for *_, label in expected]
    np.testing.assert_allclose([place for *place, _ in marked], [place for *place, _ in expected], atol=1)


def test_a_click_marks_and_shift_marks_a_mimic(table: Any, qtbot: Any, tmp_path: Any) -> None:
    _viewer, panel, mouse = table
    mouse.click(100, 120)
    mouse.click(40, 200, SHIFT)
    press(panel.labels["unsure"], qtbot)
    mouse.click(200, 30)
    assert_figures(panel, [(100, 120, "mitosis"), (40, 200, "mimic"), (200, 30, "unsure")])
    assert [panel.counts[label].text() for label in ("mitosis", "mimic", "unsure")] == ["1", "1", "1"]
    # All of it is on disk: another process would see it now.
    journal = Journal(tmp_path / "journal.sqlite")
    assert [action.kind for action in journal.actions()] == ["add"] * 3
    journal.close()
    press(panel.undo, qtbot)
    assert len(figures(panel)) == 2
    assert "marked as unsure" in panel.redo.toolTip()
    press(panel.redo, qtbot)
    assert len(figures(panel)) == 3


def test_a_click_near_a_figure_selects_it(table: Any) -> None:
    _viewer, panel, mouse = table
    mouse.click(100, 120)
    mouse.click(200, 200)
    first = panel.annotating.notebook.figures["figure"].iloc[0]
    assert panel.annotating.figure != first
    mouse.click(100, 120 + 18)  # 4.5 um
    assert len(figures(panel)) == 2
    assert panel.annotating.figure == first
    assert "marked as mitosis" in panel.history.item(0).text()
    mouse.click(100, 120 + 23)  # 5.75 um
    assert len(figures(panel)) == 3


def test_a_drag_of_a_figure_moves_it_and_the_camera_stays(table: Any, qtbot: Any) -> None:
    viewer, panel, mouse = table
    mouse.click(100, 120)
    qtbot.wait(20)
    figure = panel.annotating.notebook.figures["figure"].iloc[0]
    centre = tuple(camera_of(viewer).center)
    mouse.drag((104, 120), (154, 190))
    assert tuple(camera_of(viewer).center) == centre
    assert_figures(panel, [(150, 190, "mitosis")])
    assert [action.kind for action in panel.annotating.notebook.history(figure)] == ["add", "move"]
    np.testing.assert_allclose(panel.annotating.current.points.data, [[150, 190]], atol=1)


def test_a_drag_of_tissue_pans_and_less_than_four_screen_pixels_are_a_click(table: Any) -> None:
    viewer, panel, mouse = table
    centre = np.array(camera_of(viewer).center)
    at = mouse.screen(100, 120)
    mouse.press(at)
    mouse.send(QEvent.Type.MouseMove, at + QPointF(3, 0), Qt.MouseButton.LeftButton)
    mouse.release(at + QPointF(3, 0))
    assert len(figures(panel)) == 1
    assert np.array_equal(camera_of(viewer).center, centre)
    mouse.drag((180, 120), (180, 160))
    assert len(figures(panel)) == 1
    moved = np.array(camera_of(viewer).center) - centre
    assert moved[-1] == pytest.approx(-10.0, abs=2.0), "40 px of 0.25 um"
    # A quick hand, of whose movements none is told, marks nothing either.
    mouse.press(mouse.screen(30, 30))
    mouse.release(mouse.screen(60, 90))
    assert len(figures(panel)) == 1


def test_it_works_at_any_zoom_and_whichever_layer_is_active(table: Any, qtbot: Any) -> None:
    viewer, panel, mouse = table
    labels = viewer.add_labels(np.zeros((256, 320), int), name="drawn", scale=(0.25, 0.25), units=("um", "um"))
    viewer.layers.selection.active = mouse.layer
    labels.mode = "paint"  # not of the active layer: that would end our mode
    for column, zoom in ((60, 1.0), (120, 4.0), (180, 40.0)):
        camera_of(viewer).zoom = zoom
        for row, active in enumerate((labels, mouse.layer, panel.annotating.current.points, None)):
            place = (50 + 40 * row, column)
            camera_of(viewer).center = tuple(0.25 * value + 0.5 for value in place)
            viewer.layers.selection.active = active
            assert panel.mode.isChecked()
            before = len(figures(panel))
            mouse.click(*place)
            assert len(figures(panel)) == before + 1
            assert figures(panel)[-1][:2] == pytest.approx(place, abs=1 + 4 / zoom)
    assert not labels.data.any(), "nothing was painted"


def test_a_click_beyond_the_field_is_told_and_ignored(table: Any) -> None:
    viewer, panel, mouse = table
    camera_of(viewer).zoom = 4.0
    mouse.click(-10, 100)
    assert figures(panel) == []
    assert "beyond the field" in panel.message.text()
    assert "beyond the field" in str(viewer.status)
    mouse.click(100, 100)
    mouse.drag((100, 100), (-20, 100))
    assert_figures(panel, [(100, 100, "mitosis")])
    assert panel.annotating.current.points.data.round().tolist() == [[100, 100]]
    assert "went back" in panel.message.text()


def test_naparis_own_tool_ends_the_mode(table: Any, qtbot: Any) -> None:
    viewer, panel, mouse = table
    points = panel.annotating.current.points
    viewer.layers.selection.active = points
    points.mode = "add"
    assert not panel.mode.isChecked()
    mouse.click(100, 120)
    assert_figures(panel, [(100, 120, "mitosis")])
    press(panel.mode, qtbot)
    assert points.mode == "pan_zoom"
    mouse.click(100, 220)
    assert len(figures(panel)) == 2


def test_off_nothing_is_marked_and_a_double_click_zooms_again(table: Any, qtbot: Any) -> None:
    viewer, panel, mouse = table
    viewer.layers.selection.active = mouse.layer
    before = camera_of(viewer).zoom
    at = mouse.screen(100, 120)
    mouse.click(100, 120)
    mouse.send(QEvent.Type.MouseButtonDblClick, at, Qt.MouseButton.LeftButton)
    mouse.release(at)
    assert camera_of(viewer).zoom == before
    assert len(figures(panel)) == 1
    for on in (False, True, False):
        panel.annotating.set_mode(on)  # what its key does
        assert panel.mode.isChecked() == on
    mouse.click(50, 50)
    assert len(figures(panel)) == 1
    mouse.send(QEvent.Type.MouseButtonDblClick, at, Qt.MouseButton.LeftButton)
    mouse.release(at)
    assert camera_of(viewer).zoom == pytest.approx(2 * before)


def test_the_selected_figure_is_relabelled_and_deleted_and_complete_is_on_record(table: Any, qtbot: Any) -> None:
    _viewer, panel, mouse = table
    mouse.click(100, 120)
    qtbot.keyClicks(panel.label, "look-alike")
    panel.label.activated.emit(panel.label.currentIndex())
    panel.phase.setCurrentText("metaphase")
    panel.phase.activated.emit(panel.phase.currentIndex())
    frame = panel.annotating.notebook.figures
    assert frame[["label", "phase"]].iloc[0].tolist() == ["mimic", "metaphase"]
    assert panel.history.count() == 3
    press(panel.delete, qtbot)
    assert figures(panel) == []
    assert not panel.delete.isEnabled()
    panel.complete.click()
    assert panel.annotating.notebook.complete
    assert "declared complete" in panel.undo.toolTip()
    press(panel.undo, qtbot)
    assert not panel.complete.isChecked()
