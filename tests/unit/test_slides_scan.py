"""A slide's detections are those of its pieces, whatever the tiling; a scan that stops goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from slide_files import write_svs

from conftest import MPP
from napari_mitosis import Field, open_field
from napari_mitosis.batches.slides_area import GRID_PX, Region, ScanArea, tissue_area, whole_area
from napari_mitosis.batches.slides_candidates import LADDER, SlideDecider, joined, of_region
from napari_mitosis.batches.slides_scan import RegionDone, plan_scan, scan_slide
from napari_mitosis.batches.slides_store import open_store
from napari_mitosis.decision.decide import Rule, decide
from napari_mitosis.inference.pipeline import DetectorPipeline, Pipeline, pipeline_of
from napari_mitosis.jobs import run

SHAPE = (700, 830)


@pytest.fixture
def pipeline(darkness_detector):  # type: ignore[no-untyped-def]
    return pipeline_of(darkness_detector)


@pytest.fixture(scope="module")
def slide() -> Field:
    """Discs of many sizes and shades, many of them on the seams of every grid."""
    random = np.random.default_rng(3)
    pixels = np.full((*SHAPE, 3), 210, dtype=np.uint8)
    ys, xs = np.mgrid[: SHAPE[0], : SHAPE[1]]
    centres: list[tuple[float, float]] = []
    for y, x, radius, shade in random.uniform((0, 0, 5, 40), (*SHAPE, 14, 130), (220, 4)):
        if all(np.hypot(y - a, x - b) > 40 for a, b in centres):  # larger heaps than a window's margin are no figures
            centres.append((y, x))
            near = np.s_[max(0, int(y) - 15) : int(y) + 17, max(0, int(x) - 15) : int(x) + 17]
            pixels[near][np.hypot(ys[near] - y, xs[near] - x) <= radius] = int(shade)
    return Field.from_array(pixels, MPP, "discs")


def scan(field: Field, pipeline: Pipeline, folder: Path, area: ScanArea, side: int, origin: tuple[int, int] = (0, 0)):  # type: ignore[no-untyped-def]
    plan = plan_scan(field, pipeline, area, side_px=side, origin_yx=origin)
    store = open_store(folder, field, pipeline, plan.margin_px, side, origin)
    return run(scan_slide(field, pipeline, plan, store, device="cpu"))


def places(table: pd.DataFrame) -> NDArray[np.float64]:
    values = table[["y_px", "x_px", "score", "area_um2"]].to_numpy()
    return np.asarray(values[np.lexsort(values.T)])


@given(
    side=st.integers(3, 9).map(lambda n: n * GRID_PX),
    origin=st.tuples(st.integers(0, 8), st.integers(0, 8)).map(lambda at: (at[0] * GRID_PX, at[1] * GRID_PX)),
    threshold=st.sampled_from(LADDER),
    min_score=st.floats(0, 0.7),  # above that the lowest threshold leaves no figure to compare
)
@settings(
    max_examples=6, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_pieces_give_what_the_whole_gives(
    slide, pipeline, tmp_path_factory, side, origin, threshold, min_score
) -> None:  # type: ignore[no-untyped-def]
    rule = Rule(smoothing_um=pipeline.rule.smoothing_um, threshold=threshold, min_score=min_score, min_distance_um=4)
    whole = decide(run(pipeline.look(slide, device="cpu")), rule)
    found = scan(slide, pipeline, tmp_path_factory.mktemp("scan"), whole_area(slide), side, origin)
    np.testing.assert_allclose(places(SlideDecider(found).decide(rule)), places(whole), rtol=0, atol=1e-4)
    assert len(whole) > 5


def test_what_two_regions_place_apart_is_one_figure() -> None:
    """A network sees a figure on a seam a little differently from either side."""
    area = ScanArea(np.ones((10, 10), dtype=bool), 64)
    left, right = Region(0, 640, 0, 320), Region(0, 640, 320, 640)
    columns = ["level", "y_px", "x_px", "height_px", "width_px", "score"]

    def found(region: Region, *places: tuple[float, float]) -> pd.DataFrame:
        rows = pd.DataFrame([(0.0, y, x, 30, 30, 0.5) for y, x in places], columns=columns)
        return of_region(rows, Region(0, 640, 0, 640), region)

    parts = [
        # Each sees the first beyond its own edge; both see the second as theirs; the third is one figure of each.
        found(left, (100, 320.4), (200, 318.0), (300, 310.0)),
        found(right, (100, 318.6), (200, 321.0), (300, 330.0)),
    ]
    assert joined(parts, area)["y_px"].tolist() == [100, 200, 300, 300]


def test_only_the_area_is_looked_at(slide: Field, pipeline: Pipeline, tmp_path: Path) -> None:
    everything = scan(slide, pipeline, tmp_path / "all", whole_area(slide), 256)
    square = np.array([(100, 100), (100, 500), (500, 500), (500, 100)])
    hole = square / 4 + 200
    area = whole_area(slide).within([square], [hole])
    plan = plan_scan(slide, pipeline, area, side_px=256)
    assert (len(plan.regions), plan.total, plan.skipped) == (4, 12, 8)
    part = scan(slide, pipeline, tmp_path / "part", area, 256)
    rows = everything.rows
    expected = rows[area.holds(rows["y_px"], rows["x_px"])]
    assert 0 < len(expected) < len(rows)
    np.testing.assert_allclose(part.rows.to_numpy(), expected.to_numpy())


def test_tissue_is_found_at_low_magnification(tmp_path: Path) -> None:
    pixels = np.full((2048, 2560, 3), 244, dtype=np.uint8)
    ys, xs = np.mgrid[:2048, :2560]
    pixels[np.hypot(ys - 900, xs - 1200) < 600] = (190, 120, 170)
    area = tissue_area(open_field(write_svs(tmp_path / "a.svs", pixels)))
    truth = np.pi * (600 * MPP + 32) ** 2 / 1e6  # with the margin around it
    assert area.mm2(MPP) == pytest.approx(truth, rel=0.1)
    assert area.holds([900], [1200])[0]
    assert not area.holds([20], [20])[0]


SCAN = """
import sys
sys.path.insert(0, {tests!r})
import conftest
from pathlib import Path
import numpy as np
from napari_mitosis import Field
from test_slides_scan import pipeline_of, made_detector, scan, whole_area
field = Field.from_array(np.load({pixels!r}), 0.25, "discs")
scan(field, pipeline_of(made_detector()), Path({out!r}), whole_area(field), 192)
"""


def made_detector():  # type: ignore[no-untyped-def]
    import conftest

    return conftest.darkness_detector.__wrapped__()


def test_a_killed_scan_goes_on_and_loses_one_region_at_most(slide: Field, pipeline: Pipeline, tmp_path: Path) -> None:
    np.save(tmp_path / "pixels.npy", slide.numpy())
    code = SCAN.format(
        tests=str(Path(__file__).parent), pixels=str(tmp_path / "pixels.npy"), out=str(tmp_path / "scan")
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    regions = tmp_path / "scan" / "regions"
    while len(list(regions.glob("*.parquet"))) < 3:
        assert process.poll() is None, "the scan ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in regions.glob("*.parquet")}
    looked = []

    class Counting(DetectorPipeline):
        def look(self, field: Field, **options):  # type: ignore[no-untyped-def]
            looked.append(field.name)
            return super().look(field, **options)

    counting = Counting(pipeline.card, pipeline.rule, pipeline.detector)
    found = scan(slide, counting, tmp_path / "scan", whole_area(slide), 192)  # type: ignore[attr-defined]
    assert len(looked) == 4 * 5 - len(kept)
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    fresh = scan(slide, pipeline, tmp_path / "fresh", whole_area(slide), 192)
    pd.testing.assert_frame_equal(found.rows, fresh.rows)


def test_a_cancelled_scan_tells_what_it_found(slide: Field, pipeline: Pipeline, tmp_path: Path) -> None:
    plan = plan_scan(slide, pipeline, whole_area(slide), side_px=256)
    store = open_store(tmp_path / "scan", slide, pipeline, plan.margin_px, 256)
    job = scan_slide(slide, pipeline, plan, store, device="cpu")
    told = [next(job) for _ in range(3)]
    job.close()
    rows = [step.rows for step in told if isinstance(step, RegionDone) and step.rows is not None]
    assert len(rows) == 2 == sum(store.has(region) for region in plan.regions)
    again = list(scan_slide(slide, pipeline, plan, store, device="cpu"))
    assert [step.message for step in again[:2]] == ["known from before"] * 2
