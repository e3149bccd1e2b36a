"""Many slides on a cluster: a poisoned one does not stop the rest, a killed worker loses nothing, a rerun is free."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from slide_files import write_svs

from napari_mitosis import open_field
from napari_mitosis.batches.batch import find_fields
from napari_mitosis.batches.slides_area import whole_area
from napari_mitosis.batches.slides_cluster import SlideOptions, local_client, scan_slides
from napari_mitosis.batches.slides_scan import plan_scan, scan_slide
from napari_mitosis.batches.slides_store import open_store
from napari_mitosis.inference.pipeline import load_pipeline
from napari_mitosis.jobs import Progress, run

SIDE = 256


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with local_client(2, threads=1) as client:
        yield client


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two slides of noise, and one that is torn in the middle of its pixels."""
    folder = tmp_path_factory.mktemp("slides")
    random = np.random.default_rng(1)
    for name in ("a.svs", "b.svs", "torn.svs"):
        blocks = random.integers(90, 220, (64, 64, 3), dtype=np.uint8)
        write_svs(folder / name, np.kron(blocks, np.ones((8, 8, 1), dtype=np.uint8)))
    torn = bytearray((folder / "torn.svs").read_bytes())
    torn[200:30_000] = bytes(len(torn[200:30_000]))
    (folder / "torn.svs").write_bytes(torn)
    return folder


def test_a_worker_is_killed_and_a_slide_is_torn(client: Any, folder: Path, model_folder: Path, tmp_path: Path) -> None:
    options = SlideOptions("segmitos", model_folder, device="cpu", whole=True, side_px=SIDE)
    files = find_fields([folder])
    job = scan_slides(files, tmp_path, options, client)
    report = None
    killed = False
    while report is None:
        try:
            step = next(job)
        except StopIteration as stop:
            report = stop.value
            continue
        if step.done >= 2 and not killed:
            killed = True
            os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
    assert killed
    assert [one.slide for one in report.failed] == ["torn.svs"]
    assert "torn.svs" in str(report.failed[0].error)
    pipeline = load_pipeline("segmitos", model_folder)
    for name in ("a.svs", "b.svs"):
        slide = open_field(folder / name)
        plan = plan_scan(slide, pipeline, whole_area(slide), side_px=SIDE)
        store = open_store(tmp_path / "alone" / name, slide, pipeline, plan.margin_px, SIDE)
        alone = run(scan_slide(slide, pipeline, plan, store, device="cpu"))
        rows = pd.read_parquet(tmp_path / name / "candidates.parquet")
        assert len(rows) > 10
        pd.testing.assert_frame_equal(rows, alone.rows, rtol=1e-3)
        counted = next(one.count for one in report.slides if one.slide == name)
        points = json.loads((tmp_path / name / "detections.geojson").read_text(encoding="utf-8"))["features"]
        assert len(points) == counted == len(store.detections())

    # All of it is there: the second run waits for no region, and a new slide costs only its own.
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("?.svs/regions/*")}
    steps: list[Progress] = []
    known = [file for file in files if file.label != "torn.svs"]
    again = run(scan_slides(known, tmp_path, options, client), on_progress=steps.append)
    assert steps == []
    assert {one.slide: one for one in again.slides}.items() <= {one.slide: one for one in report.slides}.items()
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.glob("?.svs/regions/*")}
