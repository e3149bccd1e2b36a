"""The second look: what was on screen, where to look next, the best of what the rule leaves out."""

from __future__ import annotations

from typing import Any

import pytest

from napari_mitosis.gui.annotate import AnnotatePanel, SecondLookPanel

from .conftest import add_field, camera_of, drawn_field, press, run_to_end, settle

# Two discs that the rule keeps, and three that are too faint.
DISCS = ((60, 80, 14, 20), (180, 250, 12, 60), (120, 160, 9, 150), (30, 280, 10, 160), (220, 60, 10, 170))


@pytest.fixture
def looking(open_dock: Any, qtbot: Any) -> Any:
    """A detected field with the panel in the window; far off, so that nothing counts as seen yet."""
    viewer, dock = open_dock()
    add_field(viewer, drawn_field(discs=DISCS))
    camera_of(viewer).zoom = 0.5
    run_to_end(dock, qtbot)
    panel = SecondLookPanel(dock.desk)
    viewer.window.add_dock_widget(panel, name="Second look", area="left")
    qtbot.waitUntil(lambda: panel.annotating.current is not None and len(panel.looks) == 3, timeout=10000)
    settle(qtbot, dock)
    camera_of(viewer).zoom = 0.5
    return viewer, dock, panel


def test_the_best_that_are_left_out_are_judged_one_after_the_other(looking: Any, qtbot: Any) -> None:
    viewer, dock, panel = looking
    assert panel.looks["score"].is_monotonic_decreasing
    assert panel.looks[["y_px", "x_px"]].to_numpy().tolist()[0] == pytest.approx([120, 160], abs=2)
    panel.table.setCurrentCell(0, 0)
    assert camera_of(viewer).center[-2:] == pytest.approx((30, 40), abs=0.6)
    press(panel.mitosis, qtbot)
    press(panel.mimic, qtbot)
    press(panel.skip, qtbot)
    assert [panel.table.item(row, 3).text() for row in range(3)] == ["mitosis", "mimic", "skipped"]
    figures = panel.annotating.notebook.figures
    assert figures["label"].tolist() == ["mitosis", "mimic"]
    assert figures["kind"].tolist() == ["accept", "reject"]
    assert set(figures["source"]) == {"darkness@1.0.0"}
    assert figures["score"].tolist() == pytest.approx(panel.looks["score"].tolist()[:2])
    assert "2 of 3 candidates below the threshold seen" in panel.summary.text()
    # The same judged again changes its figure, and makes no second one.
    panel.table.setCurrentCell(0, 0)
    press(panel.mimic, qtbot)
    assert panel.annotating.notebook.figures["label"].tolist() == ["mimic", "mimic"]
    panel.count.setValue(1)
    assert panel.table.rowCount() == 1
    # Another rule leaves out others.
    dock.session.set_rule(dock.session.active, min_score=0.99)
    qtbot.waitUntil(lambda: len(panel._all) == 5, timeout=10000)


def test_what_was_on_screen_close_enough_is_seen(looking: Any, qtbot: Any) -> None:
    viewer, _dock, panel = looking
    key = panel.annotating.key
    coverage = panel.coverage.of(key)
    qtbot.wait(800)
    before = coverage.share
    assert before < 1, "from far off nothing is seen"
    press(panel.unseen, qtbot)
    layer = viewer.layers["field: not seen yet"]
    assert layer.visible
    assert layer.data.sum() == coverage.unseen.sum() > 0
    # The layer lies over the field, edge to edge with its cells.
    assert layer.data_to_world((-0.5, -0.5)) == pytest.approx((-0.125, -0.125))
    for _ in range(40):
        if coverage.share == 1:
            break
        panel.go_unseen.click()
        qtbot.wait(700)
    assert coverage.share == 1
    assert "100 % of the tissue seen" in panel.summary.text()
    assert panel.share.value() == 1000
    assert [panel.table.item(row, 2).text() for row in range(3)] == ["✓"] * 3
    assert not panel.go_unseen.isEnabled()
    assert layer.data.sum() == 0
    press(panel.unseen, qtbot)
    assert not layer.visible


def test_without_a_field_or_a_result_it_says_so(open_dock: Any, qtbot: Any) -> None:
    viewer, dock = open_dock()
    panel, annotate = SecondLookPanel(dock.desk), AnnotatePanel(dock.desk)
    viewer.window.add_dock_widget(panel, name="Second look", area="left")
    viewer.window.add_dock_widget(annotate, name="Annotate", area="left")
    assert not panel.mitosis.isEnabled()
    assert not annotate.mode.isEnabled()
    assert "Open an RGB image" in annotate.message.text()
    field = add_field(viewer)
    qtbot.waitUntil(lambda: annotate.mode.isEnabled(), timeout=10000)
    assert "Detect in this field first" in panel.summary.text()
    viewer.layers.remove(field)
    assert not annotate.mode.isEnabled()
    assert panel.table.rowCount() == 0
