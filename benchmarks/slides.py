"""Whole slides: memory on one of 10 Gpx, sliders over 100,000 candidates, dask's overhead, workers, an archive.

    python benchmarks/slides.py memory        # peak memory of a scan beyond the weights, by size of the slide
    python benchmarks/slides.py slider        # from a slider to the table of detections
    python benchmarks/slides.py scheduler     # empty tasks through dask.distributed
    python benchmarks/slides.py workers       # one and two workers on this machine
    python benchmarks/slides.py archive --region-s 0.9 --overhead-ms 1.5   # a simulation, from the two above

The slides are written here: glass, and tissue of the sample fields, tiled JPEG in a pyramid as Aperio writes it.
"""

from __future__ import annotations

import argparse
import heapq
import io
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
from PIL import Image

from napari_mitosis import open_field
from napari_mitosis.jobs import run

TILE = 512


def jpeg(pixels: np.ndarray) -> bytes:
    """One tile, compressed."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="JPEG", quality=85, subsampling=0)
    return stream.getvalue()


def tiles_of(size: int, tissue: np.ndarray, low: int, high: int, white: bytes) -> Iterator[bytes]:
    """Compressed tiles of one level: glass, and tissue in the square from `low` to `high`."""
    whole = {(y, x): jpeg(tissue[y * TILE : (y + 1) * TILE, x * TILE : (x + 1) * TILE]) for y in (0, 1) for x in (0, 1)}
    for row in range(-(-size // TILE)):
        for column in range(-(-size // TILE)):
            start = (row * TILE, column * TILE)
            spans = [slice(max(0, low - at), max(0, min(TILE, high - at))) for at in start]
            if any(span.start >= span.stop for span in spans):
                yield white
            elif all(span == slice(0, TILE) for span in spans):
                yield whole[row % 2, column % 2]
            else:
                pixels = np.full((TILE, TILE, 3), 244, dtype=np.uint8)
                pixels[spans[0], spans[1]] = tissue[spans[0], spans[1]]
                yield jpeg(pixels)


def write_slide(path: Path, side: int, tissue_px: int) -> Path:
    """A square slide of white glass with a square of tissue in its middle; tiles are compressed once and repeated."""
    sample = open_field(str(resources.files("napari_mitosis") / "sample_data" / "hotspot.tif")).numpy()
    sample = np.tile(sample, (-(-2 * TILE // sample.shape[0]), -(-2 * TILE // sample.shape[1]), 1))
    white = jpeg(np.full((TILE, TILE, 3), 244, dtype=np.uint8))
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        for step in (1, 4, 16, 64):
            size = -(-side // step)
            shown = sample[::step, ::step]
            shown = np.tile(shown, (-(-2 * TILE // shown.shape[0]), -(-2 * TILE // shown.shape[1]), 1))
            low, high = round((side - tissue_px) / 2 / step), round((side + tissue_px) / 2 / step)
            tiles = list(tiles_of(size, shown, low, high, white))
            text = f"Aperio Image Library v12\r\n{side}x{side} (512x512) JPEG/RGB Q=85|AppMag = 40|MPP = 0.25"
            tif.write(
                iter(tiles), shape=(size, size, 3), dtype=np.uint8, tile=(TILE, TILE), compression="jpeg",
                photometric="ycbcr", subsampling=(1, 1), metadata=None, description=text,
            )  # fmt: skip
    return path


def memory(folder: Path) -> None:
    """A process for each size: the peak after a scan, beyond what holds the weights and has looked at one window."""
    import subprocess
    import sys

    for side in (10_000, 100_000):
        path = write_slide(folder / f"{side}.svs", side, 2_048)
        done = subprocess.run(
            [sys.executable, __file__, "_scan", str(path), str(folder / f"scan-{side}")],
            capture_output=True,
            text=True,
            check=True,
        )
        print(
            f"{side} x {side} px ({side**2 / 1e9:.1f} Gpx), {path.stat().st_size / 1e6:.0f} MB: {done.stdout.strip()}",
            flush=True,
        )


def scan_one(path: Path, out: Path) -> None:
    """Scan one slide in this process and print its peak memory."""
    from napari_mitosis.batches.slides_area import tissue_area
    from napari_mitosis.batches.slides_scan import SIDE_PX, plan_scan, scan_slide
    from napari_mitosis.batches.slides_store import open_store
    from napari_mitosis.inference.pipeline import load_pipeline

    pipeline = load_pipeline("segmitos")
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    start = time.perf_counter()
    slide = open_field(path)
    area = tissue_area(slide)
    plan = plan_scan(slide, pipeline, area)
    store = open_store(out, slide, pipeline, plan.margin_px, SIDE_PX)
    planned = time.perf_counter() - start
    start = time.perf_counter()
    found = run(scan_slide(slide, pipeline, plan, store, device="cpu"))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"opened, masked, planned in {planned:.1f} s; {len(plan.regions)} regions in {seconds:.0f} s, ", end="")
    print(f"{plan.skipped} skipped; peak {peak:.2f} GiB, {peak - base:.2f} beyond the weights ({len(found.rows)} rows)")


def slider() -> None:
    """100,000 candidates over a slide, on 19 rungs; score, area and threshold move."""
    from napari_mitosis.batches.slides_candidates import COLUMNS, LADDER, SlideCandidates, SlideDecider
    from napari_mitosis.decision.decide import Rule

    random = np.random.default_rng(0)
    count, parts = 100_000, []
    places = random.uniform(0, 90_000, (count, 2))
    peak = random.beta(1, 2, count) * 0.9 + 0.1
    for level in LADDER:
        alive = peak > level
        side = np.sqrt(random.gamma(3, 15, alive.sum()) * 4 / np.pi) / 0.25
        score = (level + peak[alive]) / 2
        parts.append(np.column_stack([np.full(alive.sum(), level), places[alive], side, side, score]))
    rows = pd.DataFrame(np.concatenate(parts), columns=[*COLUMNS, "mean"])
    rule = Rule(threshold=0.1, min_score=0.1, min_area_um2=0)
    decider = SlideDecider(SlideCandidates(rows, (90_000, 90_000), 0.25, "m", "d", rule))
    start = time.perf_counter()
    decider.prepare()
    print(f"{len(rows):,} rows on {len(LADDER)} rungs prepared, once a scan, in {time.perf_counter() - start:.1f} s")
    for name, rules in {
        "score": [replace(rule, min_score=value) for value in np.linspace(0.1, 0.9, 17)],
        "area": [replace(rule, min_area_um2=value) for value in np.linspace(0, 80, 17)],
        "threshold": [replace(rule, threshold=value) for value in LADDER],
    }.items():
        times = []
        for one in rules:
            start = time.perf_counter()
            decider.decide(one)
            times.append((time.perf_counter() - start) * 1e3)
        print(f"{name:>9}: median {statistics.median(times):.1f} ms, worst {max(times):.1f} ms")


def scheduler(tasks: int = 2_000) -> None:
    """Time of an empty task, all in all, with two workers."""
    from napari_mitosis.batches.slides_cluster import local_client

    with local_client(2, threads=1) as client:
        client.gather(client.map(abs, range(100), pure=False))
        start = time.perf_counter()
        client.gather(client.map(abs, range(tasks), pure=False))
        seconds = time.perf_counter() - start
    print(f"{tasks} empty tasks in {seconds:.2f} s: {seconds / tasks * 1e3:.2f} ms each, client and scheduler together")


def workers(folder: Path) -> None:
    """The same slide with one worker and with two, each with one thread of the processor."""
    from napari_mitosis.batches.batch import find_fields
    from napari_mitosis.batches.slides_cluster import SlideOptions, local_client, scan_slides

    path = write_slide(folder / "slide.svs", 20_000, 4_096)
    seconds = {}
    for count in (1, 2):
        with local_client(count, threads=1) as client:
            start = time.perf_counter()
            report = run(scan_slides(find_fields([path]), folder / str(count), SlideOptions(device="cpu"), client))
            seconds[count] = time.perf_counter() - start
        regions = report.slides[0].regions or 0
        print(
            f"{count} worker(s): {regions} regions in {seconds[count]:.0f} s, {seconds[count] / regions:.1f} s each",
            flush=True,
        )
    print(f"two are {seconds[1] / seconds[2]:.2f} times as fast as one")


def archive(region_s: float, overhead_ms: float, slides: int, regions: int) -> None:
    """A simulation: one scheduler hands the regions of all slides, one after the other, to the first free worker."""
    random = np.random.default_rng(0)
    tasks = min(slides * regions, 400_000)
    times = region_s * random.lognormal(0, 0.1, tasks)
    print(
        f"simulated, not measured: {region_s} s a region, {overhead_ms} ms a task for the scheduler, "
        f"{slides * regions:,} regions"
    )
    for count in (8, 16, 32, 64, 128, 256, 512):
        free, clock = [0.0] * count, 0.0
        for seconds in times:
            clock = max(clock + overhead_ms / 1e3, free[0])
            heapq.heapreplace(free, clock + seconds)
        share = times.sum() / count / max(free)
        hours = slides * regions * region_s / count / share / 3600
        print(f"{count:4d} workers: {share:6.1%} of linear, {hours:8.1f} h for {slides:,} slides of {regions} regions")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["memory", "slider", "scheduler", "workers", "archive", "_scan"])
    parser.add_argument("paths", nargs="*", type=Path)
    parser.add_argument("--region-s", type=float, default=1.0)
    parser.add_argument("--overhead-ms", type=float, default=1.0)
    parser.add_argument("--slides", type=int, default=10_000)
    parser.add_argument("--regions", type=int, default=600)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        match options.what:
            case "memory":
                memory(Path(folder))
            case "slider":
                slider()
            case "scheduler":
                scheduler()
            case "workers":
                workers(Path(folder))
            case "archive":
                archive(options.region_s, options.overhead_ms, options.slides, options.regions)
            case "_scan":
                scan_one(*options.paths)


if __name__ == "__main__":
    main()
