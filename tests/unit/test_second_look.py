"""What a rule leaves out, and where a click snaps to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_mitosis.decision.decide import Rule, decide
from napari_mitosis.decision.evidence import Evidence
from napari_mitosis.jobs import run
from napari_mitosis.measures.agreement import SAME_UM
from napari_mitosis.review.second_look import apart, left_out, looking
from napari_mitosis.review.snap import SNAP_UM, snapped

MPP, STRIDE = 0.25, 4.0
RULE = Rule(smoothing_um=0, threshold=0.5, min_area_um2=10, min_score=0.6)


def evidence(blobs: list[tuple[int, int, int, float]], cells: int = 100) -> Evidence:
    """A score map of square blobs: row, column and side in cells (1 um each), score."""
    score = np.zeros((cells, cells), dtype=np.float16)
    for row, column, side, value in blobs:
        score[row : row + side, column : column + side] = value
    size = int(cells * STRIDE)
    return Evidence({"one": score}, STRIDE, (size, size), MPP, "drawn@1", "digest")


def test_too_weak_too_small_and_faint_ones_are_left_out_best_first() -> None:
    seen = evidence([(10, 10, 5, 0.9), (10, 60, 5, 0.55), (60, 10, 3, 0.8), (60, 60, 5, 0.2), (80, 80, 4, 0.03)])
    assert len(decide(seen, RULE)) == 1
    found = left_out(seen, RULE)
    assert found["score"].tolist() == pytest.approx([0.8, 0.55, 0.2], abs=1e-3)
    assert found[["y_px", "x_px"]].iloc[0].tolist() == [61.5 * 4 - 0.5, 11.5 * 4 - 0.5]
    assert found["area_um2"].tolist() == [9, 25, 25]


def test_nothing_near_a_detection_is_shown_again() -> None:
    """Around a detection the blob of a lower threshold is the same thing."""
    seen = evidence([(8, 8, 9, 0.2), (10, 10, 5, 0.9), (30, 30, 9, 0.1), (32, 32, 4, 0.52)])
    found = left_out(seen, RULE)
    assert found["score"].tolist() == pytest.approx([0.52], abs=1e-3)
    assert run(looking(seen, RULE)).equals(found)


def test_no_two_within_the_radius() -> None:
    rng = np.random.default_rng(4)
    points = rng.uniform(0, 200, (300, 2))
    frame = pd.DataFrame({"y_px": points[:, 0], "x_px": points[:, 1], "score": np.sort(rng.random(300))[::-1]})
    taken = rng.uniform(0, 200, (5, 2))
    kept = apart(frame, taken, 12.0)[["y_px", "x_px"]].to_numpy()
    distance = np.linalg.norm(kept[:, None] - kept[None], axis=2) + np.eye(len(kept)) * 99
    assert distance.min() > 12
    assert np.linalg.norm(kept[:, None] - taken[None], axis=2).min() > 12
    assert kept[0].tolist() == next(p for p in points.tolist() if np.linalg.norm(taken - p, axis=1).min() > 12)
    # Each one that is not kept is near a taken one or a better kept one.
    for point in points:
        near = np.linalg.norm(np.vstack([kept, taken]) - point, axis=1).min()
        assert near <= 12
    assert apart(frame.iloc[:0], taken, 12.0).empty


def test_of_candidates_those_that_the_rule_drops() -> None:
    candidates = pd.DataFrame(
        {"y_px": [50.0, 150.0, 250.0], "x_px": [50.0, 150.0, 250.0], "height_px": 40.0, "width_px": 40.0}
        | {"first": [0.9, 0.4, 0.2]}
    )
    seen = Evidence({}, 1.0, (400, 400), MPP, "boxes@1", "digest", candidates, ("first",))
    found = left_out(seen, RULE)
    assert found["score"].tolist() == [0.4, 0.2]


def test_on_real_tissue_misses_are_among_the_first(shared_data: Path) -> None:
    """A map with a hot cell at each true mitosis, half of them weak: all weak ones are listed before the noise."""
    truth = pd.read_csv(shared_data / "icpr2012" / "mitoses.csv")
    name = truth["image"].value_counts().index[0]
    places = truth[truth["image"] == name][["y", "x"]].to_numpy()
    rng = np.random.default_rng(0)
    score = (rng.random((521, 521)) * 0.05).astype(np.float16)
    for number, (y, x) in enumerate(places):
        row, column = int(y // 4), int(x // 4)
        score[row - 2 : row + 3, column - 2 : column + 3] = 0.3 if number % 2 else 0.9
    found = left_out(Evidence({"one": score}, 4.0, (2084, 2084), 0.2456, "drawn@1", "digest"), RULE)
    weak = places[1::2]
    best = found[["y_px", "x_px"]].to_numpy()[: len(weak)]
    assert np.linalg.norm(best[:, None] - weak[None], axis=2).min(axis=0).max() * 0.2456 < SAME_UM


def test_a_click_snaps_to_the_blob_under_it() -> None:
    seen = evidence([(10, 10, 5, 0.9), (50, 50, 5, 0.2), (70, 70, 5, 0.1)])
    centre = 12.5 * 4 - 0.5
    assert snapped(seen, centre + 6, centre - 7) == pytest.approx((centre, centre))
    beside = 17.5 * 4 - 0.5  # 5 um from the centre, 2.5 um from the edge: a part of the blob is within 6 um
    y, x = snapped(seen, centre, beside)
    assert y == pytest.approx(centre)
    assert centre <= x < beside
    assert snapped(seen, 52.5 * 4, 52.5 * 4) == pytest.approx((209.5, 209.5))
    assert snapped(seen, 72.5 * 4, 72.5 * 4) == (290, 290), "too faint for a blob"
    assert snapped(seen, centre, 24 * 4) == (centre, 96), "further than 6 um"
    assert snapped(seen, -100.0, 9999.0) == (-100.0, 9999.0)
    assert snapped(None, 3.0, 4.0) == (3.0, 4.0)
    assert snapped(Evidence({}, 1.0, (9, 9), MPP, "x@1", "d"), 3.0, 4.0) == (3.0, 4.0)


def test_it_never_snaps_further_than_it_may() -> None:
    rng = np.random.default_rng(1)
    seen = Evidence({"a": rng.random((60, 60)).astype(np.float16)}, STRIDE, (240, 240), MPP, "x@1", "d")
    for y, x in rng.uniform(0, 239, (200, 2)):
        there = snapped(seen, float(y), float(x))
        assert np.hypot(there[0] - y, there[1] - x) * MPP <= SNAP_UM
