"""Time of the numbers of the Report step: the count after a decision, the hotspot, the chance of each score.

    python benchmarks/case_numbers.py

Prints medians in milliseconds of processor time, and returns 1 where a target is missed: 5 ms for a new count at
10,000 figures, 1 s for the hotspot of 100,000 points on a slide.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np

from napari_mitosis.annotations.actions import Action
from napari_mitosis.annotations.frames import FiguresTable
from napari_mitosis.annotations.replay import FieldState
from napari_mitosis.cases.areas import Area
from napari_mitosis.cases.count import Counted, figure_arrays, tally
from napari_mitosis.measures.chances import outlook
from napari_mitosis.measures.grade import NOTTINGHAM
from napari_mitosis.measures.hotspot import HPF_10_MM2, SHAPES, Outline, centres_in_field, find_hotspot
from napari_mitosis.review.judge import link


def milliseconds(run: Callable[[], object], runs: int) -> float:
    """Median processor time."""
    run()
    taken = []
    for _ in range(runs):
        began = time.process_time()
        run()
        taken.append(1000 * (time.process_time() - began))
    return median(taken)


def counted(figures: int, side_px: int, rng: np.random.Generator) -> Counted:
    """A field whose figures are mitoses, mimics and candidates that wait, a third each."""
    places = rng.uniform(0, side_px - 1, (figures, 2))
    third = figures // 3
    labels = np.array(["mitosis"] * third + ["mimic"] * third, dtype=object)
    waiting = figures - 2 * third
    chances = rng.beta(0.4, 2.0, waiting)
    return Counted("field", (side_px, side_px), 0.25, Area(), places[: 2 * third], labels, places[2 * third :], chances)


def live(figures: int, side_px: int, rng: np.random.Generator) -> Callable[[], object]:
    """What one decision among so many figures takes: the table follows, candidates are linked, all is counted."""
    candidates = rng.uniform(0, side_px - 1, (figures, 2))
    state = FieldState()
    for at, (y, x) in enumerate(candidates[: figures // 2]):
        state.apply(Action(f"a{at}", "add", "d", f"f{at}", float(y) + 2, float(x), "mitosis", tick=at + 1))
    table, number = FiguresTable(), itertools.count(figures)
    table.of(state)

    def decide() -> object:
        at = next(number)
        y, x = candidates[-1 - at % (figures // 2)]
        touched = state.apply(Action(f"a{at}", "accept", "d", f"f{at}", float(y), float(x), "mitosis", tick=at))
        table.follow(state, touched)
        now = table.of(state)
        places, labels = figure_arrays(now)
        waiting = np.flatnonzero(link(candidates, places, 0.25) < 0)
        chances = np.full(len(waiting), 0.3)
        field = Counted("f", (side_px, side_px), 0.25, Area(), places, labels, candidates[waiting], chances)
        return tally([field], NOTTINGHAM)

    return decide


def points(count: int, side_um: float, clumped: bool, rng: np.random.Generator) -> np.ndarray:
    """Places on a slide: evenly, or around thirty centres as mitoses stand."""
    if not clumped:
        return rng.uniform(0, side_um, (count, 2))
    centres = rng.uniform(0, side_um, (30, 2))
    return np.clip(centres[rng.integers(0, 30, count)] + rng.normal(0, 800, (count, 2)), 0, side_um)


def main() -> int:
    rng = np.random.default_rng(0)
    missed = 0

    def line(name: str, taken: float, limit: float | None) -> None:
        nonlocal missed
        late = limit is not None and taken > limit
        missed += late
        print(f"{name:62s} {taken:9.2f} ms" + (f"  (target {limit:g})" if limit else "") + ("  MISSED" if late else ""))

    # In one HPF ten thousand figures would lie on top of one another: shown, but no target.
    for side, limit in ((2084, None), (6600, 5), (80_000, 5)):
        field = counted(10_000, side, rng)
        mm2 = (side * 0.25e-3) ** 2
        line(
            f"count of 10,000 figures in {mm2:.2f} mm2", milliseconds(lambda f=field: tally([f], NOTTINGHAM), 15), limit
        )
    chances = rng.beta(0.4, 2.0, 10_000)
    line(
        "chances of each score, 10,000 wait, 2.74 mm2",
        milliseconds(lambda: outlook(0, 2.74, chances, NOTTINGHAM), 15),
        5,
    )
    for side in (6600, 80_000):
        name = f"a decision among 10,000 candidates in {(side * 0.25e-3) ** 2:.2f} mm2, to the new score"
        line(name, milliseconds(live(10_000, side, rng), 31), 5)
    for side_um, clumped, limit in (
        (30_000, True, 1000),
        (30_000, False, 1000),
        (10_000, True, 1000),
        (10_000, False, None),
    ):
        for shape in SHAPES:
            outline = Outline.of_area(HPF_10_MM2, shape)
            places = points(100_000, side_um, clumped, rng)
            region = centres_in_field((side_um, side_um), outline)
            name = f"hotspot, {shape}, 100,000 points {'in clumps' if clumped else 'evenly'} on {side_um / 1000:g} mm"
            line(name, milliseconds(lambda a=places, b=outline, c=region: find_hotspot(a, b, c), 3), limit)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
