"""In the second look, the keys of the review judge its candidates, and not those of the queue behind it."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import add_field, drawn_field, run_to_end, settle
from .review_window import open_review, states, strike

# Two discs that the rule keeps, and three that are too faint.
DISCS = ((60, 80, 14, 20), (180, 250, 12, 60), (120, 160, 9, 150), (30, 280, 10, 160), (220, 60, 10, 170))


@pytest.fixture
def review(open_dock: Any, qtbot: Any) -> Any:
    """A review dock over a detected field, the second look in front."""
    viewer, detect = open_dock()
    viewer.window.resize(1400, 900)
    add_field(viewer, drawn_field(discs=DISCS))
    run_to_end(detect, qtbot)
    dock = open_review(viewer, qtbot)
    qtbot.waitUntil(lambda: dock.reviewing.queue.present is not None, timeout=10_000)
    dock.tabs.setCurrentIndex(2)
    qtbot.waitUntil(lambda: len(dock.second.looks) == 3, timeout=10_000)
    settle(qtbot, detect)
    return dock


def labels(dock: Any) -> list[str]:
    return [dock.second.table.item(row, 3).text() for row in range(3)]


def test_keys_judge_what_is_chosen_in_the_list(review: Any, qtbot: Any) -> None:
    review.second.table.setCurrentCell(0, 0)
    for key in ("mitosis", "skip", "mimic"):
        strike(review, key, qtbot)
    assert labels(review) == ["mitosis", "skipped", "mimic"]
    assert states(review).count("undecided") == 2, "nothing was said of the queue"
    strike(review, "back", qtbot)
    strike(review, "unsure", qtbot)
    assert labels(review) == ["mitosis", "unsure", "mimic"]
    figures = review.desk.current.figures
    assert sorted(figures["label"]) == ["mimic", "mitosis", "unsure"]
    strike(review, "anaphase", qtbot)
    assert set(review.desk.current.figures["phase"]) == {""}, "a phase would be that of a figure that is not seen"
    strike(review, "undo", qtbot)
    assert labels(review) == ["mitosis", "skipped", "mimic"]


def test_only_its_own_candidate_is_marked_and_its_buttons_are_in_view(review: Any, qtbot: Any) -> None:
    assert review.panel.isHidden()
    assert review.marker.place_px is None
    for button in (review.second.mitosis, review.second.mimic, review.second.skip):  # once the dock is laid out
        qtbot.waitUntil(lambda b=button: not b.visibleRegion().isEmpty(), timeout=5000)
    assert review.second.mitosis.text() == "Mitosis  G"
    review.tabs.setCurrentIndex(0)
    assert review.panel.isVisible()
    assert review.marker.place_px is not None
    strike(review, "mimic", qtbot)
    assert states(review).count("mimic") == 1
    assert len(review.desk.current.figures) == 1


def test_another_field_neither_enlarges_the_window_nor_keeps_what_was_said(review: Any, qtbot: Any) -> None:
    viewer, height = review.viewer, review.window().height()
    review.tabs.setCurrentIndex(0)
    strike(review, "undo", qtbot)
    assert review.panel.said.text() == "There is nothing to undo."
    viewer.layers.selection.active = add_field(viewer, name="other")
    qtbot.waitUntil(review.empty.isVisible, timeout=5000)
    viewer.layers.selection.active = viewer.layers["field"]
    qtbot.waitUntil(review.panel.isVisible, timeout=5000)
    assert review.panel.said.text() == ""
    qtbot.wait(100)
    assert review.window().height() == height
