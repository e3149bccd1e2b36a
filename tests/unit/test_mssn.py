"""MSSN's first stage: windows, dense evaluation, joining."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_mitosis.models.mssn import (
    CompactMSSN,
    MSSNDetector,
    PaperMSSN,
    join_maps,
    window_labels,
    windows_loss,
)
from napari_mitosis.models.mssn_stage1 import REACH_PX, SUB_MODELS, WINDOWS_PX
from napari_mitosis.models.trunks import EfficientNetLite0, fold_batch_norms


def parameters(module) -> int:
    return sum(p.numel() for p in module.parameters())


def lively(network, seed=0):
    """Weights and running statistics as after training, so that scores vary."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) * 0.1)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
    for name, p in network.named_parameters():
        if "out." in name and p.ndim > 1:
            p.data.copy_(torch.randn(p.shape, generator=generator) * 0.1)
    return network.eval()


@pytest.fixture(scope="module")
def paper():
    torch.manual_seed(0)
    return lively(PaperMSSN())


@pytest.fixture(scope="module")
def compact():
    torch.manual_seed(0)
    return lively(CompactMSSN())


@pytest.fixture(scope="module")
def pixels():
    return torch.rand(1, 3, 64, 80, generator=torch.Generator().manual_seed(1)) * 255


def test_windows_are_those_of_the_paper():
    assert WINDOWS_PX == {
        "s72": ((72, 72),),
        "s96": ((96, 96),),
        "cross": ((60, 120), (120, 60)),
        "s120": ((120, 120),),
    }


