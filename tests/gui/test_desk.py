"""The desk: one session, journal and reader for all docks; a journal in trouble stops nobody and loses nothing."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.store import Journal
from napari_mitosis.fields.field import Field
from napari_mitosis.gui.compare.dock import CompareDock
from napari_mitosis.gui.desk import desk_of, open_desk
from napari_mitosis.gui.detect.dock import DetectDock

from .conftest import add_field, drawn_field, press, run_to_end


def ready(desk: Any, qtbot: Any) -> Notebook:
    """The notebook of the active field, once it is open."""
    qtbot.waitUntil(lambda: desk.current is not None, timeout=20_000)
    return desk.current


def journal_path() -> Path:
    return Path(os.environ["NAPARI_MITOSIS_JOURNAL"])


def test_one_desk_for_each_viewer(make_napari_viewer: Any) -> None:
    viewer, other = make_napari_viewer(), make_napari_viewer()
    assert open_desk(viewer) is None
    desk = desk_of(viewer)
    assert desk_of(viewer) is open_desk(viewer) is desk
    assert DetectDock(viewer).desk is CompareDock(viewer).desk is desk
    assert desk_of(other) is not desk


def test_nothing_is_opened_before_it_is_needed(open_dock: Any, qtbot: Any) -> None:
    viewer, dock = open_dock()
    add_field(viewer)
    run_to_end(dock, qtbot)
    assert not journal_path().exists()
    heard: list[Any] = []
    dock.desk.notebook_changed.connect(heard.append)
    assert dock.desk.current is None
    notebook = ready(dock.desk, qtbot)
    assert heard == [dock.session.active]
    assert dock.desk.current is notebook
    assert notebook.field.digest == dock.session.current.field.digest


def test_each_field_has_its_notebook_and_all_one_journal(open_dock: Any, qtbot: Any) -> None:
    viewer, dock = open_dock()
    first = add_field(viewer)
    add_field(viewer, drawn_field(discs=((50, 50, 10, 30),)), name="second")
    keys = list(dock.session)
    desk = dock.desk
    assert [desk.notebook(key) for key in keys] == [None, None]
    qtbot.waitUntil(lambda: all(desk.notebook(key) is not None for key in keys), timeout=20_000)
    one, other = (desk.notebook(key) for key in keys)
    assert one.journal is other.journal
    heard: list[Any] = []
    desk.noted.connect(lambda key, change: heard.append((key, change.action.kind)))
    one.add(60, 80)
    other.add(50, 50, "mimic")
    assert heard == [(keys[0], "add"), (keys[1], "add")]
    viewer.layers.remove(first)
    one.add(1, 1)  # someone still holds it: nobody listens, but it counts
    assert len(heard) == 2
    assert desk.notebook(keys[0]) is None
    written = Journal(journal_path()).actions()
    assert [action.field for action in written] == [one.field.digest, other.field.digest, one.field.digest]


def test_what_is_noted_names_detector_rule_and_reader(detected: Any, qtbot: Any) -> None:
    _, dock = detected
    dock.desk.set_reader("Ada")
    notebook = ready(dock.desk, qtbot)
    notebook.add(60, 80)
    dock.session.set_rule(dock.session.active, min_score=0.7)
    notebook.add(90, 90)
    first, second = Journal(journal_path()).actions()
    assert first.reader == "Ada"
    assert first.model == "darkness@1.0.0"
    assert '"min_score":0.4' in first.rule
    assert '"min_score":0.7' in second.rule


def test_the_reader_is_remembered_and_can_change(open_dock: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    viewer, dock = open_dock()
    add_field(viewer)
    desk, heard = dock.desk, []
    desk.reader_changed.connect(heard.append)
    desk.set_reader("Ada")
    ready(desk, qtbot).add(60, 80)
    desk.set_reader("  ")
    desk.set_reader(" Grace ")
    assert heard == ["Ada", "Grace"]
    grace = ready(desk, qtbot)
    assert grace.reader == "Grace"
    assert len(grace.figures) == 1
    assert not grace.can_undo
    grace.add(10, 10)
    assert [one.reader for one in Journal(journal_path()).actions()] == ["Ada", "Grace"]
    _, other = open_dock()
    assert other.desk.reader == "Grace"
    monkeypatch.setenv("NAPARI_MITOSIS_READER", "Lise")
    _, third = open_dock()
    assert third.desk.reader == "Lise"


def test_other_pixels_are_another_field_and_new_um_px_are_noted(open_dock: Any, qtbot: Any) -> None:
    viewer, dock = open_dock()
    layer = add_field(viewer)
    first = ready(dock.desk, qtbot)
    first.add(60, 80)
    layer.data = np.full((256, 320, 3), 250, dtype=np.uint8)
    second = ready(dock.desk, qtbot)
    assert second.field.digest != first.field.digest
    assert len(second.figures) == 0
    layer.data = drawn_field()
    assert len(ready(dock.desk, qtbot).figures) == 1
    layer.scale = (0.5, 0.5)
    qtbot.waitUntil(lambda: dock.desk.current is not None and dock.desk.current.field.mpp == 0.5, timeout=20_000)
    dock.desk.current.add(10, 10)
    assert [one.mpp for one in Journal(journal_path()).actions()] == [0.25, 0.5]


def test_a_journal_that_cannot_be_opened_stops_nobody(open_dock: Any, qtbot: Any) -> None:
    """Kept in memory with a warning, written once the journal can be opened; what was there before appears."""
    path = journal_path()
    viewer, dock = open_dock()
    image = drawn_field()
    field = Field.from_array(image, mpp=0.25, name="field")
    before = Journal(path)
    Notebook(before, field, "Ada").add(10, 10)
    before.close()
    good = path.read_bytes()
    path.write_bytes(b"This is no database at all." * 100)
    add_field(viewer, image)
    desk, heard = dock.desk, []
    desk.trouble.connect(heard.append)
    notebook = ready(desk, qtbot)
    qtbot.waitUntil(lambda: desk.warning != "", timeout=10_000)
    notebook.add(60, 80)
    notebook.add(90, 90, "mimic")
    assert len(notebook.figures) == 2
    assert desk.pending == 2
    qtbot.waitUntil(lambda: "2 actions" in desk.warning, timeout=10_000)
    path.write_bytes(good)
    qtbot.waitUntil(lambda: desk.warning == "", timeout=30_000)
    assert desk.pending == 0
    assert heard[-1] == ""
    assert len(notebook.figures) == 3
    assert len(Journal(path).actions()) == 3


def test_a_locked_journal_warns_and_catches_up(open_dock: Any, qtbot: Any) -> None:
    viewer, dock = open_dock()
    layer = add_field(viewer)
    desk = dock.desk
    notebook = ready(desk, qtbot)
    notebook.add(10, 10)
    blocker = sqlite3.connect(journal_path(), isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    notebook.add(60, 80)
    assert desk.pending == 1
    assert desk.warning
    # The field goes before the journal is back: what it noted is not forgotten.
    viewer.layers.remove(layer)
    assert desk.pending == 1
    blocker.execute("ROLLBACK")
    blocker.close()
    qtbot.waitUntil(lambda: desk.pending == 0 and desk.warning == "", timeout=30_000)
    assert len(Journal(journal_path()).actions()) == 2


def test_another_process_writes_too(open_dock: Any, qtbot: Any) -> None:
    viewer, dock = open_dock()
    add_field(viewer)
    notebook = ready(dock.desk, qtbot)
    notebook.add(10, 10)
    other = Notebook(Journal(journal_path()), notebook.field, "Grace")
    thread = threading.Thread(target=lambda: other.add(60, 80))
    thread.start()
    thread.join()
    notebook.refresh()
    assert sorted(notebook.figures["reader"]) == sorted([dock.desk.reader, "Grace"])


def test_compare_uses_what_the_detect_dock_saw(detected: Any, qtbot: Any) -> None:
    viewer, dock = detected
    compare = CompareDock(viewer)
    assert compare.cache is dock.session.cache


def test_closing_with_actions_in_memory_writes_them(open_dock: Any, qtbot: Any) -> None:
    viewer, dock = open_dock()
    add_field(viewer)
    notebook = ready(dock.desk, qtbot)
    notebook.add(1, 1)
    blocker = sqlite3.connect(journal_path(), isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    notebook.add(60, 80)
    assert dock.desk.pending == 1
    blocker.execute("ROLLBACK")
    blocker.close()
    qtbot.wait(600)  # an attempt that took long rests a while
    dock.desk.shutdown()
    assert len(Journal(journal_path()).actions()) == 2


def test_detecting_is_asked_for_at_the_desk(open_dock: Any, qtbot: Any) -> None:
    viewer, dock = open_dock()
    add_field(viewer)
    dock.desk.detect_wanted.emit()
    assert dock.running
    qtbot.waitUntil(lambda: not dock.running, timeout=20_000)
    assert dock.panel.wants("score_map")
    dock.desk.tissue_wanted.emit()
    assert not viewer.layers["field: score map"].visible
    press(dock.panel.toggles["score_map"], qtbot)
    assert viewer.layers["field: score map"].visible
