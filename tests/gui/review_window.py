"""A review dock in a real window over a drawn field with many candidates, with a journal and settings of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_mitosis.gui.panel.menu import open_step

from .conftest import add_field, run_to_end


def many_discs(count: int, columns: int = 10, step: int = 64) -> np.ndarray:
    """A white field with a grid of dark discs, no two alike in darkness: their scores differ."""
    rows = -(-count // columns)
    image = np.full((rows * step, columns * step, 3), 245, dtype=np.uint8)
    ys, xs = np.mgrid[: image.shape[0], : image.shape[1]]
    for at in range(count):
        y, x = (at // columns) * step + step // 2, (at % columns) * step + step // 2
        grey = 20 + round(90 * ((at * 37) % count) / count)
        image[(ys - y) ** 2 + (xs - x) ** 2 <= 12**2] = grey
    return image


def open_review(viewer: Any, qtbot: Any) -> Any:
    """The review dock, as napari's menu opens it; back when it is to be seen."""
    dock: Any = open_step(viewer, "Review")
    qtbot.waitUntil(dock.isVisible, timeout=10_000)
    qtbot.waitUntil(lambda: dock.reviewing.key is None or dock.desk.current is not None, timeout=20_000)
    return dock


def detected_review(open_dock: Any, qtbot: Any, count: int = 12) -> tuple[Any, Any, Any]:
    """Viewer, detect dock and review dock with this many candidates, the first one present."""
    viewer, detect = open_dock()
    viewer.window.resize(1400, 900)
    add_field(viewer, many_discs(count))
    run_to_end(detect, qtbot)
    dock = open_review(viewer, qtbot)
    qtbot.waitUntil(lambda: dock.reviewing.queue.present is not None, timeout=10_000)
    assert len(dock.reviewing.queue) == count
    return viewer, detect, dock


QT_KEYS = {"PageDown": Qt.Key.Key_PageDown, "PageUp": Qt.Key.Key_PageUp}
MODIFIERS = {"Shift": Qt.KeyboardModifier.ShiftModifier, "Control": Qt.KeyboardModifier.ControlModifier}


def strike(dock: Any, action: str, qtbot: Any, where: QWidget | None = None) -> None:
    """Press the key of an action in napari's window, or in one of its parts."""
    *modifiers, name = dock.keys.keys[action].split("-")
    key = QT_KEYS.get(name) or getattr(Qt.Key, f"Key_{name}")
    held = Qt.KeyboardModifier.NoModifier
    for one in modifiers:
        held |= MODIFIERS[one]
    qtbot.keyClick(dock.window() if where is None else where, key, held)


def states(dock: Any) -> list[str]:
    """What is on record of each candidate, in the order of the queue."""
    queue = dock.reviewing.queue
    return [str(state) for state in queue.notes["state"].to_numpy()[queue.rows]]