def test_the_paper_configuration_has_as_many_weights_as_by_hand(paper):
    # Two convolutions of 32 maps, two of 64, one of 128, each with a scale and a shift.
    groups = (27 * 32 + 64) + (288 * 32 + 64) + (288 * 64 + 128) + (576 * 64 + 128) + (576 * 128 + 256)
    # 72 -> 34 -> 15 -> 6; 96 -> 46 -> 21 -> 9; 60 -> 28 -> 12 -> 5; 120 -> 58 -> 27 -> 12; dilated: a 4 x 4 kernel.
    rest = {"s72": 6 * 6, "s96": 9 * 9, "cross": 2 * 5 * 12, "s120": 4 * 4}
    for name, cells in rest.items():
        bars = len(WINDOWS_PX[name])
        own = bars * groups + cells * 128 * 256 + bars * 512
        assert parameters(paper.stage1.bars[name]) == own
        assert parameters(paper.stage1.out[name]) == bars * 256 + 1
    assert parameters(paper.stage1) == 8_992_868
    # Nine convolutions and a fully connected layer.
    assert parameters(paper.embedding) == 1_329_152
    convolutions = [m for m in paper.embedding.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 9


def test_the_compact_configuration_has_as_many_weights_as_by_hand(compact):
    first = 24 * 144 + 288 + 25 * 144 + 288 + 144 * 40 + 80
    second = 40 * 240 + 480 + 25 * 240 + 480 + 240 * 40 + 80
    third = 40 * 240 + 480 + 9 * 240 + 480 + 240 * 80 + 160
    assert parameters(compact.stage1.bars["s72"]) == first + second + 40 * 128 + 256
    assert parameters(compact.stage1.bars["s96"]) == first + second + third + 80 * 128 + 256
    assert parameters(compact.stage1) == 376_964
    halves = sum(t.numel() for t in compact.state_dict().values()) * 2
    assert parameters(compact.embedding) == (80 + 2 * 112 + 192) * 128 + 128 + 256 + 128 * 32 + 32
    assert halves < 8e6


def test_dense_values_are_those_of_the_windows_cut_there_in_the_paper_configuration(paper, pixels):
    with torch.no_grad():
        dense = paper(pixels)
        assert dense.shape == (1, 4, 8, 10)
        assert dense.std() > 1e-3
        for k, name in enumerate(SUB_MODELS):
            for i, j in [(0, 0), (3, 9), (7, 4)]:
                windows = tuple(window(pixels, i, j, *side) for side in WINDOWS_PX[name])
                assert abs(paper.stage1.sub_model(name, windows).item() - dense[0, k, i, j].item()) < 1e-4


def window(pixels, i, j, height, width):
    """Height x width pixels centred on cell (i, j) of 8 x 8 pixels, the border repeated."""
    padded = F.pad(pixels, (60, 60, 60, 60), mode="replicate")
    top = round(8 * i + 3.5 - (height - 1) / 2) + 60
    left = round(8 * j + 3.5 - (width - 1) / 2) + 60
    return padded[:, :, top : top + height, left : left + width]


@pytest.mark.parametrize("folded", [False, True])
def test_dense_values_are_those_of_the_windows_cut_there_in_the_compact_configuration(compact, pixels, folded):
    network = lively(CompactMSSN())
    network.load_state_dict(compact.state_dict())
    network.eval()
    with torch.no_grad():
        dense = compact(pixels)
        if folded:
            fold_batch_norms(network)
        for i, j in [(0, 0), (3, 9), (7, 4)]:
            alone = network.stage1(network.stem(window(pixels, i, j, 120, 120)))
            assert alone.shape == (1, 4, 1, 1)
            assert (alone[0, :, 0, 0] - dense[0, :, i, j]).abs().max() < 1e-4


@pytest.mark.parametrize("name", SUB_MODELS)
def test_a_sub_model_sees_its_windows_and_nothing_else(compact, paper, name):
    """What lies outside the windows changes nothing, what lies in them does."""
    generator = torch.Generator().manual_seed(3)
    pixels = torch.rand(1, 3, 120, 120, generator=generator) * 255
    k = SUB_MODELS.index(name)

    def value(network, x):
        with torch.no_grad():
            return network(x)[0, k, 7, 7].item()

    # Cell (7, 7) covers pixels 56 to 63, the middle of the 120.
    mask = torch.zeros(120, 120, dtype=torch.bool)
    for height, width in WINDOWS_PX[name]:
        y, x = (120 - height) // 2, (120 - width) // 2
        mask[y : y + height, x : x + width] = True
    other = torch.where(mask, pixels, 255 - pixels)
    inner = torch.where(mask, 255 - pixels, pixels)
    for network in (compact, paper):
        assert value(network, other) == pytest.approx(value(network, pixels), abs=1e-5)
        assert value(network, inner) != pytest.approx(value(network, pixels), abs=1e-5)


def test_unpadded_layers_agree_with_the_trunk_away_from_the_border(compact):
    """The stem is the trunk's own, only without the padding."""
    pixels = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(2)) * 255
    trunk = compact.trunk
    with torch.no_grad():
        x = trunk.stem((pixels - 127.0) / 128.0)
        for stage in trunk.stages[:2]:
            x = stage(x)
        # Padding shifts a padded cell by one of stride 2 and one of stride 4: 2 + 4 pixels, of which 2 are no
        # multiple of the stride. Moved by two pixels, both see the same.
        moved = F.pad(pixels, (0, 2, 0, 2))[:, :, 2:, 2:]
        valid = compact.stem(pixels)
        y = trunk.stem((moved - 127.0) / 128.0)
        for stage in trunk.stages[:2]:
            y = stage(y)
    assert valid.shape == (1, 24, 28, 28)
    np.testing.assert_allclose(valid[0, :, 4:20, 4:20], y[0, :, 5:21, 5:21], atol=1e-4)


def test_branches_start_with_the_trunks_next_layers():
    trunk = EfficientNetLite0()
    network = CompactMSSN()
    network.start_from(trunk.state_dict())
    stage = trunk.stages[2]
    for bars in network.stage1.bars.values():
        for bar in bars:
            torch.testing.assert_close(bar.blocks[0].depthwise[0].weight, stage[0].depthwise[0].weight)
    torch.testing.assert_close(network.stage1.bars["s96"][0].blocks[1].project[0].weight, stage[1].project[0].weight)


