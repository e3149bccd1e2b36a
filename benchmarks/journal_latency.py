"""How long a reader's action takes until it is on disk, in a journal that holds many already.

Run: python benchmarks/journal_latency.py [--rows 100000] [--actions 1000] [--where FILE_OR_URL]
Give a PostgreSQL URL as --where to measure a server; the database must be empty.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from napari_mitosis.annotations.actions import Action, new_id
from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.store import Journal
from napari_mitosis.decision.decide import Rule
from napari_mitosis.fields.field import Field

PER_FIELD = 500


def fill(journal: Journal, rows: int) -> None:
    """Write so many actions, of fields with 500 each."""
    for start in range(0, rows, 10_000):
        journal.append(
            *(
                Action(
                    *(new_id(), "add", f"{number // PER_FIELD:064x}", new_id()),
                    *(number % 2000, number % 1999, "mitosis"),
                    **{"reader": "ann", "source": "reader", "time": f"2026-01-01T00:00:00.{number % 10**6:06d}+00:00"},
                )
                for number in range(start, min(start + 10_000, rows))
            ),
            wait_s=30,
        )


def line(name: str, seconds: list[float]) -> str:
    """Median, 99th percentile and worst, in milliseconds."""
    median, high = np.percentile(seconds, [50, 99]) * 1e3
    return f"{name:<44}{median:9.2f}{high:9.2f}{max(seconds) * 1e3:9.2f}"


def act(book: Notebook, count: int) -> list[float]:
    """Do what a reader does, and measure each call until it returns."""
    seconds = []
    figure = book.add(1, 1)
    for number in range(count):
        place = float(number % 200)
        began = time.perf_counter()
        if number % 5 == 0:
            figure = book.accept(place, place, source="segmitos@1.0.0", score=0.5)
        elif number % 5 == 1:
            book.move(figure, place, 1)
        elif number % 5 == 2:
            book.relabel(figure, "mimic")
        elif number % 5 == 3:
            book.undo()
        else:
            book.reject(place, place, source="segmitos@1.0.0", score=0.4)
        seconds.append(time.perf_counter() - began)
    return seconds


def measure(where: str | Path, rows: int, actions: int) -> None:
    journal = Journal(where)
    fill(journal, rows)
    print(f"{journal.name}: {rows:,} rows")
    print(f"{'milliseconds':<44}{'median':>9}{'99 %':>9}{'worst':>9}")
    rng = np.random.default_rng(0)
    field = Field.from_array(rng.integers(0, 255, (200, 200, 3), dtype=np.uint8), 0.25, "bench")
    book = Notebook(journal, field, "ann")
    book.set_context("segmitos@1.0.0", Rule())
    print(line("an action, until the call returns", act(book, actions)))
    appends, reads = [], []
    for number in range(actions):
        action = Action(new_id(), "add", "f" * 64, new_id(), y_px=1, x_px=number, label="mitosis")
        began = time.perf_counter()
        journal.append(action)
        appends.append(time.perf_counter() - began)
    for number in range(30):
        began = time.perf_counter()
        journal.actions(f"{number % max(1, rows // PER_FIELD):064x}")
        reads.append(time.perf_counter() - began)
    print(line("Journal.append alone", appends))
    print(line(f"reading a field of {PER_FIELD} actions", reads))
    began = time.perf_counter()
    Notebook(journal, field, "ann")
    print(line(f"opening the notebook of {actions} actions", [time.perf_counter() - began]))
    began = time.perf_counter()
    journal.history(book.figures["figure"].iloc[0])
    print(line("history of one figure", [time.perf_counter() - began]))
    journal.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--actions", type=int, default=1000)
    parser.add_argument("--where", default="")
    given = parser.parse_args()
    if given.where:
        measure(given.where, given.rows, given.actions)
        return
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:  # where the program is, not a disk in memory
        measure(Path(folder) / "journal.sqlite", given.rows, given.actions)


if __name__ == "__main__":
    main()
