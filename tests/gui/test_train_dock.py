"""The train dock in a real window, with real trainings in real processes, of a few steps each."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import platformdirs
import pytest
import tifffile

pytest.importorskip("napari")

from qtpy.QtWidgets import QToolButton

from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.store import Journal
from napari_mitosis.fields.field import open_field
from napari_mitosis.finetune.gate import Figures, Spot, Verdict
from napari_mitosis.finetune.outcome import Outcome
from napari_mitosis.finetune.plan import read_plan
from napari_mitosis.finetune.runs import list_runs, new_folder, runs_folder
from napari_mitosis.gui.detect.dock import DetectDock
from napari_mitosis.gui.panel.panel import panel_of
from napari_mitosis.gui.train.dock import TrainDock
from napari_mitosis.models.adoption import read_adopted
from napari_mitosis.models.registry import find_version, user_folder

from .conftest import press

SIDE = 320
SHORT, LONG = 0.001, 60.0
"""Minutes: one is over before the first step, which each training makes all the same; the other outlives its test."""

TRAININGS = 3
"""Two folds, and all fields."""

PATIENCE_MS = 240_000
"""A machine under load takes its time to start a process; nothing waits this long where all is well."""

CUTS = (("a", 0, 0), ("b", SIDE, 0), ("c", 0, 2 * SIDE))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder of its own, with an empty journal."""
    folder = tmp_path / "home"
    monkeypatch.setattr(platformdirs, "user_data_dir", lambda *_, **__: str(folder))
    monkeypatch.setenv("NAPARI_MITOSIS_JOURNAL", str(tmp_path / "journal.sqlite"))
    return folder


@pytest.fixture
def annotate(tmp_path: Path) -> Callable[..., Path]:
    """Write a cut of the phantom field as a file and annotate it in the journal; returns the file."""
    data = resources.files("napari_mitosis") / "sample_data"
    pixels, table = tifffile.imread(str(data / "hotspot.tif")), pd.read_csv(str(data / "hotspot.csv"))

    def annotated(name: str, top: int, left: int, complete: bool = True) -> Path:
        path = tmp_path / f"{name}.tif"
        cut = pixels[top : top + SIDE, left : left + SIDE]
        tifffile.imwrite(path, cut, photometric="rgb", resolution=(1 / 0.25e-4,) * 2, resolutionunit="CENTIMETER")
        inside = table["y_px"].between(top, top + SIDE - 1) & table["x_px"].between(left, left + SIDE - 1)
        rows = table[inside].assign(y_px=table["y_px"] - top, x_px=table["x_px"] - left)
        journal = Journal(tmp_path / "journal.sqlite")
        field = open_field(path)
        journal.remember(field)
        notebook = Notebook(journal, field, "ada")
        notebook.add_all(rows[["y_px", "x_px", "label"]])
        if complete:
            notebook.set_complete(True)
        journal.close()
        return path

    return annotated


@pytest.fixture
def opened(make_napari_viewer: Any, qtbot: Any) -> Any:
    """Opens the docks in a window; when the test is over no training may be left."""
    viewer = make_napari_viewer(show=True)
    docks: list[TrainDock] = []

    def open_docks(fields: int) -> tuple[Any, TrainDock]:
        dock = TrainDock(viewer, minutes=(SHORT, LONG))
        viewer.window.add_dock_widget(dock, name="Train", area="right")
        docks.append(dock)
        qtbot.waitUntil(lambda: dock.training is not None and len(dock.workers) == 0, timeout=30000)
        qtbot.waitUntil(lambda: dock.panel.fields.rowCount() == fields, timeout=30000)
        return viewer, dock

    yield open_docks
    for dock in docks:
        dock.desk.shutdown()
        if dock.training is not None and dock.training.running:
            os.kill(dock.training.pid, signal.SIGTERM)
            qtbot.waitUntil(lambda training=dock.training: not training.running, timeout=60000)


def detect_dock(viewer: Any) -> DetectDock:
    page = panel_of(viewer).page("Detect")
    assert isinstance(page, DetectDock)
    return page


