"""The slide dock: tissue to paint on, regions, a scan that streams, live sliders, hotspots, the overview."""

from pathlib import Path

import numpy as np
import pytest

from napari_mitosis.batches.slides_area import ScanArea
from napari_mitosis.fields.field import Field
from napari_mitosis.fields.npe2_reader import field_layer, field_of
from napari_mitosis.gui.slides import dock as slide_dock
from napari_mitosis.gui.slides import work
from napari_mitosis.gui.slides.panel import REGIONS, WHOLE

MPP = 0.25
PLACES = [(300, 300), (300, 1500), (1600, 700), (1650, 740), (2000, 2900)]


@pytest.fixture
def slide() -> Field:
    """Glass with a sheet of pink, and dark discs in it."""
    pixels = np.full((2304, 3200, 3), 245, dtype=np.uint8)
    pixels[100:2200, 100:3100] = (230, 170, 210)
    ys, xs = np.mgrid[-12:13, -12:13]
    for y, x in PLACES:
        pixels[y - 12 : y + 13, x - 12 : x + 13][np.hypot(ys, xs) <= 12] = (60, 25, 95)
    return Field.from_array(pixels, MPP, "slide")


def test_from_tissue_to_hotspot(slide, make_napari_viewer, qtbot, tmp_path: Path, monkeypatch, detector) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(work, "load_pipeline", lambda name: detector.load("darkness@1.0.0"))
    monkeypatch.setattr(work, "HPF_10_MM2", 0.02)  # as many fields as fit into a small slide
    viewer = make_napari_viewer()
    pixels, options, _ = field_layer(slide)
    viewer.add_image(pixels, **options)
    dock = slide_dock.SlidesDock(viewer, tmp_path)
    viewer.window.add_dock_widget(dock)
    assert dock.field is slide

    dock.find_tissue()
    qtbot.waitUntil(lambda: dock.area is not None, timeout=20_000)
    assert dock.area.holds([1000, 5], [1000, 5]).tolist() == [True, False]

    streamed = []
    shown = dock.layers.show_detections
    monkeypatch.setattr(
        dock.layers, "show_detections", lambda field, rows: (streamed.append(len(rows)), shown(field, rows))
    )
    dock.scan()
    qtbot.waitUntil(lambda: dock.decider is not None and dock.hotspots != [], timeout=60_000)
    assert len(dock.detections) == len(viewer.layers["slide detections"].data) == len(PLACES)
    assert 0 < streamed[1] <= len(PLACES), "nothing was shown before the end"
    assert dock.hotspots[0].count == 2

    dock.go(1)
    centre = np.array(dock.layers.visible_px(slide)).reshape(2, 2).mean(axis=1)
    assert np.hypot(*(centre - (1625, 720))) < 320  # the radius of the hotspot
    before = dock.panel.review.isEnabled()
    dock.panel.review.click()
    qtbot.waitUntil(lambda: any(" at y" in layer.name for layer in viewer.layers), timeout=20_000)
    cut = next(field_of(layer.metadata) for layer in viewer.layers if " at y" in layer.name)
    top, left = (int(part[1:]) for part in cut.name.split(" at ")[1].split())
    assert before, "a hotspot is looked at"
    assert [level.shape[:2] for level in cut.levels][1:] == [tuple(side // 4 for side in cut.shape)] * (
        max(cut.shape) > 1024
    )
    assert cut.mpp == pytest.approx(MPP)
    assert np.array_equal(cut.numpy(), slide.read(top, top + cut.shape[0], left, left + cut.shape[1]))
    assert dock.field is slide, "the slide is still the one that is worked on"
    dock.magnify(40)
    assert dock.panel.power.text() == "40x"

    dock.panel.sliders["score"].setValue(1.0)
    assert len(viewer.layers["slide detections"].data) == 0

    # What is painted out is not looked at, nor is what lies outside the drawn region.
    tissue = viewer.layers["tissue"]
    painted = np.array(tissue.data)
    painted[:, : painted.shape[1] // 2] = 0
    tissue.data = painted
    assert dock.layers.painted(dock.area).holds([300, 300], [300, 2900]).tolist() == [False, True]
    dock.draw_region(True)
    viewer.layers["regions"].add_polygons(np.array([(1500, 2000), (1500, 3100), (2200, 3100), (2200, 2000)]))
    dock.panel.area.setCurrentText(REGIONS)
    dock.scan()
    qtbot.waitUntil(lambda: dock._run is None, timeout=60_000)
    assert dock.detections[["y_px", "x_px"]].round().to_numpy().tolist() == [[2000, 2900]]

    dock.panel.area.setCurrentText(WHOLE)
    assert dock._wanted_area() is None
    assert isinstance(dock.area, ScanArea)
