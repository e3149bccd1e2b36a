"""Reference figures: what is cut, and which are nearest."""

from __future__ import annotations

import numpy as np
import pytest
import torch.nn.functional as F

from napari_mitosis import jobs
from napari_mitosis.datasets.phantom import phantom
from napari_mitosis.errors import UnknownResolution, WeightsError
from napari_mitosis.inference.references import (
    References,
    look_at,
    nearest,
    reference_figures,
    together,
)
from napari_mitosis.models.mssn import CompactMSSN
from napari_mitosis.models.registry import Detector
from napari_mitosis.models.segmitos import CompactSegMitos
from napari_mitosis.tables import annotations_frame
from napari_mitosis.training.mssn import SYSTEM
from napari_mitosis.training.segmitos import SYSTEM as SEGMITOS


class ByPixels(CompactMSSN):
    """Embeds a window as its own coarse pixels: an untrained network tells hardly one figure from another."""

    def embed(self, windows):
        return F.normalize(F.adaptive_avg_pool2d(windows.float(), 6).flatten(1) - 128, dim=1)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(SYSTEM.card(version="0.0.1", seed=0), ByPixels().eval())


@pytest.fixture(scope="module")
def sample():
    return phantom((256, 256), 3, n_mitoses=3, n_mimics=2)


def planted(embeddings, kinds) -> References:
    n = len(kinds)
    thumbnails = np.arange(n, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), dtype=np.uint8)
    return References(thumbnails, tuple(kinds), np.asarray(embeddings, dtype=np.float32))


def test_the_nearest_are_the_nearest():
    references = planted([[0, 0], [3, 4], [1, 0], [0, 2]], ["mitosis", "mimic", "mimic", "mitosis"])
    indices, distances = nearest(references, np.zeros(2, dtype=np.float32), 3)
    assert indices.tolist() == [0, 2, 3]
    np.testing.assert_allclose(distances, [0, 1, 2])
    everything, _ = nearest(references, np.zeros(2, dtype=np.float32), 9)
    assert everything.tolist() == [0, 2, 3, 1]
    assert len(nearest(references, np.zeros(2, dtype=np.float32), 0)[0]) == 0
    with pytest.raises(ValueError, match="negative"):
        nearest(references, np.zeros(2, dtype=np.float32), -1)


def test_equally_near_figures_keep_their_order():
    references = planted([[1, 0], [0, 1], [0, 0]], ["mimic"] * 3)
    assert nearest(references, np.zeros(2, dtype=np.float32), 3)[0].tolist() == [2, 0, 1]


def test_one_kind_and_several_fields():
    references = planted([[0, 0], [1, 1], [2, 2]], ["mitosis", "mimic", "mitosis"])
    mitoses = references.of_kind("mitosis")
    assert len(mitoses) == 2
    np.testing.assert_array_equal(mitoses.embeddings[:, 0], [0, 2])
    np.testing.assert_array_equal(mitoses.thumbnails[:, 0, 0, 0], [0, 2])
    both = together([references, mitoses])
    assert both.kinds == ("mitosis", "mimic", "mitosis", "mitosis", "mitosis")
    assert both.thumbnails.shape == (5, 4, 4, 3)
    with pytest.raises(ValueError, match="no references"):
        together([])


def test_an_annotated_field_becomes_references_that_find_themselves(detector, sample):
    frame = sample.annotations.copy()
    frame.loc[4, "label"] = "unsure"
    references = jobs.run(reference_figures(sample.field, frame, detector, device="cpu"))
    assert references.kinds == ("mitosis",) * 3 + ("mimic",)
    side = detector.network.examine_px
    assert references.thumbnails.shape == (4, side, side, 3)
    assert references.thumbnails.dtype == np.uint8
    # The figure stands in the middle of its thumbnail, and is darker than what is about it.
    middle = references.thumbnails[0, side // 2 - 6 : side // 2 + 6, side // 2 - 6 : side // 2 + 6].mean()
    assert middle < references.thumbnails[0].mean() - 20
    points = frame[["y_px", "x_px"]].to_numpy()
    thumbnails, embeddings = jobs.run(look_at(sample.field, points[2:3], detector, device="cpu"))
    indices, distances = nearest(references, embeddings[0], 1)
    assert indices.tolist() == [2]
    assert distances[0] < 1e-5
    np.testing.assert_array_equal(thumbnails[0], references.thumbnails[2])


def test_pixels_are_those_of_the_field(detector, sample):
    thumbnails, _ = jobs.run(look_at(sample.field, np.array([[128.2, 120.9]]), detector, device="cpu"))
    half = detector.network.examine_px // 2
    expected = sample.field.numpy()[128 - half : 128 + half, 121 - half : 121 + half]
    np.testing.assert_array_equal(thumbnails[0], expected)


def test_a_field_without_figures_gives_none(detector, sample):
    references = jobs.run(reference_figures(sample.field, annotations_frame([], []), detector, device="cpu"))
    assert len(references) == 0
    assert references.embeddings.shape == (0, 108)


def test_what_cannot_be_compared_is_told(detector, sample):
    with pytest.raises(UnknownResolution, match="um/px"):
        jobs.run(reference_figures(sample.field.with_mpp(None), sample.annotations, detector))
    other = Detector(SEGMITOS.card(version="0.0.1", seed=0), CompactSegMitos().eval())
    with pytest.raises(WeightsError, match="does not compare"):
        jobs.run(reference_figures(sample.field, sample.annotations, other))