def learnt(dock: TrainDock, steps: int) -> bool:
    assert dock.training is not None
    return len(dock.training.watch.curves.loss) >= steps


def test_without_annotations_it_says_what_to_do(opened: Any) -> None:
    _, dock = opened(0)
    assert not dock.panel.start.isEnabled()
    assert "Nothing is annotated yet" in dock.panel.start.toolTip()
    assert "Nothing is annotated yet" in dock.panel.summary.text()
    assert dock.panel.verdict.isHidden()
    assert dock.panel.banner.isHidden()


def test_fields_are_listed_with_what_is_in_them(opened: Any, annotate: Any) -> None:
    for cut in CUTS:
        annotate(*cut, complete=cut[0] != "c")
    annotate("gone", 2 * SIDE, 0).unlink()
    _, dock = opened(4)
    table = dock.panel.fields
    rows = {table.item(r, 0).text(): [table.item(r, c).text() for c in (1, 2, 3)] for r in range(table.rowCount())}
    assert set(rows) == {"a", "b", "c", "gone"}
    fields = table.fields.set_index("name")
    assert rows["a"] == [str(fields.loc["a", "mitosis"]), str(fields.loc["a", "mimic"]), "✓"]
    assert rows["c"][2] == "–"
    assert set(table.chosen["name"]) == {"a", "b", "c"}
    gone = next(r for r in range(table.rowCount()) if table.item(r, 0).text() == "gone")
    assert "not where it was" in table.item(gone, 0).toolTip()
    assert dock.panel.start.isEnabled()


def test_a_choice_that_cannot_be_trained_is_not_started(opened: Any, annotate: Any, qtbot: Any) -> None:
    from qtpy.QtCore import Qt

    annotate(*CUTS[0])
    annotate(*CUTS[1])
    _, dock = opened(2)
    panel, table = dock.panel, dock.panel.fields
    for row in range(2):
        table.cellWidget(row, 4).setCurrentText("judge only")
    assert "Choose at least one field" in panel.start.toolTip()
    press(panel.automatic, qtbot)
    assert panel.start.isEnabled()
    for row in range(2):
        table.item(row, 0).setCheckState(Qt.CheckState.Unchecked)
    assert not panel.start.isEnabled()
    table.item(0, 0).setCheckState(Qt.CheckState.Checked)
    assert panel.start.isEnabled()
    assert "Too little evidence" in panel.summary.text()  # of one field, but it may be tried
    ensemble = next(
        i for i in range(panel.parent_model.count()) if "ensemble" in panel.parent_model.itemText(i).lower()
    )
    panel.parent_model.setCurrentIndex(ensemble)
    assert "one of its members" in panel.start.toolTip()


def test_what_is_annotated_is_counted_while_the_dock_is_open(opened: Any, annotate: Any, qtbot: Any) -> None:
    path = annotate(*CUTS[0])
    viewer, dock = opened(1)
    viewer.open(str(path), plugin="napari-mitosis")
    key = next(iter(dock.desk.fields))
    qtbot.waitUntil(lambda: dock.desk.notebook(key) is not None, timeout=20000)
    before = int(dock.panel.fields.fields["mimic"].iloc[0])
    dock.desk.notebook(key).add(10.0, 10.0, "mimic")
    qtbot.waitUntil(lambda: int(dock.panel.fields.fields["mimic"].iloc[0]) == before + 1, timeout=10000)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_training_from_the_button_to_the_verdict(opened: Any, annotate: Any, qtbot: Any) -> None:
    for cut in CUTS:
        annotate(*cut)
    viewer, dock = opened(3)
    panel, table = dock.panel, dock.panel.fields
    row = next(r for r in range(3) if table.item(r, 0).text() == "c")
    table.cellWidget(row, 4).setCurrentText("judge only")
    press(next(button for button in panel.findChildren(QToolButton) if button.text() == f"{SHORT:g} min"), qtbot)
    press(panel.start, qtbot)
    assert not panel.start.isEnabled()
    qtbot.waitUntil(lambda: panel.verdict.judgement is not None or bool(panel.message.text()), timeout=PATIENCE_MS)
    assert panel.message.text() == ""
    judgement = panel.verdict.judgement
    assert dock.training.last.status == "finished"
    assert len(panel.curves.loss_line.getData()[0]) == TRAININGS  # one step each: its time was over at once
    (run,) = list_runs()
    plan = read_plan(run.folder)
    assert {field.name: field.role for field in plan.fields} == {"a": "train", "b": "train", "c": "test"}
    assert plan.minutes == SHORT
    assert len(plan.snapshot) == 64
    assert judgement.name == "segmitos@1.0.0+tuned.1"
    assert judgement.verdict.reason == panel.verdict.reason.text()
    assert find_version(judgement.name)[0].finetuned["snapshot"] == plan.snapshot
    # Nothing is adopted unless somebody asks for it.
    assert read_adopted(user_folder()) == {}
    assert detect_dock(viewer).panel.run_panel.chosen.name == "segmitos@1.0.0"
    assert panel.verdict.adopt.isVisible() == judgement.verdict.offered
    shown = {kind: len(getattr(judgement.verdict, kind)) for kind in judgement.thumbnails}
    assert {kind: len(thumbnails) for kind, thumbnails in judgement.thumbnails.items()} == shown


