"""Take the pictures of README and docs in a real window.

    python docs/screenshots.py docs/images        (on a server: xvfb-run -s "-screen 0 1600x1000x24" python ...)
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from qtpy.QtWidgets import QApplication

from napari_mitosis.gui.app import open_window


def wait(seconds: float) -> None:
    """Let the window work."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        QApplication.processEvents()
        time.sleep(0.005)


def main() -> None:
    """Open the sample field, detect, walk, tune, and take a picture of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    viewer, dock = open_window([], detect=True)
    viewer.show()
    viewer.window.resize(1280, 800)
    deadline = time.monotonic() + 120
    while not any(layer.name.endswith("detections") for layer in viewer.layers):
        wait(0.1)
        if time.monotonic() > deadline:
            raise SystemExit("no detections after two minutes")
    wait(2)
    viewer.window.screenshot(str(out / "detect.png"), canvas_only=False, flash=False)
    dock.go(1)
    wait(1)
    viewer.window.screenshot(str(out / "close_up.png"), canvas_only=False, flash=False)
    viewer.reset_view()
    dock.panel.toggles["labels"].click()
    dock.panel.toggles["score_map"].click()
    wait(2)
    viewer.window.screenshot(str(out / "labels.png"), canvas_only=False, flash=False)
    viewer.close()


if __name__ == "__main__":
    main()
