"""Circle and concentric labels against hand-computed discs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_mitosis.datasets.labels import (
    BACKGROUND,
    IGNORED,
    MITOSIS,
    circle_labels,
    concentric_labels,
    labels_from_boxes,
    labels_from_mask,
    random_concentric_labels,
    random_radii,
)


def test_disc_ring_and_background_of_one_centroid():
    labels = concentric_labels((21, 21), [(10, 10)], 3, 6)
    yy, xx = np.mgrid[:21, :21]
    distance = np.hypot(yy - 10, xx - 10)
    assert (labels[distance <= 3] == MITOSIS).all()
    assert (labels[(distance > 3) & (distance <= 6)] == IGNORED).all()
    assert (labels[distance > 6] == BACKGROUND).all()


def test_areas_are_those_of_the_paper():
    labels = concentric_labels((200, 200), [(100, 100)])
    assert abs((labels == MITOSIS).sum() - np.pi * 12**2) < 15
    assert abs((labels != BACKGROUND).sum() - np.pi * 24**2) < 30


@given(
    y=st.floats(-30, 130),
    x=st.floats(-30, 130),
    r=st.floats(0.5, 20),
    a=st.floats(1, 3),
    stride=st.sampled_from([1, 2, 4]),
)
def test_every_cell_is_labelled_by_its_distance(y, x, r, a, stride):
    shape = (100 // stride, 88 // stride)
    labels = concentric_labels(shape, [(y, x)], r, r * a, stride=stride)
    cells = [(np.arange(n) + 0.5) * stride - 0.5 for n in shape]
    distance2 = (cells[0][:, None] - y) ** 2 + (cells[1][None] - x) ** 2
    expected = np.where(distance2 <= r * r, MITOSIS, np.where(distance2 <= (r * a) ** 2, IGNORED, BACKGROUND))
    np.testing.assert_array_equal(labels, expected)


def test_a_disc_wins_over_the_ring_of_its_neighbour():
    labels = concentric_labels((60, 60), [(30, 20), (30, 38)], 8, 20)
    assert labels[30, 20] == labels[30, 38] == MITOSIS
    swapped = concentric_labels((60, 60), [(30, 38), (30, 20)], 8, 20)
    np.testing.assert_array_equal(labels, swapped)


def test_circle_has_no_ring():
    assert set(np.unique(circle_labels((40, 40), [(20, 20)], 12))) == {BACKGROUND, MITOSIS}


def test_random_radii_stay_in_the_papers_ranges_and_fill_them():
    r, big = random_radii(5000, np.random.default_rng(0))
    assert r.min() >= 10
    assert r.max() <= 17
    assert np.ptp(r) > 6.9
    ratio = big / r
    assert ratio.min() >= 1.5
    assert ratio.max() <= 2.5
    assert np.ptp(ratio) > 0.98


def test_random_labels_differ_from_draw_to_draw_and_repeat_with_the_seed():
    def draw(seed):
        return random_concentric_labels((80, 80), [(40, 40)], np.random.default_rng(seed))

    np.testing.assert_array_equal(draw(1), draw(1))
    assert (draw(1) != draw(2)).any()


def test_boxes_give_the_papers_radii():
    labels = labels_from_boxes((200, 200), [(80, 90, 40, 20)])  # centre (100, 100), R = 40, r = 28
    assert labels[100, 127] == MITOSIS
    assert labels[100, 129] == IGNORED
    assert labels[100, 139] == IGNORED
    assert labels[100, 141] == BACKGROUND


def test_masks_are_strong_labels():
    mask = np.zeros((12, 12), dtype=np.uint16)
    mask[0:5, 0:8] = 3
    np.testing.assert_array_equal(labels_from_mask(mask), mask > 0)
    coarse = labels_from_mask(mask, stride=4)
    np.testing.assert_array_equal(
        coarse,
        [[MITOSIS, MITOSIS, BACKGROUND], [IGNORED, IGNORED, BACKGROUND], [BACKGROUND, BACKGROUND, BACKGROUND]],
    )


def test_no_centroids_is_all_background():
    assert not concentric_labels((9, 9), np.empty((0, 2))).any()


@pytest.mark.parametrize(("inner", "outer"), [(0, 5), (-1, 5), (6, 5)])
def test_impossible_radii_are_refused(inner, outer):
    with pytest.raises(ValueError, match="radii"):
        concentric_labels((9, 9), [(4, 4)], inner, outer)
