"""What tissue looks like, and whether a version has seen the like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from napari_mitosis.fields.appearance import appearance, sharpness
from napari_mitosis.fields.field import Field
from napari_mitosis.inference.stain_guard import look_at, unusual_stain
from napari_mitosis.models.registry import find_version
from napari_mitosis.models.seen import seen_from


def tissue(seed: int, colour: tuple[float, float, float] = (200, 140, 185), side: int = 400) -> np.ndarray:
    """Grain of a few pixels about a colour."""
    grain = ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 60, (side, side)), 2)
    return (np.array(colour) + grain[..., None] * (1.0, 1.3, 0.7)).clip(1, 254).astype(np.uint8)


def field(pixels: np.ndarray, mpp: float = 0.25) -> Field:
    return Field.from_array(pixels, mpp, "drawn")


SLIDES = [(200, 140, 185), (190, 130, 180), (205, 150, 195), (195, 145, 175), (210, 140, 190)]


@pytest.fixture(scope="module")
def card():
    looks = [look_at(field(tissue(i, SLIDES[i % 5])), 0.25) for i in range(15)]
    seen = seen_from(np.array(looks), [f"slide {i % 5}" for i in range(15)], most=10)
    assert len(seen.looks) == 10
    return find_version("segmitos@1.0.0")[0].model_copy(update={"seen": seen})


def test_a_stain_between_those_that_were_seen_is_usual(card) -> None:
    assert unusual_stain(field(tissue(99, (198, 142, 184))), card) == ""
    assert look_at(field(tissue(98, side=100)), 0.25).shape == (7,)  # smaller than a tile


def test_another_stain_is_told_and_so_is_a_field_out_of_focus(card) -> None:
    purple = field(tissue(99, (120, 90, 170)))
    assert "Unusual stain" in unusual_stain(purple, card)
    blurred = ndimage.gaussian_filter(tissue(99).astype(float), (4, 4, 0))
    grain = (200, 140, 185) + 3 * (blurred - blurred.mean((0, 1)))  # the contrast of before
    assert "focus" in unusual_stain(field(grain.clip(1, 254).astype(np.uint8)), card)
    assert unusual_stain(purple, card.model_copy(update={"seen": None})) == ""  # nothing is known of its training


def test_a_field_looks_the_same_at_another_pixel_size() -> None:
    pixels = tissue(5, side=480)
    finer = ndimage.zoom(pixels, (2, 2, 1), order=1)
    near, far = look_at(field(finer, 0.125), 0.25), look_at(field(tissue(5, (120, 90, 170), 480)), 0.25)
    own = look_at(field(pixels), 0.25)
    assert np.abs(near - own).max() < 0.15 < np.abs(far - own).max()


def test_pixels_out_of_focus_are_less_sharp() -> None:
    sharp = tissue(3)
    soft = ndimage.gaussian_filter(sharp, (2, 2, 0))
    assert sharpness(soft) < sharpness(sharp) - 0.1
    with pytest.raises(ValueError, match="nothing"):
        appearance([])


def test_one_slide_says_nothing_about_another() -> None:
    with pytest.raises(ValueError, match="two slides"):
        seen_from(np.zeros((3, 7)), ["a", "a", "a"])


def test_tissue_of_other_laboratories_is_unusual_more_often_than_the_training(shared_data: Path) -> None:
    from napari_mitosis.datasets.icpr import read_icpr2012
    from napari_mitosis.fields.field import lazy_field

    card = find_version("segmitos@1.0.0")[0]
    assert card.seen is not None
    seen = card.seen
    known = [seen.distance(look_at(s.field, card.mpp)) for s in read_icpr2012(shared_data / "icpr2012")[::14]]
    tiles = sorted(p for p in (shared_data / "stain_bank").iterdir() if p.suffix != ".csv")[::4]
    other = [seen.distance(look_at(lazy_field(tile, 0.25), card.mpp)) for tile in tiles]
    assert max(known) < 1
    assert np.mean(np.array(other) > 1) > 0.1
    assert np.median(other) > np.median(known)
