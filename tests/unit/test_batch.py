"""Many files in, tables and pictures out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from napari_mitosis.batches.batch import CSV_COLUMNS, detect_fields, find_fields, read_detections
from napari_mitosis.errors import FieldError, MitosisError
from napari_mitosis.inference.pipeline import pipeline_of
from napari_mitosis.jobs import Progress, run
from napari_mitosis.models.registry import Detector

Write = Callable[..., Path]

DISCS = [(60, 70), (180, 250)]


def test_folder_gives_images_by_name_and_not_the_results(tmp_path: Path, write_field: Write) -> None:
    for name in ("fields/b.png", "fields/a.png", "fields/out/a.png.overlay.png", "fields/deep/c.png"):
        write_field(name, [])
    (tmp_path / "fields" / "notes.txt").write_text("no image")
    folder = tmp_path / "fields"
    assert [file.label for file in find_fields([folder])] == ["a.png", "b.png"]
    deep = find_fields([folder], recursive=True, skip=folder / "out")
    assert [file.label for file in deep] == ["a.png", "b.png", "deep/c.png"]


def test_labels_are_distinct_and_no_file_comes_twice(tmp_path: Path, write_field: Write) -> None:
    one, two = write_field("p/1/x.png", []), write_field("p/2/x.png", [])
    files = find_fields([one, two, one, tmp_path / "p" / "2"])
    assert [file.label for file in files] == ["1/x.png", "2/x.png"]
    assert len({file.stem for file in files}) == 2


def test_empty_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(FieldError, match="holds no image"):
        find_fields([tmp_path])


def test_tables_and_pictures(tmp_path: Path, write_field: Write, darkness_detector: Detector) -> None:
    files = find_fields([write_field("a.png", DISCS), write_field("b.png", [])])
    out = tmp_path / "out"
    steps: list[Progress] = []
    report = run(detect_fields(files, pipeline_of(darkness_detector), out), on_progress=steps.append)

    table = pd.read_csv(out / "detections.csv")
    assert tuple(table.columns) == CSV_COLUMNS
    assert set(table["file"]) == {"a.png"}
    assert set(table["model"]) == {"darkness@0.0.1"}
    found = sorted(zip(table["y_px"], table["x_px"], strict=True))
    assert np.allclose(found, DISCS, atol=1.0), found
    assert np.allclose(table["y_um"], table["y_px"] * 0.25)
    assert (table["area_um2"] > 20).all()

    summary = json.loads((out / "summary.json").read_text())
    first, second = summary["fields"]
    area = 256 * 320 * 0.25**2 / 1e6
    assert (first["count"], second["count"]) == (2, 0)
    assert first["area_mm2"] == pytest.approx(area)
    assert first["density_per_mm2"] == pytest.approx(2 / area)
    # 95 % Poisson interval of 2: 0.242 to 7.225; of 0: 0 to 3.689
    assert first["density_low"] * area == pytest.approx(0.2422, abs=1e-3)
    assert first["density_high"] * area == pytest.approx(7.2247, abs=1e-3)
    assert second["density_low"] == 0.0
    assert summary["total"] == {
        "fields": 2, "failed": 0, "count": 2, "area_mm2": pytest.approx(2 * area), "seconds": pytest.approx(sum(
            one.seconds for one in report.fields))
    }  # fmt: skip
    assert summary["model"] == "darkness@0.0.1"

    overlay = np.asarray(Image.open(out / "a.png.overlay.png")).astype(int)
    plain = np.asarray(Image.open(tmp_path / "a.png")).astype(int)
    assert overlay.shape == plain.shape
    changed = np.argwhere(np.abs(overlay - plain).sum(axis=2) > 30)
    distance = np.min([np.hypot(*(changed - centre).T) for centre in DISCS], axis=0)
    assert 20 < distance.min() <= distance.max() < 60  # ring and label, around the figure and not over it
    score_map = np.asarray(Image.open(out / "a.png.score_map.png")).astype(int)
    assert score_map.shape == plain.shape
    assert score_map[60, 70].sum() > 500 > 100 > score_map[120, 150].sum()

    done = [step.done for step in steps]
    assert done == sorted(done)
    assert steps[-1].done == steps[-1].total == 200


def test_one_bad_file_does_not_stop_the_rest(tmp_path: Path, write_field: Write, darkness_detector: Detector) -> None:
    good = write_field("good.png", DISCS)
    empty = tmp_path / "empty.tif"
    empty.touch()
    cut = tmp_path / "cut.png"
    cut.write_bytes(good.read_bytes()[:200])
    unknown = tmp_path / "unknown.png"
    Image.fromarray(np.full((64, 64, 3), 200, np.uint8)).save(unknown)
    out = tmp_path / "out"
    out.mkdir()
    (out / "empty.tif.overlay.png").write_bytes(b"of an earlier run")

    files = find_fields([empty, cut, unknown, tmp_path / "missing.png", good])
    report = run(detect_fields(files, pipeline_of(darkness_detector), out))

    assert [one.file for one in report.failed] == ["empty.tif", "cut.png", "unknown.png", "missing.png"]
    summary = json.loads((out / "summary.json").read_text())
    errors = [one["error"] for one in summary["fields"]]
    assert errors[4] is None
    assert all("Traceback" not in error for error in errors[:4])
    assert "pixel size" in errors[2]
    assert summary["total"]["failed"] == 4
    assert len(pd.read_csv(out / "detections.csv")) == 2
    assert not (out / "empty.tif.overlay.png").exists()


def test_mpp_given_overrides_the_files(tmp_path: Path, write_field: Write, darkness_detector: Detector) -> None:
    files = find_fields([write_field("a.png", DISCS)])
    report = run(detect_fields(files, pipeline_of(darkness_detector), tmp_path / "out", mpp=0.5, pictures=False))
    assert report.fields[0].area_mm2 == pytest.approx(256 * 320 * 0.5**2 / 1e6)
    assert not list((tmp_path / "out").glob("*.png"))


def test_cancelled_run_leaves_what_is_done(tmp_path: Path, write_field: Write, darkness_detector: Detector) -> None:
    files = find_fields([write_field("a.png", DISCS), write_field("b.png", DISCS)])
    out = tmp_path / "out"
    job = detect_fields(files, pipeline_of(darkness_detector), out)
    for step in job:
        if step.message == "a.png done":
            break
    job.close()
    assert [one["file"] for one in json.loads((out / "summary.json").read_text())["fields"]] == ["a.png"]
    assert len(pd.read_csv(out / "detections.csv")) == 2


def test_detections_come_back(tmp_path: Path, write_field: Write, darkness_detector: Detector) -> None:
    out = tmp_path / "out"
    run(detect_fields(find_fields([write_field("a.png", DISCS)]), pipeline_of(darkness_detector), out, pictures=False))
    frames = read_detections(out / "detections.csv")
    assert list(frames) == ["a.png"]
    assert frames["a.png"]["score"].is_monotonic_decreasing
    (out / "detections.csv").write_text("file,y_px\na.png,3\n")
    with pytest.raises(MitosisError, match="'x_px' is missing"):
        read_detections(out / "detections.csv")
