"""MSSN's second stage: loss, similarity, vote, references."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_mitosis.models.mssn import CompactMSSN, PaperMSSN
from napari_mitosis.models.mssn_siamese import (
    EMBEDDING,
    KINDS,
    REFERENCES,
    SIDE_PX,
    VOTE_PX,
    contrastive_loss,
    similarity,
    voting_windows,
    windows_about,
)
from napari_mitosis.models.weights import load_weights, publish
from napari_mitosis.training.mssn import SYSTEM


def test_the_contrastive_loss_by_hand():
    points = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 0.5]])
    # Same kind: (0, 1), 5 apart. Different: (0, 2), 0.5 apart; (1, 2), sqrt(9 + 12.25) apart.
    kinds = torch.tensor([0, 0, 1])
    expected = 5.0 + ((1 - 0.5) + 0.0) / 2
    assert contrastive_loss(points, kinds).item() == pytest.approx(expected, rel=1e-5)
    far = 9.0 - np.sqrt(9 + 12.25)
    assert contrastive_loss(points, kinds, 9.0).item() == pytest.approx(5.0 + (8.5 + far) / 2, rel=1e-5)


def test_kinds_are_drawn_together_and_pushed_apart_up_to_the_margin():
    points = torch.tensor([[0.0], [0.4], [3.0]], requires_grad=True)
    contrastive_loss(points, torch.tensor([0, 1, 2])).backward()
    assert points.grad[0] > 0  # away from the second
    assert points.grad[1] < 0
    assert points.grad[2] == 0  # farther than the margin from both
    same = torch.tensor([[0.0], [0.4]], requires_grad=True)
    contrastive_loss(same, torch.tensor([1, 1])).backward()
    assert same.grad[0] < 0 < same.grad[1]


def test_a_figure_is_at_no_distance_from_itself():
    points = torch.ones(2, 4, requires_grad=True)
    loss = contrastive_loss(points, torch.tensor([0, 0]))
    assert loss.item() < 1e-5
    loss.backward()
    assert torch.isfinite(points.grad).all()
    assert contrastive_loss(torch.ones(1, 4), torch.tensor([0])).item() == 0


def test_similarity_goes_to_the_kind_that_is_near():
    references = torch.zeros(3, 2, 2)
    references[0], references[1], references[2] = (
        torch.tensor([1.0, 0]),
        torch.tensor([-1.0, 0]),
        torch.tensor([0, 1.0]),
    )
    values = similarity(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), references)
    assert values[0] > 0.99
    assert values[1] < 0.01
    assert values[2] < 0.01
    # As far from all three kinds: mitoses have a third, so it is none.
    assert values[3].item() == pytest.approx(1 / 3, abs=1e-5)


def test_similarity_by_hand():
    references = torch.tensor([[[0.2], [0.4]], [[1.0], [1.0]], [[2.0], [2.0]]])
    alike = [np.exp(-d / 0.2) for d in (0.2, 0.4, 1.0, 1.0, 2.0, 2.0)]
    expected = sum(alike[:2]) / sum(alike)
    assert similarity(torch.zeros(1, 1), references).item() == pytest.approx(expected, rel=1e-4)


def test_the_windows_that_vote_are_shifted_by_two_pixels_at_most():
    assert max(np.hypot(y, x) for y, x in VOTE_PX) == 2
    crops = torch.arange(76 * 76, dtype=torch.float32).reshape(1, 1, 76, 76).expand(1, 3, 76, 76)
    windows = voting_windows(crops)
    assert windows.shape == (1, len(VOTE_PX), 3, SIDE_PX, SIDE_PX)
    assert windows[0, 0, 0, 0, 0] == 2 * 76 + 2
    # The second is two pixels higher and turned by a quarter: its corner at the lower left was the upper left.
    assert windows[0, 1, 0, -1, 0] == 0 * 76 + 2
    assert torch.equal(windows[0, 1, 0].rot90(-1), crops[0, 0, 0:72, 2:74])
    assert torch.equal(windows[0, 4, 0].flip(1), crops[0, 0, 2:74, 4:76])


class ByBrightness(CompactMSSN):
    """Embeds a window as the brightness of its corner pixels, so that shifts and turns can be told."""

    def embed(self, windows):
        corners = windows[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
        return torch.nn.functional.pad(corners.amax(dim=1, keepdim=True) / 255, (0, EMBEDDING - 1))


def test_the_vote_is_the_mean_over_the_shifted_windows():
    network = ByBrightness()
    network.references.zero_()
    network.references[0, :, 0] = 1.0  # mitoses are bright
    network.references[2, :, 0] = 0.0
    network.references[1, :, 1] = 5.0  # mimics are far from both
    crop = torch.zeros(2, 3, 76, 76)
    crop[1, :, 2, 0] = 255.0  # the upper left corner only of the window two pixels further left
    votes = network.examine(crop)
    sure, unlike = (similarity(torch.eye(EMBEDDING)[:1] * v, network.references).item() for v in (1.0, 0.0))
    assert votes.shape == (2, 1)
    assert votes[0].item() == pytest.approx(unlike, abs=1e-5)
    assert votes[1].item() == pytest.approx((sure + 4 * unlike) / 5, abs=1e-5)
    assert network.examine(crop[:0]).shape == (0, 1)


@pytest.mark.parametrize("build", [CompactMSSN, PaperMSSN])
def test_embeddings_have_length_one_and_do_not_depend_on_the_batch(build):
    torch.manual_seed(0)
    network = build().eval()
    windows = torch.rand(3, 3, SIDE_PX, SIDE_PX) * 255
    with torch.no_grad():
        together = network.embed(windows)
        alone = network.embed(windows[1:2])
    assert together.shape == (3, EMBEDDING)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(alone[0], together[1], atol=1e-5, rtol=1e-4)


def test_references_survive_saving(tmp_path):
    network = CompactMSSN()
    assert network.references.shape == (len(KINDS), REFERENCES, EMBEDDING)
    network.references.copy_(torch.randn(network.references.shape))
    publish(network, SYSTEM.card(version="0.0.1", seed=0), tmp_path)
    again = CompactMSSN()
    load_weights(again, next(tmp_path.glob("*.safetensors")))
    torch.testing.assert_close(again.references, network.references, atol=2e-3, rtol=1e-3)


def test_windows_about_points_have_them_in_the_middle():
    pixels = torch.arange(100 * 90, dtype=torch.float32).reshape(1, 1, 100, 90).expand(2, 3, 100, 90)
    cut = windows_about(pixels, [(0, 49.5, 45.5), (1, 0.0, 0.0)])
    assert cut.shape == (2, 3, SIDE_PX, SIDE_PX)
    # Between pixels 49 and 50, 45 and 46: 36 pixels on either side.
    assert cut[0, 0, 0, 0] == (50 - 36) * 90 + (46 - 36)
    assert cut[0, 0, -1, -1] == (49 + 36) * 90 + (45 + 36)
    assert cut[1, 0, 40, 40] > 0
    assert windows_about(pixels, []).shape == (0, 3, SIDE_PX, SIDE_PX)
