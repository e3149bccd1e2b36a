"""The layer of annotations: whatever is done to it by napari's own means is in the journal, and the other way round."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import Qt

from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.store import Journal
from napari_mitosis.gui.annotate import annotating_of
from napari_mitosis.gui.annotate.looks import LOOKS
from napari_mitosis.tables import LABELS

from .conftest import add_field
from .mouse import Mouse

SHAPE = (256, 320)


@pytest.fixture
def bench(open_dock: Any, qtbot: Any, tmp_path: Any, monkeypatch: Any) -> Any:
    """Viewer, dock and annotation of a field whose notebook is open."""
    monkeypatch.setenv("NAPARI_MITOSIS_JOURNAL", str(tmp_path / "journal.sqlite"))
    viewer, dock = open_dock()
    layer = add_field(viewer)
    annotating = annotating_of(dock.desk)
    qtbot.waitUntil(lambda: annotating.current is not None, timeout=10000)
    viewer.reset_view()
    return viewer, dock, annotating, layer


def check(annotating: Any) -> None:
    """The layer shows the notebook, to the bit; so does a fresh notebook from the journal on disk."""
    notebook, points = annotating.notebook, annotating.current.points
    figures = notebook.figures
    assert notebook.pending == 0
    if points is not None:
        assert np.array_equal(points.data, figures[["y_px", "x_px"]].to_numpy().reshape(-1, 2))
        for name in ("figure", "label", "phase", "reader", "source"):
            assert list(points.features[name]) == list(figures[name]), name
        assert [str(one) for one in points.symbol] == [LOOKS[label].symbol for label in figures["label"]]
    journal = Journal(_where())
    fresh = Notebook(journal, notebook.field, notebook.reader)
    pd.testing.assert_frame_equal(fresh.figures, figures)
    journal.close()


def _where() -> Any:
    from napari_mitosis.annotations.store import default_journal

    return default_journal()


def kinds(annotating: Any) -> list[str]:
    return [action.kind for action in annotating.desk.journal.actions()]


def test_a_hidden_layer_follows_as_well(bench: Any) -> None:
    _viewer, _dock, annotating, _field = bench
    notebook, points = annotating.notebook, annotating.current.points
    first = notebook.add(60, 80)
    notebook.reject(100, 40, source="darkness@1.0.0", score=0.4)
    points.visible = False
    notebook.delete(first)  # napari drew the others by numbers that were gone
    points.visible = True
    check(annotating)


def test_the_layer_follows_the_notebook(bench: Any) -> None:
    viewer, _dock, annotating, field = bench
    notebook, points = annotating.notebook, annotating.current.points
    assert points.name == "field: annotations"
    assert np.allclose(points.scale, field.scale)
    assert viewer.layers.selection.active is not points
    figure = notebook.add(60, 80)
    notebook.reject(100, 40, source="darkness@1.0.0", score=0.4)
    unsure = notebook.accept(10, 20, source="darkness@1.0.0", score=0.5, label="unsure")
    notebook.move(figure, 61.5, 82.25)
    check(annotating)
    assert points.data.tolist() == [[61.5, 82.25], [100, 40], [10, 20]]
    assert points.size.tolist() == [LOOKS[label].size_um / 0.25 for label in ("mitosis", "mimic", "unsure")]
    notebook.relabel(unsure, "mitosis", "metaphase")
    notebook.delete(figure)
    check(annotating)
    for _ in range(3):
        notebook.undo()
        check(annotating)
    notebook.redo()
    check(annotating)
    # Another reader, in another process as it were.
    journal = Journal(_where())
    Notebook(journal, notebook.field, "another").add(200, 200, "mimic")
    journal.close()
    notebook.refresh()
    check(annotating)
    assert points.features["reader"].iloc[-1] == "another"


def test_naparis_tools_are_journalled(bench: Any, qtbot: Any) -> None:
    """Its add tool, its selection and drag with a real mouse, its delete key, copy and paste."""
    viewer, dock, annotating, field = bench
    notebook, points, mouse = annotating.notebook, annotating.current.points, Mouse(viewer, dock, field)
    viewer.layers.selection.active = points
    points.mode = "add"
    mouse.click(60, 80)
    mouse.click(150, 200)
    check(annotating)
    annotating.set_label("mimic")
    mouse.click(60, 240)
    check(annotating)
    assert notebook.figures["label"].tolist() == ["mitosis", "mitosis", "mimic"]
    ids = notebook.figures["figure"].tolist()
    points.mode = "select"
    points.selected_data = {0, 1}
    before = len(kinds(annotating))
    mouse.drag((60, 80), (80, 100))
    check(annotating)
    assert notebook.figures["figure"].tolist() == ids
    assert kinds(annotating)[before:] == ["move", "move"], "one for each figure, at the end of the drag"
    # napari puts them where the last movement was, not where the button was released.
    assert notebook.figures[["y_px", "x_px"]].to_numpy()[:2] == pytest.approx(np.array([[80, 100], [170, 220]]), abs=4)
    points.selected_data = {2}
    press_key(dock, qtbot, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    press_key(dock, qtbot, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    check(annotating)
    assert notebook.figures["label"].tolist() == ["mitosis", "mitosis", "mimic", "mimic"]
    assert notebook.figures["figure"].nunique() == 4
    points.selected_data = {0, 3}
    press_key(dock, qtbot, Qt.Key.Key_Delete)
    check(annotating)
    assert notebook.figures["figure"].tolist() == ids[1:]
    notebook.undo()
    check(annotating)
    assert len(notebook.figures) == 4, "what was deleted in one step comes back in one"


def press_key(dock: Any, qtbot: Any, key: Any, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
    qtbot.keyClick(dock.window(), key, modifier)


def test_what_cannot_be_is_taken_back_and_told(bench: Any, qtbot: Any) -> None:
    _viewer, _dock, annotating, field = bench
    notebook, points = annotating.notebook, annotating.current.points
    told: list[str] = []
    annotating.said.connect(told.append)
    notebook.add(60, 80)
    points.add([-20.0, 10.0])
    points.data = [[60.0, math.nan]]
    points.features = points.features.assign(label="prometaphase")
    points.features = points.features.assign(figure="somebody")
    check(annotating)
    assert len(kinds(annotating)) == 1
    assert "within their field" in told[0]
    assert "mitosis, mimic, unsure" in told[-1]
    # Moving the layer as a whole would move every figure.
    points.translate = (10.0, 10.0)
    points.scale = (1.0, 1.0)
    points.rotate = 30
    assert np.allclose(points.data_to_world((60, 80)), field.data_to_world((60, 80)))
    field.translate = (7.0, -3.0)
    assert np.allclose(points.data_to_world((60, 80)), field.data_to_world((60, 80)))
    # Without a word: seen within a second.
    points.data[0] = (90.0, 91.0)
    qtbot.waitUntil(lambda: len(kinds(annotating)) == 2, timeout=3000)
    check(annotating)


def test_a_deleted_layer_takes_no_figure_with_it(bench: Any) -> None:
    viewer, _dock, annotating, _field = bench
    notebook = annotating.notebook
    notebook.add(60, 80)
    shown: list[bool] = []
    annotating.shown.connect(shown.append)
    viewer.layers.remove(annotating.current.points)
    assert shown == [False]
    notebook.add(100, 80, "mimic")
    assert len(notebook.figures) == 2
    check(annotating)
    annotating.set_visible(True)
    assert annotating.current.points in viewer.layers
    check(annotating)


def test_closing_the_field_or_the_dock_takes_the_layer_away(bench: Any, qtbot: Any) -> None:
    viewer, dock, annotating, field = bench
    other = add_field(viewer, name="other")
    qtbot.waitUntil(lambda: len(annotating.layers) == 2, timeout=10000)
    first, second = (viewer.layers[f"{name}: annotations"] for name in ("field", "other"))
    viewer.layers.selection.active = other
    assert (first.visible, second.visible) == (False, True)
    viewer.layers.remove(field)
    qtbot.waitUntil(lambda: first not in viewer.layers, timeout=3000)
    assert second in viewer.layers
    dock.desk.shutdown()
    assert second not in viewer.layers, "without a journal behind it, a layer would take edits that are lost"


class Clumsy:
    """Does random things to the layer and the notebook, all by public means."""

    def __init__(self, annotating: Any, seed: int) -> None:
        self.annotating, self.dice = annotating, random.Random(seed)

    def spot(self) -> list[float]:
        return [self.dice.uniform(-30, SHAPE[0] + 20), self.dice.uniform(-30, SHAPE[1] + 20)]

    def some(self, at_most: int = 3) -> set[int]:
        count = len(self.annotating.current.points.data)
        return set(self.dice.sample(range(count), min(count, self.dice.randint(0, at_most))))

    def act(self) -> str:
        points, notebook = self.annotating.current.points, self.annotating.notebook
        what = self.dice.choice([name for name in dir(self) if name.startswith("do_")])
        getattr(self, what)(points, notebook)
        return what

    def do_add(self, points: Any, _notebook: Any) -> None:
        points.add([self.spot() for _ in range(self.dice.randint(1, 2))])

    def do_remove(self, points: Any, _notebook: Any) -> None:
        points.selected_data = self.some()
        points.remove_selected()

    def do_pop(self, points: Any, _notebook: Any) -> None:
        points.remove(sorted(self.some(1)))

    def do_select(self, points: Any, _notebook: Any) -> None:
        points.selected_data = self.some()

    def do_assign(self, points: Any, _notebook: Any) -> None:
        data = np.array(points.data)
        for row in self.some():
            data[row] = self.spot()
        points.data = data

    def do_shorten(self, points: Any, _notebook: Any) -> None:
        points.data = np.delete(points.data, sorted(self.some()), axis=0)

    def do_lengthen(self, points: Any, _notebook: Any) -> None:
        points.data = np.vstack([points.data.reshape(-1, 2), self.spot()])

    def do_shuffle(self, points: Any, _notebook: Any) -> None:
        rows = list(range(len(points.data)))
        self.dice.shuffle(rows)
        points.data = points.data[rows]

    def do_clear(self, points: Any, _notebook: Any) -> None:
        if self.dice.random() < 0.2:
            points.data = np.empty((0, 2))

    def do_write_in_place(self, points: Any, _notebook: Any) -> None:
        for row in self.some(1):
            points.data[row] = self.spot()
        points.refresh()

    def do_relabel(self, points: Any, _notebook: Any) -> None:
        features = points.features.copy()
        for row in self.some():
            features.loc[row, "label"] = self.dice.choice([*LABELS, "nonsense"])
            features.loc[row, "phase"] = self.dice.choice(["", "", "metaphase", "nonsense"])
        points.features = features

    def do_confuse_ids(self, points: Any, _notebook: Any) -> None:
        features = points.features.copy()
        features["figure"] = self.dice.sample(list(features["figure"]), len(features))
        points.features = features

    def do_drop_features(self, points: Any, _notebook: Any) -> None:
        points.features = {"label": [self.dice.choice(LABELS) for _ in range(len(points.data))]}

    def do_defaults(self, points: Any, _notebook: Any) -> None:
        label = self.dice.choice([*LABELS, "nonsense"])
        if len(points.data):  # napari takes no text for the empty columns of an empty layer
            points.feature_defaults = dict.fromkeys(points.features.columns, "") | {"label": label}

    def do_style(self, points: Any, _notebook: Any) -> None:
        points.current_size = 33
        points.symbol = "star"
        points.refresh()

    def do_undo(self, _points: Any, notebook: Any) -> None:
        for _ in range(self.dice.randint(1, 3)):
            notebook.undo()

    def do_redo(self, _points: Any, notebook: Any) -> None:
        notebook.redo()

    def do_note(self, _points: Any, notebook: Any) -> None:
        notebook.add(self.dice.uniform(0, 255), self.dice.uniform(0, 319), self.dice.choice(LABELS))

    def do_hide(self, points: Any, _notebook: Any) -> None:
        points.visible = not points.visible


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_is_done_the_layer_and_the_journal_agree(bench: Any, seed: int) -> None:
    _viewer, _dock, annotating, _field = bench
    clumsy = Clumsy(annotating, seed)
    done: list[str] = []
    for turn in range(100):
        done.append(clumsy.act())
        annotating.current.take_in()
        annotating.current.points.visible = True
        shown = annotating.current.points
        figures = annotating.notebook.figures
        assert np.array_equal(shown.data, figures[["y_px", "x_px"]].to_numpy().reshape(-1, 2)), done[-5:]
        assert list(shown.features["figure"]) == list(figures["figure"]), done[-5:]
        assert list(shown.features["label"]) == list(figures["label"]), done[-5:]
        assert figures["figure"].is_unique
        inside = figures["y_px"].between(-0.5, SHAPE[0] - 0.5) & figures["x_px"].between(-0.5, SHAPE[1] - 0.5)
        assert inside.all()
        if turn % 20 == 19:
            clumsy.do_note(shown, annotating.notebook)  # a render: symbols are drawn anew
            check(annotating)
    assert len(kinds(annotating)) > 40
