"""The whole loop in a real window: detect, review, correct, retrain, adopt, detect again; and after a restart."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import platformdirs
import pytest
import tifffile

pytest.importorskip("napari")

from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QTabBar

from gui.conftest import press
from gui.mouse import Mouse
from gui.review_window import states, strike
from napari_mitosis.annotations.store import Journal
from napari_mitosis.finetune import journal
from napari_mitosis.finetune.plan import read_plan
from napari_mitosis.finetune.runs import list_runs
from napari_mitosis.gui import app
from napari_mitosis.gui.annotate.panel import AnnotatePanel
from napari_mitosis.gui.panel.panel import panel_of
from napari_mitosis.models.registry import find_version, user_folder
from napari_mitosis.models.versions import adopt, adopted

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

CUT = 524
"""The phantom field is cut here into an upper and a lower field, through no figure."""

HEIGHT = 900
STEPS = 2
"""Of each training: how far it gets does not depend on the machine."""

NEAR_PX = 30.0
LOOK_MS = 60_000
TRAIN_MS = 900_000


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Journal, settings, models and runs of the test's own, for the process that trains, too."""
    monkeypatch.setattr(platformdirs, "user_data_dir", lambda *_, **__: str(tmp_path / "home"))
    monkeypatch.setenv("NAPARI_MITOSIS_JOURNAL", str(tmp_path / "journal.sqlite"))
    monkeypatch.setenv("NAPARI_MITOSIS_SETTINGS", str(tmp_path / "settings.json"))
    monkeypatch.setenv("NAPARI_MITOSIS_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("NAPARI_MITOSIS_READER", "ada")
    plan = journal.plan_from_journal
    monkeypatch.setattr(journal, "plan_from_journal", lambda *a, **k: plan(*a, **k).model_copy(update={"steps": STEPS}))


@pytest.fixture
def truth(tmp_path: Path) -> dict[str, pd.DataFrame]:
    """Figures of two fields, ``upper`` and ``lower``, whose images are in `tmp_path`."""
    data = resources.files("napari_mitosis") / "sample_data"
    pixels, table = tifffile.imread(str(data / "hotspot.tif")), pd.read_csv(str(data / "hotspot.csv"))
    figures = {}
    for name, top, bottom in (("upper", 0, CUT), ("lower", CUT, len(pixels))):
        resolution = {"resolution": (1 / 0.25e-4,) * 2, "resolutionunit": "CENTIMETER"}
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels[top:bottom], photometric="rgb", **resolution)
        inside = table[table["y_px"].between(top, bottom - 1)]
        figures[name] = inside.assign(y_px=inside["y_px"] - top).reset_index(drop=True)
    return figures


@dataclass
class Window:
    """napari as the command opens it, and a reader in front of it."""

    viewer: Any
    detect: Any
    qtbot: Any

    def choose(self, field: str) -> None:
        """Look at another field, as by a click in the list of layers."""
        self.viewer.layers.selection.active = self.viewer.layers[field]
        self.qtbot.waitUntil(lambda: self.detect.session.current.field.name == field, timeout=5000)
        self.viewer.reset_view()

    def tab(self, title: str) -> Any:
        """Click a step of the panel, or a tab of its page; the step's page."""
        panel = panel_of(self.viewer)
        if title in panel.steps:
            panel.actions_by_step[title].trigger()
            self.qtbot.waitUntil(panel.page(title).isVisible, timeout=20_000)
            return panel.page(title)
        for bar in self.detect.window().findChildren(QTabBar):
            titles = [bar.tabText(at) for at in range(bar.count())]
            if title in titles and bar.isVisible():
                self.qtbot.mouseClick(bar, Qt.MouseButton.LeftButton, pos=bar.tabRect(titles.index(title)).center())
                assert bar.tabText(bar.currentIndex()) == title
                break
        else:
            raise AssertionError(f"no tab {title}")
        return None

    def notebook(self) -> Any:
        """Of the field that is looked at."""
        self.qtbot.waitUntil(lambda: self.detect.desk.current is not None, timeout=20_000)
        return self.detect.desk.current

    def wait_for_result(self, model: str) -> Any:
        """What this version detects in the field that is looked at."""

        def there() -> bool:
            return not self.detect.running and self.detect.session.current.model == model

        self.qtbot.waitUntil(there, timeout=LOOK_MS)
        return self.detect.session.current.result

    def judge_all(self, review: Any, truth: pd.DataFrame) -> dict[str, int]:
        """One key for each candidate, as the truth has it; how often each label was given."""
        self.qtbot.waitUntil(lambda: review.reviewing.queue.present is not None, timeout=20_000)
        self.notebook()
        queue, given = review.reviewing.queue, {"mitosis": 0, "mimic": 0}
        for done in range(len(queue)):
            assert states(review).count("undecided") == len(queue) - done
            target = queue.target
            at = (target.y_px, target.x_px)
            label = "mitosis" if nearest(truth, "mitosis", at) < NEAR_PX else "mimic"
            strike(review, label, self.qtbot)
            given[label] += 1
        assert "undecided" not in states(review)
        return given

    def close(self) -> None:
        self.detect.desk.shutdown()
        self.viewer.close()


