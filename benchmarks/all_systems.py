"""Seconds and memory of every shipped system for one field, from opened file to detections.

    python benchmarks/all_systems.py FIELD [--runs 3] [--out docs/measured/speed.csv]

Each system runs in a process of its own: the first run is left out, the median of the others is told, and so
is the peak of the process's memory, with the libraries in it. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pandas as pd


def one_system(path: Path, name: str, runs: int) -> dict[str, object]:
    """Times of one system in this process."""
    import torch

    from napari_mitosis import jobs
    from napari_mitosis.fields.field import open_field
    from napari_mitosis.inference.pipeline import load_pipeline

    field = open_field(path, mpp=0.25).loaded()
    pipeline = load_pipeline(name)
    seconds = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        found = len(pipeline.decide(jobs.run(pipeline.look(field, device="cpu"))))
        seconds.append(time.perf_counter() - start)
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
    return {
        "system": " + ".join(card.detector for card in pipeline.cards) if pipeline.card.is_chain else name,
        "version": pipeline.card.version,
        "parameters": pipeline.card.parameters,
        "seconds": round(median(seconds[1:]), 2),
        "gib": round(peak, 2),
        "detections": found,
        "threads": torch.get_num_threads(),
        "field": f"{field.shape[0]} x {field.shape[1]}",
    }


def main() -> int:
    """Run every system in a process of its own and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("field", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", help="one system, such as deepdet or deepmitosis")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(one_system(options.field, options.only, options.runs)))
        return 0
    from napari_mitosis.models.registry import list_cards

    newest = {card.detector: card for card in list_cards() if card.kind == "detector"}
    rows = []
    for name in newest:
        command = [sys.executable, __file__, str(options.field), "--only", name, "--runs", str(options.runs)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(options.out, index=False)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
