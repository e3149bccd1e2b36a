"""Boxes: coding, overlap, suppression, and which of them are taught as what."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_mitosis.models.box_targets import (
    BOX_STDS,
    BoxOptions,
    Truth,
    anchor_targets,
    fixed_boxes,
    make_truth,
    roi_targets,
)
from napari_mitosis.models.boxes import anchor_grid, area, clip, decode, encode, iou, nms


def random_boxes(n: int, seed: int, field: float = 100.0, decimals: int = 3) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    centre, size = rng.uniform(0, field, (n, 2)), rng.uniform(4, 40, (n, 2))
    return torch.from_numpy(np.concatenate([centre - size / 2, centre + size / 2], axis=1).round(decimals)).float()


def plain_iou(a, b) -> float:
    height = min(a[2], b[2]) - max(a[0], b[0])
    width = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(height, 0.0) * max(width, 0.0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def greedy(boxes: torch.Tensor, scores: torch.Tensor, limit: float) -> list[int]:
    """Suppression as it is told: take the best, drop what overlaps it, repeat."""
    overlap = iou(boxes, boxes)
    waiting = sorted(range(len(boxes)), key=lambda i: -float(scores[i]))
    kept = []
    while waiting:
        best = waiting.pop(0)
        kept.append(best)
        waiting = [i for i in waiting if not overlap[best, i] > limit]
    return kept


def test_iou_is_that_of_each_pair():
    a, b = random_boxes(7, 0), random_boxes(5, 1)
    expected = [[plain_iou(p, q) for q in b.tolist()] for p in a.tolist()]
    np.testing.assert_allclose(iou(a, b), expected, atol=1e-6)
    assert iou(a, a).diagonal().numpy() == pytest.approx(1.0)
    assert iou(a, torch.zeros((0, 4))).shape == (7, 0)
    assert area(torch.tensor([[0.0, 0.0, 2.0, 3.0], [5.0, 5.0, 1.0, 9.0]])).tolist() == [6.0, 0.0]


def test_decode_is_the_inverse_of_encode():
    boxes, references = random_boxes(50, 2), random_boxes(50, 3)
    np.testing.assert_allclose(decode(encode(boxes, references), references), boxes, atol=1e-3)
    moved = decode(torch.tensor([[0.5, 0.0, 0.0, np.log(2.0)]]), torch.tensor([[0.0, 0.0, 10.0, 20.0]]))
    np.testing.assert_allclose(moved, [[5.0, -10.0, 15.0, 30.0]], atol=1e-5)


def test_an_absurd_offset_gives_a_finite_box():
    assert torch.isfinite(decode(torch.full((1, 4), 1e4), torch.tensor([[0.0, 0.0, 16.0, 16.0]]))).all()


def test_clip_ends_at_the_outer_edges_of_the_outer_pixels():
    clipped = clip(torch.tensor([[-3.0, -0.2, 12.0, 30.0]]), (10, 20))
    np.testing.assert_allclose(clipped, [[-0.5, -0.2, 9.5, 19.5]])


def test_anchors_stand_about_the_centres_of_the_cells():
    anchors = anchor_grid((2, 3), 16, (64.0, 128.0), (1.0, 0.5, 2.0), torch.device("cpu")).reshape(2, 3, 2, 3, 4)
    centres = (anchors[..., :2] + anchors[..., 2:]) / 2
    np.testing.assert_allclose(centres[1, 2, 0, 0], [23.5, 39.5])
    np.testing.assert_allclose(centres.reshape(6, 6, 2)[:, :1].expand(6, 6, 2), centres.reshape(6, 6, 2), atol=1e-4)
    size = anchors[0, 0, ..., 2:] - anchors[0, 0, ..., :2]
    np.testing.assert_allclose(size.prod(dim=-1), [[4096.0] * 3, [16384.0] * 3], rtol=1e-5)
    np.testing.assert_allclose(size[0, :, 0] / size[0, :, 1], [1.0, 0.5, 2.0], rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(0, 60),
    seed=st.integers(0, 10**6),
    limit=st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]),
    levels=st.sampled_from([3, 1000]),
)
def test_suppression_is_the_greedy_loop(n, seed, limit, levels):
    boxes = random_boxes(n, seed, field=60.0, decimals=0)
    scores = torch.from_numpy(np.random.default_rng(seed).integers(0, levels, n) / levels).float()
    assert nms(boxes, scores, limit).tolist() == greedy(boxes, scores, limit)


def test_suppression_over_several_blocks_is_the_greedy_loop():
    boxes, scores = random_boxes(1100, 5, field=150.0), torch.rand(1100, generator=torch.Generator().manual_seed(0))
    expected = greedy(boxes, scores, 0.3)
    assert nms(boxes, scores, 0.3).tolist() == expected
    assert nms(boxes, scores, 0.3, 40).tolist() == expected[:40]


def test_a_chain_of_overlaps_is_settled_one_by_one():
    """Each box covers the next by more than the limit: every second one stays, however long the chain."""
    top = torch.arange(300.0) * 4
    boxes = torch.stack([top, torch.zeros(300), top + 10, torch.full((300,), 10.0)], dim=1)
    kept = nms(boxes, torch.arange(300.0, 0, -1), 0.3)
    assert kept.tolist() == list(range(0, 300, 2))


def truth_of(boxes, shape=(192, 192), ignore=None) -> Truth:
    return make_truth(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), shape, ignore)


def test_fixed_boxes_are_centred_squares_of_30_px():
    (boxes,) = fixed_boxes([np.array([[50.0, 20.5]])])
    np.testing.assert_allclose(boxes, [[35.0, 5.5, 65.0, 35.5]])
    assert fixed_boxes([np.zeros((0, 2))])[0].shape == (0, 4)


def test_a_mitosis_cut_to_less_than_sixty_percent_is_unsure():
    truth = truth_of([[-10.5, 20.0, 19.5, 50.0], [-18.5, 100.0, 11.5, 130.0], [-60.0, 0.0, -30.0, 30.0]])
    np.testing.assert_allclose(truth.boxes, [[-0.5, 20.0, 19.5, 50.0]])
    np.testing.assert_allclose(truth.unsure, [[-18.5, 100.0, 11.5, 130.0]])
    about = torch.tensor([[-5.0, 105.0, 15.0, 125.0], [60.0, 60.0, 90.0, 90.0]])
    assert truth.unknown(about).tolist() == [True, False]


def test_what_is_ignored_is_looked_up_in_the_image_before_it_is_enlarged():
    ignore = torch.zeros((50, 50), dtype=torch.bool)
    ignore[10, 30] = True
    boxes = torch.tensor([[16.0, 56.0, 25.0, 65.0], [16.0, 58.0, 25.0, 67.0], [-40.0, -40.0, 0.0, 0.0]])
    assert truth_of([], (100, 100), ignore).unknown(boxes).tolist() == [True, False, False]


def test_anchors_are_labelled_by_overlap():
    anchors = anchor_grid((24, 24), 8, (22.0, 32.0, 48.0), (1.0, 0.5, 2.0), torch.device("cpu"))
    truth = truth_of([[80.0, 84.0, 110.0, 114.0]])
    targets = anchor_targets(anchors, truth, np.random.default_rng(0), 64)
    overlap = iou(anchors[targets.places], truth.boxes)[:, 0]
    assert len(targets.labels) == 64
    assert int(targets.labels.sum()) == len(targets.offsets) > 0
    everything = iou(anchors, truth.boxes)[:, 0]
    assert int(targets.labels.sum()) == int(((everything >= 0.7) | (everything == everything.max())).sum())
    assert (overlap[targets.labels == 0] < 0.3).all()
    positive = anchors[targets.places[: len(targets.offsets)]]
    np.testing.assert_allclose(decode(targets.offsets, positive), truth.boxes.expand(len(positive), 4), atol=1e-3)
    assert (anchors[targets.places] >= -0.5).all()
    assert (anchors[targets.places] <= 191.5).all()


def test_a_mitosis_that_no_anchor_fits_still_gets_its_best():
    anchors = anchor_grid((24, 24), 8, (48.0,), (1.0,), torch.device("cpu"))
    targets = anchor_targets(anchors, truth_of([[90.0, 90.0, 102.0, 102.0]]), np.random.default_rng(0), 64)
    assert 0 < int(targets.labels.sum()) <= 32
    overlap = iou(anchors[targets.places], torch.tensor([[90.0, 90.0, 102.0, 102.0]]))[:, 0]
    assert 0 < float(overlap[targets.labels == 1].max()) < 0.3


def test_no_more_than_half_the_anchors_are_positive():
    anchors = torch.tensor([[80.0, 80.0, 110.0, 110.0]]).repeat(100, 1)
    targets = anchor_targets(anchors, truth_of([[80.0, 80.0, 110.0, 110.0]]), np.random.default_rng(0), 32)
    assert targets.labels.tolist() == [1] * 16


def test_regions_are_a_quarter_foreground_and_background_may_touch_nothing():
    rng = np.random.default_rng(0)
    near = torch.tensor([80.0, 80.0, 110.0, 110.0]) + torch.from_numpy(rng.uniform(-4, 4, (60, 4))).float()
    half = torch.tensor([[92.0, 80.0, 122.0, 110.0]])
    regions = torch.cat([near, half, random_boxes(60, 4, field=60.0)])
    truth = truth_of([[80.0, 80.0, 110.0, 110.0]])
    targets = roi_targets(regions, truth, rng, 32)
    overlap = iou(regions[targets.places], truth.boxes)[:, 0]
    assert int(targets.labels.sum()) == 8
    assert len(targets.labels) == 32
    assert (overlap[:8] >= 0.5).all()
    assert (overlap[8:] < 0.5).all()
    assert (overlap[8:] == 0).any()
    back = decode(targets.offsets * torch.tensor(BOX_STDS), regions[targets.places[:8]])
    np.testing.assert_allclose(back, truth.boxes.expand(8, 4), atol=1e-3)


def test_unknown_ground_is_no_background():
    anchors = anchor_grid((24, 24), 8, (32.0,), (1.0,), torch.device("cpu"))
    ignore = torch.ones((192, 192), dtype=torch.bool)
    assert len(anchor_targets(anchors, truth_of([], ignore=ignore), np.random.default_rng(0), 64).labels) == 0
    assert len(roi_targets(anchors, truth_of([], ignore=ignore), np.random.default_rng(0), 64).labels) == 0
    ignore[:, 96:] = False
    targets = anchor_targets(anchors, truth_of([], ignore=ignore), np.random.default_rng(0), 64)
    assert ((anchors[targets.places, 1] + anchors[targets.places, 3]) / 2 > 95.5).all()


def test_the_numbers_are_the_papers():
    o = BoxOptions()
    assert (o.sizes_px, o.per_cell, o.anchors, o.rois) == ((64.0, 128.0, 256.0), 9, 256, 128)
    assert (o.train_proposals, o.proposals, o.proposal_iou, o.min_px, o.final_iou) == (2000, 300, 0.7, 16.0, 0.3)
    assert BOX_STDS == (0.1, 0.1, 0.2, 0.2)
