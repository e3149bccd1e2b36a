"""The paper's networks against hand-computed sizes, and the published state dicts they take."""

from __future__ import annotations

import pytest
import torch

from napari_mitosis.errors import WeightsError
from napari_mitosis.models.fcn import FCN, Bilinear, continue_from, load_pytorch_fcn, load_torchvision_vgg16

VGG = 14_714_688  # thirteen 3x3 convolutions
FC6 = 512 * 7 * 7 * 4096 + 4096
FC7 = 4096 * 4096 + 4096
SCORE = 4096 * 2 + 2


@pytest.mark.parametrize(
    ("finest", "parameters"),
    [
        (32, VGG + FC6 + FC7 + SCORE),
        (16, VGG + FC6 + FC7 + SCORE + 512 * 2 + 2),
        (8, VGG + FC6 + FC7 + SCORE + 512 * 2 + 2 + 256 * 2 + 2),
    ],
)
def test_parameter_counts(finest, parameters):
    with torch.device("meta"):
        network = FCN(finest)
    assert sum(p.numel() for p in network.parameters()) == parameters
    if finest == 32:
        assert round(parameters / 1e6, 1) == 134.3


@pytest.mark.parametrize("finest", [32, 16, 8])
@pytest.mark.parametrize("size", [(521, 521), (344, 385), (64, 64), (33, 70)])
def test_output_is_as_large_as_the_input(finest, size):
    with torch.device("meta"):
        network = FCN(finest)
        out = network(torch.empty(1, 3, *size))
    assert out.shape == (1, 2, *size)


def test_layer_sizes_of_32s_on_a_500_px_patch():
    # 500 + 2 * 100 - 2 + 2 = 698 -> 349 -> 175 -> 88 -> 44 -> 22; fc6 leaves 16; (16 - 1) * 32 + 64 = 544.
    with torch.device("meta"):
        network = FCN(32)
        x = torch.empty(1, 3, 500, 500)
        sizes = []
        for group in network.groups:
            x = group(x)
            sizes.append(x.shape[-1])
        assert sizes == [349, 175, 88, 44, 22]
        y = network.fc6(x)
        assert y.shape == (1, 4096, 16, 16)
        assert network.up(network.score(network.fc7(y))).shape[-1] == 544


def test_upsampling_is_bilinear_and_frozen():
    up = Bilinear(2, 4)
    assert not list(up.parameters())
    ramp = torch.arange(8.0).expand(1, 2, 8, 8)
    inner = up(ramp)[0, 0, 16, 8:-8]
    torch.testing.assert_close(inner.diff(), torch.full((len(inner) - 1,), 0.25))


@pytest.fixture(scope="module")
def vgg_state():
    """A state dict with torchvision's keys and shapes; its large layers share one zero."""
    plan = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]
    state, number, inputs = {}, 0, 3
    generator = torch.Generator().manual_seed(0)
    for step in plan:
        if step == "M":
            number += 1
            continue
        state[f"features.{number}.weight"] = torch.randn(step, inputs, 3, 3, generator=generator) * 0.02
        state[f"features.{number}.bias"] = torch.randn(step, generator=generator)
        inputs, number = step, number + 2
    for key, shape in {"0": (4096, 25088), "3": (4096, 4096), "6": (1000, 4096)}.items():
        state[f"classifier.{key}.weight"] = torch.zeros(1).expand(shape)
        state[f"classifier.{key}.bias"] = torch.zeros(shape[0])
    return state


