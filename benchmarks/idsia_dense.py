"""IDSIA DNN: all windows of a 2084 x 2084 field at once, against window by window.

    python benchmarks/idsia_dense.py [FIELD] [--region 200] [--size 2084] [--batch 64]

Both run in this process, in float32, channels last, on the same threads and weights. Dense: the whole field,
border mirrored. Windows: batches of windows for every pixel of a square region in the middle of it, timed, and
extrapolated to all pixels of the field. Prints the ratio, the largest difference of log-odds over the region, and what
one look at the field takes as the viewer does it (in the processor's best precision), with the growth of memory.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch

from napari_mitosis import jobs
from napari_mitosis.fields.field import Field, open_field
from napari_mitosis.inference.memory import kept_memory
from napari_mitosis.inference.predict import predict
from napari_mitosis.models.idsia import WINDOW_PX, IdsiaNet, mirrored
from napari_mitosis.models.registry import Detector, list_cards, load_detector
from napari_mitosis.training.idsia import SYSTEM


def detector() -> Detector:
    """The shipped version, or fresh weights: speed does not depend on them."""
    if any(card.detector == "idsia" for card in list_cards()):
        return load_detector("idsia")
    torch.manual_seed(0)
    return Detector(SYSTEM.card(version="0.0.0", seed=0), IdsiaNet().eval())


def field_of(path: Path | None, size: int) -> Field:
    """The given field, or noise of the size."""
    if path is not None:
        return open_field(path, mpp=0.25)
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return Field.from_array(pixels, 0.25, "noise")


@torch.inference_mode()
def by_windows(network: IdsiaNet, name: str, padded: torch.Tensor, top: int, left: int, side: int, batch: int) -> tuple:
    """Seconds for each window, and the log-odds of the region (side, side)."""
    net = network.net(name)
    views = padded[0].unfold(1, WINDOW_PX, 1).unfold(2, WINDOW_PX, 1)
    places = [(y, x) for y in range(top, top + side) for x in range(left, left + side)]
    parts = []
    began = time.perf_counter()
    for start in range(0, len(places), batch):
        windows = torch.stack([views[:, y, x] for y, x in places[start : start + batch]])
        logits = net(windows.contiguous(memory_format=torch.channels_last))
        parts.append(logits[:, 1] - logits[:, 0])
    seconds = (time.perf_counter() - began) / len(places)
    return seconds, torch.cat(parts).reshape(side, side)


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("field", type=Path, nargs="?")
    parser.add_argument("--size", type=int, default=2084)
    parser.add_argument("--region", type=int, default=200)
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()
    model, field = detector(), field_of(options.field, options.size)
    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    jobs.run(predict(field, model, device="cpu", poses=1))
    began = time.perf_counter()
    jobs.run(predict(field, model, device="cpu", poses=1))
    looked = time.perf_counter() - began
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before) / 2**30
    print(
        f"{torch.get_num_threads()} threads; predict, both nets, one pose: {looked:.2f} s, {growth:.2f} GiB more memory"
    )
    network = model.network.float().to(memory_format=torch.channels_last)
    pixels = (
        torch.from_numpy(field.numpy()).permute(2, 0, 1)[None].float().contiguous(memory_format=torch.channels_last)
    )
    height, width = field.shape
    top, left = (height - options.region) // 2, (width - options.region) // 2
    total = {"dense": 0.0, "windows": 0.0}
    with torch.inference_mode(), kept_memory():
        padded = mirrored(pixels)
        for name in network.map_names:
            network(pixels, (name,))
            began = time.perf_counter()
            dense = network(pixels, (name,))[0, 0]
            seconds = time.perf_counter() - began
            each, alone = by_windows(network, name, padded, top, left, options.region, options.batch)
            part = dense[top : top + options.region, left : left + options.region]
            total["dense"] += seconds
            total["windows"] += each * height * width
            print(
                f"{name}: dense {seconds:.2f} s; windows {each * 1e3:.3f} ms each, measured on {options.region**2}, "
                f"extrapolated to {height * width}: {each * height * width:.0f} s; ratio "
                f"{each * height * width / seconds:.0f}; largest difference {float((part - alone).abs().max()):.1e}"
            )
    print(f"both: {total['windows'] / total['dense']:.0f} times as fast as windows (float32)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
