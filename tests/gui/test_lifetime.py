"""Layers and windows go at the wrong moment: no error, no thread left behind, no crash."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QThread

from napari_mitosis.gui.panel.menu import DOCK_NAME, open_step
from napari_mitosis.gui.panel.panel import panel_of
from napari_mitosis.gui.worker import Workers
from napari_mitosis.jobs import Job, Progress

from .conftest import DarknessDetector, add_field, bar, camera_of, press, run_to_end, settle


def start_and_hold(dock: Any, detector: DarknessDetector, qtbot: Any) -> Any:
    """Start a run and hold it in its first tile; the thread."""
    detector.gate.clear()
    detector.tiles_started.clear()
    press(dock.panel.run_panel.run, qtbot)
    qtbot.waitUntil(detector.tiles_started.is_set, timeout=20000)
    return dock.runs.thread_of_run


def test_deleting_the_field_in_the_middle_of_a_run(open_dock: Any, detector: DarknessDetector, qtbot: Any) -> None:
    viewer, dock = open_dock()
    layer = add_field(viewer)
    thread = start_and_hold(dock, detector, qtbot)
    viewer.layers.remove(layer)
    assert len(dock.session) == 0
    detector.gate.set()
    qtbot.waitUntil(lambda: not dock.running)
    settle(qtbot, dock)
    assert thread.isFinished()
    assert len(viewer.layers) == 0
    add_field(viewer, name="next")
    run_to_end(dock, qtbot)
    assert bar(dock).count.text() == "3"


def test_renaming_in_the_middle_of_a_run(open_dock: Any, detector: DarknessDetector, qtbot: Any) -> None:
    viewer, dock = open_dock()
    layer = add_field(viewer)
    start_and_hold(dock, detector, qtbot)
    layer.name = "case 7"
    detector.gate.set()
    qtbot.waitUntil(lambda: not dock.running)
    assert [one.name for one in viewer.layers] == ["case 7", "case 7: score map", "case 7: detections"]
    layer.name = "case 8"
    assert [one.name for one in viewer.layers] == ["case 8", "case 8: score map", "case 8: detections"]
    assert bar(dock).field.text() == "case 8"


def test_new_pixels_in_the_middle_of_a_run(open_dock: Any, detector: DarknessDetector, qtbot: Any) -> None:
    """What was seen in the old pixels is not shown over the new ones."""
    viewer, dock = open_dock()
    layer = add_field(viewer)
    start_and_hold(dock, detector, qtbot)
    layer.data = np.full((256, 320, 3), 250, dtype=np.uint8)
    detector.gate.set()
    qtbot.waitUntil(lambda: not dock.running)
    assert [one.name for one in viewer.layers] == ["field"]
    assert bar(dock).count.text() == "–"
    assert "dropped" in dock.panel.message.text()


def test_closing_the_window_in_the_middle_of_a_run(open_dock: Any, detector: DarknessDetector, qtbot: Any) -> None:
    viewer, dock = open_dock()
    add_field(viewer)
    thread, workers = start_and_hold(dock, detector, qtbot), dock.workers
    gone: list[bool] = []
    dock.destroyed.connect(lambda: gone.append(True))
    del dock
    threading.Timer(0.3, detector.gate.set).start()  # the window waits for the step, and the step for the gate
    viewer.close()
    qtbot.waitUntil(lambda: bool(gone), timeout=20000)
    qtbot.waitUntil(thread.isFinished, timeout=20000)
    assert len(workers) == 0


def test_closing_the_panel_ends_nothing(open_dock: Any, detector: DarknessDetector, qtbot: Any) -> None:
    """The x hides: the run goes on, the result is there when the panel comes back, and there is one panel."""
    viewer, dock = open_dock()
    add_field(viewer)
    start_and_hold(dock, detector, qtbot)
    panel = panel_of(viewer)
    viewer.window.remove_dock_widget(viewer.window.dock_widgets[DOCK_NAME])
    qtbot.wait(50)
    assert not panel.isVisible()
    assert dock.running
    detector.gate.set()
    qtbot.waitUntil(lambda: not dock.running)
    assert len(viewer.layers["field: detections"].data) == 3
    assert open_step(viewer, "Detect") is dock
    assert panel_of(viewer) is panel
    qtbot.waitUntil(dock.isVisible)
    assert bar(dock).count.text() == "3"
    assert len([name for name in viewer.window.dock_widgets if "itosis" in name]) == 1


def test_deleting_every_layer_at_once(detected: Any, qtbot: Any) -> None:
    viewer, dock = detected
    add_field(viewer, name="second")
    run_to_end(dock, qtbot)
    viewer.layers.clear()
    settle(qtbot, dock)
    assert len(viewer.layers) == 0
    assert dock.session.active is None
    assert "Open an RGB image" in dock.panel.run_panel.run.toolTip()
    viewer.screenshot(flash=False)


def test_closing_a_hidden_field_with_its_hidden_results(detected: Any, qtbot: Any) -> None:
    """The canvas is drawn after the layers' buffers are gone."""
    viewer, dock = detected
    first = viewer.layers["field"]
    add_field(viewer, name="second")
    settle(qtbot, dock)
    assert not first.visible
    viewer.layers.remove(first)
    qtbot.waitUntil(lambda: [one.name for one in viewer.layers] == ["second"])
    for zoom in (2.0, 3.0, 4.0):
        camera_of(viewer).zoom = zoom
        qtbot.wait(60)
        viewer.screenshot(flash=False)