def lit(dock: TrainDock) -> list[bool]:
    """Which of the times is lit."""
    return [button.isChecked() for button in dock.panel.budgets]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform == "win32", reason="the test sends a signal")
def test_a_training_outlives_its_dock_and_a_killed_one_goes_on_by_a_click(
    opened: Any, annotate: Any, qtbot: Any
) -> None:
    annotate(*CUTS[0])
    annotate(*CUTS[1])
    viewer, dock = opened(2)
    assert dock.panel.minutes == LONG
    press(dock.panel.start, qtbot)
    qtbot.waitUntil(lambda: learnt(dock, 2), timeout=PATIENCE_MS)
    assert dock.panel.cancel.isVisible()
    assert dock.panel.training.isVisible()
    assert "segmitos@1.0.0" in dock.panel.doing.text()
    # Closing the window asks first; the training does not wait for the answer.
    leaving = dock.training.leaving
    dock.desk.window.windowHandle().close()
    qtbot.waitUntil(lambda: leaving.question is not None, timeout=10_000)
    assert "under way: segmitos@1.0.0" in leaving.question.text()
    press(leaving.question.defaultButton(), qtbot)
    assert leaving.question is None
    assert dock.desk.window.isVisible()
    assert dock.training.running
    # Closed and opened again: the training does not mind.
    viewer.window.remove_dock_widget(dock)
    assert dock.training.running
    _, again = opened(2)
    assert again.training is dock.training
    assert len(again.panel.curves.loss_line.getData()[0]) >= 2
    os.kill(again.training.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: not again.training.running, timeout=PATIENCE_MS)
    assert "killed, probably because the machine ran out of memory" in again.panel.trouble.text()
    assert again.panel.trouble.isVisible()
    assert again.panel.banner.isVisible()
    assert detect_dock(viewer).panel.run_panel.chosen.name == "segmitos@1.0.0"
    drawn = len(again.training.watch.curves.loss)
    # The viewer is started anew: the training is offered again, and its curve goes on.
    viewer.window.remove_dock_widget(again)
    again.training.setParent(None)
    _, later = opened(2)
    assert later.training is not again.training
    assert "is not finished" in later.panel.banner_text.text()
    press(later.panel.budgets[0], qtbot)
    press(later.panel.go_on, qtbot)
    qtbot.waitUntil(lambda: later.training.running, timeout=PATIENCE_MS)
    assert len(later.training.watch.curves.loss) >= drawn - 1
    qtbot.waitUntil(lambda: lit(later) == [False, True], timeout=10_000)  # the time of what runs, not of the next
    assert later.panel.banner.isHidden()
    press(later.panel.cancel, qtbot)
    qtbot.waitUntil(lambda: not later.training.running, timeout=PATIENCE_MS)
    assert later.training.last.status == "cancelled"
    qtbot.waitUntil(lambda: lit(later) == [True, False], timeout=10_000)
    assert later.panel.banner.isVisible()
    press(later.panel.dismiss, qtbot)
    qtbot.waitUntil(lambda: len(later.workers) == 0, timeout=PATIENCE_MS)
    assert list_runs()[0].dismissed
    assert later.panel.banner.isHidden()


