"""Blind first: nothing of the detector is to be seen until the reader asks; then both are compared."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from napari_mitosis.gui.annotate import BlindPanel
from napari_mitosis.gui.keys import KEYS

from .conftest import bar, camera_of, press, settle
from .mouse import Mouse
from .test_keys import strike


@pytest.fixture
def blind(detected: Any, qtbot: Any) -> Any:
    """A detected field with one figure on record, and the panel."""
    viewer, dock = detected
    panel = BlindPanel(dock.desk)
    viewer.window.add_dock_widget(panel, name="Blind first", area="left")
    qtbot.waitUntil(lambda: panel.annotating.current is not None, timeout=10000)
    settle(qtbot, dock)
    viewer.reset_view()
    panel.annotating.notebook.add(120, 160)
    return viewer, dock, panel, Mouse(viewer, dock, viewer.layers["field"])


def results(viewer: Any) -> list[bool]:
    return [layer.visible for layer in viewer.layers if layer.name in ("field: detections", "field: score map")]


def test_nothing_is_shown_until_it_is_revealed(blind: Any, qtbot: Any) -> None:
    viewer, dock, panel, mouse = blind
    assert results(viewer) == [True, True]
    assert "3 by the detector" in bar(dock).what.text()
    press(panel.start, qtbot)
    assert results(viewer) == [False, False]
    assert len(panel.annotating.current.points.data) == 0, "what was marked before is hidden, too"
    assert not bar(dock).count.text()
    assert "blind" in bar(dock).what.text()
    # However it is asked for.
    viewer.layers["field: detections"].visible = True
    press(dock.panel.toggles["labels"], qtbot)
    for name in ("score_map", "score_map", "detections", "boxes"):
        strike(dock, name, qtbot)
    dock.session.set_rule(dock.session.active, min_score=0.3)
    dock.view.show_layers()
    settle(qtbot, dock)
    qtbot.wait(300)
    shown = {layer.name for layer in viewer.layers if layer.visible}
    assert shown == {"field", "field: annotations"}
    centre = tuple(camera_of(viewer).center)
    assert KEYS["next"]
    strike(dock, "next", qtbot)
    assert tuple(camera_of(viewer).center) == centre, "no key leads to a detection"
    mouse.click(62, 82)
    press(panel.reveal, qtbot)
    assert "field: detections" in {layer.name for layer in viewer.layers if layer.visible}
    assert len(panel.annotating.current.points.data) == 2
    assert "by the detector" in bar(dock).what.text()


def test_the_agreement_is_that_of_what_was_marked_blind(blind: Any, qtbot: Any, tmp_path: Any) -> None:
    viewer, dock, panel, mouse = blind
    press(panel.start, qtbot)
    mouse.click(62, 82)  # at a detection
    mouse.click(20, 20)  # at none
    notebook = panel.annotating.notebook
    assert {action.model for one in notebook.figures["figure"][1:] for action in notebook.history(one)} == {""}
    press(panel.reveal, qtbot)
    report = panel.agreement
    assert (report.counts.tp, report.counts.fn, report.counts.fp) == (1, 1, 2)
    assert "<b>1</b> marked by both, <b>1</b> only by you, <b>2</b> only by the detector" in panel.report.text()
    assert panel.table.rowCount() == 3
    # What is marked after the reveal does not count, and knows what was on screen.
    later = notebook.add(180, 250)
    assert notebook.history(later)[0].model == "darkness@1.0.0"
    assert panel.agreement.counts == report.counts
    for row in range(3):
        press(panel.next, qtbot)
        place = report.disagreements.iloc[row][["y_px", "x_px"]].to_numpy(dtype=float) * 0.25
        assert camera_of(viewer).center[-2:] == pytest.approx(tuple(place), abs=0.1)
    panel.save_to(tmp_path / "report.csv")
    saved = pd.read_csv(tmp_path / "report.csv")
    assert sorted(saved["outcome"]) == ["both", "only detector", "only detector", "only reader"]
    assert set(saved["detector"]) == {"darkness@1.0.0"}
    panel.save_to(tmp_path / "nowhere" / "report.csv")
    assert "cannot be written" in str(viewer.status)
    press(panel.start, qtbot)
    assert panel.agreement is None
    viewer.layers.remove("field")
    assert not dock.desk.blind.blind(panel.annotating.key)
