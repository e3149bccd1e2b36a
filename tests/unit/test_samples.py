"""The sample fields that ship."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from napari_mitosis.datasets import samples
from napari_mitosis.fields.field import open_field
from napari_mitosis.fields.npe2_reader import field_of

ROOT = Path(__file__).resolve().parents[2]


def test_they_are_small():
    files = [p for p in samples.sample_folder().iterdir() if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 3 * 2**20


@pytest.mark.parametrize("name", list(samples.RECIPES))
def test_each_opens_as_a_layer_in_micrometres(name):
    ((pixels, options, kind),) = getattr(samples, name)()
    assert kind == "image"
    assert options["rgb"]
    assert pixels.shape == (1024, 1024, 3)
    assert options["scale"] == (0.25, 0.25)
    assert options["units"] == ("um", "um")
    assert field_of(options["metadata"]).mpp == pytest.approx(0.25)
    _, n_mitoses, n_mimics = samples.RECIPES[name]
    labels = options["metadata"][samples.ANNOTATIONS_KEY]["label"]
    assert ((labels == "mitosis").sum(), (labels == "mimic").sum()) == (n_mitoses, n_mimics)


@pytest.mark.parametrize("name", list(samples.RECIPES))
def test_a_shipped_field_is_what_its_recipe_draws(name, tmp_path):
    spec = importlib.util.spec_from_file_location("make_samples", ROOT / "benchmarks" / "make_samples.py")
    make_samples = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_samples)
    seed, n_mitoses, n_mimics = samples.RECIPES[name]
    drawn = make_samples.phantom((1024, 1024), seed, n_mitoses=n_mitoses, n_mimics=n_mimics, name=name)
    make_samples.save(drawn, tmp_path)
    shipped = open_field(samples.sample_folder() / f"{name}.tif").numpy().astype(int)
    again = open_field(tmp_path / f"{name}.tif").numpy().astype(int)
    # Another version of a numerical library may round a pixel differently.
    assert np.abs(shipped - again).mean() < 0.2
    table = f"{name}.csv"
    assert (tmp_path / table).read_text() == (samples.sample_folder() / table).read_text()
