"""A small real detector, a drawn field, and a dock in a real window."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("napari")

from qtpy.compat import isalive

from napari_mitosis.decision.evidence import Evidence
from napari_mitosis.fields.field import Field
from napari_mitosis.gui.app import open_window
from napari_mitosis.gui.detect.dock import DetectDock
from napari_mitosis.gui.panel.dock import open_step
from napari_mitosis.gui.panel.panel import Panel, panel_of
from napari_mitosis.gui.panel.result_bar import ResultBar
from napari_mitosis.inference.pipeline import Pipeline
from napari_mitosis.jobs import Job, Progress
from napari_mitosis.models.card import Measure, ModelCard
from napari_mitosis.session import Session

STRIDE = 4
MPP = 0.25


def card(version: str = "1.0.0") -> ModelCard:
    return ModelCard(
        detector="darkness",
        config="compact",
        version=version,
        title="Darkness",
        mpp=MPP,
        tile_px=64,
        halo_px=0,
        parameters=0,
        rule={"smoothing_um": 0.5, "threshold": 0.3, "min_area_um2": 5.0, "min_score": 0.4},
        rule_chosen_on="nothing: it is drawn",
        trained_on="nothing",
        terms="free",
        measures=(
            Measure(
                name="drawn discs, all",
                fields=1,
                mitoses=3,
                radius_um=5,
                precision=1,
                recall=1,
                f=1,
                f_low=0.9,
                f_high=1,
            ),
        ),
    )


@dataclass(frozen=True, eq=False)
class DarknessPipeline(Pipeline):
    """Looks by what a `DarknessDetector` says."""

    owner: DarknessDetector
    name = property(lambda self: self.card.name)
    cards = property(lambda self: (self.card,))
    fingerprint = property(lambda self: self.card.name)
    extra_columns = ()

    def look(self, field: Field, **_: Any) -> Job[Evidence]:
        return self.owner.look(field, self.card.name)

    _look = look


@dataclass
class DarknessDetector:
    """A dense detector without weights: the mean darkness of each cell, row of tiles by row of tiles.

    `gate` holds it before each tile while it is not set, so that a test can act in the middle of a run.
    """

    gate: threading.Event = field(default_factory=threading.Event)
    tiles_started: threading.Event = field(default_factory=threading.Event)
    looks: int = 0
    error: Exception | None = None
    tile_cells: int = 16

    def __post_init__(self) -> None:
        self.gate.set()

    def load(self, name: str) -> DarknessPipeline:
        mine = card(name.partition("@")[2])
        return DarknessPipeline(mine, mine.decision_rule(), self)

    def look(self, field: Field, model: str) -> Job[Evidence]:
        self.looks += 1
        mpp = field.require_mpp("Detection")
        h, w = (-(-n // STRIDE) for n in field.shape)
        scores = np.zeros((h, w), dtype=np.float16)
        rows = range(0, h, self.tile_cells)
        yield Progress(0, len(rows), "darkness on cpu")
        for done, y in enumerate(rows):
            self.tiles_started.set()
            self.gate.wait(20)
            if self.error is not None:
                raise self.error
            y1 = min(h, y + self.tile_cells)
            dark = 1 - field.read(y * STRIDE, min(y1 * STRIDE, field.shape[0]), 0, field.shape[1]).mean(axis=2) / 255
            dark = np.pad(dark, ((0, (y1 - y) * STRIDE - dark.shape[0]), (0, w * STRIDE - dark.shape[1])))
            scores[y:y1] = dark.reshape(y1 - y, STRIDE, w, STRIDE).mean(axis=(1, 3))
            yield Progress(done + 1, len(rows), "darkness on cpu")
        return Evidence({"darkness": scores}, float(STRIDE), field.shape, mpp, model, field.digest)


def drawn_field(
    shape: tuple[int, int] = (256, 320),
    discs: tuple[tuple[float, float, float, int], ...] = ((60, 80, 14, 20), (180, 250, 12, 60), (120, 160, 9, 110)),
) -> np.ndarray:
    """White with dark discs: (y, x, radius, grey) in pixels."""
    image = np.full((*shape, 3), 245, dtype=np.uint8)
    ys, xs = np.mgrid[: shape[0], : shape[1]]
    for y, x, r, grey in discs:
        image[(ys - y) ** 2 + (xs - x) ** 2 <= r * r] = grey
    return image


def add_field(viewer: Any, image: np.ndarray | None = None, mpp: float | None = MPP, name: str = "field") -> Any:
    """Open an image as a field, as the reader does."""
    options: dict[str, Any] = {} if mpp is None else {"scale": (mpp, mpp), "units": ("um", "um")}
    return viewer.add_image(drawn_field() if image is None else image, rgb=True, name=name, **options)


@pytest.fixture(autouse=True)
def own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal, settings and a reader of the test's own: no test writes into those of a person."""
    monkeypatch.setenv("NAPARI_MITOSIS_JOURNAL", str(tmp_path / "journal.sqlite"))
    monkeypatch.setenv("NAPARI_MITOSIS_SETTINGS", str(tmp_path / "settings.json"))
    monkeypatch.setenv("NAPARI_MITOSIS_COVERAGE", str(tmp_path / "coverage"))
    monkeypatch.delenv("NAPARI_MITOSIS_READER", raising=False)


