"""How fluid the window stays while a training runs beside it.

    python benchmarks/train_fluidity.py [--seconds 60] [--no-canvas]        (on a server: under xvfb-run)

Opens napari with a field, the detect dock and the train dock. A timer of 5 ms notes when the event loop comes round
to it, and how much of that time the window's own thread worked, while the camera pans and zooms and a mimic is
annotated every half second; first without a training, then with a real one, started by its button, from its first
moment on. Prints the largest gap and the 99th percentile of both, and returns 1 when the window was ever blocked for
more than 50 ms while training ran, but not without.

The canvas is drawn by the processor where there is no GPU, and then takes most of the time of a frame: --no-canvas
leaves the camera alone and shows what the docks themselves cost.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from importlib import resources
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pandas as pd
import platformdirs
import tifffile
from qtpy.QtCore import QEventLoop, Qt, QTimer

from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.store import Journal
from napari_mitosis.fields.field import open_field
from napari_mitosis.gui.app import open_window

LIMIT_MS, TICK_MS = 50.0, 5
SIDE = 512


class Rounds:
    """When the event loop came round, in seconds: by the clock, and in processor time of its thread."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []
        self.timer = QTimer()
        self.timer.setTimerType(Qt.TimerType.PreciseTimer)
        self.timer.setInterval(TICK_MS)
        self.timer.timeout.connect(lambda: self.times.append((time.perf_counter(), time.thread_time())))

    def gaps_ms(self) -> np.ndarray:
        """Between one round and the next, shape (n, 2): by the clock, and what the thread itself worked."""
        return 1000 * np.diff(self.times, axis=0)


class Hand:
    """Pans, zooms and annotates, as a reader does."""

    def __init__(self, viewer: napari.Viewer, notebook: Notebook, canvas: bool) -> None:
        self.viewer, self.notebook, self.canvas, self.at = viewer, notebook, canvas, 0
        self.camera = getattr(viewer, "scene", viewer).camera
        self.timer = QTimer()
        self.timer.setInterval(100)
        self.timer.timeout.connect(self.move)

    def move(self) -> None:
        """One movement: a pan, at times a zoom, at times a click."""
        self.at += 1
        if self.canvas:
            y, x = self.camera.center[-2:]
            self.camera.center = (y + 4 * np.sin(self.at / 7), x + 4 * np.cos(self.at / 7))
            if self.at % 10 == 0:
                self.camera.zoom *= 1.05 if self.at % 20 else 1 / 1.05
        if self.at % 5 == 0:
            place = np.random.default_rng(self.at).uniform(20, SIDE - 20, 2)
            self.notebook.add(float(place[0]), float(place[1]), "mimic")


def annotated_fields(folder: Path) -> list[Path]:
    """Cuts of the phantom field, annotated in a journal."""
    data = resources.files("napari_mitosis") / "sample_data"
    pixels, table = tifffile.imread(str(data / "hotspot.tif")), pd.read_csv(str(data / "hotspot.csv"))
    journal, paths = Journal(folder / "journal.sqlite"), []
    for name, top, left in (("a", 0, 0), ("b", SIDE, 0), ("c", 0, SIDE)):
        path = folder / f"{name}.tif"
        tifffile.imwrite(path, pixels[top : top + SIDE, left : left + SIDE], photometric="rgb")
        field = open_field(path, 0.25)
        journal.remember(field)
        rows = table.assign(y_px=table["y_px"] - top, x_px=table["x_px"] - left)
        rows = rows[rows["y_px"].between(0, SIDE - 1) & rows["x_px"].between(0, SIDE - 1)]
        notebook = Notebook(journal, field, "benchmark")
        notebook.add_all(rows)
        notebook.set_complete(True)
        paths.append(path)
    journal.close()
    return paths


def during(seconds: float, hand: Hand) -> np.ndarray:
    """The gaps of the event loop in so many seconds."""
    rounds = Rounds()
    rounds.timer.start()
    hand.timer.start()
    loop = QEventLoop()
    QTimer.singleShot(int(1000 * seconds), loop.quit)
    loop.exec()
    hand.timer.stop()
    rounds.timer.stop()
    return rounds.gaps_ms()


def rest(until: Any, seconds: float = 60.0) -> None:
    """Let the window work until something is so."""
    loop, timer = QEventLoop(), QTimer()  # to quit the application would close its windows
    timer.timeout.connect(lambda: loop.quit() if until() else None)
    timer.start(50)
    QTimer.singleShot(int(1000 * seconds), loop.quit)
    loop.exec()
    timer.stop()
    if not until():
        raise SystemExit("the window did not get ready")


def told(name: str, gaps: np.ndarray) -> str:
    """One line of the result."""
    over = (gaps > LIMIT_MS).sum(axis=0)
    parts = [
        f"{what}: 99 % {np.quantile(gaps[:, i], 0.99):5.1f} ms, largest {gaps[:, i].max():6.1f} ms, {over[i]} above"
        for i, what in enumerate(("gap", "own work"))
    ]
    seconds = np.cumsum(gaps[:, 0]) / 1000
    when = ", ".join(f"{seconds[at]:.1f}" for at in np.flatnonzero(gaps[:, 0] > LIMIT_MS)[:6])
    return f"{name:17s} {len(gaps)} rounds; {'; '.join(parts)}{f' (gaps after {when} s)' if when else ''}"


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--no-canvas", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        platformdirs.user_data_dir = lambda *_, **__: name  # type: ignore[assignment]
        os.environ["NAPARI_MITOSIS_JOURNAL"] = str(Path(name) / "journal.sqlite")
        paths = annotated_fields(Path(name))
        viewer, panel = open_window(paths[:1], detect=False, mpp=0.25)
        detect = panel.page("Detect")
        viewer.show()
        dock = panel.show_step("Train")
        dock.window().resize(1400, 950)
        key = next(iter(detect.fields))
        rest(lambda: detect.desk.notebook(key) is not None and len(dock.workers) == 0)
        rest(lambda: len(dock.panel.fields.fields) == 3)
        hand = Hand(viewer, detect.desk.notebook(key), not options.no_canvas)
        during(3, hand)  # shaders, fonts, the first frames
        without = during(options.seconds, hand)
        QTimer.singleShot(1000, dock.panel.start.click)
        beside = during(options.seconds, hand)
        if dock.training.run is None:
            raise SystemExit(f"no training began: {dock.panel.message.text() or dock.panel.start.toolTip()}")
        steps, trained = len(dock.training.curves.loss), dock.training.running or dock.training.last.status
        dock.cancel()
        rest(lambda: not dock.training.running, 120)
        load = f"load of the machine {os.getloadavg()[0]:.1f}, " if hasattr(os, "getloadavg") else ""
        print(f"{load}{os.cpu_count()} cores; still training: {trained}; steps {steps}")
        print(told("without training", without))
        print(told("while training", beside))
        viewer.close()
    return int(beside[:, 0].max() > LIMIT_MS >= without[:, 0].max())


if __name__ == "__main__":
    raise SystemExit(main())
