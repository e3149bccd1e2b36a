"""The HPF grid: off at first, squares of the stated area, hidden with the rest, gone with its field."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from napari.layers import Vectors
from qtpy.QtCore import Qt

from napari_mitosis.gui.field_layer import scale_field_layer
from napari_mitosis.gui.panel.dock import open_panel
from napari_mitosis.gui.panel.hpf_grid import HPF_MM2, LINE_PX, grid_lines
from napari_mitosis.measures.hotspot import HPF_10_MM2

from .conftest import add_field, bar, camera_of, drawn_field, press

NAME = "field: HPF grid"
MPP = 2.0
SHAPE = (500, 700)  # 1000 um x 1400 um: two squares of 487 um high, and what is left


def strike(panel: Any, qtbot: Any) -> None:
    qtbot.keyClick(panel.window(), Qt.Key.Key_5, Qt.KeyboardModifier.AltModifier)


def test_a_key_and_a_button_show_squares_of_one_hpf(open_dock: Any, qtbot: Any) -> None:
    viewer, dock = open_dock()
    panel = open_panel(viewer)
    add_field(viewer, drawn_field(SHAPE), mpp=MPP)
    assert NAME not in viewer.layers
    active = viewer.layers.selection.active
    strike(dock, qtbot)
    layer = viewer.layers[NAME]
    assert isinstance(layer, Vectors), "nothing that a mouse can change"
    assert viewer.layers.selection.active is active, "the field stays the one that is worked on"
    assert bar(dock).grid.isChecked()
    assert "0.237 mm²" in bar(dock).about_grid.text()
    starts_um = layer.data[:, 0] * layer.scale
    gap_um = np.diff(np.unique(starts_um[:, 0]))[0]
    assert (gap_um / 1000) ** 2 == pytest.approx(HPF_10_MM2 / 10, rel=1e-3)
    camera_of(viewer).zoom *= 3
    assert layer.edge_width * MPP * camera_of(viewer).zoom == pytest.approx(LINE_PX), "thin at every zoom"

    panel.desk.peek.set_on(True)
    assert not layer.visible
    panel.desk.peek.set_on(False)
    assert layer.visible

    press(bar(dock).grid, qtbot)
    qtbot.waitUntil(lambda: NAME not in viewer.layers)
    assert not bar(dock).grid.isChecked()
    assert bar(dock).about_grid.isHidden()


def test_the_report_sets_its_area(open_dock: Any, qtbot: Any) -> None:
    viewer, dock = open_dock()
    panel = open_panel(viewer)
    add_field(viewer, drawn_field(SHAPE), mpp=MPP)
    strike(dock, qtbot)
    page: Any = panel.page("Report")
    page.hotspot_box.area.setValue(1.6)
    qtbot.waitUntil(lambda: "0.16 mm²" in bar(dock).about_grid.text())
    assert np.ptp(viewer.layers[NAME].data[:2, 0, 0]) * MPP == pytest.approx(400)


def test_without_a_pixel_size_a_sentence_says_why(open_dock: Any, qtbot: Any) -> None:
    viewer, dock = open_dock()
    owner = add_field(viewer, drawn_field(SHAPE), mpp=None)
    strike(dock, qtbot)
    assert NAME not in viewer.layers
    assert "size of a pixel is unknown" in bar(dock).about_grid.text()
    scale_field_layer(owner, MPP)
    qtbot.waitUntil(lambda: NAME in viewer.layers)


def test_it_goes_with_the_field_and_a_deleted_one_stays_away(open_dock: Any, qtbot: Any) -> None:
    viewer, dock = open_dock()
    first = add_field(viewer, drawn_field(SHAPE), mpp=MPP, name="first")
    strike(dock, qtbot)
    second = add_field(viewer, drawn_field(SHAPE), mpp=MPP, name="second")
    qtbot.waitUntil(lambda: {"first: HPF grid", "second: HPF grid"} & names(viewer) == {"second: HPF grid"})
    viewer.layers.remove(second)
    viewer.layers.selection.active = first
    qtbot.waitUntil(lambda: {"first: HPF grid", "second: HPF grid"} & names(viewer) == {"first: HPF grid"})
    viewer.layers.remove("first: HPF grid")
    assert not bar(dock).grid.isChecked()
    viewer.layers.selection.active = first
    qtbot.wait(20)
    assert names(viewer) == {"first"}


def names(viewer: Any) -> set[str]:
    return {layer.name for layer in viewer.layers}


def test_lines_end_at_the_field() -> None:
    side = 1000 * math.sqrt(HPF_MM2) / MPP
    lines = grid_lines(SHAPE, side)
    ends = lines.sum(axis=1)
    assert len(lines) == (3 + 1) + (3 + 1)
    assert lines[:, 0].min() == ends.min() == -0.5
    assert tuple(ends.max(axis=0)) == (SHAPE[0] - 0.5, SHAPE[1] - 0.5)
