"""Time from a moved slider to new detections, without the network and without the viewer.

    python benchmarks/live_decisions.py [--runs 51] [--cpu]

Prints a table of medians in milliseconds for each field size, map stride and slider, beside the same decision
worked out from scratch with scikit-image, and returns 1 where a target is missed. The targets leave room for
the viewer: from slider to Points layer there are 16 ms for a field of 2084 x 2084, 50 ms for 8192 x 8192.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import label, regionprops

from napari_mitosis.decision.decide import Decider, Rule
from napari_mitosis.decision.evidence import Evidence

BASE = Rule(smoothing_um=1.0, threshold="otsu", min_area_um2=10, min_score=0.3)


@dataclass(frozen=True)
class Case:
    """One field to decide on; sliders slower than `limit_ms` miss the target."""

    name: str
    side_px: int
    stride: int
    candidates: int
    limit_ms: float
    background: float = 0.03


CASES = (
    Case("HPF", 2084, 4, 300, 5),
    Case("HPF, stride 1", 2084, 1, 300, 16),
    Case("HPF, restless", 2084, 4, 300, 16, background=0.35),
    Case("large", 8192, 4, 300, 30),
    Case("large, crowded", 8192, 4, 5000, 30),
    Case("large, restless", 8192, 4, 300, 500, background=0.35),
)


def evidence_of(case: Case, seed: int = 0) -> Evidence:
    """Hills of the size of nuclei, of all heights, on noise up to `background`."""
    rng = np.random.default_rng(seed)
    side = math.ceil(case.side_px / case.stride)
    score = rng.random((side, side), dtype=np.float32) * np.float32(case.background)
    reach = math.ceil(20 / case.stride)
    offsets = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    hill = np.exp(-(offsets**2).sum(0) / (2 * (8 / case.stride) ** 2))
    # Places of a grid, so that as many stay apart as were asked for.
    step = 2 * reach + 2
    across = (side - 2 * reach - 1) // step
    for place in rng.choice(across**2, size=min(case.candidates, across**2), replace=False):
        y, x = (int(i) * step for i in divmod(int(place), across))
        window = score[y : y + 2 * reach + 1, x : x + 2 * reach + 1]
        np.maximum(window, rng.uniform(0.4, 1.0) * hill, out=window)
    shape = (case.side_px, case.side_px)
    return Evidence({"score": score.astype(np.float16)}, case.stride, shape, 0.25, "benchmark@1", "none")


def sliders(runs: int) -> dict[str, list[Rule]]:
    """The rules that a hand on each slider goes through."""
    return {
        "area": [replace(BASE, min_area_um2=v) for v in np.linspace(1, 40, runs)],
        "score": [replace(BASE, min_score=v) for v in np.linspace(0, 0.95, runs)],
        "threshold": [replace(BASE, threshold=v) for v in np.linspace(0.06, 0.9, runs)],
        "smoothing": [replace(BASE, smoothing_um=v) for v in np.linspace(0.4, 2.5, max(5, runs // 5))],
    }


def median_ms(action: Callable[[Rule], object], rules: Sequence[Rule], clock: Callable[[], float]) -> float:
    """Median time of an action over rules."""
    times = []
    for rule in rules:
        start = clock()
        action(rule)
        times.append(clock() - start)
    return 1000 * median(times)


def from_scratch(evidence: Evidence, rule: Rule) -> int:
    """The number of detections by plain scikit-image, nothing remembered; distances are not looked at."""
    score = evidence.maps["score"].astype(np.float32)
    score = ndimage.gaussian_filter(score, rule.smoothing_um / (evidence.stride * evidence.mpp), mode="nearest")
    threshold = max(threshold_otsu(score), rule.floor) if rule.threshold == "otsu" else rule.threshold
    regions = regionprops(label(score > threshold, connectivity=2), intensity_image=score)
    least = rule.min_area_um2 / evidence.cell_um2
    kept = [(r.centroid_weighted, r.intensity_mean) for r in regions if r.area > least]
    return sum(score > rule.min_score for _, score in kept)


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=51, help="positions of each slider")
    parser.add_argument("--cpu", action="store_true", help="CPU time (one thread works), for a machine that is busy")
    options = parser.parse_args()
    clock = time.process_time if options.cpu else time.perf_counter
    print(f"{'field':16s} {'map':>11s} {'blobs':>6s} {'first':>8s}", end="")
    print(
        "".join(f"{name:>11s}" for name in sliders(5)),
        f"{'limit':>8s} {'scratch':>9s}   (median ms{', CPU' if options.cpu else ''})",
    )
    missed = []
    for case in CASES:
        evidence = evidence_of(case)
        decider = Decider(evidence)
        first = median_ms(decider.decide, [BASE], clock)
        decider.decide(replace(BASE, threshold=0.5))
        blobs = len(decider.candidates(BASE))
        times = {name: median_ms(decider.decide, rules, clock) for name, rules in sliders(options.runs).items()}
        scratch = median_ms(lambda rule: from_scratch(evidence, rule), [BASE], clock)  # noqa: B023
        side = evidence.maps["score"].shape[0]
        print(f"{case.name:16s} {side:5d}x{side:<5d} {blobs:6d} {first:8.1f}", end="")
        print("".join(f"{ms:11.2f}" for ms in times.values()), f"{case.limit_ms:8.0f} {scratch:9.1f}", flush=True)
        # Smoothing needs the whole map again: reported, not limited.
        missed += [f"{case.name}: {name}" for name, ms in times.items() if name != "smoothing" and ms > case.limit_ms]
    for one in missed:
        print(f"missed: {one}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
