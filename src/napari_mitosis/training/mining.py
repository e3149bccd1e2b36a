"""Hard negatives: the places of the training fields where the network of the moment sees a mitosis in vain."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn

from .windows import FieldSource

Place = tuple[int, float, float]


class Miner:
    """Collects hard negatives at given steps, and keeps them in a file so that a resumed run has them.

    Parameters
    ----------
    fields : FieldSource
    steps : sequence of int
        Steps before which to mine; each time replaces the places of the last.
    path : Path
        JSON file of the places.
    """

    def __init__(self, fields: FieldSource, steps: Sequence[int], path: Path) -> None:
        self._fields = fields
        self._steps = set(steps)
        self._path = path
        self.places: list[Place] = []
        if path.exists():
            self.places = [(int(i), float(y), float(x)) for i, y, x in json.loads(path.read_text())]

    def before_step(self, step: int, network: nn.Module) -> None:
        """Mine if it is time to."""
        if step not in self._steps:
            return
        network.eval()
        self.places = [
            (index, float(y), float(x))
            for index in range(len(self._fields.shapes))
            for y, x in self._false_peaks(index, network)
        ]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self.places))

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
        found: NDArray[np.float64] = np.asarray(places[:40], dtype=np.float64)
        return found


@torch.inference_mode()
def score_map(pixels: NDArray[np.uint8], network: nn.Module) -> NDArray[np.float32]:
    """Scores of a whole field in one pass, in bfloat16 on the CPU; for mining only, not for results."""
    h, w = pixels.shape[:2]
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    image = F.pad(image, (0, -w % 32, 0, -h % 32), mode="reflect").contiguous(memory_format=torch.channels_last)
    device = next(network.parameters()).device
    with torch.autocast(device.type, dtype=torch.bfloat16):
        logits = network(image.to(device))
    stride = int(network.stride)  # type: ignore[arg-type]
    score = logits.float().softmax(1)[0, 1, : -(-h // stride), : -(-w // stride)]
    return np.asarray(score.cpu().numpy(), dtype=np.float32)