@pytest.fixture
def open_window(make_napari_viewer: Any, qtbot: Any, tmp_path: Path) -> Iterator[Callable[[], Window]]:
    """Opens both fields in a new window; the one that is open when the test ends is closed."""
    windows: list[Window] = []

    def opened() -> Window:
        viewer, panel = app.open_window([tmp_path / "upper.tif", tmp_path / "lower.tif"], detect=False)
        viewer.show()
        viewer.window.resize(1400, HEIGHT)
        qtbot.wait(200)
        windows.append(Window(viewer, panel.page("Detect"), qtbot))
        return windows[-1]

    yield opened
    for window in windows[-1:]:
        window.close()


def nearest(truth: pd.DataFrame, label: str, at: tuple[float, float]) -> float:
    """How far the nearest figure of this label is, in pixels."""
    places = truth.loc[truth["label"] == label, ["y_px", "x_px"]].to_numpy()
    return float(np.linalg.norm(places - np.asarray(at), axis=1).min())


def on_disk() -> list[Any]:
    """The actions, as another process reads them."""
    journal = Journal(os.environ["NAPARI_MITOSIS_JOURNAL"], create=False)
    try:
        return journal.actions()
    finally:
        journal.close()


def place(notebook: Any, figure: str) -> tuple[float, float]:
    known = notebook.figure(figure)
    return known.y_px, known.x_px


def correct_by_hand(window: Window, review: Any, missed: tuple[float, float]) -> str:
    """Mark what was missed beside its centre, drag it there, take that back and do it again; the figure."""
    qtbot, viewer, notebook = window.qtbot, window.viewer, window.notebook()
    window.tab("Annotate")
    panel = review.findChild(AnnotatePanel)
    viewer.reset_view()
    press(panel.mode, qtbot)
    mouse = Mouse(viewer, window.detect, viewer.layers["lower"])
    before = set(notebook.figures["figure"])
    beside = (missed[0] + 6, missed[1] - 8)
    mouse.click(*beside)
    (figure,) = set(notebook.figures["figure"]) - before
    assert notebook.figure(figure).label == "mitosis"
    np.testing.assert_allclose(place(notebook, figure), beside, atol=1.5)
    mouse.drag(beside, missed)
    np.testing.assert_allclose(place(notebook, figure), missed, atol=1.5)
    strike(review, "undo", qtbot)
    np.testing.assert_allclose(place(notebook, figure), beside, atol=1.5)
    strike(review, "redo", qtbot)
    np.testing.assert_allclose(place(notebook, figure), missed, atol=1.5)
    press(panel.mode, qtbot)
    assert not panel.annotating.tool.on
    return str(figure)


