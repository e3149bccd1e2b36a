"""The queue by what still matters to the score, in a real window."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_mitosis.gui.case_count import case_count_of
from napari_mitosis.measures.grade import Convention

from .conftest import settle
from .review_window import detected_review, strike


def test_candidates_that_can_change_the_score_come_first_until_none_is_left(open_dock: Any, qtbot: Any) -> None:
    _, detect, dock = detected_review(open_dock, qtbot)
    settle(qtbot, detect)
    reviewing, browser = dock.reviewing, dock.browser
    count = case_count_of(dock.desk)
    area = reviewing.result.density.area_mm2
    count.set_convention(Convention("two", "from two", "drawn", area, (2.0, 3.0)))
    browser.order.setCurrentIndex(browser.order.findData("change"))
    browser.order.activated.emit(browser.order.currentIndex())
    queue = reviewing.queue
    change = count.change_of_detections(reviewing.key, 12)
    assert (change > 0).all()
    wanted = list(np.argsort(-change, kind="stable"))
    qtbot.waitUntil(lambda: list(queue.rows) == wanted, timeout=10_000)
    assert "whatever you decide" not in dock.panel.said.text()
    reviewing.look_at(int(queue.rows[0]))
    for label in ("mitosis", "mimic", "mitosis"):
        qtbot.waitUntil(lambda: dock.marker.in_view, timeout=10_000)
        before = reviewing.queue.decided
        strike(dock, label, qtbot)
        assert reviewing.queue.decided == before + 1
        waiting = count.change_of_detections(reviewing.key, 12)
        assert waiting[queue.present] == waiting.max()
    assert "whatever you decide" not in dock.panel.said.text()
    strike(dock, "mitosis", qtbot)
    assert dock.panel.said.text() == "Score 3 whatever you decide now."
    assert not count.change_of_detections(reviewing.key, 12).any()
