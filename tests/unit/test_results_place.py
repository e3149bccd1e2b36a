"""Where results go and what they are called; tables that a spreadsheet shows and does not run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from napari_mitosis.annotations.exchange_csv import read, write
from napari_mitosis.annotations.rows import FieldFacts, Strict, exchange_frame
from napari_mitosis.batches.batch import PICTURES, FieldFile, find_fields, read_detections
from napari_mitosis.errors import FieldError
from napari_mitosis.tables import load_table, plain_cell, safe_cell, table_text, write_table


def image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path, "PNG")
    return path


@pytest.mark.parametrize("out", ["in/out", "in", ".", "elsewhere"])
def test_results_may_lie_in_at_or_above_the_input(tmp_path: Path, out: str) -> None:
    """A second run finds the same fields, whatever the first one left there."""
    image(tmp_path / "in" / "a.png")
    image(tmp_path / "in" / "b" / "c.png")
    for ending in PICTURES:
        image(tmp_path / out / f"a.png{ending}")
    image(tmp_path / "in" / "out" / "old.png")
    found = [file.label for file in find_fields([tmp_path / "in"], recursive=True, skip=tmp_path / out)]
    assert found == ["a.png", "b/c.png", *([] if out == "in/out" else ["out/old.png"])]


def test_two_fields_never_share_a_picture() -> None:
    labels = ["a/b.png", "a__b.png", "a/b__c.png", "a__b/c.png", "a/b/c.png", "a\\b.png", "a:b.png", "CON", "con.png"]
    assert len({FieldFile(Path(), label).stem.lower() for label in labels}) == len(labels)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are Unicode on this system")
def test_names_that_are_not_utf_8_have_results_like_others(tmp_path: Path) -> None:
    name = os.fsdecode(b"slide \xff.png")
    image(tmp_path / "in" / name)
    image(tmp_path / "in" / os.fsdecode(b"slide \xfe.png"))
    files = find_fields([tmp_path / "in"])
    assert sorted(file.path.name for file in files) == sorted(os.listdir(tmp_path / "in"))
    write_table(tmp_path / "t.csv", pd.DataFrame({"file": [file.label for file in files]}))
    assert len(set(load_table(tmp_path / "t.csv", ("file",))["file"])) == 2
    assert len({file.stem for file in files}) == 2
    str(FieldError(tmp_path / name, "x")).encode("utf-8")


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="this system has no links")
def test_a_circle_of_links_stops_nothing(tmp_path: Path) -> None:
    image(tmp_path / "in" / "a.png")
    try:
        (tmp_path / "in" / "b.png").symlink_to(tmp_path / "in" / "b.png")
        (tmp_path / "in" / "up").symlink_to(tmp_path / "in")
    except OSError:
        pytest.skip("links cannot be made here")
    assert "a.png" in [file.label for file in find_fields([tmp_path / "in"], recursive=True)]
    assert find_fields([tmp_path / "in" / "b.png"])[0].label == "b.png"  # opening it will tell


FORMULAS = ['=HYPERLINK("http://x")', "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''=1", "'plain", "plain"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_is_a_formula_and_all_come_back(tmp_path: Path, text: str) -> None:
    frame = pd.DataFrame({"file": [text], "score": [-0.5], text: ["x"]})
    written = table_text(frame)
    cells = [cell.strip('"') for line in written.splitlines() for cell in line.split(",")]
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "@") or (cell[:1] == "-" and cell != "-0.5")]
    write_table(tmp_path / "t.csv", frame)
    write_table(tmp_path / "t.csv", frame, append=True)
    back = load_table(tmp_path / "t.csv", ("file",))
    assert list(back["score"]) == [-0.5, -0.5]
    if "\r" not in text:  # which ends a line for some readers
        assert list(back["file"]) == [text, text]


@given(st.text())
def test_every_cell_comes_back(text: str) -> None:
    assert plain_cell(safe_cell(text)) == text.replace("\r", "\\r")


def test_annotations_and_detections_with_names_like_formulas_come_back(tmp_path: Path) -> None:
    facts = FieldFacts("a", "a", (9, 9))
    frame = exchange_frame(
        [{"y_px": 1.0, "x_px": 2.0, "label": "mimic", "reader": "=cmd|' /C calc'!A0", "source": "@x"}]
    )
    (tmp_path / "a.csv").write_text(write(frame, facts), encoding="utf-8")
    assert ",=cmd" not in (tmp_path / "a.csv").read_text(encoding="utf-8")
    pd.testing.assert_frame_equal(read(tmp_path / "a.csv", facts, Strict()), frame)
    row = {"file": "=1.png", "y_px": 1, "x_px": 1, "y_um": 1, "x_um": 1, "score": 0.5, "area_um2": 3, "model": "m"}
    write_table(tmp_path / "d.csv", pd.DataFrame([row]))
    assert list(read_detections(tmp_path / "d.csv")) == ["=1.png"]
