"""The concentric loss: value by hand, and a gradient of exactly zero in the ring."""

from __future__ import annotations

import numpy as np
import torch

from napari_mitosis.datasets.labels import concentric_labels
from napari_mitosis.models.losses import concentric_loss


def _case():
    torch.manual_seed(0)
    labels = torch.from_numpy(concentric_labels((32, 32), [(15, 15)], 4, 9).astype(np.int64))[None]
    logits = torch.randn(1, 2, 32, 32, dtype=torch.float64, requires_grad=True)
    return logits, labels


def test_gradient_is_exactly_zero_in_the_ring_and_nowhere_else():
    for reduction in ("sum", "normalised"):
        logits, labels = _case()
        concentric_loss(logits, labels, reduction).backward()
        ring = (labels == 255)[0]
        assert ring.any()
        assert (logits.grad[0, :, ring] == 0).all()
        assert (logits.grad[0, :, ~ring] != 0).all()


def test_sum_is_the_papers_equation():
    logits, labels = _case()
    p = torch.softmax(logits.float(), 1)[0]
    disc, background = labels[0] == 1, labels[0] == 0
    by_hand = -(p[1][disc].log().sum() + p[0][background].log().sum())
    torch.testing.assert_close(concentric_loss(logits, labels, "sum"), by_hand)


def test_normalised_divides_by_the_disc():
    logits, labels = _case()
    ratio = concentric_loss(logits, labels, "sum") / concentric_loss(logits, labels, "normalised")
    assert round(float(ratio), 3) == int((labels == 1).sum())


def test_a_crop_without_mitosis_has_a_finite_loss():
    logits = torch.zeros(2, 2, 8, 8)
    value = concentric_loss(logits, torch.zeros(2, 8, 8, dtype=torch.int64), "normalised")
    torch.testing.assert_close(value, torch.tensor(64 * float(np.log(2))))
