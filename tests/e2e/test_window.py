"""The shipped model in a real window, as a new user meets it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from napari_mitosis.datasets.samples import ANNOTATIONS_KEY, sample_folder
from napari_mitosis.gui.layers import score_map
from napari_mitosis.gui.panel.menu import open_step


@pytest.fixture
def sample_window(make_napari_viewer: Any) -> Any:
    """A window with the hotspot sample, opened through napari's own way, and the dock."""
    viewer = make_napari_viewer(show=True)
    viewer.open_sample("napari-mitosis", "hotspot")
    dock: Any = open_step(viewer, "Detect")
    dock.panel.toggles["score_map"].setChecked(True)
    return viewer, dock


def layer_named(viewer: Any, ending: str) -> Any:
    return next((layer for layer in viewer.layers if layer.name.endswith(ending)), None)


def detect(viewer: Any, dock: Any, qtbot: Any) -> Any:
    dock.panel.run_panel.run.click()
    qtbot.waitUntil(lambda: layer_named(viewer, "detections") is not None and not dock.running, timeout=120_000)
    return layer_named(viewer, "detections")


def test_open_sample_detect_tune(sample_window: Any, qtbot: Any) -> None:
    viewer, dock = sample_window
    points = detect(viewer, dock, qtbot)
    truth = viewer.layers["hotspot"].metadata[ANNOTATIONS_KEY]
    mitoses = truth.loc[truth["label"] == "mitosis", ["y_px", "x_px"]].to_numpy()
    found = np.asarray(points.data)
    near = np.linalg.norm(found[:, None] - mitoses[None], axis=2).min(axis=1) < 30
    # Drawn figures say nothing of accuracy; but points that lie elsewhere would not be in register.
    assert near.sum() >= 5
    assert near.mean() > 0.7
    np.testing.assert_allclose(points.scale, (0.25, 0.25))

    evidence = dock.session.current.result.evidence
    before = len(found)
    dock.panel.rule.score.setValue(0.99)
    qtbot.waitUntil(lambda: len(layer_named(viewer, "detections").data) == 0, timeout=5000)
    assert dock.session.current.result.evidence is evidence  # the same evidence: the network did not look again
    dock.panel.rule.reset.click()
    qtbot.waitUntil(lambda: len(layer_named(viewer, "detections").data) == before, timeout=5000)


def test_rings_and_scores_are_seen_where_the_mitoses_are(sample_window: Any, qtbot: Any) -> None:
    viewer, dock = sample_window
    points = detect(viewer, dock, qtbot)
    viewer.reset_view()
    qtbot.wait(300)
    drawn = viewer.screenshot(canvas_only=True, flash=False).astype(int)
    dock.panel.toggles["score_map"].click()
    dock.panel.toggles["detections"].click()
    qtbot.wait(300)
    plain = viewer.screenshot(canvas_only=True, flash=False).astype(int)
    changed = np.abs(drawn - plain)[..., :3].sum(axis=2) > 60
    assert changed.any()
    # Where a pixel of the canvas lies in the field: the view is centred, and zoom is canvas pixels per um.
    height, width = changed.shape
    rows, columns = np.nonzero(changed)
    camera = getattr(viewer, "scene", viewer).camera
    zoom = camera.zoom
    centre = np.asarray(camera.center[-2:])
    at = np.stack([(rows - height / 2) / zoom + centre[0], (columns - width / 2) / zoom + centre[1]], axis=1)
    at_px = at / 0.25
    # Something is drawn where the network saw something, within a cell or two, or on a ring: nowhere else.
    evidence = dock.session.current.result.evidence
    seen = ndimage.maximum_filter(score_map(evidence), 5)
    cells = ((at_px + 0.5) / evidence.stride).astype(int).clip(0, np.array(seen.shape) - 1)
    ringed = np.linalg.norm(at_px[:, None] - np.asarray(points.data)[None], axis=2).min(axis=1) < 46
    assert ((seen[tuple(cells.T)] > 0.05) | ringed).mean() > 0.99
    rows_of_points = np.asarray(points.data)
    for y, x in rows_of_points:
        assert np.hypot(at_px[:, 0] - y, at_px[:, 1] - x).min() < 60


def test_closing_the_window_in_the_middle_of_a_run_leaves_no_thread(make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.open(str(sample_folder() / "quiet.tif"), plugin="napari-mitosis")
    dock: Any = open_step(viewer, "Detect")
    dock.panel.run_panel.run.click()
    qtbot.waitUntil(lambda: dock.running, timeout=10_000)
    viewer.close()
    qtbot.wait(200)
    assert len(dock.workers) == 0
