"""PartMitosis: what is frozen, what is predicted, and that both branches learn from what they may."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_mitosis.datasets.icpr import read_icpr2012
from napari_mitosis.datasets.labels import IGNORED
from napari_mitosis.datasets.phantom import phantom
from napari_mitosis.decision.decide import Rule, decide
from napari_mitosis.decision.evidence import Evidence
from napari_mitosis.errors import WeightsError
from napari_mitosis.inference.cache import save_evidence
from napari_mitosis.jobs import run
from napari_mitosis.models.fcn import FCN, load_pytorch_fcn
from napari_mitosis.models.losses import concentric_loss
from napari_mitosis.models.partmitosis import CompactPartMitosis, PaperPartMitosis, PartMitosis, joint_loss, strong_loss
from napari_mitosis.models.segmitos import CompactSegMitos
from napari_mitosis.models.transfer import FORMS, WeightTransfer
from napari_mitosis.models.weights import read_state
from napari_mitosis.training.ablations.partmitosis import ablation
from napari_mitosis.training.augment import plain, strong_batch
from napari_mitosis.training.checkpoint import save_tensors
from napari_mitosis.training.crossval import folds
from napari_mitosis.training.partmitosis import PartMitosisSystem, PartRecipe
from napari_mitosis.training.strong import StrongSource

PLAIN = plain(64, label="fixed")


def batch(n: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Crops with a dark disc, its concentric and its strong labels at stride 4."""
    torch.manual_seed(0)
    x = torch.rand(n, 3, 64, 64) * 100 + 120
    x[:, :, 24:40, 24:40] -= 100
    concentric = torch.zeros(n, 16, 16, dtype=torch.int64)
    concentric[:, 4:12, 4:12] = IGNORED
    concentric[:, 6:10, 6:10] = 1
    strong = torch.zeros(n, 16, 16, dtype=torch.int64)
    strong[:, 6:10, 6:10] = 1
    return x, concentric, strong


def test_the_strong_loss_never_reaches_the_concentric_branch():
    network = CompactPartMitosis().train()
    x, _, strong = batch()
    strong_loss(network(x)[:, 2:], strong).backward()
    for name, parameter in network.concentric.named_parameters():
        assert parameter.grad is None or not parameter.grad.any(), name
    assert all(p.grad is not None and p.grad.any() for p in network.transfer.parameters())
    assert network.strong.trunk.stem[0].weight.grad.any()
    assert network.strong.refine[0][1][0].weight.grad.any()


def test_weak_labels_leave_the_strong_branch_alone():
    network = CompactPartMitosis().train()
    x, concentric, strong = batch()
    joint_loss(network, x, concentric, torch.full_like(strong, IGNORED)).backward()
    for part in (network.strong, network.transfer):
        assert all(p.grad is None or not p.grad.any() for p in part.parameters())
    assert network.concentric.score.weight.grad.any()


def test_the_joint_loss_is_the_sum_of_both():
    network = CompactPartMitosis().eval()
    x, concentric, strong = batch()
    logits = network(x)
    expected = concentric_loss(logits[:, :2], concentric, "normalised") + strong_loss(logits[:, 2:], strong)
    assert joint_loss(network, x, concentric, strong).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_transferred_weights_depend_on_the_weak_ones_and_fit_the_layer(form):
    torch.manual_seed(0)
    transfer = WeightTransfer(8, form)
    score = torch.nn.Conv2d(8, 2, 1)
    weight, bias = transfer(score)
    assert weight.shape == (2, 8, 1, 1)
    assert bias.shape == (2,)
    layers = int(form[0])
    assert (
        sum(p.numel() for p in transfer.parameters())
        == {
            1: 9 * 9 + 9,
            2: 9 * 8 + 8 + 8 * 9 + 9,
            3: 9 * 8 + 8 + 8 * 8 + 8 + 8 * 9 + 9,
        }[layers]
    )
    with torch.no_grad():
        score.weight.add_(1.0)
    assert not torch.allclose(transfer(score)[0], weight)


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match="4-layer"):
        WeightTransfer(8, "4-layer")


