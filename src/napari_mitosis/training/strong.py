"""Windows with strong labels: which pixels are mitosis, where that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..datasets.labels import IGNORED
from ..datasets.sample import Sample
from .windows import FieldSource, Window


def field_source(label: str) -> type[FieldSource]:
    """Where windows for this kind of labels (`augment.LABELS`) come from: with masks only where they are taught."""
    return StrongSource if label == "mask" else FieldSource


class StrongSource(FieldSource):
    """Annotated fields whose windows carry their pixel masks.

    Of fields without a mask, and of what lies beyond a field's edge, nothing is known.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        window_px: int,
        unknown: Sequence[NDArray[np.bool_] | None] | None = None,
    ) -> None:
        super().__init__(samples, window_px, unknown)
        self._masks = [_padded_mask(sample, self._pad) for sample in samples]

    def window(self, index: int, y: float, x: float) -> Window:
        """The window of field `index` centred at pixel (y, x), with its mask."""
        h, w = self.shapes[index]
        top = int(np.clip(round(y), 0, h - 1))
        left = int(np.clip(round(x), 0, w - 1))
        mask = self._masks[index][top : top + self.window_px, left : left + self.window_px]
        return replace(super().window(index, y, x), mask=mask)


def _padded_mask(sample: Sample, pad: int) -> NDArray[np.uint8]:
    mask = sample.mask
    if mask is None:
        h, w = sample.field.shape
        return np.full((h + 2 * pad, w + 2 * pad), IGNORED, dtype=np.uint8)
    return np.pad((mask > 0).astype(np.uint8), pad, constant_values=IGNORED)