def test_the_trunk_is_left_as_it_is():
    network = CompactMSSN().train()
    before = {k: v.clone() for k, v in network.trunk.state_dict().items()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    loss = MSSNDetector.loss(network, torch.rand(2, 3, 64, 64) * 255, [np.array([[32.0, 32.0]])] * 2, rng())
    loss.backward()
    optimizer.step()
    for key, value in network.trunk.state_dict().items():
        torch.testing.assert_close(value, before[key])
    moved = network.stage1.bars["cross"][1].blocks[2].project[0].weight
    assert moved.grad is not None
    assert moved.grad.abs().sum() > 0


def rng():
    return np.random.default_rng(0)


def maps(**places):
    """Score maps of 20 x 30 cells with single cells set."""
    out = {name: np.zeros((20, 30), dtype=np.float32) for name in SUB_MODELS}
    for name, cells in places.items():
        for y, x, value in cells:
            out[name][y, x] = value
    return out


def test_one_sub_model_suffices():
    joined = join_maps(maps(cross=[(5, 7, 0.8)]))
    assert len(joined) == 1
    row = joined.iloc[0]
    assert (row["y"], row["x"]) == (5, 7)
    assert row["fired"] == 4
    assert row["cross"] == pytest.approx(0.8)
    assert row["stage1"] < 1e-4  # the other three say no


def test_maxima_of_several_sub_models_nearby_are_one_candidate():
    joined = join_maps(maps(s72=[(5, 7, 0.9)], s120=[(5, 8, 0.5)], s96=[(15, 7, 0.4)]))
    assert len(joined) == 2
    assert joined["fired"].tolist() == [1 + 8, 2]
    best = joined.iloc[0]
    assert best["s120"] == pytest.approx(0.5)
    # Weighted by the mean scores of the cells about it.
    assert best["x"] == pytest.approx((7 * 0.9 + 8 * 0.5) / 1.4)


def test_the_score_of_stage_1_is_the_mean_of_log_odds_as_often_as_in_tissue():
    scores = {"s72": 0.99, "s96": 0.995, "cross": 0.98, "s120": 0.999}
    joined = join_maps(maps(**{name: [(5, 7, value)] for name, value in scores.items()}))
    odds = np.mean([np.log(v / (1 - v)) for v in scores.values()]) - 4.0
    assert joined["stage1"].item() == pytest.approx(1 / (1 + np.exp(-odds)), abs=1e-4)
    sure = join_maps(maps(**{name: [(5, 7, 1.0)] for name in SUB_MODELS}))
    assert 0.98 < sure["stage1"].item() < 1


def test_nothing_fires_below_the_threshold():
    joined = join_maps(maps(s72=[(5, 7, 0.3)]))
    assert len(joined) == 0
    assert joined.columns.tolist() == ["y", "x", "stage1", "s72", "s96", "cross", "s120", "fired"]


def test_candidates_at_a_corner_and_of_a_plateau_are_whole():
    corner = maps(s72=[(0, 0, 0.7), (19, 29, 0.6)])
    assert join_maps(corner)[["y", "x"]].to_numpy().tolist() == [[0, 0], [19, 29]]
    flat = maps(s72=[(4, 4, 0.7), (4, 5, 0.7)])
    assert len(join_maps(flat)) == 1
    assert len(join_maps({name: np.zeros((0, 0), dtype=np.float32) for name in SUB_MODELS})) == 0


def test_labels_are_ten_px_ring_and_background():
    labels = window_labels([np.array([[35.5, 35.5]])], (80, 80))[0]
    assert labels[4, 4] == 1  # its centre is the centroid
    assert labels[4, 5] == 1  # 8 px
    assert labels[5, 5] == 255  # 11.3 px
    assert labels[4, 6] == 255  # 16 px
    assert labels[4, 7] == 0  # 24 px
    ignore = torch.zeros(1, 80, 80, dtype=torch.bool)
    ignore[0, 0, 0] = ignore[0, 36, 36] = True
    labels = window_labels([np.array([[35.5, 35.5]])], (80, 80), ignore)[0]
    assert labels[0, 0] == 255
    assert labels[4, 4] == 1


def test_the_loss_of_windows_by_hand():
    logits = torch.zeros(1, 4, 1, 3, requires_grad=True)
    labels = torch.tensor([[[1, 0, 255]]])
    loss = windows_loss(logits, labels)
    # Two known windows of log 2 in each sub-model, one mitotic.
    assert loss.item() == pytest.approx(2 * np.log(2), rel=1e-6)
    loss.backward()
    assert (logits.grad[..., 2] == 0).all()
    assert (logits.grad[..., 0] < 0).all()
    assert (logits.grad[..., 1] > 0).all()


def test_reach_is_that_of_the_largest_window():
    assert REACH_PX == (120 - 8) // 2


def test_unknown_configurations_are_refused():
    with pytest.raises(ValueError, match="compact, paper"):
        MSSNDetector.build("large")
