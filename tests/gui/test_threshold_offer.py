"""After twenty judgements another threshold is offered, with what is expected of it; taken, it holds."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import Qt

from napari_mitosis.measures.recalibrate import FEWEST_JUDGED

from .conftest import press, settle
from .review_window import detected_review, strike


def test_a_threshold_that_fits_the_judgements_is_offered_and_taken(open_dock: Any, qtbot: Any) -> None:
    _, detect, dock = detected_review(open_dock, qtbot, 30)
    bar, session = dock.offer._bar, detect.session
    assert not bar.isVisible()
    # This reader calls only the darkest third a mitosis: the threshold is far too low.
    limit = np.sort(session.current.result.detections["score"])[-10]
    for number in range(24):
        target = dock.reviewing.target
        strike(dock, "mitosis" if target.score >= limit else "mimic", qtbot)
        assert number + 1 >= FEWEST_JUDGED or not bar.isVisible()
    qtbot.waitUntil(bar.isVisible, timeout=20_000)
    assert "precision" in bar.text.text()
    assert "recall" in bar.text.text()
    assert "90 % intervals" in bar.text.toolTip()
    before = session.current.rule.min_score
    press(bar.take, qtbot)
    settle(qtbot, detect)
    assert session.current.rule.min_score > before
    assert len(session.current.result.detections) < 30
    assert not bar.isVisible()
    qtbot.keyClick(dock.window(), Qt.Key.Key_PageDown)
    qtbot.wait(800)
    assert not bar.isVisible(), "it is not offered again"