def declare_complete(window: Window, review: Any) -> None:
    window.tab("Annotate")
    qtbot, box = window.qtbot, review.findChild(AnnotatePanel).complete
    assert not window.notebook().complete
    qtbot.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(8, box.height() // 2))
    assert window.notebook().complete


def retrain(window: Window, counts: dict[str, dict[str, int]]) -> Any:
    """Train with the button and wait for the verdict."""
    train, qtbot = window.tab("Train"), window.qtbot
    table = train.panel.fields
    qtbot.waitUntil(lambda: table.rowCount() == 2, timeout=20_000)
    rows = table.fields.set_index("name")
    for name, count in counts.items():
        assert {label: int(rows.loc[name, label]) for label in count} == count
    assert rows["complete"].all()
    press(train.panel.start, qtbot)
    qtbot.waitUntil(lambda: train.training is not None and train.training.running, timeout=60_000)
    assert train.training.pid not in (None, os.getpid())
    qtbot.waitUntil(lambda: train.panel.verdict.judgement is not None, timeout=TRAIN_MS)
    assert train.training.last.status == "finished"
    return train


def test_detect_review_correct_retrain_adopt_detect_restart(open_window: Any, truth: Any, qtbot: Any) -> None:
    window = open_window()
    detect, parent = window.detect, "segmitos@1.0.0"

    # Detect in the lower field; its candidates are judged with a key each.
    window.choose("lower")
    press(detect.panel.run_panel.run, qtbot)
    result = window.wait_for_result(parent)
    assert len(result.detections) >= 5
    review = window.tab("Review")
    lower = window.judge_all(review, truth["lower"])
    assert sum(lower.values()) == len(result.detections) == len(on_disk())
    assert lower["mitosis"] >= 5
    figures = window.notebook().figures
    assert figures["label"].value_counts().to_dict() == {label: n for label, n in lower.items() if n}
    assert {(action.reader, action.model) for action in on_disk()} == {("ada", parent)}

    # What it missed is marked by hand.
    real = truth["lower"].query("label == 'mitosis'")[["y_px", "x_px"]].to_numpy()
    marked = figures[["y_px", "x_px"]].to_numpy()
    far = np.linalg.norm(real[:, None] - marked[None], axis=2).min(axis=1) > NEAR_PX
    assert far.sum() == 1, "the detector misses one mitosis of the lower field"
    moved = correct_by_hand(window, review, tuple(real[far][0]))
    lower["mitosis"] += 1
    assert lower["mitosis"] == len(real)
    kinds = [action.kind for action in on_disk()]
    assert kinds[-4:] == ["add", "move", "undo", "redo"]
    declare_complete(window, review)

    # The upper field, from the review's own button.
    window.choose("upper")
    press(review.empty.button, qtbot)
    window.wait_for_result(parent)
    window.tab("Candidates")
    upper = window.judge_all(review, truth["upper"])
    assert detect.window().height() == HEIGHT, "the window is as large as the reader made it"
    assert min(upper.values()) >= 1
    declare_complete(window, review)

    # Retrain, in a process of its own; the verdict is the gate's.
    train = retrain(window, {"lower": lower, "upper": upper})
    judgement, child = train.panel.verdict.judgement, f"{parent}+tuned.1"
    assert judgement.name == child
    assert judgement.verdict.fields == 2
    assert judgement.verdict.mitoses == lower["mitosis"] + upper["mitosis"]
    assert train.panel.verdict.isVisible()
    assert train.panel.verdict.reason.text() == judgement.verdict.reason
    (run,) = list_runs()
    assert find_version(child)[0].finetuned["snapshot"] == read_plan(run.folder).snapshot
    assert adopted("segmitos") == parent
    assert detect.panel.run_panel.chosen.name == parent
    assert train.panel.verdict.adopt.isVisible() == judgement.verdict.offered
    if judgement.verdict.offered:
        press(train.panel.verdict.adopt, qtbot)
    else:  # the reader insists
        adopt(child)
        detect.refresh_models(select=child)
    assert adopted("segmitos") == child
    assert (user_folder() / "segmitos-1.0.0+tuned.1.safetensors").is_file()

    # Detect again, with the new version.
    window.tab("Detect")
    assert detect.panel.run_panel.chosen.name == child
    assert f"F {judgement.verdict.child.f:.2f}, its parent" in detect.panel.run_panel.headline.text()
    press(detect.panel.run_panel.run, qtbot)
    assert len(window.wait_for_result(child).candidates)
    assert (detect.session.current.field.name, detect.session.current.result.evidence.model) == ("upper", child)
    before = {name: seen(window, name) for name in ("upper", "lower")}
    actions = on_disk()
    window.close()

    after_a_restart(open_window(), before, actions, moved, child)


def seen(window: Window, field: str) -> tuple[pd.DataFrame, bool]:
    """What the notebook of a field tells."""
    window.choose(field)
    notebook = window.notebook()
    return notebook.figures, notebook.complete


def after_a_restart(
    window: Window, before: dict[str, tuple[pd.DataFrame, bool]], actions: list[Any], moved: str, child: str
) -> None:
    """Figures, decisions, history and version are as they were, and what was done before can be undone."""
    qtbot = window.qtbot
    assert on_disk() == actions
    assert window.detect.panel.run_panel.chosen.name == child
    for name, (figures, complete) in before.items():
        now, still = seen(window, name)
        pd.testing.assert_frame_equal(now, figures)
        assert complete
        assert still
    assert window.detect.session.current.field.name == "lower"
    review, notebook = window.tab("Review"), window.notebook()
    assert [action.kind for action in notebook.history(moved)] == ["add", "move", "undo", "redo"]
    layer = window.viewer.layers["lower: annotations"]
    np.testing.assert_allclose(np.sort(layer.data, axis=0), np.sort(before["lower"][0][["y_px", "x_px"]], axis=0))
    # The newest action of the field is its completion, the one before the move.
    strike(review, "undo", qtbot)
    assert not notebook.complete
    there = place(notebook, moved)
    strike(review, "undo", qtbot)
    assert np.linalg.norm(np.subtract(place(notebook, moved), there)) == pytest.approx(10, abs=2)
    strike(review, "redo", qtbot)
    strike(review, "redo", qtbot)
    assert place(notebook, moved) == there
    assert notebook.complete
    # Detected once more, every candidate that was judged is known.
    press(review.empty.button, qtbot)
    window.wait_for_result(child)
    qtbot.waitUntil(lambda: len(review.reviewing.queue) > 0, timeout=10_000)
    known = before["lower"][0].set_index("figure")["label"]
    queue = review.reviewing.queue
    for row in queue.rows:
        note = queue.notes.iloc[int(row)]
        if note["figure"]:
            assert note["state"] == known[note["figure"]]
    assert states(review).count("mitosis") >= 5
