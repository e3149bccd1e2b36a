"""Several open fields: each has its own results, and the dock follows the one that is looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_mitosis.datasets.samples import sample_folder
from napari_mitosis.fields.field import Field
from napari_mitosis.fields.npe2_reader import field_layer, read_fields
from napari_mitosis.gui.field_layer import field_of_layer, layer_mpp, scale_field_layer

from .conftest import DarknessDetector, add_field, bar, drawn_field, press, run_to_end, settle

ONE_DISC = ((100, 100, 14, 20),)


@pytest.fixture
def two(open_dock: Any, qtbot: Any) -> Any:
    """Two detected fields: three figures in the first, one in the second, which is active."""
    viewer, dock = open_dock()
    add_field(viewer, name="first")
    run_to_end(dock, qtbot)
    add_field(viewer, drawn_field(discs=ONE_DISC), name="second")
    run_to_end(dock, qtbot)
    return viewer, dock


def visible(viewer: Any) -> set[str]:
    return {layer.name for layer in viewer.layers if layer.visible}


def test_switching_shows_the_other_results(two: Any, detector: DarknessDetector, qtbot: Any) -> None:
    viewer, dock = two
    assert bar(dock).count.text() == "1"
    assert visible(viewer) == {"second", "second: score map", "second: detections"}
    dock.panel.rule.score.setValue(0.99)
    settle(qtbot, dock)
    assert bar(dock).count.text() == "0"

    viewer.layers.selection.active = viewer.layers["first"]
    assert bar(dock).field.text() == "first"
    assert bar(dock).count.text() == "3"
    assert dock.panel.rule.score.value() == pytest.approx(0.4), "the rule is the field's own"
    assert visible(viewer) == {"first", "first: score map", "first: detections"}

    press(bar(dock).next, qtbot)
    assert viewer.layers.selection.active is viewer.layers["second"]
    assert bar(dock).count.text() == "0"
    assert dock.panel.rule.score.value() == pytest.approx(0.99)
    assert detector.looks == 2


def test_a_result_layer_stands_for_its_field(two: Any) -> None:
    viewer, dock = two
    viewer.layers.selection.active = viewer.layers["first: detections"]
    assert bar(dock).field.text() == "first"


def test_a_run_lands_in_the_field_it_was_started_in(open_dock: Any, detector: DarknessDetector, qtbot: Any) -> None:
    viewer, dock = open_dock()
    add_field(viewer, name="first")
    detector.gate.clear()
    press(dock.panel.run_panel.run, qtbot)
    qtbot.waitUntil(detector.tiles_started.is_set)
    second = add_field(viewer, drawn_field(discs=ONE_DISC), name="second")
    assert "first" in dock.panel.run_panel.run.toolTip(), "the button says what it waits for"
    detector.gate.set()
    qtbot.waitUntil(lambda: not dock.running)
    assert bar(dock).count.text() == "–"
    assert viewer.layers.selection.active is second
    assert visible(viewer) == {"second"}
    assert len(viewer.layers["first: detections"].data) == 3
    assert "second: detections" not in viewer.layers


def test_a_slider_moved_just_before_switching_stays_in_its_field(two: Any, qtbot: Any) -> None:
    viewer, dock = two
    dock.panel.rule.score.setValue(0.5)
    dock.panel.rule.score.setValue(0.99)
    viewer.layers.selection.active = viewer.layers["first"]
    settle(qtbot, dock)
    assert bar(dock).count.text() == "3"
    assert dock.session.current.rule.min_score == pytest.approx(0.4)
    viewer.layers.selection.active = viewer.layers["second"]
    assert dock.session.current.rule.min_score == pytest.approx(0.99)
    assert bar(dock).count.text() == "0"


def test_in_the_grid_all_fields_stay_visible(two: Any) -> None:
    viewer, _ = two
    getattr(viewer, "canvas", viewer).grid.enabled = True
    viewer.layers.selection.active = viewer.layers["first"]
    assert {"first", "second"} <= visible(viewer)


def test_fields_are_found_when_the_dock_comes_later(make_napari_viewer: Any, detector: DarknessDetector) -> None:
    from napari_mitosis.gui.detect.dock import DetectDock
    from napari_mitosis.session import Session

    from .conftest import card

    viewer = make_napari_viewer()
    add_field(viewer, name="first")
    add_field(viewer, name="second")
    dock = DetectDock(viewer, Session(detector.load), [card()])
    assert [dock.session[key].field.name for key in dock.session] == ["first", "second"]
    assert bar(dock).field.text() == "second"


def test_the_readers_field_is_used_as_it_is(make_napari_viewer: Any) -> None:
    viewer = make_napari_viewer()
    path = str(sample_folder() / "hotspot.tif")
    pixels, options, _ = read_fields(path)[0]
    layer = viewer.add_image(pixels, **options)
    field = field_of_layer(layer)
    assert field.path is not None
    assert field.path.name == "hotspot.tif"
    assert field.mpp == pytest.approx(0.25)
    assert field_layer(field)[0] is pixels


@pytest.mark.parametrize(
    ("scale", "units", "mpp"),
    [
        ((0.25, 0.25), ("um", "um"), 0.25),
        ((0.00025, 0.00025), ("mm", "mm"), 0.25),
        ((250.0, 250.0), ("nm", "nm"), 0.25),
        ((1.0, 1.0), ("pixel", "pixel"), None),
        ((0.25, 0.5), ("um", "um"), None),
        ((900.0, 900.0), ("um", "um"), None),
    ],
)
def test_pixel_size_of_a_layer(scale: Any, units: Any, mpp: float | None) -> None:
    from napari.layers import Image

    layer = Image(drawn_field(), rgb=True, scale=scale, units=units)
    assert layer_mpp(layer) == (None if mpp is None else pytest.approx(mpp))


def test_a_large_picture_is_a_field_like_any_other(open_dock: Any, qtbot: Any, tmp_path: Path) -> None:
    pixels = np.full((3200, 256, 3), 245, np.uint8)
    pixels[:256] = drawn_field((256, 320))[:, :256]
    Image.fromarray(pixels).save(tmp_path / "large.png")
    viewer, dock = open_dock()
    viewer.open(str(tmp_path / "large.png"), plugin="napari-mitosis")
    layer = viewer.layers["large"]
    assert layer.multiscale
    scale_field_layer(layer, 0.25)
    dock.session.set_mpp(dock.session.active, 0.25)
    assert dock.session.current.field.digest == Field.from_array(pixels).digest
    run_to_end(dock, qtbot)
    assert len(dock.session.current.result.detections) == 3
    assert np.allclose(viewer.layers["large: detections"].scale, layer.scale)


def test_fields_of_known_and_unknown_size_agree_in_their_units(open_dock: Any) -> None:
    viewer, dock = open_dock()
    overlays = getattr(getattr(viewer, "canvas", None), "overlays", viewer)
    overlays.scale_bar.visible = True
    unknown = add_field(viewer, name="unknown", mpp=None)
    assert overlays.scale_bar.visible
    known = add_field(viewer, name="known", mpp=0.5)
    another = add_field(viewer, name="another", mpp=None)
    # Where they are of two kinds, napari warns, and draws the scale bar of neither.
    assert viewer.layers.extent.units is not None
    session = dock.session
    sizes = {session[key].field.name: session[key].field.mpp for key in session}
    assert sizes == {"unknown": None, "known": 0.5, "another": None}
    assert not overlays.scale_bar.visible, "its micrometres would be made up"
    viewer.layers.selection.active = known
    assert overlays.scale_bar.visible
    unknown.data = np.ascontiguousarray(unknown.data[::-1])
    assert session[str(unknown.unique_id)].field.mpp is None
    # By hand, or by the panel, also where the size is what the layer had in name.
    another.scale = (0.25, 0.25)
    assert session[str(another.unique_id)].field.mpp == 0.25
    viewer.layers.remove(another)
    viewer.layers.remove(known)
    assert {str(unit) for unit in unknown.units} == {"pixel"}
    again = add_field(viewer, name="known again", mpp=0.5)
    scale_field_layer(unknown, 1.0)
    assert layer_mpp(unknown) == 1.0
    viewer.layers.remove(again)
    assert layer_mpp(unknown) == 1.0
