"""A window that is closed by its reader while something runs."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QMainWindow

from napari_mitosis.gui.train.leaving import Leaving

from .conftest import press


def window_with(qtbot: Any, what_runs: str) -> tuple[QMainWindow, Leaving]:
    window = QMainWindow()
    qtbot.addWidget(window)
    leaving = Leaving(window, window, lambda: what_runs)
    window.show()
    qtbot.waitExposed(window)
    return window, leaving


def test_closing_asks_and_goes_on_or_closes(qtbot: Any) -> None:
    window, leaving = window_with(qtbot, "a training, 3 min left")
    for answer, closed in (("Go on training", False), ("Stop it and close", True)):
        window.windowHandle().close()  # as by the x of the window's frame
        qtbot.waitUntil(lambda: leaving.question is not None)
        assert "3 min left" in leaving.question.text()
        assert "is kept" in leaving.question.informativeText()
        press(next(button for button in leaving.question.buttons() if button.text() == answer), qtbot)
        qtbot.waitUntil(lambda closed=closed: window.isVisible() is not closed)


def test_where_nothing_runs_nothing_is_asked(qtbot: Any) -> None:
    window, leaving = window_with(qtbot, "")
    window.windowHandle().close()
    qtbot.waitUntil(lambda: not window.isVisible())
    assert leaving.question is None


def test_naparis_own_menu_asks_as_well(make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.add_image(np.zeros((8, 8), np.uint8))  # napari closes a window without layers as it is
    window, running = viewer.window._qt_window, ["a training, 3 min left"]
    leaving = Leaving(window, window, lambda: running[0])
    close = viewer.window.file_menu.findAction("napari.window.file.close_dialog")

    def agree_with_napari() -> None:
        if (dialog := QApplication.activeModalWidget()) is not None and leaving.question is None:
            dialog.accept()

    agreeing = QTimer(window)
    agreeing.timeout.connect(agree_with_napari)
    agreeing.start(20)
    window.activateWindow()
    qtbot.waitUntil(lambda: QApplication.activeWindow() is window)
    close.trigger()
    qtbot.waitUntil(lambda: leaving.question is not None)
    agreeing.stop()
    assert "3 min left" in leaving.question.text()
    press(leaving.question.defaultButton(), qtbot)
    assert window.isVisible()
    running[0] = ""
