"""Seconds and memory for one 2084 x 2084 field, from file to detections.

    python benchmarks/field_speed.py FIELD [--config compact|paper/32s] [--runs 5]

Prints the median over runs of: opening, network, decision, all; the peak memory of this process; and the
ratio against a plain float32 forward pass of the same network over the whole image in the same process.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F

from napari_mitosis import jobs
from napari_mitosis.decision.decide import decide
from napari_mitosis.fields.field import Field, open_field
from napari_mitosis.inference.predict import predict
from napari_mitosis.models.registry import Detector, load_detector
from napari_mitosis.models.segmitos import SegMitos
from napari_mitosis.training.publish import draft_card


def load(config: str) -> Detector:
    """The shipped compact version, or a paper network with fresh weights (speed does not depend on them)."""
    if config == "compact":
        return load_detector("segmitos")
    network = SegMitos.build(config).eval()
    card = draft_card(network, version="0", seed=0)
    return Detector(card.model_copy(update={"config": config, "tile_px": 2208, "halo_px": 96}), network)


def one_run(path: Path, detector: Detector, device: str) -> dict[str, float]:
    """Seconds of each part of one detection."""
    t0 = time.perf_counter()
    field = open_field(path, mpp=0.25)
    field.numpy()
    t1 = time.perf_counter()
    evidence = jobs.run(predict(field, detector, device=device))
    t2 = time.perf_counter()
    decide(evidence, detector.card.decision_rule())
    t3 = time.perf_counter()
    return {"open": t1 - t0, "network": t2 - t1, "decide": t3 - t2, "all": t3 - t0}


@torch.inference_mode()
def plain_forward(field: Field, detector: Detector, device: str) -> float:
    """Seconds of a float32 forward pass of the whole image, contiguous memory."""
    network = detector.network.to(device=device, memory_format=torch.contiguous_format)
    x = torch.from_numpy(field.numpy()).permute(2, 0, 1)[None].float().contiguous().to(device)
    x = F.pad(x, (0, -x.shape[3] % 32, 0, -x.shape[2] % 32))
    t0 = time.perf_counter()
    network(x)
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - t0


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("field", type=Path)
    parser.add_argument("--config", default="compact")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--no-plain", action="store_true", help="leave out the plain float32 pass (and its memory)")
    options = parser.parse_args()
    detector = load(options.config)
    one_run(options.field, detector, options.device)
    runs = [one_run(options.field, detector, options.device) for _ in range(options.runs)]
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
    for part in runs[0]:
        times = [run[part] for run in runs]
        print(f"{part:8s} median {median(times):7.3f} s   min {min(times):7.3f} s")
    print(f"peak memory of the process {peak:.2f} GiB, {torch.get_num_threads()} threads, {options.config}")
    if not options.no_plain:
        field = open_field(options.field, mpp=0.25)
        plain = median(plain_forward(field, detector, options.device) for _ in range(min(3, options.runs)))
        network = median(run["network"] for run in runs)
        print(f"plain float32 forward {plain:.3f} s; this engine takes {network / plain:.2f} of it")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
