"""The review dock in a real window: keys, gallery, table and Points layer show one and the same candidate."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QToolButton

from napari_mitosis.annotations.store import Journal
from napari_mitosis.gui.review.dock import WIDTH_PX, ReviewDock
from napari_mitosis.gui.review.marker import MAGNIFICATIONS, zoom_for
from napari_mitosis.review.orders import ORDERS

from .conftest import add_field, camera_of, drawn_field, press, run_to_end, settle
from .review_window import detected_review, open_review, states, strike


def actions() -> list[Any]:
    """What is on disk."""
    journal = Journal(Path(os.environ["NAPARI_MITOSIS_JOURNAL"]))
    found = journal.actions()
    journal.close()
    return found


def choose(box: Any, data: str, qtbot: Any) -> None:
    """Choose an entry as a reader does."""
    box.setFocus()
    at = box.findData(data)
    box.setCurrentIndex(at)
    box.activated.emit(at)


def test_a_hundred_candidates_with_a_hundred_keys(open_dock: Any, qtbot: Any) -> None:
    viewer, _, dock = detected_review(open_dock, qtbot, 100)
    queue = dock.reviewing.queue
    seen = []
    cycle = ("mitosis", "mimic", "unsure", "mimic")
    for at in range(100):
        seen.append(queue.present)
        strike(dock, cycle[at % 4], qtbot)
    assert seen == queue.rows.tolist(), "each of them once, best first"
    assert states(dock) == [cycle[at % 4] for at in range(100)]
    assert dock.panel.progress.text == "100 of 100 judged"
    assert "All 100 candidates are judged" in dock.panel.said.text()
    found = actions()
    assert [one.kind for one in found] == [{"mimic": "reject"}.get(cycle[at % 4], "accept") for at in range(100)]
    places = queue.frame[["y_px", "x_px"]].to_numpy()[queue.rows]
    assert np.allclose([(one.y_px, one.x_px) for one in found], places)
    # One key too many changes nothing.
    strike(dock, "mitosis", qtbot)
    assert len(actions()) == 100
    assert len(viewer.layers["field: detections"].data) == 100


def test_the_camera_goes_there_as_close_as_is_set(open_dock: Any, qtbot: Any) -> None:
    viewer, _, dock = detected_review(open_dock, qtbot)
    owner, camera = viewer.layers["field"], camera_of(viewer)
    for step in ("next", "mimic", "skip"):
        strike(dock, step, qtbot)
        present = dock.reviewing.target
        assert camera.center[-2:] == pytest.approx((present.y_px * 0.25, present.x_px * 0.25))
        assert camera.zoom == pytest.approx(6.0)  # 60x: six pixels of the screen for each um
        middle = dock.marker.canvas.width() / 2, dock.marker.canvas.height() / 2
        assert dock.marker.place_px == pytest.approx(middle, abs=1.5)
    choose(dock.panel.magnification, "64 µm high", qtbot)
    assert camera.zoom == pytest.approx(dock.marker.canvas.height() / 64)
    assert dock.window().focusWidget() is dock
    # The mark stays with the tissue when the reader pans.
    centre = camera.center
    camera.center = (0, centre[-2] + 5, centre[-1])
    _, y = dock.marker.place_px
    assert y == pytest.approx(dock.marker.canvas.height() / 2 - 5 * camera.zoom, abs=1.5)
    choose(dock.panel.magnification, "as it is", qtbot)
    camera.zoom = 2.5
    strike(dock, "next", qtbot)
    assert camera.zoom == 2.5
    assert all(zoom_for(name, owner, 0.25, 800) is None or name != "as it is" for name in MAGNIFICATIONS)


def test_gallery_table_and_points_show_the_same_candidate(open_dock: Any, qtbot: Any) -> None:
    viewer, detect, dock = detected_review(open_dock, qtbot)
    queue, points = dock.reviewing.queue, viewer.layers["field: detections"]

    def everywhere(row: int) -> None:
        assert queue.present == row
        for view in (dock.browser.gallery, dock.browser.table):
            assert view.currentIndex().row() == queue.position
            assert [index.row() for index in view.selectionModel().selectedRows()] == [queue.position]
        qtbot.waitUntil(lambda: set(points.selected_data) == {row}, timeout=5000)
        assert dock.panel.card.place.text() == f"{queue.position + 1} of 12"

    strike(dock, "next", qtbot)
    everywhere(int(queue.rows[1]))
    # A click in the gallery.
    gallery = dock.browser.gallery
    place = gallery.visualRect(dock.browser.model.index(2, 0)).center()
    qtbot.mouseClick(gallery.viewport(), Qt.MouseButton.LeftButton, pos=place)
    everywhere(int(queue.rows[2]))
    centre = camera_of(viewer).center
    present = dock.reviewing.target
    assert centre[-2:] == pytest.approx((present.y_px * 0.25, present.x_px * 0.25))
    # A click in the table.
    press(dock.browser.switch, qtbot)
    table = dock.browser.table
    qtbot.waitUntil(table.isVisible)
    place = table.visualRect(dock.browser.model.index(5, 1)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    everywhere(int(queue.rows[5]))
    # A detection selected in its layer, and one by the detect dock's key: the camera stays where the reader is.
    points.selected_data = {7}
    everywhere(7)
    detect.figures.go(1)
    detections = detect.session.current.result.detections
    qtbot.waitUntil(lambda: queue.present == detections.index[detect.figures.at], timeout=5000)
    # Letters in gallery and table are keys of the review.
    before = queue.present
    strike(dock, "mimic", qtbot, where=table)
    assert queue.notes["state"].iloc[before] == "mimic"


def test_gallery_and_table_tell_and_filter(open_dock: Any, qtbot: Any) -> None:
    _, _, dock = detected_review(open_dock, qtbot)
    dock.desk.set_reader("Ada")
    qtbot.waitUntil(lambda: dock.desk.current is not None and dock.desk.current.reader == "Ada", timeout=10_000)
    for key in ("mitosis", "mimic", "skip", "unsure"):
        strike(dock, key, qtbot)
    strike(dock, "back", qtbot)
    model = dock.browser.model
    rows = [[model.index(at, column).data() for column in range(6)] for at in range(4)]
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    assert [row[3].split()[-1] for row in rows] == ["mitosis", "look-alike", "off", "unsure"]
    assert [row[3].split()[0] for row in rows] == ["M", "X", "–", "?"]
    assert rows[0][5] == "Ada"
    assert float(rows[0][1]) >= float(rows[3][1])
    chips = dock.browser.filters
    assert chips["mimic"].text() == "1\nlook-alike"
    assert chips[None].text() == "12\nall"
    press(chips["undecided"], qtbot)
    assert model.rowCount() == 8
    # What is judged leaves the filtered list, one by one, without a reset.
    resets: list[int] = []
    model.modelReset.connect(lambda: resets.append(1))
    strike(dock, "next", qtbot)
    strike(dock, "mimic", qtbot)
    assert model.rowCount() == 7
    assert resets == []
    press(chips["skipped"], qtbot)
    assert model.rowCount() == 1
    assert not dock.browser.gallery.currentIndex().isValid()
    press(chips[None], qtbot)
    assert dock.browser.gallery.currentIndex().row() == dock.reviewing.queue.position


def test_thumbnails_are_the_tissue(open_dock: Any, qtbot: Any) -> None:
    _, detect, dock = detected_review(open_dock, qtbot)
    present, field = dock.reviewing.target, detect.session.current.field
    get = dock.thumbnails.get
    wanted = (dock.reviewing.key, field, *present.place)
    qtbot.waitUntil(lambda: get(*wanted) is not None, timeout=10_000)
    image = get(*wanted).toImage()
    assert (image.width(), image.height()) == (128, 128)
    y, x = round(present.y_px), round(present.x_px)
    for dy, dx in ((0, 0), (-20, 3), (15, -30)):
        expected = field.pixels[min(max(y + dy, 0), field.shape[0] - 1), min(max(x + dx, 0), field.shape[1] - 1)]
        colour = image.pixelColor(64 + dx, 64 + dy)
        # A display of 16 bits keeps five or six of each eight.
        assert [colour.red(), colour.green(), colour.blue()] == pytest.approx(expected.tolist(), abs=8)


def test_undo_goes_back_to_what_it_undoes_and_across_a_restart(open_dock: Any, qtbot: Any) -> None:
    viewer, _, dock = detected_review(open_dock, qtbot)
    queue = dock.reviewing.queue
    first = queue.present
    strike(dock, "mitosis", qtbot)
    strike(dock, "mimic", qtbot)
    strike(dock, "undo", qtbot)
    assert states(dock)[:2] == ["mitosis", "undecided"]
    assert queue.present == queue.rows[1]
    strike(dock, "undo", qtbot)
    assert queue.present == first
    assert dock.panel.buttons["redo"].isEnabled()
    strike(dock, "redo", qtbot)
    assert states(dock)[0] == "mitosis"
    viewer.close()
    # Another window, another detection: the judgement is there.
    _, _, again = detected_review(open_dock, qtbot)
    assert states(again)[0] == "mitosis"
    assert again.reviewing.queue.position == 1, "the review goes on with the first that waits"
    strike(again, "undo", qtbot)
    assert states(again)[0] == "undecided"


def test_a_phase_belongs_to_the_present_mitosis_or_the_last_one(open_dock: Any, qtbot: Any) -> None:
    _, _, dock = detected_review(open_dock, qtbot)
    strike(dock, "metaphase", qtbot)
    assert "judge one first" in dock.panel.said.text()
    assert not dock.panel.buttons["metaphase"].isEnabled()
    strike(dock, "mitosis", qtbot)
    assert dock.panel.phase_of.text() == "Phase of 1"
    strike(dock, "metaphase", qtbot)
    notes = dock.reviewing.queue.notes
    assert notes["phase"].iloc[dock.reviewing.queue.rows[0]] == "metaphase"
    assert dock.panel.buttons["metaphase"].isChecked()
    press(dock.panel.buttons["anaphase"], qtbot)
    assert [one.phase for one in actions()] == [None, "metaphase", "anaphase"]
    strike(dock, "anaphase", qtbot)
    assert actions()[-1].phase is None
    strike(dock, "mimic", qtbot)
    assert not dock.panel.buttons["metaphase"].isEnabled()
    strike(dock, "back", qtbot)
    strike(dock, "back", qtbot)
    strike(dock, "atypical", qtbot)
    assert actions()[-1].phase == "atypical"


def test_the_present_candidate_survives_sliders_and_a_new_detection(open_dock: Any, detector: Any, qtbot: Any) -> None:
    _, detect, dock = detected_review(open_dock, qtbot)
    queue = dock.reviewing.queue
    strike(dock, "mitosis", qtbot)
    for _ in range(9):
        strike(dock, "next", qtbot)
    place = dock.reviewing.target.place
    scores = detect.session.current.result.detections["score"]
    detect.panel.rule.score.setValue((scores[3] + scores[4]) / 2)
    settle(qtbot, detect)
    qtbot.waitUntil(lambda: len(queue) == 5, timeout=10_000)
    assert dock.reviewing.target.place == place
    assert dock.panel.card.facts.text().startswith(f"{dock.reviewing.target.area_um2:.0f} µm² · left out")
    assert "mitosis" in states(dock)
    press(detect.panel.rule.reset, qtbot)
    settle(qtbot, detect)
    qtbot.waitUntil(lambda: len(queue) == 12, timeout=10_000)
    run_to_end(detect, qtbot)
    settle(qtbot, detect)
    qtbot.wait(100)
    assert dock.reviewing.target.place == place
    assert states(dock).count("mitosis") == 1


def test_what_the_rule_drops_can_be_reviewed_too(open_dock: Any, qtbot: Any) -> None:
    _, detect, dock = detected_review(open_dock, qtbot)
    detect.session.set_rule(detect.session.active, min_score=0.99)
    qtbot.waitUntil(lambda: len(dock.reviewing.queue) == 1, timeout=10_000)  # the present one stays
    assert dock.panel.isVisible()
    dock.browser.below.click()
    assert len(dock.reviewing.queue) == 12
    strike(dock, "next", qtbot)
    strike(dock, "mitosis", qtbot)
    assert states(dock).count("mitosis") == 1


def test_orders_and_why_one_is_not_there(open_dock: Any, qtbot: Any) -> None:
    _, _, dock = detected_review(open_dock, qtbot)
    queue, box = dock.reviewing.queue, dock.browser.order
    present = queue.present
    for order in ("reading", "uncertainty"):
        choose(box, order, qtbot)
        assert queue.order == order
        assert queue.present == present
    assert np.all(np.diff(queue.frame["uncertainty"].to_numpy()[queue.rows]) >= 0)
    item = box.model().item(box.findData("disagreement"))
    assert not item.isEnabled()
    assert "Only one detector" in item.toolTip()
    # Detectors that were compared here make it possible.
    places = queue.frame[["y_px", "x_px"]]
    agreement = pd.DataFrame({"y_px": places["y_px"], "x_px": places["x_px"], "one": 0.9}).assign(
        other=np.linspace(0, 0.9, 12)
    )
    dock.desk.set_agreement(dock.reviewing.key, agreement)
    qtbot.waitUntil(item.isEnabled, timeout=5000)
    choose(box, "disagreement", qtbot)
    assert queue.rows.tolist() == list(range(12))
    assert "scores differ by" in dock.panel.card.facts.text()
    assert set(ORDERS) == {box.itemData(at) for at in range(box.count())}


def test_it_says_what_to_do_where_there_is_nothing(open_dock: Any, qtbot: Any) -> None:
    viewer, detect = open_dock()
    dock = open_review(viewer, qtbot)
    assert "Open a field" in dock.empty.title.text()
    add_field(viewer)
    qtbot.waitUntil(lambda: "Nothing was detected" in dock.empty.title.text(), timeout=5000)
    strike(dock, "mitosis", qtbot)
    press(dock.empty.button, qtbot)
    assert detect.running
    qtbot.waitUntil(lambda: dock.panel.isVisible(), timeout=20_000)
    assert not dock.empty.isVisible()
    assert dock.reviewing.queue.present is not None
    assert actions() == []
    add_field(viewer, np.full((64, 64, 3), 240, dtype=np.uint8), name="blank")
    run_to_end(detect, qtbot)
    qtbot.waitUntil(lambda: "found nothing" in dock.empty.title.text(), timeout=5000)


def test_each_field_has_its_own_queue(open_dock: Any, qtbot: Any) -> None:
    viewer, detect, dock = detected_review(open_dock, qtbot)
    strike(dock, "mitosis", qtbot)
    place = dock.reviewing.queue.position
    add_field(viewer, drawn_field(), name="second")
    assert not dock.panel.isVisible()
    assert dock.marker.place_px is None
    run_to_end(detect, qtbot)
    qtbot.waitUntil(lambda: len(dock.reviewing.queue) == 3 and dock.reviewing.queue.present is not None, timeout=10_000)
    qtbot.waitUntil(lambda: dock.desk.current is not None, timeout=10_000)
    strike(dock, "mimic", qtbot)
    viewer.layers.selection.active = viewer.layers["field"]
    assert dock.reviewing.queue.position == place
    assert states(dock)[:2] == ["mitosis", "undecided"]
    assert len({one.field for one in actions()}) == 2
    viewer.layers.remove(viewer.layers["second"])
    settle(qtbot, detect)
    assert dock.reviewing.queue.position == place


def test_nothing_is_shown_of_a_field_that_is_read_blind(open_dock: Any, qtbot: Any) -> None:
    _, _, dock = detected_review(open_dock, qtbot)
    dock.reviewing.annotating.start_blind()
    assert not dock.panel.isVisible()
    assert "read blind" in dock.empty.title.text()
    assert dock.browser.model.rowCount() == 0
    strike(dock, "mitosis", qtbot)
    assert actions() == []
    dock.reviewing.annotating.reveal()
    assert dock.panel.isVisible()
    assert dock.browser.model.rowCount() == 12


def test_trouble_is_seen(open_dock: Any, qtbot: Any) -> None:
    _, _, dock = detected_review(open_dock, qtbot)
    assert not dock.trouble.isVisible()
    path = Path(os.environ["NAPARI_MITOSIS_JOURNAL"])
    import sqlite3

    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    strike(dock, "mitosis", qtbot)
    assert dock.trouble.isVisible()
    assert "1 action" in dock.trouble.text()
    assert states(dock)[0] == "mitosis"
    blocker.execute("ROLLBACK")
    blocker.close()
    qtbot.waitUntil(lambda: not dock.trouble.isVisible(), timeout=30_000)
    assert len(actions()) == 1


def test_it_fits_and_nothing_is_cut_off(open_dock: Any, qtbot: Any) -> None:
    _, _, dock = detected_review(open_dock, qtbot)
    assert dock.minimumSizeHint().width() <= WIDTH_PX <= 480
    buttons = [*dock.panel.buttons.values(), dock.panel.keys_button, *dock.browser.filters.values()]
    for button in buttons:
        assert button.width() >= button.minimumSizeHint().width(), button.text()
        need = button.fontMetrics().size(0, button.text()).width()
        assert button.width() >= need, button.text()
    assert {type(one) for one in dock.browser.filters.values()} == {QToolButton}
    assert isinstance(dock, ReviewDock)
    assert dock.browser.gallery.viewport().width() >= 3 * dock.browser.gallery.gridSize().width()
