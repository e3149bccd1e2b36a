"""A study from its folder to its tables: blinded order, washout, agreement."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.store import Journal
from napari_mitosis.cases.study import journal_of, new_study, open_study, readings, round_of
from napari_mitosis.cli.app import app
from napari_mitosis.errors import MitosisError
from napari_mitosis.fields.field import open_field

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for number, path in enumerate(paths):
        Image.fromarray(np.full((80, 80, 3), 40 * number, np.uint8)).save(path)
    return paths


def read_round(folder: Path, reader: str, round_: int, places: dict[int, list[float]], when: datetime) -> None:
    """What a reader does: marks figures at these columns of each field, and declares it complete."""
    study = open_study(folder)
    with Journal(journal_of(folder, reader, round_)) as journal:
        for field in study.fields:
            book = Notebook(journal, open_field(field.path, field.mpp), reader, lambda: when)
            for x in places.get(field.number, []):
                book.add(40, x, phase="metaphase")
            book.set_complete(True)


def test_each_reader_has_an_order_and_a_washout(images: list[Path], tmp_path: Path) -> None:
    fields = [open_field(path, 0.25) for path in images]
    folder = tmp_path / "study"
    study = new_study(folder, fields, ["ann", "bob"], seed=3, rounds=2, washout_days=7)
    assert open_study(folder) == study
    orders = {(reader, n): [one.number for one in study.order(reader, n)] for reader in study.readers for n in (1, 2)}
    assert len({tuple(order) for order in orders.values()}) == 4  # nobody's order tells another's
    assert all(sorted(order) == [1, 2, 3, 4, 5, 6] for order in orders.values())
    round_, left = round_of(folder, study, "ann", NOON)
    assert (round_, [one.number for one in left]) == (1, orders["ann", 1])
    read_round(folder, "ann", 1, {1: [20]}, NOON)
    with pytest.raises(MitosisError, match="until 2026-03-08 12:00"):
        round_of(folder, study, "ann", NOON + timedelta(days=6))
    round_, left = round_of(folder, study, "ann", NOON + timedelta(days=8))
    assert (round_, [one.number for one in left]) == (2, orders["ann", 2])
    read_round(folder, "ann", 2, {}, NOON + timedelta(days=8))
    assert round_of(folder, study, "ann", NOON + timedelta(days=9)) == (2, [])
    for wrong in ({"fields": fields, "readers": ["a/b"]}, {"fields": [*fields, fields[0]], "readers": ["a"]}):
        with pytest.raises(MitosisError):
            new_study(tmp_path / "other", **wrong)
    with pytest.raises(MitosisError, match="already"):
        new_study(folder, fields, ["ann"])
    with pytest.raises(MitosisError, match="no reader 'eve'"):
        study.order("eve", 1)


def test_agreement_on_the_command_line(images: list[Path], tmp_path: Path) -> None:
    folder, out = tmp_path / "study", tmp_path / "out"
    call = CliRunner().invoke
    made = call(app, ["study", "new", str(folder), *map(str, images), "--readers", "ann,bob,eve", "--mpp", "0.25"])
    assert made.exit_code == 0, made.output
    told = call(app, ["study", "next", str(folder), "--reader", "ann"])
    assert "6 fields left" in told.output, told.output
    assert call(app, ["study", "agreement", str(folder), "--out", str(out)]).exit_code == 1
    read_round(folder, "ann", 1, {1: [20, 60], 2: [30]}, NOON)
    read_round(folder, "bob", 1, {1: [21], 2: [30]}, NOON)
    read_round(folder, "eve", 1, {1: [22, 61]}, NOON)
    assert [len(table) for table in readings(folder, open_study(folder)).values()] == [3, 2, 2]
    done = call(app, ["study", "agreement", str(folder), "--out", str(out)])
    assert done.exit_code == 0, done.output
    pairs = pd.read_csv(out / "pairs.csv").set_index(["first", "second", "radius_um"])
    assert pairs.loc[("ann", "bob", 7.5), "f"] == pytest.approx(4 / 5)
    figures = pd.read_csv(out / "figures.csv")
    assert figures[["votes", "consensus"]].to_numpy().tolist() == [[3, "mitosis"], [2, "mitosis"], [2, "mitosis"]]
    assert len(pd.read_csv(out / "disputed.csv")) == 2
    assert len(list(out.glob("*.png"))) == 2 + 2 * 3  # kappa and F, counts; Bland-Altman and phases of each pair
    assert pd.read_csv(out / "counts.csv").shape == (6, 4)
