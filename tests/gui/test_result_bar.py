"""A count carries its own model, and follows what its reader says."""

from __future__ import annotations

from typing import Any

import numpy as np

from .conftest import add_field, bar, card, run_to_end


def test_another_selected_model_does_not_put_its_name_on_the_count(open_dock: Any, qtbot: Any) -> None:
    viewer, dock = open_dock(cards=[card("1.0.0"), card("2.0.0")])
    add_field(viewer)
    run_to_end(dock, qtbot)
    ran = dock.session.current.result.card
    assert ran.version in bar(dock).model.text()
    assert not bar(dock).other.isVisible()
    other = next(at for at, one in enumerate(("1.0.0", "2.0.0")) if one != ran.version)
    dock.panel.run_panel.model.setCurrentIndex(other)
    assert ran.version in bar(dock).model.text()
    assert bar(dock).other.isVisible()
    assert "not run" in bar(dock).other.text()


def test_count_and_rings_follow_the_judgements(detected: Any, qtbot: Any) -> None:
    viewer, dock = detected
    qtbot.waitUntil(lambda: dock.desk.current is not None, timeout=20_000)
    places = dock.session.current.result.detections[["y_px", "x_px"]].to_numpy(dtype=float)
    assert bar(dock).judged.text() == "0 of 3 judged"
    for (y, x), label in zip(places, ("mitosis", "mitosis", "mimic"), strict=True):
        dock.desk.current.add(y, x, label)
    qtbot.waitUntil(lambda: bar(dock).count.text() == "2", timeout=5000)
    assert bar(dock).judged.text() == "3 of 3 judged"
    assert "3 by the detector" in bar(dock).what.text()
    rings = viewer.layers["field: detections"]
    qtbot.waitUntil(lambda: not np.asarray(rings.shown)[2], timeout=5000)
    assert np.asarray(rings.shown)[:2].all()