def test_one_layer_by_hand():
    transfer = WeightTransfer(2, "1-layer")
    score = torch.nn.Conv2d(2, 1, 1)
    with torch.no_grad():
        transfer.layers[0].weight.copy_(torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0]]))
        transfer.layers[0].bias.copy_(torch.tensor([0.5, 0.0, 0.0]))
        score.weight.copy_(torch.tensor([1.0, -1.0]).reshape(1, 2, 1, 1))
        score.bias.fill_(2.0)
    weight, bias = transfer(score)
    assert weight.flatten().tolist() == [-0.5, -1.0]
    assert bias.tolist() == [6.0]


def test_the_paper_network_has_the_parameters_of_two_fcns_and_the_transfer():
    with torch.device("meta"):
        network = PaperPartMitosis()
        logits = network(torch.zeros(1, 3, 96, 128))
    convolutions = 14_714_688
    fc6, fc7, score = 512 * 49 * 4096 + 4096, 4096 * 4096 + 4096, 2 * 4096 + 2
    transfer = 4097 * 4096 + 4096 + 4096 * 4097 + 4097
    expected = 2 * (convolutions + fc6 + fc7) + score + transfer
    assert sum(p.numel() for p in network.parameters()) == expected
    assert logits.shape == (1, 4, 96, 128)


def test_the_compact_file_stays_small_and_its_concentric_branch_is_segmitos():
    torch.manual_seed(0)
    segmitos = CompactSegMitos().eval()
    network = CompactPartMitosis().eval()
    network.concentric.load_state_dict(segmitos.state_dict())
    x = torch.rand(1, 3, 64, 64) * 255
    torch.testing.assert_close(network.scores(x)[:, :1], segmitos.scores(x))
    assert sum(v.numel() for v in network.state_dict().values()) * 2 < 8 * 2**20
    network.start_from_segmitos()
    torch.testing.assert_close(network.strong.trunk.stem[0].weight, segmitos.trunk.stem[0].weight)
    with pytest.raises(ValueError, match="compact, paper"):
        PartMitosis.build("tiny")


def test_the_fusion_weight_mixes_the_maps():
    concentric, strong = np.full((20, 20), 0.0, dtype=np.float16), np.full((20, 20), 0.0, dtype=np.float16)
    concentric[8:12, 8:12], strong[8:12, 8:12] = 0.9, 0.5
    evidence = Evidence({"concentric": concentric, "strong": strong}, 4.0, (80, 80), 0.25, "test", "d")
    for w in (0.0, 0.6, 1.0):
        rule = Rule(smoothing_um=0, threshold=0.3, min_area_um2=0, min_score=0)
        rule = replace(rule, weights=(("concentric", w), ("strong", 1 - w)))
        assert decide(evidence, rule)["score"].iloc[0] == pytest.approx(0.9 * w + 0.5 * (1 - w), abs=1e-3)


def test_strong_labels_are_the_masks_pixels():
    sample = phantom((200, 220), 1, n_mitoses=3, n_mimics=0, name="a")
    source = StrongSource([sample], 128)
    rng = np.random.default_rng(0)
    crops, concentric, strong = strong_batch([source.positive(rng) for _ in range(6)], rng, PLAIN, 4)
    assert crops.shape == (6, 3, 64, 64)
    assert concentric.shape == strong.shape == (6, 16, 16)
    assert set(strong.unique().tolist()) == {0, 1, IGNORED}
    # A mitosis by its mask is never background by its centroid, nor the other way round.
    assert not ((strong == 1) & (concentric == 0)).any()
    assert ((strong == 1) & (concentric == 1)).any()
    # Beyond the field nothing is known.
    corner = source.window(0, -40, -40)
    assert (corner.mask[:64, :] == IGNORED).all()
    assert (corner.mask[64:, 64:] != IGNORED).all()


