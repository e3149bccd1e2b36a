"""The measuring line: dragged with a real mouse, read in um, gone with Esc, noted nowhere."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import QEvent, Qt

from napari_mitosis.gui.panel.dock import open_panel

from .conftest import add_field, bar, camera_of, drawn_field
from .mouse import LEFT, Mouse

MPP = 0.5


@pytest.fixture
def window(open_dock: Any) -> tuple[Any, Any, Any]:
    viewer, dock = open_dock()
    return viewer, dock, open_panel(viewer)


def strike(dock: Any, qtbot: Any) -> None:
    qtbot.keyClick(dock.window(), Qt.Key.Key_6, Qt.KeyboardModifier.AltModifier)


def drag(viewer: Any, dock: Any, panel: Any, owner: Any, start: Any, end: Any) -> None:
    """Drag on what lies over the canvas, from one place of the field to another."""
    mouse = Mouse(viewer, dock, owner)
    mouse.canvas = mouse.canvas.childAt(mouse.canvas.rect().center())
    first, last = mouse.screen(*start), mouse.screen(*end)
    mouse.press(first)
    for share in (0.5, 1.0):
        mouse.send(QEvent.Type.MouseMove, first + (last - first) * share, LEFT)
    mouse.release(last)


def test_a_drag_tells_its_length_and_moves_nothing(window: Any, qtbot: Any) -> None:
    viewer, dock, panel = window
    owner = add_field(viewer, mpp=MPP)
    qtbot.waitUntil(lambda: panel.views.of(panel.desk.session.active) is not None)
    names, centre = {layer.name for layer in viewer.layers}, tuple(camera_of(viewer).center)
    strike(dock, qtbot)
    assert bar(dock).line.isChecked()
    assert "Drag a line" in bar(dock).about_line.text()
    drag(viewer, dock, panel, owner, (40, 30), (70, 70))
    assert panel.line.length_um == pytest.approx(50 * MPP, rel=0.02)
    assert bar(dock).about_line.text() == f"Length: {panel.line.text}"
    assert panel.line.text.endswith(" µm")
    assert tuple(camera_of(viewer).center) == centre, "the field stays where it is"

    before = panel.line.ends
    camera_of(viewer).zoom *= 2
    start, end = panel.line.ends
    assert end.x() - start.x() == pytest.approx(2 * (before[1].x() - before[0].x())), "the line stays on its tissue"
    drag(viewer, dock, panel, owner, (50, 50), (50, 70))
    assert panel.line.length_um == pytest.approx(20 * MPP, rel=0.03), "the next measure takes the place of the last"
    panel.desk.peek.set_on(True)
    assert panel.line.ends is None
    panel.desk.peek.set_on(False)
    assert panel.line.ends is not None

    qtbot.keyClick(dock.window(), Qt.Key.Key_Escape)
    assert not panel.line.on
    assert panel.line.ends_px is None
    assert not bar(dock).line.isChecked()
    assert bar(dock).about_line.isHidden()
    assert {layer.name for layer in viewer.layers} == names
    journal = panel.desk.journal
    assert journal is None or not journal.actions()


def test_esc_on_the_canvas_ends_it_and_the_mouse_moves_the_field_again(window: Any, qtbot: Any) -> None:
    viewer, dock, panel = window
    owner = add_field(viewer, mpp=MPP)
    qtbot.waitUntil(lambda: panel.views.of(panel.desk.session.active) is not None)
    strike(dock, qtbot)
    mouse = Mouse(viewer, dock, owner)
    sheet = mouse.canvas.childAt(mouse.canvas.rect().center())
    qtbot.keyClick(sheet, Qt.Key.Key_Escape)
    assert not panel.line.on
    assert mouse.canvas.childAt(mouse.canvas.rect().center()) is None
    centre = tuple(camera_of(viewer).center)
    mouse.drag((60, 60), (60, 90))
    assert tuple(camera_of(viewer).center) != centre


def test_it_needs_a_pixel_size_and_ends_with_its_field(window: Any, qtbot: Any) -> None:
    viewer, dock, panel = window
    unknown = add_field(viewer, drawn_field(), mpp=None, name="unknown")
    strike(dock, qtbot)
    assert not panel.line.on
    assert not bar(dock).line.isChecked()
    assert "size of a pixel is unknown" in bar(dock).about_line.text()
    owner = add_field(viewer, drawn_field(), mpp=MPP, name="known")
    strike(dock, qtbot)
    drag(viewer, dock, panel, owner, (40, 30), (70, 70))
    assert panel.line.length_um
    viewer.layers.selection.active = unknown
    assert not panel.line.on
