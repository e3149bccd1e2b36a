"""``python -m tests.attack``: the whole attack, and its table.

``--scale 0.1`` runs a tenth of it; ``--only images,cards`` some of it.
"""

from __future__ import annotations

import argparse
import time

from .worker import Tally, Worker, attack

FULL = {
    **{"images": 10_000, "tables": 5_000, "cards": 5_000, "runs": 1_000, "weights": 500, "spill": 2_000},
    **{"datasets": 2_000, "slides": 2_000, "journals": 1_000, "studies": 1_000, "templates": 1_000},
}


def main() -> int:
    """Run what was asked for and print the table; 0 when everything survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", default="")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chosen = options.only.split(",") if options.only else [*FULL, "kills", "servers", "postgres"]
    tallies: dict[str, Tally] = {}
    worker = Worker()
    began = time.monotonic()
    for name in chosen:
        if name in FULL:
            tallies[name] = attack(worker, name, round(FULL[name] * options.scale), options.seed)
        elif name == "kills":
            from .kills import attack_kills

            tallies[name] = attack_kills(round(1_000 * options.scale), options.seed)
        elif name == "servers":
            from .servers import attack_servers

            tallies[name] = attack_servers(round(500 * options.scale), options.seed)
        elif name == "postgres":
            from .postgres import attack_postgres

            tallies[name] = attack_postgres(round(100 * options.scale), options.seed)
        print_row(name, tallies[name])
    worker.close()
    print(f"{time.monotonic() - began:.0f} s")
    for tally in tallies.values():
        for line in tally.wrong[:20]:
            print(line)
    return 1 if any(tally.wrong for tally in tallies.values()) else 0


def print_row(name: str, tally: Tally) -> None:
    """One row of the table, as Markdown."""
    ends = ", ".join(f"{count} {end}" for end, count in sorted(tally.ends.items()))
    measured = f"{tally.longest_s:.1f} s | {tally.most_mb:.0f} MB"
    print(f"| {name} | {tally.tried} | {tally.survived} | {ends} | {measured} |", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
