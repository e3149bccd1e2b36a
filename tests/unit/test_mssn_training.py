"""MSSN's training: the figures of the three kinds, folds that go on, trunks that change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from napari_mitosis.datasets.crops import Crop
from napari_mitosis.datasets.phantom import phantom
from napari_mitosis.decision.evidence import CANDIDATE_COLUMNS, Evidence
from napari_mitosis.errors import WeightsError
from napari_mitosis.models.mssn import CompactMSSN
from napari_mitosis.models.segmitos import CompactSegMitos
from napari_mitosis.tables import annotations_frame
from napari_mitosis.training.ablations.mssn import narrowed
from napari_mitosis.training.mssn import MSSNRecipe, _start
from napari_mitosis.training.mssn_figures import (
    WINDOW_PX,
    CropFigures,
    FieldFigures,
    dark_place,
    draw_figures,
)
from napari_mitosis.training.windows import FieldSource


@pytest.fixture(scope="module")
def sample():
    return phantom((256, 256), 3, n_mitoses=3, n_mimics=2)


@pytest.fixture(scope="module")
def fields(sample):
    return FieldSource([sample], 304)


def crop(path, side, points, group="mitosis", value=200):
    pixels = np.full((side, side, 3), value, dtype=np.uint8)
    for y, x, _ in points:
        pixels[int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4] = 40
    Image.fromarray(pixels).save(path)
    frame = annotations_frame([p[0] for p in points], [p[1] for p in points], [p[2] for p in points])
    return Crop(path, frame, "", group, (side, side))


def middle(window):
    half = WINDOW_PX // 2
    return window.pixels[half - 4 : half + 4, half - 4 : half + 4]


def test_figures_of_a_field_stand_in_the_middle(fields, sample):
    figures = FieldFigures(fields, [(0, 100.0, 60.0)])
    rng = np.random.default_rng(0)
    for kind in ("mitosis", "mimic", "other"):
        window = figures.draw(kind, rng)
        assert window.pixels.shape == (WINDOW_PX, WINDOW_PX, 3)
    darkness = [middle(figures.draw("mitosis", rng)).mean() for _ in range(8)]
    assert np.mean(darkness) < sample.field.numpy().mean() - 20
    empty = FieldFigures(FieldSource([replace_annotations(sample)], 304), [])
    assert empty.draw("mitosis", rng) is None
    assert empty.draw("mimic", rng) is None


def replace_annotations(sample):
    return type(sample)(sample.field, annotations_frame([], []), case="x")


def test_figures_of_crops_by_kind(tmp_path):
    crops = [
        crop(tmp_path / "a.png", 128, [(64, 64, "mitosis"), (50, 80, "mimic"), (10, 64, "mimic")]),
        crop(tmp_path / "b.png", 80, [(40, 40, "mimic")], "mimic", 220),
    ]
    figures = CropFigures(crops)
    rng = np.random.default_rng(0)
    assert (middle(figures.draw("mitosis", rng))[1:-1, 1:-1] == 40).mean() > 0.9
    # The mimic near the edge of its crop is cut, and is not drawn.
    assert {tuple(window.pixels[0, 0]) for window in (figures.draw("mimic", rng) for _ in range(30))} <= {
        (200,) * 3,
        (220,) * 3,
        (40,) * 3,
    }
    other = figures.draw("other", rng)
    assert (middle(other) == 200).all()
    only_small = CropFigures(crops[1:])
    assert only_small.draw("other", rng) is None
    assert only_small.draw("mitosis", rng) is None


def test_a_source_without_a_kind_leaves_it_to_the_others(tmp_path, fields):
    mimics = CropFigures([crop(tmp_path / "b.png", 80, [(40, 40, "mimic")], "mimic")])
    windows, kinds = draw_figures([(mimics, 1.0), (FieldFigures(fields, []), 1.0)], (3, 4, 2), np.random.default_rng(1))
    assert kinds.tolist() == [0] * 3 + [1] * 4 + [2] * 2
    assert len(windows) == 9
    assert draw_figures([(mimics, 1.0)], (3, 1, 2), np.random.default_rng(1))[1].tolist() == [1]


def test_dark_places_are_dark_and_away_from_known_figures():
    pixels = np.full((128, 128, 3), 220, dtype=np.uint8)
    pixels[60:70, 60:70] = 30
    pixels[90:100, 60:70] = 60
    rng = np.random.default_rng(0)
    found = np.array([dark_place(pixels, np.array([[64.5, 64.5]]), rng, 20) for _ in range(40)])
    assert (np.linalg.norm(found - 64.5, axis=1) > 30).all()
    assert (found >= 20).all()
    assert (found < 108).all()
    assert (np.abs(found - (94.5, 64.5)).max(axis=1) < 3).any()
    assert dark_place(pixels[:40, :40], np.array([[20.0, 20.0]]), rng, 18) is None


def test_a_fold_may_start_with_the_trunk_of_its_segmitos(tmp_path):
    base, segmitos = tmp_path / "base.safetensors", tmp_path / "S-0.safetensors"
    own, other = CompactMSSN(), CompactSegMitos()
    save_file(own.state_dict(), base)
    save_file(other.state_dict(), segmitos)
    mixed = _start(segmitos, tmp_path)
    torch.testing.assert_close(mixed.trunk.stem[0].weight, other.trunk.stem[0].weight)
    torch.testing.assert_close(mixed.embedding.last.weight, own.embedding.last.weight)
    whole = _start(base, tmp_path / "elsewhere")
    torch.testing.assert_close(whole.trunk.stem[0].weight, own.trunk.stem[0].weight)
    with pytest.raises(WeightsError, match="cannot be read"):
        _start(segmitos, tmp_path / "elsewhere")


def test_steps_and_seed_reach_every_stage():
    recipe = MSSNRecipe().short(7, 3)
    for options in (recipe.base, recipe.fields, recipe.base_pairs, recipe.fields_pairs):
        assert (options.steps, options.seed) == (7, 3)
    assert MSSNRecipe().short(0, 3).base == replace(MSSNRecipe().base, seed=3)


def test_the_ablation_takes_what_one_sub_model_named():
    columns = [*CANDIDATE_COLUMNS, "stage1", "similarity", "s72", "s96", "cross", "s120", "fired"]
    rows = [
        [10, 10, 30, 30, 0.4, 0.9, 0.8, 0.05, 0.6, 0.02, 1 + 4],
        [50, 50, 30, 30, 0.3, 0.2, 0.05, 0.7, 0.05, 0.02, 2],
    ]
    evidence = Evidence(
        {}, 8, (100, 100), 0.25, "mssn@0", "", pd.DataFrame(rows, columns=columns), ("stage1", "similarity")
    )
    alone = narrowed(evidence, "cross", False)
    assert alone.scores == ("cross",)
    assert alone.candidates["cross"].tolist() == [0.6]
    second = narrowed(evidence, "s96", True)
    assert second.scores == ("s96", "similarity")
    assert second.candidates[["y_px", "similarity"]].to_numpy().tolist() == [[50, 0.2]]
    assert len(narrowed(evidence, "joined", True).candidates) == 2