@pytest.fixture
def opened(qtbot: Any, mock_app_model: Any) -> Iterator[Callable[..., tuple[Any, Panel]]]:
    """Opens windows, and closes them after the test."""
    windows: list[tuple[Any, Panel]] = []

    def opener(*paths: Path, **options: Any) -> tuple[Any, Panel]:
        viewer, panel = open_window(list(paths), **{"detect": False, **options})
        windows.append((viewer, panel))
        viewer.show()
        qtbot.wait(100)
        return viewer, panel

    yield opener
    for viewer, panel in windows:
        if isalive(panel):
            panel.desk.shutdown()
            viewer.close()


@pytest.fixture
def detector() -> Iterator[DarknessDetector]:
    made = DarknessDetector()
    yield made
    made.gate.set()


@pytest.fixture
def open_dock(make_napari_viewer: Any, detector: DarknessDetector, qtbot: Any) -> Callable[..., Any]:
    """Opens a viewer with the dock in it; after the test no job thread may be left."""

    def opened(show: bool = True, cards: list[ModelCard] | None = None) -> Any:
        viewer = make_napari_viewer(show=show)
        dock = DetectDock(viewer, Session(detector.load), [card()] if cards is None else cards)
        Panel(dock.desk, {"Detect": dock})
        open_step(viewer, "Detect")
        dock.panel.toggles["score_map"].setChecked(True)  # off at first; here it is looked at as well
        dock.panel.rule.advanced.setChecked(True)
        qtbot.wait(50)  # until the layout stands: a click needs a place
        return viewer, dock

    return opened


@pytest.fixture
def detected(open_dock: Any, qtbot: Any) -> Any:
    """A viewer with one field in which everything was detected."""
    viewer, dock = open_dock()
    add_field(viewer)
    run_to_end(dock, qtbot)
    return viewer, dock


def run_to_end(dock: DetectDock, qtbot: Any) -> None:
    """Press the button and wait for the result."""
    press(dock.panel.run_panel.run, qtbot)
    qtbot.waitUntil(lambda: not dock.running, timeout=20000)


def press(button: Any, qtbot: Any) -> None:
    """Press a real button."""
    from qtpy.QtCore import Qt

    assert button.isEnabled(), button.toolTip()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def settle(qtbot: Any, dock: DetectDock) -> None:
    """Wait until no decision and no job is under way."""
    qtbot.wait(60)
    qtbot.waitUntil(lambda: len(dock.workers) == 0, timeout=20000)


def camera_of(viewer: Any) -> Any:
    """The camera, wherever this napari keeps it."""
    return getattr(viewer, "scene", viewer).camera


def bar(dock: Any) -> ResultBar:
    """The result bar above a page."""
    return panel_of(dock.viewer).result_bar
