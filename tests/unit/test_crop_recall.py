"""Recall on crops: a crop counts as found where something is detected at its centre, and nowhere else."""

from __future__ import annotations

import imageio.v3 as iio
import numpy as np
import pytest
from typer.testing import CliRunner

from napari_mitosis.batches.crop_recall import RECALL_COLUMNS, crop_recall
from napari_mitosis.cli.app import app
from napari_mitosis.datasets.crops import read_crops
from napari_mitosis.datasets.phantom import phantom
from napari_mitosis.inference.pipeline import load_pipeline
from napari_mitosis.jobs import run


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """Crops about mitoses of a drawn field, and one of plain tissue that claims to show one."""
    root = tmp_path_factory.mktemp("crops")
    for folder in ("normal", "atypical"):
        (root / folder).mkdir()
    sample = phantom((512, 512), 1, n_mitoses=4, n_mimics=0, name="a")
    pixels = np.pad(sample.field.numpy(), ((64, 64), (64, 64), (0, 0)), "reflect")
    for i, (y, x) in enumerate(sample.centroids_yx().astype(int)):
        iio.imwrite(root / "normal" / f"{i}.png", pixels[y : y + 128, x : x + 128])
    iio.imwrite(root / "atypical" / "pale.png", np.full((128, 128, 3), 235, dtype=np.uint8))
    return root


def test_central_figures_are_found_and_blank_crops_are_not(crops):
    table = run(crop_recall(read_crops(crops), load_pipeline("segmitos"), device="cpu"))
    assert list(table.columns) == list(RECALL_COLUMNS)
    by_group = table.set_index("group")
    assert by_group.loc["atypical", ["crops", "found"]].tolist() == [1, 0]
    assert by_group.loc["normal", "found"] >= 3
    assert by_group.loc["all", "crops"] == 5
    assert (table["low"] <= table["recall"]).all()
    assert (table["recall"] <= table["high"]).all()


def test_the_command_writes_a_row_for_each_group_and_model(crops, tmp_path):
    out = tmp_path / "recall.csv"
    result = CliRunner().invoke(app, ["recall", str(crops), "--model", "segmitos", "--every", "2", "--out", str(out)])
    assert result.exit_code == 0, result.output
    lines = out.read_text().splitlines()
    assert lines[0] == "model," + ",".join(RECALL_COLUMNS)
    assert lines[-1].startswith("segmitos@1.0.0,all,3,")
    result = CliRunner().invoke(app, ["recall", str(crops), "--model", "mssn", "--verify"])
    assert result.exit_code == 1
    assert "names no verifier" in result.output + result.stderr
