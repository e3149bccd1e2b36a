"""From a journal to a plan, and from a plan to a new version on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.snapshot import Snapshot
from napari_mitosis.annotations.store import Journal
from napari_mitosis.cases.case import add_to_case
from napari_mitosis.errors import DatasetError
from napari_mitosis.fields.field import lazy_field
from napari_mitosis.finetune.claim import claim
from napari_mitosis.finetune.journal import field_plans, freeze, journal_fields
from napari_mitosis.finetune.plan import FinetunePlan

SIDE = 448


@pytest.fixture
def images(tmp_path) -> list[Path]:
    """Two cuts of the phantom, as files."""
    from importlib import resources

    pixels = tifffile.imread(str(resources.files("napari_mitosis") / "sample_data" / "hotspot.tif"))
    paths = [tmp_path / "left.tif", tmp_path / "right.tif"]
    for path, left in zip(paths, (0, SIDE), strict=True):
        tifffile.imwrite(path, np.ascontiguousarray(pixels[:SIDE, left : left + SIDE]), photometric="rgb")
    return paths


@pytest.fixture
def journal(tmp_path, images) -> Path:
    """Both fields annotated, the first one completely."""
    where = tmp_path / "journal.sqlite"
    store = Journal(where)
    for number, path in enumerate(images):
        field = lazy_field(path, mpp=0.25)
        store.remember(field)
        notebook = Notebook(store, field, "Ann")
        notebook.add(67.7, 251.7)
        notebook.add(120.0, 130.0, "mimic")
        gone = notebook.add(300.0, 300.0)
        notebook.delete(gone)
        if number == 0:
            notebook.set_complete(True)
    store.close()
    return where


def test_the_plan_holds_what_the_journal_says_now(journal, images):
    store = Journal(journal)
    table = journal_fields(store)
    assert table[["name", "mitosis", "mimic", "unsure", "complete", "there"]].values.tolist() == [
        ["left", 1, 1, 0, True, True],
        ["right", 1, 1, 0, False, True],
    ]
    left, right = field_plans(freeze(store, test=["right"]))
    assert (left.role, right.role, left.complete, right.complete) == ("train", "test", True, False)
    assert [(f.y_px, f.x_px, f.label) for f in left.figures] == [(67.7, 251.7, "mitosis"), (120.0, 130.0, "mimic")]
    assert left.sample().field.digest == left.digest
    assert [p.name for p in field_plans(freeze(store, [str(images[1])]))] == ["right"]
    assert [p.name for p in field_plans(freeze(store, [left.digest[:12], "left"]))] == ["left"]


def test_the_plan_knows_which_fields_are_of_one_patient(journal, images, tmp_path):
    store = Journal(journal)
    assert [p.case for p in field_plans(freeze(store))] == ["", ""]
    without_cases = freeze(store).sha256
    add_to_case(store, "Ann", [lazy_field(images[1], mpp=0.25)], "Ann")
    frozen = freeze(store)
    assert [p.case for p in field_plans(frozen)] == ["", "Ann"]
    assert frozen.sha256 != without_cases
    frozen.save(tmp_path / "frozen.json")
    assert Snapshot.load(tmp_path / "frozen.json") == frozen


def test_fields_that_were_drawn_at_random_stand_for_the_slide(journal, tmp_path):
    store = Journal(journal)
    frozen = freeze(store)
    frozen.save(tmp_path / "snapshot.json")
    fields = field_plans(frozen, ["right"])
    assert [f.drawn for f in fields] == [False, True]
    plan = FinetunePlan(parent="segmitos@1.0.0", version="1", fields=fields, snapshot=frozen.sha256)
    claim(plan, tmp_path)  # the plan and the snapshot belong together
    with pytest.raises(DatasetError, match="middle was said to be drawn"):
        field_plans(frozen, ["middle"])


def test_what_is_not_there_is_said(journal, images):
    store = Journal(journal)
    with pytest.raises(DatasetError, match="no annotated field 'middle'; it holds: left, right"):
        freeze(store, ["middle"])
    images[1].unlink()
    assert [p.name for p in field_plans(freeze(store))] == ["left"]
    with pytest.raises(DatasetError, match="not where it was"):
        freeze(store, ["right"])


def test_the_command_trains_a_version_and_goes_on_from_its_folder(journal, tmp_path, monkeypatch):
    from napari_mitosis.cli.app import app
    from napari_mitosis.models import registry

    monkeypatch.setattr(registry, "user_folder", lambda: tmp_path / "models")
    monkeypatch.setattr("napari_mitosis.models.versions.user_folder", lambda: tmp_path / "models")
    monkeypatch.setattr("napari_mitosis.finetune.publish.user_folder", lambda: tmp_path / "models")
    call = [
        "finetune",
        "--journal",
        str(journal),
        "--out",
        str(tmp_path / "run"),
        "--minutes",
        "0.01",
        "--device",
        "cpu",
    ]
    done = CliRunner().invoke(app, [*call, "--device", "cpu", "--threads", "1"])
    assert done.exit_code == 0, done.output
    assert "Too little evidence" in " ".join(done.output.split())
    assert "segmitos@1.0.0+tuned.1" in done.output
    card = registry.load_detector("segmitos@1.0.0+tuned.1").card
    assert card.parent == "segmitos@1.0.0"
    assert card.finetuned["snapshot"] == Snapshot.load(tmp_path / "run" / "snapshot.json").sha256
    assert registry.load_detector("segmitos").card.name == "segmitos@1.0.0"  # nothing was adopted
    again = CliRunner().invoke(app, [*call, "--device", "cpu", "--threads", "1", "--adopt"])
    assert again.exit_code == 0, again.output
    assert [line for line in again.output.splitlines() if "segmitos@" in line] == [
        line for line in done.output.splitlines() if "segmitos@" in line
    ]
    assert registry.load_detector("segmitos").card.name == "segmitos@1.0.0"  # too little evidence to be offered


def test_a_journal_that_is_not_there_is_not_made(tmp_path):
    from napari_mitosis.cli.app import app

    where = tmp_path / "none.sqlite"
    done = CliRunner().invoke(app, ["finetune", "--journal", str(where), "--out", str(tmp_path / "run")])
    assert done.exit_code != 0
    assert not where.exists()
