"""The guess of um/px from nuclear size: near what is known, and it follows the scale."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from skimage.transform import downscale_local_mean

from napari_mitosis.datasets.samples import sample_folder
from napari_mitosis.measures.nuclear_size import guess_mpp

KNOWN_MPP = 0.25
WITHIN = 1.4


@pytest.mark.parametrize("name", ["hotspot", "mimics", "quiet"])
def test_the_guess_is_near_and_doubles_with_the_pixel(name: str) -> None:
    image = tifffile.imread(sample_folder() / f"{name}.tif")
    half = downscale_local_mean(image, (2, 2, 1)).round().astype(np.uint8)
    guesses = [guess_mpp(image), guess_mpp(half)]
    for guess, mpp in zip(guesses, (KNOWN_MPP, 2 * KNOWN_MPP), strict=True):
        assert guess is not None
        assert mpp / WITHIN < guess < mpp * WITHIN
    assert 2 / WITHIN < guesses[1] / guesses[0] < 2 * WITHIN


@pytest.mark.parametrize("grey", [0, 255])
def test_without_nuclei_there_is_no_guess(grey: int) -> None:
    assert guess_mpp(np.full((64, 64, 3), grey, np.uint8)) is None
    few = np.full((64, 64, 3), 255, np.uint8)
    few[20:40, 20:40] = grey
    assert guess_mpp(few) is None
