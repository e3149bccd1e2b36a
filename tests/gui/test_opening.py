"""Files are opened beside the window: it goes on while they are read and decoded."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from PIL import Image
from qtpy.QtCore import QTimer

RGB = np.random.default_rng(6).integers(0, 256, (64, 80, 3), dtype=np.uint8)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes in folders on Windows")
def test_the_window_goes_on_while_a_file_keeps_its_reader_waiting(
    opened: Callable[..., Any], qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that do not come, as from a share that is gone, keep the reader waiting and not the window."""
    path = tmp_path / "slow.png"
    Image.fromarray(RGB).save(path)
    gate = tmp_path / "gate"
    os.mkfifo(gate)

    def slow(image: Path, *_: Any) -> None:
        gate.read_bytes()

    monkeypatch.setattr("napari_mitosis.fields.field.sidecar_mpp", slow)
    viewer, panel = opened()
    page = panel.pages["Fields"]
    page.open_paths([path])
    beats: list[int] = []
    timer = QTimer()
    timer.timeout.connect(lambda: beats.append(1))
    timer.start(5)
    qtbot.waitUntil(lambda: len(beats) > 10, timeout=20_000)
    assert page.busy.isVisible()
    assert page.busy.text() == "Opening slow.png …"
    assert not len(viewer.layers)
    gate.write_bytes(b"go on")
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=20_000)
    qtbot.waitUntil(lambda: not page.busy.isVisible(), timeout=20_000)
    assert viewer.layers[0].name == "slow"
    np.testing.assert_array_equal(np.asarray(viewer.layers[0].data), RGB)


def test_a_folder_opens_in_its_order_without_what_is_no_image(
    opened: Callable[..., Any], qtbot: Any, tmp_path: Path
) -> None:
    for name in ("c", "a", "b"):
        Image.fromarray(RGB).save(tmp_path / f"{name}.png")
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "bad.png").write_bytes(b"no image either")
    viewer, panel = opened()
    told: list[str] = []
    notification_manager.notification_ready.connect(lambda note: told.append(note.message))
    panel.pages["Fields"].open_paths([tmp_path])
    with qtbot.waitSignal(panel.pages["Fields"].opening.ended, timeout=20_000):
        pass
    assert [layer.name for layer in viewer.layers] == ["a", "b", "c"]
    assert any("bad.png" in message for message in told)
