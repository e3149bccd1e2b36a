"""Samples at another um/px: networks are trained at the um/px at which they look at fields."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..fields.field import Field
from .sample import Mask, Sample

# As in `inference.tiling`: scanners within 5 % are taken for alike.
_ALIKE = 0.05


def at_scale(samples: Sequence[Sample], mpp: float) -> list[Sample]:
    """The samples, resampled where their um/px is more than 5 % from `mpp`; others are returned as they are.

    Parameters
    ----------
    samples : sequence of Sample
    mpp : float
        um/px wanted.

    Raises
    ------
    FieldError
        If a field cannot be read.
    UnknownResolution
        If a field does not know its um/px.
    """
    return [_resampled(sample, mpp) for sample in samples]


def _resampled(sample: Sample, mpp: float) -> Sample:
    stated_mpp = sample.field.require_mpp("Training")
    if abs(mpp / stated_mpp - 1) <= _ALIKE:
        return sample
    height, width = (max(1, round(side * stated_mpp / mpp)) for side in sample.field.shape)
    # Pillow averages when it reduces, so that fine texture does not alias.
    image = Image.fromarray(sample.field.numpy()).resize((width, height), Image.Resampling.BILINEAR)
    shares = np.array([height, width]) / np.array(sample.field.shape)
    annotations = sample.annotations.copy()
    for column, share in zip(("y_px", "x_px"), shares, strict=True):
        annotations[column] = (annotations[column] + 0.5) * share - 0.5
    mask = sample.mask
    field = Field.from_array(np.asarray(image), mpp, sample.field.name)
    turned = None if mask is None else _nearest(mask, (height, width))
    return Sample(field, annotations, turned, sample.case, sample.dataset)


def _nearest(mask: Mask, shape: tuple[int, int]) -> Mask:
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) * old / n).astype(int), old - 1)
        for n, old in zip(shape, mask.shape, strict=True)
    )
    nearest: Mask = mask[rows][:, columns]
    return nearest
