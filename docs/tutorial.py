"""Go through the tutorial in a real window, and take its pictures on the way.

python docs/tutorial.py        (on a server: xvfb-run -a -s "-screen 0 1600x1000x24" python docs/tutorial.py)
python docs/tutorial.py --size 1366 768 --images somewhere/        (as it looks on another screen)

Every step of `tutorial.md` is done here with clicks and keys, on drawn fields, with a journal, models and settings
in a folder that is deleted at the end: the script starts itself once more with an environment that says so.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QScrollArea, QTabBar, QWidget

from napari_mitosis.datasets.samples import sample_folder
from napari_mitosis.gui.annotate.blind import BlindPanel
from napari_mitosis.gui.annotate.panel import AnnotatePanel
from napari_mitosis.gui.app import open_window

IMAGES = Path(__file__).resolve().parent / "images"
SIZE = (1400, 900)
MOST_BYTES = 400_000
NEAR_PX = 30.0
LEFT, NONE = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
FIELDS = {"field 1": "hotspot", "field 2": "mimics", "field 3": "quiet"}


class Reader:
    """Somebody in front of the window."""

    def __init__(self, home: Path, size: tuple[int, int] = SIZE, images: Path = IMAGES) -> None:
        self.size, self.images = size, images
        self.truth: dict[str, pd.DataFrame] = {}
        paths = []
        for name, sample in FIELDS.items():
            paths.append(Path(shutil.copy(sample_folder() / f"{sample}.tif", home / f"{name}.tif")))
            self.truth[name] = pd.read_csv(sample_folder() / f"{sample}.csv")
        self.viewer, self.panel = open_window(paths, detect=False)
        self.detect: Any = self.panel.page("Detect")
        self.viewer.show()
        self.window = self.detect.window()
        self.window.resize(*size)
        self.wait(2)

    def wait(self, seconds: float) -> None:
        """Let the window work."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            QApplication.processEvents()
            time.sleep(0.005)

    def until(self, there: Callable[[], object], what: str, seconds: float = 120) -> None:
        """Wait for something."""
        end = time.monotonic() + seconds
        while not there():
            self.wait(0.05)
            if time.monotonic() > end:
                raise SystemExit(f"no {what} after {seconds:.0f} s")

    def picture(self, name: str) -> None:
        """Take a picture of the window, with as few colours as a small file takes."""
        self.wait(0.5)
        self.check(name)
        path = self.images / f"tutorial-{name}.png"
        self.viewer.window.screenshot(str(path), canvas_only=False, flash=False)
        image = Image.open(path).convert("RGB")
        for colours in (256, 192, 128, 96, 64):
            image.quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
            if path.stat().st_size < MOST_BYTES:
                break
        print(f"{path.name}: {path.stat().st_size // 1000} kB")

    def check(self, name: str) -> None:
        """The window is as large as it was made, and the canvas at least half as wide."""
        size = (self.window.width(), self.window.height())
        if size != self.size or self.canvas().width() < self.size[0] / 2:
            raise SystemExit(f"{name}: a window of {size} px with a canvas of {self.canvas().width()} px")

    # Hands

    def click(self, widget: Any, at: QPoint | None = None) -> None:
        """Click a widget; a check box at its tick."""
        assert widget.isEnabled(), widget.toolTip()
        QTest.mouseClick(widget, LEFT, Qt.KeyboardModifier.NoModifier, at or widget.rect().center())
        self.wait(0.05)

    def tab(self, title: str) -> Any:
        """Click a step of the panel, or a tab of its page; the step's page."""
        if title in self.panel.steps:
            if title in self.panel.buttons:
                self.click(self.panel.buttons[title])
            else:
                self.panel.actions_by_step[title].trigger()
            self.wait(0.5)
            return self.panel.page(title)
        for bar in self.window.findChildren(QTabBar):
            titles = [bar.tabText(at) for at in range(bar.count())]
            if title in titles and bar.isVisible():
                self.click(bar, bar.tabRect(titles.index(title)).center())
        self.wait(0.5)
        return None

    def strike(self, key: Qt.Key, held: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        """Press a key in the window."""
        QTest.keyClick(self.window, key, held)
        self.wait(0.03)

    def screen(self, field: str, y_px: float, x_px: float) -> QPointF:
        """Where on the canvas a place of a field is drawn."""
        camera = getattr(self.viewer, "scene", self.viewer).camera
        y, x = self.viewer.layers[field].data_to_world((y_px, x_px))
        canvas, centre = self.canvas(), camera.center[-2:]
        return QPointF(
            (x - centre[1]) * camera.zoom + canvas.width() / 2, (y - centre[0]) * camera.zoom + canvas.height() / 2
        )

    def canvas(self) -> Any:
        """The largest one."""
        shown = [one for one in self.window.findChildren(QOpenGLWidget) if one.isVisible()]
        return max(shown, key=lambda one: one.width() * one.height())

    def mouse(self, kind: Any, at: QPointF, held: Any) -> None:
        """One event on the canvas."""
        canvas, button = self.canvas(), NONE if kind == QEvent.Type.MouseMove else LEFT
        place = QPointF(canvas.mapToGlobal(at))
        QApplication.sendEvent(canvas, QMouseEvent(kind, at, place, button, held, Qt.KeyboardModifier.NoModifier))

    def mark(self, field: str, y_px: float, x_px: float) -> None:
        """Click on the tissue."""
        at = self.screen(field, y_px, x_px)
        self.mouse(QEvent.Type.MouseMove, at, NONE)
        self.mouse(QEvent.Type.MouseButtonPress, at, LEFT)
        self.mouse(QEvent.Type.MouseButtonRelease, at, NONE)
        self.wait(0.2)

    def drag(self, field: str, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag a figure."""
        a, b = self.screen(field, *start), self.screen(field, *end)
        self.mouse(QEvent.Type.MouseMove, a, NONE)
        self.mouse(QEvent.Type.MouseButtonPress, a, LEFT)
        for step in range(1, 9):
            self.wait(0.02)
            self.mouse(QEvent.Type.MouseMove, a + (b - a) * (step / 8), LEFT)
        self.mouse(QEvent.Type.MouseButtonRelease, b, NONE)
        self.wait(0.2)

    # What the fields hold

    def field(self, name: str) -> None:
        """Look at a field, as by a click in the list of layers."""
        self.viewer.layers.selection.active = self.viewer.layers[name]
        self.until(lambda: self.detect.desk.current is not None, "journal")
        self.wait(0.3)

    def is_mitosis(self, field: str, y_px: float, x_px: float) -> bool:
        """Whether a mitosis is drawn there."""
        places = self.mitoses(field)
        return bool(len(places) and np.linalg.norm(places - (y_px, x_px), axis=1).min() < NEAR_PX)

    def mitoses(self, field: str) -> Any:
        """Where mitoses are drawn: y, x."""
        truth = self.truth[field]
        return truth.loc[truth["label"] == "mitosis", ["y_px", "x_px"]].to_numpy()

    def missed(self, field: str) -> list[tuple[float, float]]:
        """Drawn mitoses that are not marked yet."""
        marked = self.detect.desk.current.figures[["y_px", "x_px"]].to_numpy(dtype=float)
        return [
            (float(y), float(x))
            for y, x in self.mitoses(field)
            if not len(marked) or np.linalg.norm(marked - (y, x), axis=1).min() > NEAR_PX
        ]


def judge(reader: Reader, field: str, count: int | None = None) -> None:
    """Judge the candidates with a key each; all of them, or the first ones."""
    review = reader.tab("Review")
    reader.until(lambda: review.reviewing.queue.present is not None, "candidate")
    waiting = len(review.reviewing.queue) - review.reviewing.queue.decided
    for _ in range(waiting if count is None else count):
        target = review.reviewing.queue.target
        yes = reader.is_mitosis(field, target.y_px, target.x_px)
        reader.strike(Qt.Key.Key_G if yes else Qt.Key.Key_W)
    reader.wait(0.5)


def detect(reader: Reader) -> None:
    """Press the button, and wait."""
    reader.tab("Detect")
    reader.click(reader.detect.panel.run_panel.run)
    reader.until(lambda: not reader.detect.running, "detections", 600)
    reader.wait(1)
    reader.tab("Detect")  # the panel has gone on to the review of a field that nobody has judged yet


def correct(reader: Reader, review: QWidget, field: str) -> None:
    """Mark by click what was missed, and say that the field is complete."""
    reader.tab("Annotate")
    panel: Any = review.findChild(AnnotatePanel)
    reader.viewer.reset_view()
    missed = reader.missed(field)
    if missed:
        reader.click(panel.mode)
        for y, x in missed:
            reader.mark(field, y + 6, x - 8)
            reader.drag(field, (y + 6, x - 8), (y, x))
        reader.strike(Qt.Key.Key_U, Qt.KeyboardModifier.ShiftModifier)
        reader.strike(Qt.Key.Key_R, Qt.KeyboardModifier.ShiftModifier)
    if not panel.complete.isChecked():
        reader.click(panel.complete, QPoint(8, panel.complete.height() // 2))
    assert reader.detect.desk.current.complete


def first_field(reader: Reader) -> None:
    """Open, detect, review, correct, look a second time."""
    reader.field("field 1")
    reader.viewer.reset_view()
    reader.picture("open")
    detect(reader)
    reader.viewer.reset_view()
    reader.picture("detect")
    judge(reader, "field 1", 6)
    reader.strike(Qt.Key.Key_2, Qt.KeyboardModifier.ControlModifier)
    reader.picture("review")
    judge(reader, "field 1")
    review = reader.tab("Review")
    correct(reader, review, "field 1")
    reader.picture("annotate")
    panel: Any = review.findChild(AnnotatePanel)
    if panel.annotating.tool.on:
        reader.click(panel.mode)
    reader.tab("Second look")
    reader.until(lambda: len(review.reviewing.queue.second) >= 3, "candidates below the threshold")
    for _ in range(3):
        reader.wait(0.8)
        yes = reader.is_mitosis("field 1", *review.reviewing.target.place)
        reader.strike(Qt.Key.Key_G if yes else Qt.Key.Key_W)
    reader.wait(1)
    reader.picture("second-look")


def blind_field(reader: Reader) -> None:
    """Read the second field before the detections are seen."""
    reader.field("field 2")
    review = reader.tab("Review")
    reader.tab("Blind first")
    blind: Any = review.findChild(BlindPanel)
    reader.click(blind.start)
    reader.viewer.reset_view()
    detect(reader)
    reader.tab("Review")
    for y, x in reader.mitoses("field 2")[1:]:
        reader.mark("field 2", y, x)
    reader.picture("blind")
    reader.click(blind.reveal)
    reader.wait(0.5)
    reader.picture("agreement")
    reader.tab("Candidates")
    judge(reader, "field 2")
    correct(reader, review, "field 2")


def train(reader: Reader) -> None:
    """Train for a minute, read the verdict, adopt, go back."""
    dock = reader.tab("Train")
    panel = dock.panel
    reader.until(lambda: panel.fields.rowCount() == 2, "fields")
    reader.click(panel.budgets[0])
    reader.click(panel.start)
    reader.until(lambda: dock.training is not None and len(dock.training.watch.curves.f) >= 1, "curve", 1200)
    reader.picture("train")
    reader.until(lambda: panel.verdict.judgement is not None, "verdict", 1800)
    reader.wait(1)
    scroll: Any = dock.findChild(QScrollArea)
    scroll.ensureWidgetVisible(panel.verdict.adopt)
    reader.picture("verdict")
    print(panel.verdict.reason.text())
    assert panel.verdict.judgement.verdict.offered
    reader.click(panel.verdict.adopt)
    scroll.verticalScrollBar().setValue(panel.verdict.y())
    reader.picture("adopted")
    detect(reader)
    reader.viewer.reset_view()
    reader.picture("again")
    reader.tab("Train")
    reader.click(panel.versions.back)
    assert reader.detect.panel.run_panel.chosen.name == "segmitos@1.0.0"


def headless(home: Path) -> None:
    """The same journal on the command line."""
    commands = (
        ("journal", "fields"),
        ("journal", "log", "field 1", "--last", "5"),
        ("journal", "export", "--format", "geojson", "--out", str(home / "geojson")),
        ("journal", "snapshot", str(home / "set.json")),
        ("journal", "check"),
        ("finetune", "--fields", "field 1,field 2", "--minutes", "0.02", "--out", str(home / "run")),
        ("finetune", "--out", str(home / "run"), "--adopt"),
    )
    program = "from napari_mitosis.cli.app import main; main()"
    for command in commands:
        subprocess.run([sys.executable, "-c", program, *command], check=True)


def go_through(home: Path, size: tuple[int, int], images: Path) -> None:
    """All of it."""
    reader = Reader(home, size, images)
    try:
        first_field(reader)
        blind_field(reader)
        train(reader)
    finally:
        reader.detect.desk.shutdown()
        reader.viewer.close()
    headless(home)


def main() -> int:
    """Make a folder for everything that is written, and go through the tutorial in a process that knows only it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, nargs=2, default=SIZE, metavar=("WIDTH", "HEIGHT"), help="of the window")
    parser.add_argument("--images", type=Path, default=IMAGES, help="folder for the pictures")
    options = parser.parse_args()
    if options.home is not None:
        go_through(options.home, tuple(options.size), options.images)
        return 0
    options.images.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tutorial-") as folder:
        own = {
            "NAPARI_MITOSIS_JOURNAL": f"{folder}/journal.sqlite",
            "NAPARI_MITOSIS_SETTINGS": f"{folder}/settings.json",
            "NAPARI_MITOSIS_MODELS": f"{folder}/models",
            "NAPARI_MITOSIS_READER": "Dr. Ada",
            "NAPARI_CONFIG": f"{folder}/napari.yaml",
            "XDG_DATA_HOME": folder,
        }
        size = [str(side) for side in options.size]
        asked = ["--home", folder, "--size", *size, "--images", str(options.images.resolve())]
        return subprocess.run([sys.executable, __file__, *asked], env={**os.environ, **own}).returncode


if __name__ == "__main__":
    raise SystemExit(main())
