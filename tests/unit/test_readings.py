"""Who said what of a case in one journal, how far they agree, and verdicts that are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.store import Journal
from napari_mitosis.cases.adjudicate import adjudicated, settle, verdicts
from napari_mitosis.cases.case import add_to_case, read_case
from napari_mitosis.cases.readings import Readings, case_readings, compare
from napari_mitosis.cli.app import app
from napari_mitosis.errors import MitosisError
from napari_mitosis.fields.field import Field

MPP = 0.25


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    """Two fields: ann and bob read the first with two disputes; only ann read the second."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    opened = Journal(tmp_path / "j.sqlite")
    fields = [Field.from_array(np.full((400, 400, 3), n, np.uint8), MPP, f"f{n}") for n in (1, 2)]
    add_to_case(opened, "case", fields, "clerk")
    ann = Notebook(opened, fields[0], "ann")
    ann.add(100, 100, phase="metaphase")
    alone = ann.add(200, 200)
    bob = Notebook(opened, fields[0], "bob")
    bob.add(100, 104, phase="anaphase")  # 1 um from ann's: the same figure, marked twice
    bob.relabel(alone, "mimic")  # ann's second one is none to bob
    bob.add(300, 300)
    undone = bob.add(50, 50)
    bob.undo()
    assert bob.figure(undone) is None
    Notebook(opened, fields[1], "ann").set_complete(True)
    return opened


def of(journal: Journal) -> Readings:
    return case_readings(journal, read_case(journal, "case").fields)


def words(readings: Readings, name: str) -> list[tuple[float, str]]:
    return [(float(y), str(label)) for y, label in readings.marks[name][["y_px", "label"]].to_numpy()]


def test_everybody_has_a_word_of_their_own(journal: Journal) -> None:
    readings = of(journal)
    assert words(readings, "ann") == [(100.0, "mitosis"), (200.0, "mitosis")]  # what bob made of it is bob's word
    assert words(readings, "bob") == [(200.0, "mimic"), (100.0, "mitosis"), (300.0, "mitosis")]
    assert readings.shared(["ann", "bob"]) == ["f1"]
    assert set(readings.shared(["ann"])) == {"f1", "f2"}


def test_a_deletion_takes_back_only_ones_own_word(journal: Journal) -> None:
    field = Field.from_array(np.full((400, 400, 3), 1, np.uint8), MPP, "f1")
    bob = Notebook(journal, field, "bob")
    bob.delete(str(bob.figures["figure"][0]))
    assert (100.0, "mitosis") in words(of(journal), "ann")
    ann = Notebook(journal, field, "ann")
    ann.add_all(pd.DataFrame({"y_px": [10.0], "x_px": [10.0]}), source="dataset MIDOG")
    assert words(of(journal), "dataset MIDOG") == [(10.0, "mitosis")]


def test_a_detector_is_one_more_reader(journal: Journal) -> None:
    readings = of(journal)
    digest = readings.fields["f1"].digest
    detections = pd.DataFrame({"y_px": [101.0], "x_px": [101.0]})
    three = readings.with_detector("seg@1", {digest: detections, "elsewhere": detections})
    agreement = compare(three, ["ann", "bob", "seg@1"], 7.5)
    assert agreement.counts.to_numpy().tolist() == [[2, 2, 1]]
    assert agreement.union[["ann", "bob", "seg@1", "votes", "consensus"]].to_numpy().tolist() == [
        ["mitosis", "mitosis", "mitosis", 3, "mitosis"],
        ["mitosis", "mimic", "not marked", 1, "not mitosis"],
        ["not marked", "mitosis", "not marked", 1, "not mitosis"],
    ]
    assert set(agreement.fleiss) == {5.0, 7.5, 8.0}
    with pytest.raises(MitosisError, match="two readers"):
        compare(readings, ["ann"], 7.5)
    with pytest.raises(MitosisError, match="read by all of ann, clerk"):
        compare(
            Readings({**readings.marks}, {**readings.read, "clerk": frozenset()}, readings.fields), ["ann", "clerk"], 5
        )


def test_a_verdict_is_kept_makes_one_figure_and_is_nobodys_reading(journal: Journal, tmp_path: Path) -> None:
    readings = of(journal)
    agreement = compare(readings, ["ann", "bob"], 7.5)
    assert agreement.union["consensus"].tolist() == ["mitosis", "tie", "tie"]
    field = readings.fields["f1"]
    both, second, third = (str(ids).split() for ids in agreement.union["figures"])
    assert [len(ids) for ids in (both, second, third)] == [2, 1, 1]
    settle(journal, field, (100.0, 100.0), both, "mitosis", "eve")
    settle(journal, field, (200.0, 200.0), second, "mitosis", "eve")
    book = Notebook(journal, Field.from_array(np.full((400, 400, 3), 1, np.uint8), MPP, "f1"), "eve")
    book.delete(third[0])
    settle(journal, field, (300.0, 300.0), third, "unsure", "eve")  # gone by now: made anew where it stood
    again = Journal(tmp_path / "j.sqlite")  # a restart
    told = adjudicated(compare(of(again), ["ann", "bob"], 7.5), verdicts(again, readings.fields))
    assert told.union["verdict"].tolist() == ["mitosis", "mitosis", "unsure"]
    assert told.union["adjudicator"].tolist() == ["eve"] * 3
    assert told.union[["ann", "bob"]].equals(agreement.union[["ann", "bob"]])
    book.refresh()
    assert sorted(book.figures["label"]) == ["mitosis", "mitosis", "unsure"]
    for _ in range(4):
        book.undo()  # a verdict is undone in one step
    assert len(book.figures) == 4
    assert verdicts(journal, readings.fields).empty


def test_on_the_command_line(journal: Journal, tmp_path: Path) -> None:
    path, out = str(tmp_path / "j.sqlite"), tmp_path / "out"
    call = CliRunner().invoke
    done = call(app, ["case", "agreement", "case", "--journal", path, "--out", str(out), "--readers", "ann, bob"])
    assert done.exit_code == 0, done.output
    assert "2 disputed" in done.output
    assert pd.read_csv(out / "figures.csv")["consensus"].tolist() == ["mitosis", "tie", "tie"]
    assert pd.read_csv(out / "phases.csv")["count"].sum() == 1
    pictures = {path.stem for path in out.glob("*.png")}
    assert {"kappa and F", "counts and ICC", "Bland-Altman, ann and bob", "phases, ann and bob"} == pictures
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in out.glob("*.png"))
    wrong = call(app, ["case", "agreement", "case", "--journal", path, "--readers", "ann,zoe"])
    assert wrong.exit_code == 1