def test_a_closed_field_is_let_go(open_dock: Any, qtbot: Any) -> None:
    viewer, dock = open_dock()
    layer = add_field(viewer)
    run_to_end(dock, qtbot)
    evidence = weakref.ref(dock.session.current.result.evidence)
    viewer.layers.remove(layer)
    settle(qtbot, dock)
    gc.collect()
    assert evidence() is None


def test_workers_leave_no_thread(qtbot: Any) -> None:
    """Every thread is waited for; nothing that it says afterwards arrives."""
    workers, heard = Workers(), []

    def counting() -> Job[int]:
        for step in range(1000):
            QThread.msleep(2)
            yield Progress(step, 1000)
        return 1

    threads = [workers.start(counting(), succeeded=heard.append, cancelled=lambda: heard.append(0)) for _ in range(3)]
    qtbot.wait(30)
    assert all(thread.isRunning() for thread in threads)
    workers.shutdown()
    assert all(thread.isFinished() for thread in threads)
    qtbot.wait(30)
    assert heard == []
    assert not workers.start(counting(), succeeded=heard.append).isRunning()


def test_cancelling_closes_the_job(qtbot: Any) -> None:
    workers, ended = Workers(), []

    def careful() -> Job[int]:
        try:
            while True:
                QThread.msleep(1)
                yield Progress(0, 0)
        finally:
            ended.append("closed")

    thread = workers.start(careful(), succeeded=ended.append, cancelled=lambda: ended.append("told"))
    qtbot.wait(30)
    thread.cancel()
    qtbot.waitUntil(lambda: ended == ["closed", "told"])
    qtbot.waitUntil(lambda: len(workers) == 0)


def test_a_job_that_fails_tells_its_error(qtbot: Any, caplog: pytest.LogCaptureFixture) -> None:
    workers, errors = Workers(), []

    def broken() -> Job[int]:
        yield Progress(0, 1)
        raise ZeroDivisionError("no tissue")

    workers.start(broken(), succeeded=errors.append, failed=errors.append)
    qtbot.waitUntil(lambda: len(errors) == 1)
    assert isinstance(errors[0], ZeroDivisionError)
    assert "a job failed" in caplog.text
    qtbot.waitUntil(lambda: len(workers) == 0)
