"""One target: what a key judges is what the crosshair marks, the thumbnail shows and the heading names, always."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import Qt

from napari_mitosis.review.target import CANDIDATES, FIGURE, SECOND

from .conftest import add_field, bar, camera_of, drawn_field, press, run_to_end, settle
from .review_window import open_review, states, strike

# Two discs that the rule keeps, and three that are too faint.
DISCS = ((60, 80, 14, 20), (180, 250, 12, 60), (120, 160, 9, 150), (30, 280, 10, 160), (220, 60, 10, 170))


@pytest.fixture
def review(open_dock: Any, qtbot: Any) -> Any:
    """A review dock over a detected field, whose second look has been found."""
    viewer, detect = open_dock()
    viewer.window.resize(1400, 900)
    add_field(viewer, drawn_field(discs=DISCS))
    run_to_end(detect, qtbot)
    dock = open_review(viewer, qtbot)
    qtbot.waitUntil(lambda: dock.reviewing.queue.present is not None, timeout=10_000)
    qtbot.waitUntil(lambda: len(dock.reviewing.queue.second) == 3, timeout=10_000)
    settle(qtbot, detect)
    return dock


def one_thing(dock: Any) -> Any:
    """Key, crosshair, thumbnail and heading are of one target, and it is on the screen; the target."""
    target = dock.reviewing.target
    assert dock.marker.centre_px == target.place
    assert dock.panel.card.picture.target.place == target.place
    assert dock.marker.in_view
    assert dock.marker.place_px is not None
    where = {CANDIDATES: "", SECOND: "Second look: "}
    if target.origin in where:
        assert dock.panel.card.place.text() == f"{where[target.origin]}{target.number} of {target.of}"
    return target


def click(gallery: Any, model: Any, at: int, qtbot: Any) -> None:
    place = gallery.visualRect(model.index(at, 0)).center()
    qtbot.mouseClick(gallery.viewport(), Qt.MouseButton.LeftButton, pos=place)


def judged(dock: Any) -> dict[tuple[float, float], str]:
    figures = dock.desk.current.figures
    return {(row.y_px, row.x_px): row.label for row in figures.itertuples()}


def test_a_click_in_the_second_look_then_back_then_a_key_judges_what_the_crosshair_shows(
    review: Any, qtbot: Any
) -> None:
    strike(review, "next", qtbot)
    last = one_thing(review)
    review.tabs.setCurrentIndex(1)
    qtbot.waitUntil(review.second.gallery.isVisible)
    click(review.second.gallery, review.second.model, 2, qtbot)
    second = one_thing(review)
    assert (second.origin, second.number) == (SECOND, 3)
    review.tabs.setCurrentIndex(0)
    shown = one_thing(review)
    assert shown == last
    strike(review, "mitosis", qtbot)
    assert judged(review) == {shown.place: "mitosis"}
    rings = review.viewer.layers["field: detections"]
    qtbot.waitUntil(lambda: sorted(rings.border_color[:, 3]) == [0, 1], timeout=5000)  # its ring is gone
    # Whatever is out of view is not judged: it is shown first.
    review.tabs.setCurrentIndex(0)
    before = one_thing(review)
    camera_of(review.viewer).center = (0, 500.0, 500.0)
    assert not review.marker.in_view
    strike(review, "mimic", qtbot)
    assert judged(review) == {shown.place: "mitosis"}
    assert "Press again" in review.panel.said.text()
    assert one_thing(review) == before
    strike(review, "mimic", qtbot)
    assert judged(review) == {shown.place: "mitosis", before.place: "mimic"}
    # After the last one: where to go on.
    assert review.panel.onwards["report"].isVisible()
    assert review.panel.onwards["second look"].isVisible()
    press(review.panel.onwards["second look"], qtbot)
    assert one_thing(review).origin == SECOND


def test_the_second_look_is_gone_through_with_the_same_keys(review: Any, qtbot: Any) -> None:
    review.tabs.setCurrentIndex(1)
    for key in ("mitosis", "skip", "mimic"):
        one_thing(review)
        strike(review, key, qtbot)
    queue = review.reviewing.queue
    assert queue.notes["state"].to_numpy()[queue.second].tolist() == ["mitosis", "skipped", "mimic"]
    assert states(review).count("undecided") == 2, "nothing was said of the queue"
    assert set(review.desk.current.figures["source"]) == {"darkness@1.0.0"}
    strike(review, "back", qtbot)
    assert one_thing(review).state == "mimic"
    strike(review, "back", qtbot)
    # A phase belongs to what is seen.
    while one_thing(review).state != "mitosis":
        strike(review, "back", qtbot)
    strike(review, "anaphase", qtbot)
    assert one_thing(review).phase == "anaphase"
    strike(review, "undo", qtbot)
    assert one_thing(review).phase == ""
    assert review.second.summary.text() == "1 mitosis, 1 look-alike"
    review.second.count.setValue(1)
    assert review.second.model.rowCount() == 1


def test_a_figure_that_is_clicked_is_what_keys_judge(review: Any, qtbot: Any) -> None:
    notebook = review.desk.current
    figure = notebook.add(120.0, 240.0, "mimic")
    review.annotating.select(figure)
    target = one_thing(review)
    assert (target.origin, target.place, target.figure) == (FIGURE, (120.0, 240.0), figure)
    assert review.panel.card.place.text() == "Marked by hand"
    strike(review, "mitosis", qtbot)
    assert judged(review) == {(120.0, 240.0): "mitosis"}
    assert one_thing(review).origin == CANDIDATES
    assert review.desk.counts.of(review.reviewing.key).pending == 2
    # Dragged, the mark goes along; deleted, what was looked at before is looked at again.
    review.annotating.select(figure)
    notebook.move(figure, 140.0, 200.0)
    assert one_thing(review).place == (140.0, 200.0)
    notebook.delete(figure)
    assert one_thing(review).origin == CANDIDATES
    qtbot.waitUntil(lambda: review.desk.counts.of(review.reviewing.key).by_hand == 0, timeout=5000)


def test_tabs_stay_where_they_are_and_the_window_as_high_as_it_is(review: Any, qtbot: Any) -> None:
    viewer, height = review.viewer, review.window().height()
    place = review.tabs.mapToGlobal(review.tabs.rect().topLeft())
    for tab in (1, 2, 3, 0):
        review.tabs.setCurrentIndex(tab)
        qtbot.wait(30)
        assert review.tabs.mapToGlobal(review.tabs.rect().topLeft()) == place
    strike(review, "undo", qtbot)
    assert review.panel.said.text() == "There is nothing to undo."
    viewer.layers.selection.active = add_field(viewer, name="other")
    qtbot.waitUntil(review.empty.isVisible, timeout=5000)
    viewer.layers["field"].name = "renamed"
    viewer.layers.selection.active = viewer.layers["renamed"]
    qtbot.waitUntil(review.panel.isVisible, timeout=5000)
    assert review.panel.said.text() == ""
    assert bar(review).field.text() == "renamed"
    qtbot.wait(100)
    assert review.window().height() == height


def test_a_review_that_is_not_seen_marks_and_judges_nothing(review: Any, qtbot: Any) -> None:
    window = review.window()
    review.hide()
    assert review.marker.place_px is None
    strike(review, "mitosis", qtbot, where=window)
    assert judged(review) == {}
    review.show()
    qtbot.waitUntil(lambda: review.marker.place_px is not None, timeout=5000)
    one_thing(review)
    # One held key hides every overlay, the mark as well.
    rings = review.viewer.layers["field: detections"]
    qtbot.keyPress(window, Qt.Key.Key_8)
    assert not rings.visible
    assert review.marker.place_px is None
    qtbot.keyRelease(window, Qt.Key.Key_8)
    assert rings.visible
    one_thing(review)
    for power, key in ((10, Qt.Key.Key_1), (40, Qt.Key.Key_4)):
        qtbot.keyClick(window, key, Qt.KeyboardModifier.AltModifier)
        assert camera_of(review.viewer).zoom == pytest.approx(power / 10)


def test_what_was_on_screen_close_enough_is_seen(review: Any, qtbot: Any) -> None:
    viewer, second = review.viewer, review.second
    coverage = second.coverage.of(review.reviewing.key)
    review.tabs.setCurrentIndex(1)
    coverage.seconds[:] = 0
    camera_of(viewer).zoom = 0.5
    press(second.unseen, qtbot)
    layer = viewer.layers["field: not seen yet"]
    assert layer.visible
    assert coverage.share < 1, "from far off nothing is seen"
    # The layer lies over the field, edge to edge with its cells.
    assert layer.data_to_world((-0.5, -0.5)) == pytest.approx((-0.125, -0.125))
    for _ in range(40):
        if coverage.share == 1:
            break
        second.go_unseen.click()
        qtbot.wait(700)
    assert coverage.share == 1
    qtbot.waitUntil(lambda: second.share.value() == 1000, timeout=5000)
    assert not second.go_unseen.isEnabled()
    assert layer.data.sum() == 0
    press(second.unseen, qtbot)
    assert not layer.visible
