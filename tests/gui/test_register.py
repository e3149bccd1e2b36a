"""Pixels of the window: what is drawn lies where the field has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.layers import Image
from numpy.typing import NDArray

from napari_mitosis.decision.evidence import Evidence
from napari_mitosis.gui.layers import RING_UM, RING_WIDTH, FieldLayers, clear_magma

from .conftest import add_field, camera_of, press


def screen(viewer: Any, qtbot: Any) -> NDArray[np.int_]:
    """The canvas as it is drawn now, RGB."""
    qtbot.wait(150)
    shot: NDArray[np.int_] = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    return shot


def field_px(viewer: Any, mask: NDArray[np.bool_], mpp: float, origin_um: tuple[float, float] = (0, 0)) -> Any:
    """(y, x) in field pixels of the canvas pixels in a mask."""
    rows, columns = np.nonzero(mask)
    centre = np.asarray(camera_of(viewer).center[-2:])
    offsets = np.stack([rows + 0.5 - mask.shape[0] / 2, columns + 0.5 - mask.shape[1] / 2], axis=1)
    return (offsets / camera_of(viewer).zoom + centre - origin_um) / mpp


@pytest.mark.parametrize(("stride", "cell"), [(4.0, (10, 25)), (4.0, (0, 0)), (8.0, (5, 3)), (3.0, (30, 60))])
def test_a_hot_cell_covers_its_field_pixels(
    make_napari_viewer: Any, qtbot: Any, stride: float, cell: tuple[int, int]
) -> None:
    """Map cell (i, j) covers field pixels [i * stride, (i + 1) * stride): their edges lie at -0.5 from there."""
    viewer = make_napari_viewer(show=True)
    mpp, shape = 0.25, (256, 320)
    layer = viewer.add_image(
        np.full((*shape, 3), 250, np.uint8), rgb=True, scale=(mpp, mpp), units=("um", "um"), translate=(7.0, -3.0)
    )
    scores = np.zeros((int(-(-shape[0] // stride)), int(-(-shape[1] // stride))), dtype=np.float16)
    scores[cell] = 1.0
    results = FieldLayers(viewer, layer, lambda *_: None)
    results.show_evidence(Evidence({"one": scores}, stride, shape, mpp, "x@1", "digest"), True)
    assert results.score_map is not None
    results.score_map.interpolation2d = "nearest"
    results.score_map.opacity = 1.0
    viewer.reset_view()
    drawn = screen(viewer, qtbot)
    results.score_map.visible = False
    changed = np.abs(drawn - screen(viewer, qtbot)).sum(axis=2) > 8
    at = field_px(viewer, changed, mpp, (7.0, -3.0))
    low = np.array(cell) * stride - 0.5
    screen_px = 1 / (camera_of(viewer).zoom * mpp)
    assert at.min(axis=0) == pytest.approx(low, abs=1.5 * screen_px)
    assert at.max(axis=0) == pytest.approx(low + stride, abs=1.5 * screen_px)
    # napari itself sees the cell there as well.
    centre = (np.array(cell) + 0.5) * stride - 0.5
    assert results.score_map.world_to_data(layer.data_to_world(centre)) == pytest.approx(cell)


def test_rings_stand_around_their_figures(detected: Any, qtbot: Any) -> None:
    viewer, dock = detected
    press(dock.panel.toggles["score_map"], qtbot)
    viewer.reset_view()
    drawn = screen(viewer, qtbot)
    press(dock.panel.toggles["detections"], qtbot)
    plain = screen(viewer, qtbot)
    at = field_px(viewer, np.abs(drawn - plain).sum(axis=2) > 120, 0.25)
    points = viewer.layers["field: detections"].data
    distance = np.linalg.norm(at[:, None] - points[None], axis=2)
    # Nothing is drawn inside of a ring, where the chromatin is, and nothing outside.
    radius = RING_UM / 0.25 / 2
    assert distance.min(axis=1).max() < radius + 4
    assert distance.min(axis=1).min() > radius * (1 - 2 * RING_WIDTH) - 4
    assert len(points) == 3
    for figure in range(3):
        assert (distance[:, figure] < radius + 4).sum() > 100
    ring = drawn[np.abs(drawn - plain).sum(axis=2) > 400]
    assert (ring[:, 1] > ring[:, 0] + 80).all(), "rings are green"


def test_nothing_seen_leaves_the_tissue_as_it_is(make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer(show=True)
    layer = add_field(viewer)
    results = FieldLayers(viewer, layer, lambda *_: None)
    results.show_evidence(Evidence({"one": np.zeros((64, 80), np.float16)}, 4.0, (256, 320), 0.25, "x@1", "d"), True)
    assert results.score_map is not None
    shown = screen(viewer, qtbot)
    results.score_map.visible = False
    assert np.abs(screen(viewer, qtbot) - shown).max() <= 2


def test_several_maps_are_shown_as_their_mean(make_napari_viewer: Any) -> None:
    viewer = make_napari_viewer()
    layer = add_field(viewer)
    maps = {"a": np.full((64, 80), 0.25, np.float16), "b": np.full((64, 80), 0.75, np.float16)}
    results = FieldLayers(viewer, layer, lambda *_: None)
    results.show_evidence(Evidence(maps, 4.0, (256, 320), 0.25, "x@1", "d"), True)
    shown = viewer.layers["field: score map"]
    assert isinstance(shown, Image)
    assert np.all(shown.data == 0.5)
    assert tuple(shown.contrast_limits) == (0.0, 1.0)
    # Another model with another stride takes the place of the first, in the same layer.
    results.show_evidence(Evidence({"a": np.zeros((32, 40), np.float16)}, 8.0, (256, 320), 0.25, "x@2", "d"), True)
    assert viewer.layers["field: score map"] is shown
    assert shown.data.shape == (32, 40)
    assert tuple(shown.scale) == (2.0, 2.0)
    assert tuple(shown.translate) == (0.875, 0.875)


def test_the_dark_end_of_magma_is_clear() -> None:
    colours = clear_magma().map(np.array([0.0, 0.1, 0.35, 1.0]))
    assert colours[:, 3] == pytest.approx([0.0, 0.1 / 0.35, 1.0, 1.0], abs=0.01)
    assert colours[3, 0] > 0.95, "the hot end is magma's pale yellow"
