"""ResNet-50 is the published one, and takes its published weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from napari_mitosis.errors import WeightsError
from napari_mitosis.models.deepver import PaperDeepVer
from napari_mitosis.models.resnet import ResNet50, load_torchvision_resnet50
from napari_mitosis.training.deepver import SYSTEM


def count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def by_hand(classes: int) -> int:
    """Convolutions without bias, two numbers a channel for each normalisation, one linear layer."""
    total = 3 * 64 * 49 + 2 * 64
    inputs = 64
    for blocks, width in zip((3, 4, 6, 3), (64, 128, 256, 512), strict=True):
        for k in range(blocks):
            total += inputs * width + 2 * width + width * width * 9 + 2 * width + width * 4 * width + 2 * 4 * width
            if k == 0:
                total += inputs * 4 * width + 2 * 4 * width
            inputs = 4 * width
    return total + inputs * classes + classes


def test_parameters_and_shapes_are_those_of_the_paper():
    with torch.device("meta"):
        assert count(ResNet50(1000)) == by_hand(1000) == 25_557_032
        network = ResNet50(2)
        assert count(network) == by_hand(2) == 23_512_130
        assert network.features(torch.zeros(2, 3, 96, 96)).shape == (2, 2048, 3, 3)
        assert network(torch.zeros(2, 3, 96, 96)).shape == (2, 2)


def test_imagenet_weights_are_taken_and_their_classifier_left():
    torch.manual_seed(0)
    published = ResNet50(1000).state_dict()
    assert len([key for key in published if not key.endswith("num_batches_tracked")]) == 267
    network = ResNet50(2)
    fresh = network.fc.weight.clone()
    load_torchvision_resnet50(network, published)
    assert torch.equal(network.state_dict()["layer4.2.conv3.weight"], published["layer4.2.conv3.weight"])
    assert torch.equal(network.fc.weight, fresh)
    without = {k: v for k, v in published.items() if not k.startswith("fc.")}
    load_torchvision_resnet50(network, without)
    with pytest.raises(WeightsError, match="unknown keys: other"):
        load_torchvision_resnet50(network, {**published, "other": torch.zeros(1)})
    with pytest.raises(WeightsError, match=r"no conv1\.weight"):
        load_torchvision_resnet50(network, {k: v for k, v in published.items() if k != "conv1.weight"})


def test_the_verifier_of_the_paper_begins_with_a_file_of_published_weights(tmp_path: Path):
    published = {k: v.half() for k, v in ResNet50(2).state_dict().items() if not k.startswith("fc.")}
    save_file(published, tmp_path / "resnet50.safetensors")
    network = PaperDeepVer()
    fresh = network.resnet.fc.weight.clone()
    SYSTEM.begin(network, tmp_path / "resnet50.safetensors")
    name = "layer3.0.conv2.weight"
    assert torch.equal(network.resnet.state_dict()[name].half(), published[name])
    assert torch.equal(network.resnet.fc.weight, fresh)
    save_file({name: published[name]}, tmp_path / "half.safetensors")
    with pytest.raises(WeightsError, match="missing"):
        SYSTEM.begin(network, tmp_path / "half.safetensors")
