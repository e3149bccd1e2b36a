"""RoI max pooling against a loop over regions and bins."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mitosis.models.roi_pool import roi_max_pool


def naive(features: torch.Tensor, boxes: torch.Tensor, images: torch.Tensor, scale: float, size: int) -> torch.Tensor:
    """Fast R-CNN's pooling, region by region and bin by bin."""
    _, channels, height, width = features.shape
    out = []
    for (y0, x0, y1, x1), image in zip(boxes.double().tolist(), images.tolist(), strict=True):
        spans = []
        for first, last, cells in ((y0, y1, height), (x0, x1, width)):
            start = math.floor((first + 0.5) * scale + 0.5)
            n = max(math.floor((last - 0.5) * scale + 0.5) - start + 1, 1)
            ends = [(start + p * n // size, start + -(-(p + 1) * n // size)) for p in range(size)]
            spans.append([(min(max(a, 0), cells), min(max(b, 0), cells)) for a, b in ends])
        bins = []
        for a, b in spans[0]:
            for c, d in spans[1]:
                part = features[image, :, a:b, c:d]
                bins.append(part.amax(dim=(1, 2)) if part.numel() else part.new_zeros(channels))
        out.append(torch.stack(bins, dim=1).reshape(channels, size, size))
    return torch.stack(out)


def example(seed: int, n: int, scale: float, cells=(13, 17), images: int = 2):
    rng = np.random.default_rng(seed)
    features = torch.from_numpy(rng.permutation(images * 3 * cells[0] * cells[1]).astype(np.float64)).reshape(
        images, 3, *cells
    )
    centre = rng.uniform(-0.2, 1.2, (n, 2)) * cells / scale
    size = rng.uniform(0.2, 0.8, (n, 2)) ** 2 * cells / scale
    boxes = torch.from_numpy(np.concatenate([centre - size / 2, centre + size / 2], axis=1))
    return features, boxes, torch.from_numpy(rng.integers(0, images, n))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 12), scale=st.sampled_from([1 / 16, 1 / 4, 1.0]))
def test_pooling_is_the_naive_loop(seed, n, scale):
    features, boxes, images = example(seed, n, scale)
    torch.testing.assert_close(
        roi_max_pool(features, boxes, images, scale), naive(features, boxes, images, scale, 6), rtol=0, atol=0
    )


@pytest.mark.parametrize("scale", [1 / 16, 1 / 4])
def test_the_gradient_is_the_naive_loops(scale):
    features, boxes, images = example(7, 20, scale)
    weight = torch.from_numpy(np.random.default_rng(1).normal(size=(20, 3, 6, 6)))
    gradients = []
    for pool in (roi_max_pool, naive):
        leaf = features.clone().requires_grad_()
        (pool(leaf, boxes, images, scale, 6) * weight).sum().backward()
        gradients.append(leaf.grad)
    assert float(gradients[0].abs().sum()) > 0
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-9)


def test_large_sets_are_gathered_in_parts(monkeypatch):
    features, boxes, images = example(3, 40, 1 / 4)
    whole = roi_max_pool(features, boxes, images, 1 / 4)
    monkeypatch.setattr("napari_mitosis.models.roi_pool._CHUNK", 1)
    torch.testing.assert_close(roi_max_pool(features, boxes, images, 1 / 4), whole, rtol=0, atol=0)


def test_a_region_of_the_paper_by_hand():
    """Pixels 32 to 127 at 1/16 are the cells 2 to 8: seven cells in six bins of two each, from 2, 3, 4, 5, 6, 7."""
    row = torch.arange(12.0)
    features = (row[:, None] * 100 + row[None]).reshape(1, 1, 12, 12)
    pooled = roi_max_pool(features, torch.tensor([[31.5, 31.5, 127.5, 127.5]]), torch.tensor([0]), 1 / 16)
    expected = torch.arange(3.0, 9.0)
    torch.testing.assert_close(pooled[0, 0], expected[:, None] * 100 + expected[None])


def test_bins_beyond_the_map_are_zero_and_no_region_is_no_result():
    features = torch.ones(1, 2, 4, 4)
    pooled = roi_max_pool(features, torch.tensor([[100.0, 100.0, 130.0, 130.0]]), torch.tensor([0]), 1 / 4)
    assert pooled.abs().sum() == 0
    assert roi_max_pool(features, torch.zeros((0, 4)), torch.zeros(0, dtype=torch.long), 1 / 4).shape == (0, 2, 6, 6)
