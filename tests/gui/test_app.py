"""What the ``napari-mitosis`` command opens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from napari_mitosis.gui.app import open_window
from napari_mitosis.samples import sample_folder


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
