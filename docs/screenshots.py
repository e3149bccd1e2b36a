"""Take the pictures of README and docs in a real window.

python docs/screenshots.py docs/images        (on a server: xvfb-run -s "-screen 0 1600x1000x24" python ...)
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import napari
from qtpy.QtWidgets import QApplication

from napari_mitosis.datasets.samples import sample_folder
from napari_mitosis.gui.app import open_window
from napari_mitosis.gui.detect.dock import DetectDock
from napari_mitosis.gui.panel.panel import panel_of
from napari_mitosis.models.registry import list_cards

SYSTEMS = (
    ("partmitosis", False, "fusion"),
    ("deepdet", False, "boxes"),
    ("deepdet", True, "verified"),
    ("idsia", False, "peaks"),
    ("mssn", False, "why"),
    ("ensemble", False, "ensemble"),
)
"""Detector, whether DeepVer looks once more, and the name of the picture; those not installed are left out."""


def wait(seconds: float) -> None:
    """Let the window work."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        QApplication.processEvents()
        time.sleep(0.005)


def choose(dock: DetectDock, model: str, verified: bool) -> bool:
    """Choose the newest version of a detector; whether it and what it needs are installed."""
    panel = dock.panel.run_panel
    names = [card.detector for card in list_cards() if card.kind == "detector"]
    if model not in names or (verified and not panel.verify.isEnabled()):
        return False
    panel.model.setCurrentIndex(len(names) - 1 - names[::-1].index(model))
    panel.verify.setChecked(verified)
    return True


def detect(dock: DetectDock) -> None:
    """Press the button and wait for the result."""
    dock.run()
    while dock.running:
        wait(0.1)
    wait(1)


def comparison(viewer: napari.Viewer, dock: DetectDock, path: Path) -> None:
    """All detectors on the field; nothing where less than two are installed."""
    compare: Any = panel_of(viewer).show_step("Compare")
    if len(compare.checks) < 2:
        return
    for name in ("score_map", "detections", "boxes"):
        dock.panel.toggles[name].setChecked(False)
    compare.run()
    while compare.running:
        wait(0.1)
    compare.table.selectRow(0)
    wait(1)
    viewer.window.screenshot(str(path), canvas_only=False, flash=False)


def main() -> None:
    """Open the sample field, detect, walk, tune, and take a picture of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    viewer, panel = open_window([sample_folder() / "hotspot.tif"], detect=True)
    dock: Any = panel.page("Detect")
    viewer.show()
    viewer.window.resize(1366, 768)
    deadline = time.monotonic() + 120
    while not any(layer.name.endswith("detections") for layer in viewer.layers):
        wait(0.1)
        if time.monotonic() > deadline:
            raise SystemExit("no detections after two minutes")
    wait(2)
    viewer.window.screenshot(str(out / "detect.png"), canvas_only=False, flash=False)
    dock.figures.go(1)
    wait(1)
    viewer.window.screenshot(str(out / "close_up.png"), canvas_only=False, flash=False)
    viewer.reset_view()
    dock.panel.toggles["labels"].click()
    dock.panel.toggles["score_map"].click()
    wait(2)
    viewer.window.screenshot(str(out / "labels.png"), canvas_only=False, flash=False)
    dock.panel.toggles["labels"].click()
    dock.panel.toggles["score_map"].click()
    for model, verified, name in SYSTEMS:
        if choose(dock, model, verified):
            detect(dock)
            viewer.reset_view()
            dock.figures.go(1)
            if model == "mssn":
                why: Any = panel.show_step("Why")
                why.ask.click()
                while len(dock.workers):
                    wait(0.1)
            wait(1)
            viewer.window.screenshot(str(out / f"{name}.png"), canvas_only=False, flash=False)
            panel.show_step("Detect")
    comparison(viewer, dock, out / "compare.png")
    panel.desk.shutdown()
    viewer.close()


if __name__ == "__main__":
    main()
