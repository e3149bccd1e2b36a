"""What the ``napari-mitosis`` command opens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from napari_mitosis.datasets.samples import sample_folder
from napari_mitosis.gui.app import open_window, raise_dock
from napari_mitosis.gui.review.dock import ReviewDock


@pytest.fixture
def opened(make_napari_viewer: Any, qtbot: Any) -> Iterator[list[Any]]:
    """Windows to close after the test."""
    windows: list[Any] = []
    yield windows
    for viewer, dock in windows:
        dock.shutdown()
        viewer.close()


def test_without_files_the_sample_opens(opened: list[Any]) -> None:
    viewer, dock = open_window([], detect=False)
    opened.append((viewer, dock))
    assert [layer.name for layer in viewer.layers] == ["hotspot"]
    assert not dock.running


def test_files_open_and_bad_ones_are_told_of(opened: list[Any], tmp_path: Path) -> None:
    bad = tmp_path / "bad.tif"
    bad.write_text("no image")
    viewer, dock = open_window([bad, sample_folder() / "quiet.tif"], detect=False, mpp=0.3)
    opened.append((viewer, dock))
    assert [layer.name for layer in viewer.layers] == ["quiet"]
    assert dock.session.current.field.mpp == pytest.approx(0.3)
    assert "bad.tif" in dock.panel.message.text()


def test_a_detection_is_started(opened: list[Any], qtbot: Any) -> None:
    viewer, dock = open_window([sample_folder() / "quiet.tif"], detect=True)
    opened.append((viewer, dock))
    qtbot.waitUntil(lambda: dock.running, timeout=10_000)
    qtbot.waitUntil(lambda: not dock.running, timeout=120_000)
    assert "quiet: detections" in viewer.layers


def test_the_docks_are_tabs_and_those_behind_are_built_when_they_are_looked_at(opened: list[Any], qtbot: Any) -> None:
    from qtpy.QtWidgets import QTabBar

    viewer, dock = open_window([], detect=False)
    opened.append((viewer, dock))
    viewer.show()
    qtbot.wait(300)
    titles = ["Detect", "Review", "Train"]
    bars = [bar for bar in dock.window().findChildren(QTabBar) if bar.count() == 3]
    tabs = next(bar for bar in bars if [bar.tabText(at) for at in range(3)] == titles)
    assert tabs.tabText(tabs.currentIndex()) == "Detect"
    review, train = (viewer.window.dock_widgets[f"{name} (napari-mitosis)"] for name in titles[1:])
    assert review.content is None
    assert train.content is None
    width = dock.parent().width()
    tabs.setCurrentIndex(1)
    qtbot.waitUntil(lambda: isinstance(review.content, ReviewDock), timeout=20_000)
    assert review.content.desk is dock.desk
    assert train.content is None
    qtbot.wait(100)
    assert review.parent().width() == width  # the canvas does not jump
    # napari's own menu brings the same dock to the front, not a second one.
    _, same = viewer.window.add_plugin_dock_widget("napari-mitosis", "Review")
    assert same is review


def test_a_closed_review_gives_its_keys_back(opened: list[Any], qtbot: Any) -> None:
    viewer, dock = open_window([], detect=False)
    opened.append((viewer, dock))
    viewer.show()
    review = viewer.window.dock_widgets["Review (napari-mitosis)"]
    raise_dock(review)
    qtbot.waitUntil(lambda: isinstance(review.content, ReviewDock), timeout=20_000)
    assert any(str(key) == "G" for key in viewer.keymap)
    content = review.content
    viewer.window.remove_dock_widget(review)
    assert content.parent() is None
    assert not any(str(key) == "G" for key in viewer.keymap)
