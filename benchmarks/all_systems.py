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


def one_system(path: Path, name: str, verify: bool, runs: int) -> dict[str, object]:
    """Times of one system in this process."""
    import torch

    from napari_mitosis import jobs
    from napari_mitosis.decision.decide import decide
    from napari_mitosis.fields.field import open_field
    from napari_mitosis.inference.predict import predict
    from napari_mitosis.inference.verify import verify as look_again
    from napari_mitosis.models.registry import load_detector

    field = open_field(path, mpp=0.25).loaded()
    detector = load_detector(name)
    verifier = load_detector(detector.card.verified["verifier"]) if verify else None
    rule = detector.card.verified_rule() if verify else detector.card.decision_rule()
    assert rule is not None
    seconds = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        evidence = jobs.run(predict(field, detector, device="cpu"))
        if verifier is not None:
            evidence = jobs.run(look_again(field, evidence, verifier, detector.card.decision_rule(), device="cpu"))
        found = len(decide(evidence, rule))
        seconds.append(time.perf_counter() - start)
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
    return {
        "system": name if verifier is None else f"{name} + {verifier.card.detector}",
        "version": detector.card.version,
        "parameters": detector.card.parameters + (verifier.card.parameters if verifier else 0),
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
    parser.add_argument("--only", help="one system, such as deepdet or deepdet+verified")
    options = parser.parse_args()
    if options.only:
        name, _, verified = options.only.partition("+")
        print(json.dumps(one_system(options.field, name, bool(verified), options.runs)))
        return 0
    from napari_mitosis.models.registry import list_cards

    newest = {card.detector: card for card in list_cards() if card.kind == "detector"}
    names = [n for n, card in newest.items() for n in ([n, f"{n}+verified"] if card.verified else [n])]
    rows = []
    for name in names:
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
