"""Branches that only another system takes, taken here: files in use, no folders to synchronise, names that differ."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from napari_mitosis.annotations import spill as spill_module
from napari_mitosis.annotations.actions import Action, new_id
from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.snapshot import Snapshot
from napari_mitosis.annotations.spill import Spill, left_behind
from napari_mitosis.annotations.store import Journal
from napari_mitosis.errors import WeightsError
from napari_mitosis.fields.field import Field
from napari_mitosis.finetune.lock import claimed, is_running
from napari_mitosis.inference import memory
from napari_mitosis.models.adoption import ADOPTED_FILE, read_adopted, write_adopted
from napari_mitosis.names import path_text, text_path

ACTION = Action(new_id(), "add", "f" * 64, new_id(), y_px=1.0, x_px=1.0, label="mitosis")


def in_use(*_: object, **__: object) -> None:
    """What Windows says of a file that another program has open."""
    raise PermissionError(13, "The process cannot access the file because it is being used by another process")


def test_a_file_in_use_cannot_be_replaced_and_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_adopted(tmp_path, {"a": ["a@1"]})
    Snapshot(seq=1, fields=()).save(tmp_path / "s.json")
    monkeypatch.setattr(os, "replace", in_use)
    with pytest.raises(WeightsError, match="cannot be kept"):
        write_adopted(tmp_path, {"a": ["a@2"]})
    with pytest.raises(PermissionError):
        Snapshot(seq=2, fields=()).save(tmp_path / "s.json")
    assert read_adopted(tmp_path) == {"a": ("a@1",)}
    assert Snapshot.load(tmp_path / "s.json").seq == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [ADOPTED_FILE, "s.json"]


def test_kept_actions_that_are_in_use_wait_for_the_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spill = Spill("here", tmp_path)
    assert spill.keep([ACTION])
    monkeypatch.setattr(Path, "rename", in_use)
    assert left_behind("here", tmp_path) == []
    monkeypatch.undo()
    (kept,) = left_behind("here", tmp_path)
    monkeypatch.setattr(Path, "unlink", in_use)
    kept.done()
    spill.drop()
    assert kept.path.exists()


def test_a_system_without_handles_of_folders_keeps_actions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(spill_module.os, "O_DIRECTORY", raising=False)
    assert Spill("here", tmp_path).keep([ACTION])
    assert left_behind("here", tmp_path)[0].actions == [ACTION]


@pytest.mark.parametrize(
    "name", ["with spaces and %20", "Žluťoučký 血管", "e\u0301 decomposed", "é composed", "a#b?c&d"]
)
def test_folders_of_any_name_hold_journals_locks_and_fields(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    field = Field.from_array(np.zeros((9, 9, 3), np.uint8), 0.25, name, folder / "a.tif")
    book = Notebook(Journal(folder / "j.sqlite"), field, name)
    book.add(1, 1)
    assert book.warning == ""
    assert text_path(book.journal.fields()["path"][0]) == folder / "a.tif"
    assert len(Journal(book.journal.url).actions()) == 1
    with claimed(folder):
        assert is_running(folder)
    assert not is_running(folder)
    assert text_path(path_text(folder)) == folder


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_without_glibc_its_memory_is_left_alone(monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    monkeypatch.setattr(memory.sys, "platform", system)
    monkeypatch.setattr(memory.ctypes, "CDLL", None)
    assert memory._glibc() is None