# Verdicts: runs whose end is written as the trainer writes it, with real weights


def ended_run(fields: list[Path], offered: bool) -> Path:
    """A run that ended with this verdict; its child is the parent with other scores."""
    from safetensors.torch import save_file

    from napari_mitosis.finetune.journal import journal_fields, plan_from_journal
    from napari_mitosis.models.weights import read_state

    journal = Journal(os.environ["NAPARI_MITOSIS_JOURNAL"])
    digests = list(journal_fields(journal)["digest"])
    plan = plan_from_journal(journal, "segmitos@1.0.0", digests, minutes=1)
    journal.close()
    folder = new_folder("segmitos@1.0.0")
    plan.save(folder)
    card, weights = find_version("segmitos@1.0.0")
    state = {name: tensor + 0.001 for name, tensor in read_state(weights).items() if tensor.is_floating_point()}
    save_file(state, folder / "child.safetensors")
    parent, child = Figures(0.6, 0.7, 0.65, 0.5, 0.8), Figures(0.8, 0.75, 0.77, 0.6, 0.9)
    child, difference = (child, 0.12) if offered else (Figures(0.55, 0.66, 0.60, 0.45, 0.75), -0.05)
    reason = "The new version is better." if offered else "The new version is worse."
    spots = [tuple(Spot(i % 2, 60.0 + 20 * i, 80.0) for i in range(n)) for n in (9, 1, 2, 0)]
    verdict = Verdict(offered, reason, parent, child, difference, -0.01, 0.2, 2, 14, *spots)
    tuned = {"snapshot": plan.snapshot, "parent": {"f": 0.65}, "child": {"f": 0.77}, "judged_on": {"fields": 2},
             "offered": offered, "reason": reason}  # fmt: skip
    changes = {"version": plan.version, "parent": plan.parent, "sha256": "", "measures": (), "finetuned": tuned}
    Outcome(folder, card.model_copy(update=changes), verdict, tuple(f.digest for f in plan.fields)).save()
    return folder


def drawn(widget: Any) -> np.ndarray:
    """The pixels of a widget as red, green and blue."""
    image = widget.grab().toImage()
    colours = [image.pixelColor(x, y) for x in range(image.width()) for y in range(image.height())]
    return np.array([(one.red(), one.green(), one.blue()) for one in colours]).reshape(-1, 3)


def green_of(widget: Any) -> int:
    """How many pixels of a widget are drawn in a strong green."""
    red, green, blue = drawn(widget).T
    return int((green > 1.5 * np.maximum(40, np.maximum(red, blue))).sum())


def red_of(widget: Any) -> int:
    """How many pixels of a widget are drawn in a strong red."""
    red, green, blue = drawn(widget).T
    return int((red > 1.5 * np.maximum(40, np.maximum(green, blue))).sum())


def test_an_offered_version_is_adopted_and_left_again(opened: Any, annotate: Any, qtbot: Any) -> None:
    paths = [annotate(*cut) for cut in CUTS[:2]]
    ended_run(paths, offered=True)
    viewer, dock = opened(2)
    qtbot.waitUntil(lambda: dock.panel.verdict.judgement is not None, timeout=20000)
    verdict, chosen = dock.panel.verdict, detect_dock(viewer).panel.run_panel
    assert verdict.isVisible()
    assert green_of(verdict.headline)
    qtbot.waitUntil(lambda: green_of(verdict.intervals) > 0, timeout=10_000)
    assert "Better, for this patient" in verdict.headline.text()  # it was judged on no other
    assert "go back before another patient" in verdict.adopt.toolTip()
    assert chosen.chosen.name == "segmitos@1.0.0"
    press(verdict.adopt, qtbot)
    assert chosen.chosen.name == "segmitos@1.0.0+tuned.1"
    assert verdict.adopt.isHidden()
    assert "is in use" in verdict.state.text()
    assert dock.panel.card.name == "segmitos@1.0.0+tuned.1"  # the next training starts from it
    assert dock.panel.versions.back.text().endswith("Go back to 1.0.0")
    press(dock.panel.versions.back, qtbot)
    assert chosen.chosen.name == "segmitos@1.0.0"
    assert verdict.adopt.isVisible()
    press(dock.panel.versions.use["segmitos@1.0.0+tuned.1"], qtbot)
    assert chosen.chosen.name == "segmitos@1.0.0+tuned.1"


