"""The reviewed count: what became of the detections, and what the reader found beside them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from napari_mitosis.fields.field import Field
from napari_mitosis.review.blind import BlindReadings
from napari_mitosis.review.reviewed import ReviewedCount, ReviewedCounts, reviewed_count
from napari_mitosis.session import Session

DETECTIONS = pd.DataFrame({"y_px": [10.0, 50.0, 90.0, 130.0], "x_px": [10.0, 50.0, 90.0, 130.0]})


def figures(*rows: tuple[float, float, str, str]) -> pd.DataFrame:
    names = [f"figure {number}" for number in range(len(rows))]
    return pd.DataFrame(rows, columns=["y_px", "x_px", "label", "source"]).assign(figure=names)


ON_RECORD = figures(
    (10, 12, "mitosis", "mssn@1"),
    (50, 50, "mimic", "mssn@1"),
    (92, 90, "unsure", "mssn@1"),
    (200, 200, "mitosis", "reader"),
    (240, 240, "mitosis", "mssn@1"),
    (280, 280, "mimic", "reader"),
)


def test_every_detection_is_accounted_for_once() -> None:
    count = reviewed_count(DETECTIONS, ON_RECORD, 0.25)
    assert count == ReviewedCount(detected=4, accepted=1, rejected=1, unsure=1, below=1, by_hand=1)
    assert (count.judged, count.pending, count.mitoses, count.complete) == (3, 1, 3, False)


def test_a_figure_marked_by_hand_on_a_detection_judges_it() -> None:
    assert reviewed_count(DETECTIONS, figures((11, 10, "mitosis", "reader")), 0.25).accepted == 1


@pytest.mark.parametrize("detections", [None, DETECTIONS.iloc[:0]])
def test_without_detections_there_are_the_readers_own(detections: Any) -> None:
    count = reviewed_count(detections, ON_RECORD, 0.25)
    assert (count.detected, count.mitoses, count.by_hand) == (0, 3, 1)


def test_the_count_follows_and_says_nothing_of_a_field_that_is_read_blind() -> None:
    session, blind = Session(), BlindReadings()
    session.open("a", Field.from_array(np.zeros((64, 64, 3), np.uint8), mpp=0.25, name="a"))
    counts, told = ReviewedCounts(session, blind), []
    counts.changed.connect(told.append)
    assert counts.of("a") is None, "its journal is not open yet"
    counts.set_figures("a", ON_RECORD)
    assert counts.of("a") == ReviewedCount(below=2, by_hand=1)
    session["a"].result = SimpleNamespace(detections=DETECTIONS)  # type: ignore[assignment]
    session.result_changed.emit("a")
    assert counts.of("a") == ReviewedCount(detected=4, accepted=1, rejected=1, unsure=1, below=1, by_hand=1)
    assert blind.active == frozenset()
    blind.start("a", "Ada", "2026-01-01T00:00:00+00:00", ON_RECORD)
    assert blind.active == {"a"}
    assert counts.of("a") is None
    blind.reveal("a", "2026-01-01T00:01:00+00:00", ON_RECORD)
    assert counts.of("a") is not None
    assert blind.active == frozenset()
    session.close("a")
    assert counts.of("a") is None
    assert set(told) == {"a"}
    assert len(told) >= 4
