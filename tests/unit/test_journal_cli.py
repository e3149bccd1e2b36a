"""``napari-mitosis journal``, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.snapshot import Snapshot
from napari_mitosis.annotations.store import Journal
from napari_mitosis.cli import app
from napari_mitosis.fields.field import open_field


def call(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["journal", *(str(a) for a in arguments)])
    assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
    return " ".join(done.output.split())


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reader's own journal, empty."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("NAPARI_MITOSIS_READER", "ann")
    monkeypatch.setenv("NAPARI_MITOSIS_JOURNAL", str(tmp_path / "own" / "j.sqlite"))
    return tmp_path / "own" / "j.sqlite"


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / name for name in ("one.png", "two [x].png")]
    for number, path in enumerate(paths):
        Image.fromarray(np.full((50, 60, 3), 100 + number, np.uint8)).save(path)
    return paths


@pytest.fixture
def filled(file: Path, images: list[Path]) -> Path:
    with Journal(file) as journal:
        one = Notebook(journal, open_field(images[0], 0.25), "ann")
        figure = one.add(10, 20, phase="metaphase")
        one.relabel(figure, "mimic")
        one.undo()
        one.set_complete(True)
        Notebook(journal, open_field(images[1]), "bob").reject(5, 6, source="segmitos@1.0.0", score=0.5)
    return file


def test_a_journal_that_is_not_there_is_told_not_made(file: Path) -> None:
    assert "no journal at" in call("fields", code=1)
    assert not file.exists()


def test_fields_and_log(filled: Path) -> None:
    shown = call("fields")
    for words in ("one", "two [x]", "0.25", "ann", "bob", "yes"):
        assert words in shown
    shown = call("log", "one.png")
    for words in ("add", "relabel", "undo relabel", "complete", "metaphase", "10.0, 20.0"):
        assert words in shown
    assert "reject" not in shown
    lines = CliRunner().invoke(app, ["journal", "log", "--json"]).output.splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["add", "relabel", "undo", "complete", "reject"]
    assert len(CliRunner().invoke(app, ["journal", "log", "--json", "--last", "2"]).output.splitlines()) == 2


def test_history_of_one_figure(filled: Path) -> None:
    with Journal(filled) as journal:
        figure = journal.actions()[0].figure
    lines = CliRunner().invoke(app, ["journal", "log", "--json", "--figure", figure[:10]]).output.splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["add", "relabel", "undo"]
    assert "No figures" in call("log", "--figure", "zzzz", code=1)


def test_a_field_by_any_name(filled: Path, images: list[Path]) -> None:
    with Journal(filled) as journal:
        digest = str(journal.fields()["digest"][0])
    assert call("log", digest[:6]) == call("log", "one") == call("log", images[0])
    assert "knows no field 'three'" in call("log", "three", code=1)


@pytest.mark.parametrize(("name", "suffix"), [("csv", ".csv"), ("geojson", ".geojson"), ("midog", ".json")])
def test_out_and_into_another_journal(filled: Path, images: list[Path], tmp_path: Path, name: str, suffix: str) -> None:
    out = tmp_path / "out"
    assert "1 figures" in call("export", "--out", out, "--format", name)
    assert sorted(path.name for path in out.iterdir()) == [f"one{suffix}", f"two [x]{suffix}"]
    other = tmp_path / "other.sqlite"
    for _ in range(2):
        shown = call("import", images[1], out / f"two [x]{suffix}", "--dataset", "B", "-j", other, "--mpp", 0.25)
    assert shown == "0 figures added to two [x].png. 1 were there already."
    with Journal(other) as journal:
        (action,) = journal.actions()
        assert journal.fields()["mpp"][0] == 0.25
    assert (action.reader, action.source, action.label, action.score) == ("ann", "dataset B", "mimic", 0.5)


def test_wrong_input_is_told_and_adds_nothing(filled: Path, images: list[Path], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("y_px,x_px\n1,1\n1,1000\n")
    assert "figure 2" in call("import", images[0], wrong, code=1)
    assert "no format" in call("export", "--format", "xml", "--out", tmp_path / "o", code=1)
    with Journal(filled) as journal:
        assert len(journal.actions()) == 5


def test_snapshot(filled: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    shown = call("snapshot", path, "--test", "two [x]")
    snapshot = Snapshot.load(path)
    assert snapshot.sha256 in shown
    assert [field.name for field in snapshot.of("train")] == ["one"]
    assert [field.name for field in snapshot.of("test")] == ["two [x]"]
    call("snapshot", path, "--field", "one")
    assert len(Snapshot.load(path).fields) == 1


def test_check(filled: Path) -> None:
    assert call("check") == "The journal is sound: 5 actions."
    data = bytearray(filled.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    filled.write_bytes(bytes(data))
    assert "damage" in call("check", code=1).lower()


def test_real_annotations_come_in(shared_data: Path, file: Path, tmp_path: Path) -> None:
    """The mitoses of one published field, through a table, into the journal."""
    table = pd.read_csv(shared_data / "icpr2012" / "mitoses.csv")
    name = str(table["image"][0])
    image = next((shared_data / "icpr2012" / "images").glob(f"{name}.*"))
    mine = table[table["image"] == name]
    pd.DataFrame({"y_px": mine["y"], "x_px": mine["x"]}).to_csv(tmp_path / "m.csv", index=False)
    call("import", image, tmp_path / "m.csv", "--dataset", "icpr2012")
    with Journal(file) as journal:
        assert [(a.y_px, a.x_px) for a in journal.actions()] == list(zip(mine["y"], mine["x"], strict=True))
