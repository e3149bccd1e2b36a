"""Fixtures of several unit tests: fields whose answer is known, and detectors that need no training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

MPP = 0.25


def draw_discs(shape: tuple[int, int], centres_yx: list[tuple[int, int]], radius: int = 12) -> NDArray[np.uint8]:
    """Pink with one dark disc for each centre."""
    pixels = np.full((*shape, 3), (230, 190, 220), dtype=np.uint8)
    ys, xs = np.mgrid[: shape[0], : shape[1]]
    for y, x in centres_yx:
        pixels[np.hypot(ys - y, xs - x) <= radius] = (50, 20, 90)
    return pixels


@pytest.fixture
def write_field(tmp_path: Path) -> Callable[..., Path]:
    """Write a PNG of dark discs that states its um/px, and return its path."""

    def write(name: str, centres_yx: list[tuple[int, int]], shape: tuple[int, int] = (256, 320)) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        dots_per_inch = 25_400 / MPP
        Image.fromarray(draw_discs(shape, centres_yx)).save(path, dpi=(dots_per_inch, dots_per_inch))
        return path

    return write


@pytest.fixture
def darkness_detector():  # type: ignore[no-untyped-def]
    """A detector whose score is high where the field is dark: it finds the discs, and nothing else."""
    import torch
    from torch import nn

    from napari_mitosis.decision.decide import Rule
    from napari_mitosis.models.card import ModelCard
    from napari_mitosis.models.registry import Detector

    class Darkness(nn.Module):
        stride = 4
        multiple = 32
        map_names = ("score",)

        def scores(self, pixels: torch.Tensor) -> torch.Tensor:
            mean = nn.functional.avg_pool2d(pixels.mean(1, keepdim=True), self.stride)
            return torch.sigmoid((120.0 - mean) / 8.0)

    card = ModelCard(
        detector="darkness",
        config="compact",
        version="0.0.1",
        title="dark is a mitosis",
        mpp=MPP,
        tile_px=256,
        halo_px=32,
        parameters=0,
        rule=asdict(Rule(threshold=0.5, max_area_um2=1000.0)),
        rule_chosen_on="nothing",
        trained_on="nothing",
        terms="none",
    )
    return Detector(card, Darkness())


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one published compact SegMitos whose weights are drawn, not trained."""
    import torch

    from napari_mitosis.decision.decide import Rule
    from napari_mitosis.models.card import ModelCard
    from napari_mitosis.models.registry import detector_class
    from napari_mitosis.models.weights import publish

    torch.manual_seed(0)
    network = detector_class("segmitos").build("compact")
    with torch.no_grad():  # scores of all heights, so that there is something to detect
        network.score.weight.mul_(300_000.0)
        network.score.bias.zero_()
    card = ModelCard(
        detector="segmitos",
        config="compact",
        version="0.0.1",
        title="drawn weights",
        mpp=MPP,
        tile_px=512,
        halo_px=64,
        parameters=sum(p.numel() for p in network.parameters()),
        rule=asdict(Rule(threshold=0.05, min_area_um2=1.0, min_score=0.05)),
        rule_chosen_on="nothing",
        trained_on="nothing",
        terms="none",
    )
    folder = tmp_path_factory.mktemp("models")
    publish(network, card, folder)
    return folder