@pytest.mark.slow
def test_torchvision_weights_see_the_same_image(vgg_state):
    network = FCN(32)
    load_torchvision_vgg16(network, vgg_state)
    pixels = torch.randint(0, 256, (1, 3, 24, 24)).float()
    mean = torch.tensor([122.67892, 116.66877, 104.00699]).reshape(1, 3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
    theirs = torch.nn.functional.conv2d(
        (pixels - mean) / 255 / deviation, vgg_state["features.0.weight"], vgg_state["features.0.bias"]
    )
    conv = network.groups[0][0]
    ours = torch.nn.functional.conv2d(pixels.flip(1) - network.mean, conv.weight, conv.bias)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(network.groups[4][4].weight.data, vgg_state["features.28.weight"])


def test_torchvision_weights_with_a_missing_or_misshapen_key_are_refused(vgg_state):
    with torch.device("meta"):
        network = FCN(32)
    missing = {k: v for k, v in vgg_state.items() if k != "features.10.weight"}
    with pytest.raises(WeightsError, match=r"features\.10\.weight"):
        load_torchvision_vgg16(network, missing)
    wrong = {**vgg_state, "features.10.weight": torch.zeros(4, 4, 3, 3)}
    with pytest.raises(WeightsError, match="shape"):
        load_torchvision_vgg16(network, wrong)


def _fcn_state(finest: int, classes: int) -> dict[str, torch.Tensor]:
    """Keys and shapes of the common PyTorch port."""
    state, inputs = {}, 3
    for group, (count, outputs) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), start=1):
        for conv in range(1, count + 1):
            state[f"conv{group}_{conv}.weight"] = torch.full((1,), float(group)).expand(outputs, inputs, 3, 3)
            state[f"conv{group}_{conv}.bias"] = torch.full((outputs,), float(conv))
            inputs = outputs
    state["fc6.weight"] = torch.full((1,), 6.0).expand(4096, 512, 7, 7)
    state["fc7.weight"] = torch.full((1,), 7.0).expand(4096, 4096, 1, 1)
    state["fc6.bias"] = state["fc7.bias"] = torch.zeros(4096)
    state["score_fr.weight"] = torch.full((classes, 4096, 1, 1), 0.5)
    state["score_fr.bias"] = torch.zeros(classes)
    if finest <= 16:
        state["score_pool4.weight"] = torch.full((classes, 512, 1, 1), 0.25)
        state["score_pool4.bias"] = torch.zeros(classes)
        state["upscore2.weight"] = torch.zeros(classes, classes, 4, 4)
    if finest <= 8:
        state["score_pool3.weight"] = torch.full((classes, 256, 1, 1), 0.125)
        state["score_pool3.bias"] = torch.zeros(classes)
        state["upscore_pool4.weight"] = torch.zeros(classes, classes, 4, 4)
    state[{32: "upscore.weight", 16: "upscore16.weight", 8: "upscore8.weight"}[finest]] = torch.zeros(
        classes, classes, 2 * finest, 2 * finest
    )
    return state


@pytest.mark.slow
@pytest.mark.parametrize("finest", [32, 8])
def test_fcn_state_dicts_load_with_their_scores_when_the_classes_agree(finest):
    network = FCN(finest)
    load_pytorch_fcn(network, _fcn_state(finest, 2))
    assert float(network.fc6.weight.data[0, 0, 0, 0]) == 6.0
    assert float(network.score.weight.data[1, 5]) == 0.5
    load_pytorch_fcn(network, _fcn_state(finest, 21) | {"score_fr.weight": torch.ones(21, 4096, 1, 1)})
    assert float(network.score.weight.data[1, 5]) == 0.5


def test_fcn_state_dicts_with_unknown_or_missing_keys_are_refused():
    with torch.device("meta"):
        network = FCN(16)
    with pytest.raises(WeightsError, match="unknown"):
        load_pytorch_fcn(network, {**_fcn_state(16, 2), "fc8.weight": torch.zeros(1)})
    state = _fcn_state(16, 2)
    del state["score_pool4.bias"]
    with pytest.raises(WeightsError, match=r"score_pool4\.bias"):
        load_pytorch_fcn(network, state)


@pytest.mark.slow
def test_16s_starts_out_with_the_scores_of_its_32s():
    torch.manual_seed(0)
    coarse = FCN(32).eval()
    torch.nn.init.normal_(coarse.score.weight, std=0.01)
    fine = FCN(16).eval()
    continue_from(fine, coarse)
    x = torch.rand(1, 3, 96, 96) * 255
    with torch.inference_mode():
        a, b = coarse(x), fine(x)
    # Two bilinear steps of 2 and 16 are not quite one of 32, but pool4's new scores add nothing yet.
    assert float((a - b).abs().mean()) < 0.1 * float(a.std()) + 1e-6
    with pytest.raises(ValueError, match="32s"):
        continue_from(fine, FCN(8))