def test_a_worse_version_is_kept_and_not_offered(opened: Any, annotate: Any, qtbot: Any) -> None:
    ended_run([annotate(*cut) for cut in CUTS[:2]], offered=False)
    viewer, dock = opened(2)
    qtbot.waitUntil(lambda: dock.panel.verdict.judgement is not None, timeout=20000)
    assert dock.panel.verdict.adopt.isHidden()
    assert dock.panel.verdict.reason.text() == "The new version is worse."
    assert "Worse" in dock.panel.verdict.headline.text()
    qtbot.waitUntil(lambda: red_of(dock.panel.verdict.intervals) > 0, timeout=10_000)
    for part in (dock.panel.verdict.headline, dock.panel.verdict.intervals):
        assert not green_of(part), "green is only what may be adopted"
    assert "segmitos@1.0.0+tuned.1" not in dock.panel.versions.use
    dock.adopt()
    assert read_adopted(user_folder()) == {}
    assert (user_folder() / "segmitos-1.0.0+tuned.1.safetensors").is_file()
    names = [card.name for card in detect_dock(viewer).panel.run_panel._cards]
    assert "segmitos@1.0.0+tuned.1" not in names


def test_figures_are_shown_and_lead_to_their_place(opened: Any, annotate: Any, qtbot: Any) -> None:
    paths = [annotate(*cut) for cut in CUTS[:2]]
    ended_run(paths, offered=True)
    viewer, dock = opened(2)
    for path in paths:
        viewer.open(str(path), plugin="napari-mitosis")
    for key in dock.desk.fields:
        qtbot.waitUntil(lambda key=key: dock.desk.notebook(key) is not None, timeout=20000)
    qtbot.waitUntil(lambda: dock.panel.verdict.judgement is not None, timeout=20000)
    figures = [one for one in dock.panel.verdict.figures.findChildren(QToolButton) if not one.icon().isNull()]
    assert len(figures) == 6 + 1 + 2  # nine were found: three of them behind "more"
    assert figures[0].icon().availableSizes()[0].width() == 128
    more = next(one for one in dock.panel.verdict.figures.findChildren(QToolButton) if one.text() == "3 more")
    press(more, qtbot)
    figures = [one for one in dock.panel.verdict.figures.findChildren(QToolButton) if not one.icon().isNull()]
    assert len(figures) == 12
    found = dock.panel.verdict.judgement.thumbnails["found"][1]
    shown = next(
        one for one in figures if one.toolTip().find(f"y {found.y_px:.0f}") > 0 and "new version" in one.toolTip()
    )
    press(shown, qtbot)
    key = dock.desk.session.active
    assert dock.desk.session[key].field.digest == found.digest
    layer = dock.desk.fields.layer(key)
    camera = getattr(viewer, "scene", viewer).camera
    assert np.allclose(camera.center[-2:], layer.data_to_world((found.y_px, found.x_px)))


def test_a_damaged_run_does_not_keep_the_dock_from_opening(opened: Any, annotate: Any, qtbot: Any) -> None:
    folder = ended_run([annotate(*cut) for cut in CUTS[:2]], offered=True)
    (folder / "outcome.json").write_text("{", encoding="utf-8")
    broken = runs_folder() / "20260101-000000-broken"
    shutil.copytree(folder, broken)
    (broken / "plan.json").write_text(json.dumps([1]), encoding="utf-8")
    _, dock = opened(2)
    qtbot.waitUntil(lambda: "holds no finished fine-tuning" in dock.panel.message.text(), timeout=20000)
    assert dock.panel.start.isEnabled()
