"""A monkey at the window: whatever is done in whatever order, one target, one truth, nothing of a blind field.

100 actions by default. ``make monkey`` does 2,000 for each of some seeds, and trains as well: ``NAPARI_MITOSIS_MONKEY``
says how many, ``NAPARI_MITOSIS_MONKEY_SEED`` which.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from qtpy.QtCore import Qt

from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.store import Journal
from napari_mitosis.gui.annotate.coverage_watch import UNSEEN
from napari_mitosis.gui.annotate.layer import NAME
from napari_mitosis.gui.card import short
from napari_mitosis.gui.panel.dock import DOCK_NAME, open_step
from napari_mitosis.gui.panel.panel import panel_of
from napari_mitosis.gui.places import OWNER_KEY
from napari_mitosis.tables import LABELS

from .conftest import add_field, camera_of, card, drawn_field, settle
from .review_window import open_review, strike

STEPS = int(os.environ.get("NAPARI_MITOSIS_MONKEY", "100"))
SEED = int(os.environ.get("NAPARI_MITOSIS_MONKEY_SEED", "7"))
MOST_FIELDS = 3
LONG = 1000
"""So many actions and more: it trains as well, in a process of its own, which takes seconds to come up."""


class Monkey:
    """Does one thing after another to a window, and looks after each whether it still makes sense."""

    def __init__(self, viewer: Any, detect: Any, dock: Any, qtbot: Any, seed: int, folder: Path) -> None:
        self.viewer, self.detect, self.dock, self.qtbot, self.folder = viewer, detect, dock, qtbot, folder
        self.panel = panel_of(viewer)
        self.desk, self.session, self.reviewing = dock.desk, dock.desk.session, dock.reviewing
        self.rng = np.random.default_rng(seed)
        self.opened = 0
        self.held = False
        self.done: list[str] = []

    # What it does

    def fields(self) -> list[Any]:
        return [self.desk.fields.layer(key) for key in self.desk.fields]

    def pick(self, things: Any) -> Any:
        return things[int(self.rng.integers(len(things)))] if len(things) else None

    def open(self) -> None:
        if len(self.fields()) >= MOST_FIELDS:
            return
        places = [(y, x) for y in (40, 120, 200) for x in (50, 130, 210, 290)]
        self.rng.shuffle(places)
        discs = tuple((y, x, 9 + at % 4, 20 + 14 * at) for at, (y, x) in enumerate(places[:9]))
        self.opened += 1
        if self.rng.random() < 0.15:
            add_field(self.viewer, drawn_field((256, 340), discs), None, f"field {self.opened}")
        else:
            self.open_file(discs)

    def open_file(self, discs: tuple[tuple[int, int, int, int], ...]) -> None:
        """From a file, so that something can be learnt from it."""
        path = self.folder / f"field {self.opened}.tif"
        per_cm = (1 / 0.25e-4,) * 2
        pixels = drawn_field((256, 340), discs)
        tifffile.imwrite(path, pixels, photometric="rgb", resolution=per_cm, resolutionunit="CENTIMETER")
        self.viewer.open(str(path), plugin="napari-mitosis")

    def close(self) -> None:
        layer = self.pick(self.fields())
        if layer is not None:
            self.viewer.layers.remove(layer)

    def rename(self) -> None:
        layer = self.pick(self.fields())
        if layer is not None:
            layer.name = f"renamed {self.rng.integers(1000)}"

    def delete_overlay(self) -> None:
        overlays = [layer for layer in self.viewer.layers if OWNER_KEY in layer.metadata]
        if overlays:
            self.viewer.layers.remove(self.pick(overlays))

    def toggle_overlay(self) -> None:
        overlays = [layer for layer in self.viewer.layers if OWNER_KEY in layer.metadata]
        if overlays:
            layer = self.pick(overlays)
            layer.visible = not layer.visible

    def switch(self) -> None:
        layer = self.pick(self.fields())
        if layer is not None:
            self.viewer.layers.selection.active = layer

    def run(self) -> None:
        if not self.detect.running:
            self.detect.run()

    def run_to_end(self) -> None:
        self.run()
        self.qtbot.waitUntil(lambda: not self.detect.running, timeout=20_000)

    def cancel(self) -> None:
        self.detect.runs.cancel()

    def rule(self) -> None:
        state = self.session.current
        if state is not None and state.rule is not None:
            self.session.set_rule(self.session.active, min_score=float(self.rng.uniform(0.1, 0.95)))

    def mark(self) -> None:
        if self.dock.annotating.notebook is not None:
            y, x = self.rng.uniform(5, 250), self.rng.uniform(5, 330)
            self.dock.annotating.mark(float(y), float(x), self.pick(LABELS))

    def select_figure(self) -> None:
        notebook = self.dock.annotating.notebook
        if notebook is not None and len(notebook.figures):
            self.dock.annotating.select(str(self.pick(notebook.figures["figure"].to_numpy())))

    def delete_figure(self) -> None:
        notebook = self.dock.annotating.notebook
        if notebook is not None and len(notebook.figures):
            notebook.delete(str(self.pick(notebook.figures["figure"].to_numpy())))

    def blind(self) -> None:
        annotating = self.dock.annotating
        if annotating.notebook is None:
            return
        if annotating.blind.blind(annotating.key):
            annotating.reveal()
        else:
            annotating.start_blind()

    def hide(self) -> None:
        """The x of the panel; or it is opened again."""
        held = self.viewer.window.dock_widgets.get(DOCK_NAME)
        if held is not None:
            self.viewer.window.remove_dock_widget(held)
        else:
            open_step(self.viewer, self.pick(("Detect", "Review")))

    def go_to_step(self) -> None:
        open_step(
            self.viewer, self.pick(("Fields", "Detect", "Review", "Review", "Review", "Report", "Compare", "Why"))
        )

    def model(self) -> None:
        """Another model is selected; what ran stays what is shown."""
        self.detect.panel.run_panel.model.setCurrentIndex(int(self.rng.integers(2)))

    def train(self) -> None:
        """A short training is begun, or the one under way is given up."""
        page = self.panel.page("Train")
        if page.training is None:
            open_step(self.viewer, "Train")  # it reads the journal when it is first looked at
        elif page.training.running:
            page.cancel()
        else:
            page.start()

    def tab(self) -> None:
        self.dock.tabs.setCurrentIndex(int(self.rng.integers(4)))

    def click_gallery(self) -> None:
        part = self.pick((self.dock.browser, self.dock.second))
        if part.gallery.isVisible() and part.model.rowCount():
            index = part.model.index(int(self.rng.integers(part.model.rowCount())), 0)
            place = part.gallery.visualRect(index).center()
            if part.gallery.viewport().rect().contains(place):
                self.qtbot.mouseClick(part.gallery.viewport(), Qt.MouseButton.LeftButton, pos=place)

    def pan(self) -> None:
        camera_of(self.viewer).center = (0, float(self.rng.uniform(-40, 100)), float(self.rng.uniform(-40, 120)))

    def peek(self) -> None:
        self.held = not self.held
        (self.qtbot.keyPress if self.held else self.qtbot.keyRelease)(self.dock.window(), Qt.Key.Key_8)

    def options(self) -> None:
        browser = self.dock.browser
        self.pick(
            (
                browser.below.click,
                lambda: browser.order_chosen.emit(self.pick(("score", "reading", "uncertainty"))),
                self.pick(list(browser.filters.values())).click,
                browser.switch.click,
                lambda: self.dock.second.count.setValue(int(self.rng.integers(1, 9))),
            )
        )()

    def step(self) -> None:
        strike(self.dock, self.pick(("next", "back", "skip", "undo", "redo", "metaphase")), self.qtbot)

    def judge(self) -> None:
        """A key: what it judges is what was shown, and on the screen."""
        dock, label = self.dock, str(self.pick(LABELS))
        before, target = dock.annotating.notebook, dock.reviewing.target
        figures = before.figures if before is not None else None
        seen = dock.isVisible() and dock.marker.in_view
        strike(dock, label, self.qtbot)
        after = before.figures if before is not None else None
        if figures is None or after is None or figures.equals(after):
            return
        assert target is not None
        assert seen, "it judged what was not to be seen"
        assert dock.marker.canvas is not None
        apart = np.hypot(after["y_px"] - target.y_px, after["x_px"] - target.x_px).to_numpy()
        assert after["label"].iloc[int(np.argmin(apart))] == label
        assert apart.min() * 0.25 <= 5
        changed = pd.concat([figures, after]).drop_duplicates(["figure", "label"], keep=False)
        assert len(set(changed["figure"])) == 1, "one key, one figure"

    def end_training(self) -> None:
        """No process may be left."""
        page = self.panel.pages.get("Train")
        if page is not None and page.training is not None and page.training.running:
            page.cancel()
            self.qtbot.waitUntil(lambda: not page.training.running, timeout=240_000)

    def act(self) -> None:
        actions: dict[Callable[[], None], int] = {
            self.judge: 14, self.step: 10, self.click_gallery: 8, self.tab: 6, self.switch: 5, self.mark: 4,
            self.run: 4, self.rule: 4, self.select_figure: 4, self.open: 3, self.run_to_end: 3, self.pan: 3,
            self.toggle_overlay: 3,
            self.cancel: 2, self.rename: 2, self.delete_overlay: 2, self.delete_figure: 2, self.blind: 2,
            self.hide: 2, self.go_to_step: 4, self.model: 3, self.peek: 2, self.options: 3, self.close: 1,
            self.train: int(STEPS >= LONG),
        }  # fmt: skip
        weights = np.array(list(actions.values()), dtype=float)
        action = list(actions)[int(self.rng.choice(len(actions), p=weights / weights.sum()))]
        self.done.append(action.__name__)
        action()
        self.qtbot.wait(int(self.rng.choice([0, 0, 5, 30])))

    # What must hold

    def check(self) -> None:
        dock, target = self.dock, self.reviewing.target
        key, blind = self.session.active, self.desk.blind
        assert dock.panel.card.picture.target == target, "the thumbnail is another's"
        measured = self.session.current is not None and self.session.current.field.mpp is not None
        if target is not None and dock.isVisible() and measured:
            assert dock.marker.centre_px == target.place, "the crosshair is elsewhere"
        else:
            assert dock.marker.place_px is None, "a crosshair without a target"
        if target is not None:
            assert target.state == self.reviewing.queue.notes["state"].iloc[self.reviewing.queue.present]
        self.check_bar(key, blind.blind(key))
        for other in self.session:
            layer, result = self.desk.fields.results(str(other)).detections, self.session[other].result
            if layer is not None and layer in self.viewer.layers and result is not None:
                assert np.allclose(layer.data, result.detections[["y_px", "x_px"]]), "another result is on screen"
            if blind.blind(other):
                self.check_blind(other)
        if blind.blind(key):
            assert target is None
            assert dock.marker.place_px is None
            assert dock.browser.model.rowCount() == dock.second.model.rowCount() == 0 or not dock.isVisible()

    def check_bar(self, key: Any, blind: bool) -> None:
        """What the bar says is of the model that ran, whichever is selected."""
        bar, state = self.panel.result_bar, self.session.current
        if state is None or blind:
            assert not bar.count.text()
            assert not bar.model.text()
        elif state.result is None:
            assert not bar.model.text()
        else:
            ran, selected = state.result.card, self.detect.panel.run_panel.chosen
            assert bar.model.text().startswith(short(ran))
            assert bar.other.isHidden() == (selected.name == ran.name)

    def check_blind(self, key: Any) -> None:
        own = (f": {NAME}", f": {UNSEEN}")
        shown = [
            layer.name
            for layer in self.viewer.layers
            if layer.metadata.get(OWNER_KEY) == key and layer.visible and not layer.name.endswith(own)
        ]
        assert not shown, f"{shown} of a field that is read blind"
        assert self.desk.counts.of(key) is None

    def check_journal(self) -> None:
        """What is in memory is what another process would read."""
        journal = Journal(os.environ["NAPARI_MITOSIS_JOURNAL"])
        for key in self.session:
            notebook = self.desk.notebook(key)
            if notebook is not None:
                again = Notebook(journal, notebook.field, notebook.reader)
                columns = ["figure", "y_px", "x_px", "label", "phase"]
                pd.testing.assert_frame_equal(
                    notebook.figures[columns].sort_values("figure", ignore_index=True),
                    again.figures[columns].sort_values("figure", ignore_index=True),
                )
        journal.close()


@pytest.mark.timeout(1800)
def test_whatever_is_done_there_is_one_target_and_one_truth(open_dock: Any, qtbot: Any, tmp_path: Path) -> None:
    viewer, detect = open_dock(cards=[card("1.0.0"), card("2.0.0")])
    viewer.window.resize(1366, 740)
    add_field(viewer, drawn_field((256, 340)))
    dock = open_review(viewer, qtbot)
    monkey = Monkey(viewer, detect, dock, qtbot, SEED, tmp_path)
    monkey.run_to_end()
    try:
        for _ in range(STEPS):
            monkey.act()
            monkey.check()
    except BaseException as error:
        error.add_note(f"seed {SEED}, after {len(monkey.done)} steps: …, {', '.join(monkey.done[-12:])}")
        raise
    if monkey.held:
        monkey.peek()
    qtbot.waitUntil(lambda: not detect.running, timeout=20_000)
    monkey.end_training()
    settle(qtbot, detect)
    monkey.check()
    monkey.check_journal()
    assert len(set(monkey.done)) >= 15, "it has tried about everything"
    viewer.close()
    qtbot.wait(200)
    left = [thread.name for thread in threading.enumerate() if "Job" in type(thread).__name__]
    assert not left
