"""Pictures stay in register with the field, at any size."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd

from napari_mitosis.batches.overlay import RING_RGB, draw_overlay, draw_score_map, magma, reduced_pixels
from napari_mitosis.fields.field import Field
from napari_mitosis.tables import empty_detections


def detection(y: float, x: float) -> pd.DataFrame:
    row = {"y_px": y, "x_px": x, "y_um": y / 4, "x_um": x / 4, "score": 0.87, "area_um2": 30.0}
    return pd.DataFrame([row])


def test_magma_is_the_magma_of_the_viewer() -> None:
    values = np.linspace(0, 1, 101)
    viewer = matplotlib.colormaps["magma"](values)[:, :3] * 255
    assert np.abs(magma(values) - viewer).max() < 5
    assert (magma(np.array([np.nan, -3.0, 7.0])) == magma(np.array([0.0, 0.0, 1.0]))).all()


def test_field_without_detections_is_unchanged() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (70, 90, 3), dtype=np.uint8)
    assert (draw_overlay(Field.from_array(pixels, mpp=0.25), empty_detections()) == pixels).all()


def test_ring_is_centred_also_at_the_border() -> None:
    field = Field.from_array(np.full((200, 300, 3), 255, np.uint8), mpp=0.25)
    for y, x in ((100.0, 150.0), (0.0, 0.0), (199.0, 299.0), (-0.5, 150.0)):
        picture = draw_overlay(field, detection(y, x)).astype(int)
        green = np.abs(picture - RING_RGB).sum(axis=2) < 30
        ys, xs = np.nonzero(green)
        distance = np.hypot(ys - y, xs - x)
        on_ring = np.abs(distance - 32) < 2.5
        assert on_ring.sum() > 40, (y, x)


def test_large_field_is_reduced_in_register() -> None:
    pixels = np.full((1030, 405, 3), 255, np.uint8)
    pixels[600:660, 200:260] = 0
    field = Field.from_array(pixels, mpp=0.25)
    small = reduced_pixels(field, 3)
    assert small.shape == (344, 135, 3)
    centre = np.argwhere(small[..., 0] < 128).mean(axis=0)
    assert np.abs(centre - ((629.5 + 0.5) / 3 - 0.5, (229.5 + 0.5) / 3 - 0.5)).max() < 0.5
    picture = draw_overlay(field, detection(629.5, 229.5), max_side_px=400)
    assert picture.shape == (344, 135, 3)


def test_score_map_stands_over_the_field() -> None:
    scores = np.zeros((26, 51), np.float16)
    scores[10, 30] = 1.0
    picture = draw_score_map(scores, 4.0, (101, 203)).astype(int).sum(axis=2)
    assert picture.shape == (101, 203)
    ys, xs = np.nonzero(picture > 350)
    assert abs(ys.mean() - (10.5 * 4 - 0.5)) < 0.6
    assert abs(xs.mean() - (30.5 * 4 - 0.5)) < 0.6