def test_fields_without_masks_have_no_strong_labels():
    sample = phantom((160, 160), 1, n_mitoses=2, n_mimics=0, name="a")
    bare = type(sample)(sample.field, sample.annotations, case="x", dataset="weak")
    rng = np.random.default_rng(0)
    windows = [StrongSource([bare], 128).positive(rng)]
    assert (strong_batch(windows, rng, PLAIN, 4)[2] == IGNORED).all()


def test_end_to_end_trains_both_branches(tmp_path):
    torch.manual_seed(0)
    start = CompactSegMitos()
    save_tensors(tmp_path / "start.safetensors", start.state_dict(), {})
    sample = phantom((256, 256), 0, n_mitoses=3, n_mimics=1, name="a")
    recipe = PartRecipe(strategy="end-to-end")
    recipe = replace(recipe, windows=replace(recipe.windows, fields_batch=2))
    run(PartMitosisSystem(recipe=recipe).fold([sample], [], tmp_path / "start.safetensors", tmp_path, seed=0, steps=1))
    trained = read_state(tmp_path / "model.safetensors")
    for branch in ("concentric", "strong"):
        assert not torch.equal(trained[f"{branch}.trunk.stem.0.weight"], start.state_dict()["trunk.stem.0.weight"])


def test_a_telophase_is_strong_at_its_plates_and_concentric_between_them():
    sample = phantom((400, 400), 0, n_mitoses=4, n_mimics=0, name="a")
    y, x = sample.centroids_yx()[3]  # phases take turns: the fourth is a telophase
    window = StrongSource([sample], 128).window(0, y, x)
    _, concentric, strong = strong_batch([window], np.random.default_rng(0), PLAIN, 4)
    middle = (0, slice(7, 9), slice(7, 9))
    assert (concentric[middle] == 1).all()
    assert not (strong[middle] == 1).any()
    parts, count = ndimage.label(strong[0].numpy() == 1, np.ones((3, 3)))
    assert count >= 2
    # One each side of the centroid.
    places = np.array(ndimage.center_of_mass(parts > 0, parts, range(1, count + 1))) - 7.5
    assert (places @ places[0] < 0).any()


def test_public_weights_of_an_fcn_fit_both_branches_of_the_paper():
    with torch.device("meta"):
        network, state = PaperPartMitosis(), {}
        for key, value in FCN(32).state_dict().items():
            if key.startswith("groups."):
                _, group, layer, leaf = key.split(".")
                state[f"conv{int(group) + 1}_{int(layer) // 2 + 1}.{leaf}"] = value
            elif not key.startswith(("up", "score")):
                state[key] = value
        state["score_fr.weight"], state["score_fr.bias"] = torch.zeros(21, 4096, 1, 1), torch.zeros(21)
    for branch in (network.concentric, network.strong):
        load_pytorch_fcn(branch, state)
        with pytest.raises(WeightsError, match=r"conv5_3\.bias"):
            load_pytorch_fcn(branch, {k: v for k, v in state.items() if k != "conv5_3.bias"})


def test_the_ablation_tells_a_good_map_from_an_empty_one(tmp_path: Path, shared_data: Path):
    samples = read_icpr2012(shared_data / "icpr2012")
    with pytest.raises(WeightsError, match="no scored fold"):
        run(ablation(tmp_path, shared_data))
    for name, held_out in list(folds(samples, "S").items())[:2]:
        sample = next(samples[i] for i in held_out if len(samples[i].centroids_yx()))
        assert sample.mask is not None
        good = (ndimage.zoom(sample.mask > 0, 0.25, order=0, grid_mode=True, mode="nearest") * 0.9).astype(np.float16)
        maps = {"concentric": good, "strong": np.zeros_like(good)}
        evidence = Evidence(maps, 4.0, sample.field.shape, 0.25, "t", sample.field.digest)
        save_evidence(tmp_path / name / "evidence" / f"{sample.field.name}.npz", evidence)
    table = run(ablation(tmp_path, shared_data)).set_index("variant")
    assert len(table) == 12
    assert table.loc["w = 0", "recall"] == 0
    assert table.loc["w = 1", "f"] > 0.8
    assert table.loc["w chosen", "f"] > 0.8
