"""Training from the command line, from crops to a published version, on a data set of drawn fields."""

from __future__ import annotations

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from napari_mitosis.cli.train import app
from napari_mitosis.datasets.phantom import phantom
from napari_mitosis.models.fcn import FCN
from napari_mitosis.models.registry import load_detector
from napari_mitosis.models.weights import read_state

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two slides of two fields, one field of another set, and a few crops, laid out like the real ones."""
    root = tmp_path_factory.mktemp("data")
    for folder in ("icpr2012/images", "icpr2012/masks", "icpr2014/images", "ami_br/normal", "tupac_crops/mimic"):
        (root / folder).mkdir(parents=True)
    rows = ["image,index,x,y,area_px"]
    for seed, name in enumerate(("A00_01", "A00_02", "A03_01", "A03_02")):
        sample = phantom((256, 288), seed, n_mitoses=3, n_mimics=1, name=name)
        iio.imwrite(root / "icpr2012" / "images" / f"{name}.jpg", sample.field.numpy(), quality=95)
        iio.imwrite(root / "icpr2012" / "masks" / f"{name}.png", sample.mask.astype(np.uint8))
        for i, (y, x) in enumerate(sample.centroids_yx(), start=1):
            rows.append(f"{name},{i},{x:.1f},{y:.1f},{int((sample.mask == i).sum())}")
            if seed == 0:
                crop = np.pad(sample.field.numpy(), ((64, 64), (64, 64), (0, 0)), "reflect")
                crop = crop[int(y) : int(y) + 128, int(x) : int(x) + 128]
                iio.imwrite(root / "ami_br" / "normal" / f"{i}.jpg", crop, quality=95)
                iio.imwrite(root / "tupac_crops" / "mimic" / f"01_01_{i:02}.jpg", crop[:80, :80], quality=95)
    (root / "icpr2012" / "mitoses.csv").write_text("\n".join(rows) + "\n")
    other = phantom((256, 288), 9, n_mitoses=2, n_mimics=0, name="A03_00Aa")
    iio.imwrite(root / "icpr2014" / "images" / "A03_00Aa.png", other.field.numpy())
    points = [f"A03_00Aa,{x:.0f},{y:.0f},mitosis,1.0" for y, x in other.centroids_yx()]
    (root / "icpr2014" / "points.csv").write_text("\n".join(["image,x,y,label,confidence", *points]) + "\n")
    return root


def call(*arguments) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_from_crops_to_a_published_version(data, tmp_path):
    run = tmp_path / "run"
    call("base", "--data", data, "--out", run, "--steps", 1)
    base = run / "base.safetensors"
    for protocol in ("S", "N"):
        call("crossval", "--data", data, "--out", run, "--base", base, "--protocol", protocol, "--steps", 1, "--resave")
    trained = sorted(p.parent.name for p in run.glob("*/model.safetensors"))
    assert trained == ["N-A00", "N-A03", "S-0", "S-1", "S-2"]  # no slide has four fields to fill S-3
    before = {p: p.stat().st_mtime_ns for p in run.glob("*/model.safetensors")}
    output = call("report", "--data", data, "--out", run)
    assert "protocol S" in output
    assert "mean F over new slides" in output
    assert before == {p: p.stat().st_mtime_ns for p in run.glob("*/model.safetensors")}  # nothing trained twice
    final = tmp_path / "final"
    report = run / "report.json"
    call(
        "segmitos",
        "--data",
        data,
        "--out",
        final,
        "--init",
        base,
        "--steps",
        1,
        "--report",
        report,
        "--version",
        "1.2.3",
    )
    detector = load_detector("segmitos@1.2.3", final / "published")
    assert "icpr2012: 4 fields, 12 mitoses" in detector.card.trained_on
    assert len(detector.card.measures) >= 8
    assert next((final / "published").glob("*.safetensors")).stat().st_size < 8 * 2**20


def test_the_papers_stages_follow_each_other(data, tmp_path, monkeypatch):
    monkeypatch.setattr(FCN, "width", 64)  # a hundredth of the weights; their counts are tested in test_fcn
    torch.manual_seed(0)
    call("segmitos", "--data", data, "--out", tmp_path, "--config", "paper/16s", "--steps", 1, "--crop-px", 64)
    coarse, fine = (read_state(tmp_path / f"fcn-{s}s.safetensors") for s in (32, 16))
    assert "score_pool4.weight" in fine
    assert "score_pool4.weight" not in coarse
    # At a learning rate of 1e-13 one step leaves the copied layers where the 32s had them.
    torch.testing.assert_close(fine["fc7.weight"], coarse["fc7.weight"])
