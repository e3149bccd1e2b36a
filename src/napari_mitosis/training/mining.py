"""Hard negatives: the places of the training fields where the network of the moment sees a mitosis in vain."""

from __future__ import annotations

import json
from collections.abc import Container
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn

from ..files import write_whole
from ..inference.device import precision
from .windows import FieldSource

Place = tuple[int, float, float]
"""Field, y and x in its pixels."""

_SAME_PX = 12.0
"""Nearer than this two places are one."""


class Miner:
    """Collects hard negatives at given steps, and keeps them in a file so that a resumed run has them.

    They accumulate: what an earlier network took for a mitosis stays material, or the next one may forget it.

    Parameters
    ----------
    fields : FieldSource
    steps : container of int
        Steps before which to mine.
    path : Path
        JSON file of the places.
    fields_each : int
        Largest number of fields that are looked at each time, drawn by the step.
    """

    def __init__(self, fields: FieldSource, steps: Container[int], path: Path, fields_each: int = 10_000) -> None:
        self._fields = fields
        self._steps = steps
        self._path = path
        self._fields_each = fields_each
        self.places: list[Place] = []
        if path.exists():
            self.places = [(int(i), float(y), float(x)) for i, y, x in json.loads(path.read_text())]

    def due(self, step: int) -> bool:
        """See `fit.Search`."""
        return step in self._steps

    def look(self, step: int, network: nn.Module) -> None:
        """Mine; what is known already stays as it is."""
        network.eval()
        count = len(self._fields.shapes)
        drawn = np.random.default_rng(step).permutation(count)[: self._fields_each]
        for index in sorted(int(i) for i in drawn):
            known = np.array([(y, x) for i, y, x in self.places if i == index]).reshape(-1, 2)
            for y, x in self._false_peaks(index, network):
                if not len(known) or np.hypot(*(known - (y, x)).T).min() > _SAME_PX:
                    self.places.append((index, float(y), float(x)))
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._path, json.dumps(self.places))

    def _false_peaks(self, index: int, network: nn.Module, floor: float = 0.08) -> NDArray[np.float64]:
        """Peaks of the score map above `floor` and more than 40 px from any mitosis; at most 40."""
        stride = int(network.stride)  # type: ignore[arg-type]
        score = score_map(self._fields.pixels(index), network)
        smooth = ndimage.gaussian_filter(score, 1.0)
        peak = (ndimage.maximum_filter(smooth, 9) == smooth) & (smooth > floor)
        cells = np.argwhere(peak)
        cells = cells[np.argsort(-smooth[peak])]
        places = (cells + 0.5) * stride - 0.5
        known = np.concatenate([self._fields.mitoses[index], self._fields.unsure[index]])
        if len(known) and len(places):
            far = np.linalg.norm(places[:, None] - known[None], axis=2).min(axis=1) > 40
            places = places[far]
        best: NDArray[np.float64] = np.asarray(places[:40], dtype=np.float64)
        return best


def score_map(pixels: NDArray[np.uint8], network: nn.Module) -> NDArray[np.float32]:
    """Scores of a whole field in one pass, in what the device is fastest in; for mining only, not for results."""
    h, w = pixels.shape[:2]
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    image = F.pad(image, (0, -w % 32, 0, -h % 32), mode="reflect").contiguous(memory_format=torch.channels_last)
    device = next(network.parameters()).device
    dtype = precision(device)
    with torch.inference_mode(), torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
        logits = network(image.to(device))
    stride = int(network.stride)  # type: ignore[arg-type]
    score = logits.float().softmax(1)[0, 1, : -(-h // stride), : -(-w // stride)]
    return np.asarray(score.cpu().numpy(), dtype=np.float32)
