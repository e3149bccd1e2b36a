"""The phantom: repeatable, annotated exactly, and tissue-like in the ways that can be counted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_mitosis.datasets.phantom import PHANTOM_MPP, phantom
from napari_mitosis.datasets.phantom_cells import PHASES


@pytest.fixture(scope="module")
def sample():
    return phantom((512, 576), 3, n_mitoses=8, n_mimics=6)


def test_the_seed_decides_everything(sample):
    again = phantom((512, 576), 3, n_mitoses=8, n_mimics=6)
    np.testing.assert_array_equal(again.field.numpy(), sample.field.numpy())
    np.testing.assert_array_equal(again.mask, sample.mask)
    other = phantom((512, 576), 4, n_mitoses=8, n_mimics=6)
    assert (other.field.numpy() != sample.field.numpy()).mean() > 0.5


def test_mask_and_annotations_agree(sample):
    centroids = sample.centroids_yx()
    assert len(centroids) == 8
    assert len(sample.centroids_yx("mimic")) == 6
    assert sample.mask.max() == 8
    for index, (y, x) in enumerate(centroids, start=1):
        np.testing.assert_allclose(np.argwhere(sample.mask == index).mean(axis=0), (y, x), atol=0.01)
    assert sample.field.mpp == PHANTOM_MPP


def test_a_telophase_is_two_plates_and_one_mitosis():
    sample = phantom((512, 512), 0, n_mitoses=8, n_mimics=0)
    telophases = [i + 1 for i in range(8) if PHASES[i % 4] == "telophase"]
    for index in telophases:
        figure = sample.mask == index
        parts, count = ndimage.label(figure)
        sizes = np.bincount(parts.ravel())[1:]
        large = np.flatnonzero(sizes > 0.2 * sizes.max()) + 1
        assert count >= 2
        assert len(large) == 2
        a, b = ndimage.center_of_mass(figure, parts, large)
        assert 20 <= np.hypot(a[0] - b[0], a[1] - b[1]) <= 40
        y, x = sample.centroids_yx()[index - 1]
        assert not figure[round(y), round(x)]


def test_mitoses_are_as_large_and_dark_as_real_ones(sample):
    grey = sample.field.numpy().mean(axis=2)
    tissue = np.median(grey)
    for index in range(1, 9):
        inside = sample.mask == index
        assert 80 < inside.sum() < 1000  # real ones: 590 px on the mean
        assert grey[inside].mean() < 0.72 * tissue  # a prophase is the palest


def test_figures_keep_their_distance(sample):
    points = sample.annotations[["y_px", "x_px"]].to_numpy()
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    assert distance[~np.eye(len(points), dtype=bool)].min() > 40


def test_colours_are_those_of_haematoxylin_and_eosin(sample):
    pixels = sample.field.numpy().reshape(-1, 3).astype(float)
    red, green, blue = pixels.mean(axis=0)
    assert red > blue > green  # pink and violet
    assert 120 < green < 200
    assert (pixels.mean(axis=1) > 225).mean() < 0.3  # some gaps, not mostly glass


def test_a_field_without_figures():
    sample = phantom((160, 128), 1, n_mitoses=0, n_mimics=0)
    assert not sample.mask.any()
    assert len(sample.annotations) == 0


def test_impossible_fields_are_refused():
    with pytest.raises(ValueError, match="at least 128"):
        phantom((64, 200))
    with pytest.raises(ValueError, match="no room"):
        phantom((128, 128), n_mitoses=30)
