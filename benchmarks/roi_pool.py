"""Seconds of RoI max pooling against a plain RoIAlign, forward and backward, in one process.

    python benchmarks/roi_pool.py [--runs 7] [--device cpu] [--threads 0]

Prints, for regions of the compact and of the paper's DeepDet, the median seconds of both and their ratio.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor

from napari_mitosis.models.roi_pool import roi_max_pool

SIZE = 6


def roi_align(features: Tensor, boxes: Tensor, images: Tensor, scale: float) -> Tensor:
    """The mean of 2 x 2 bilinear samples in each bin (Mask R-CNN), as plain gathers and sums."""
    channels, height, width = features.shape[1:]
    flat = features.permute(0, 2, 3, 1).reshape(-1, channels)
    step = (torch.arange(2 * SIZE, device=features.device) + 0.5) / (2 * SIZE)
    ends = (boxes + 0.5) * scale - 0.5
    y = ends[:, 0:1] + step * (ends[:, 2:3] - ends[:, 0:1])
    x = ends[:, 1:2] + step * (ends[:, 3:4] - ends[:, 1:2])
    total = None
    for dy in (0, 1):
        row = y.floor() + dy
        wy = (1 - (y - row).abs())[:, :, None, None]
        row = row.long().clamp(0, height - 1)
        for dx in (0, 1):
            column = x.floor() + dx
            wx = (1 - (x - column).abs())[:, None, :, None]
            column = column.long().clamp(0, width - 1)
            index = images[:, None, None] * (height * width) + row[:, :, None] * width + column[:, None, :]
            values = flat[index.reshape(-1)].reshape(*index.shape, channels) * (wy * wx)
            total = values if total is None else total + values
    return total.reshape(len(boxes), SIZE, 2, SIZE, 2, channels).mean(dim=(2, 4)).permute(0, 3, 1, 2)


def seconds(call: Callable[[], Tensor], features: Tensor, runs: int) -> tuple[float, float]:
    """Median seconds of forward and of backward, after one run that does not count."""
    forward, backward = [], []
    for _ in range(runs + 1):
        features.grad = None
        t0 = _now()
        out = call()
        t1 = _now()
        out.sum().backward()
        forward.append(t1 - t0)
        backward.append(_now() - t1)
    return median(forward[1:]), median(backward[1:])


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def regions(n: int, images: int, side_px: float, sizes_px: tuple[float, float], device: str) -> tuple[Tensor, Tensor]:
    """Boxes at random in square images."""
    torch.manual_seed(0)
    centre = torch.rand(n, 2) * side_px
    half = (torch.rand(n, 2) * (sizes_px[1] - sizes_px[0]) + sizes_px[0]) / 2
    return torch.cat([centre - half, centre + half], dim=1).to(device), torch.randint(0, images, (n,)).to(device)


CASES = {
    "compact, training: 512 regions in 16 crops of 160 px": (16, 64, 40, 1 / 4, 512, (20.0, 50.0)),
    "compact, a field of 2208 px: 300 regions": (1, 64, 552, 1 / 4, 300, (20.0, 50.0)),
    "paper, training: 128 regions in a crop of 1024 px": (1, 512, 63, 1 / 16, 128, (40.0, 300.0)),
    "paper, a field of 4168 px: 300 regions": (1, 512, 260, 1 / 16, 300, (40.0, 300.0)),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    worst = 0.0
    for name, (images, channels, cells, scale, n, sizes) in CASES.items():
        features = torch.randn(images, channels, cells, cells, device=options.device).to(
            memory_format=torch.channels_last
        )
        features.requires_grad_()
        boxes, which = regions(n, images, cells / scale, sizes, options.device)
        pool = seconds(
            lambda f=features, b=boxes, w=which, s=scale: roi_max_pool(f, b, w, s, SIZE), features, options.runs
        )
        align = seconds(lambda f=features, b=boxes, w=which, s=scale: roi_align(f, b, w, s), features, options.runs)
        both = sum(pool) / sum(align)
        worst = max(worst, both, pool[0] / align[0])
        print(
            f"{name}\n  max pool {pool[0]:.4f} s forward, {pool[1]:.4f} s backward; RoIAlign {align[0]:.4f} s, "
            f"{align[1]:.4f} s; ratio forward {pool[0] / align[0]:.2f}, both {both:.2f}"
        )
    print(f"highest ratio {worst:.2f} (limit 5)")


if __name__ == "__main__":
    main()
