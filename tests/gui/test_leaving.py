"""A window that is closed by its reader while something runs."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QMainWindow

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
