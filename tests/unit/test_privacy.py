"""What leaves the program names no folder, and what a scanner photographed beside the tissue is never looked at."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_mitosis.annotations.exchange import FORMATS, export_annotations
from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.rows import FieldFacts
from napari_mitosis.annotations.store import Journal
from napari_mitosis.batches.batch import BatchReport, FieldReport, find_fields
from napari_mitosis.decision.decide import Rule
from napari_mitosis.errors import FieldError
from napari_mitosis.fields.field import open_field

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "napari_mitosis"
PATIENT = "Doe, Jane 1970"
RGB = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / PATIENT
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", RGB, photometric="rgb")
    return folder


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_names_no_folder(place: Path, tmp_path: Path, name: str) -> None:
    field = open_field(place / "a.tif", 0.25)
    book = Notebook(Journal(tmp_path / "j.sqlite"), field, "ann")
    book.add(1, 1)
    export_annotations(tmp_path / "out", book.figures, FieldFacts.of(field), name)
    content = (tmp_path / "out").read_bytes()
    assert PATIENT.encode() not in content
    assert str(tmp_path).encode() not in content


def test_results_and_errors_name_no_folder(place: Path) -> None:
    (place / "b.tif").write_bytes(b"II*\0 nothing")
    labels = [file.label for file in find_fields([place])]
    assert labels == ["a.tif", "b.tif"]
    with pytest.raises(FieldError) as caught:
        open_field(place / "b.tif")
    report = BatchReport("m@1", Rule(), (FieldReport(labels[1], error=str(caught.value)),))
    assert PATIENT not in str(report.as_dict())


def test_label_and_macro_images_of_a_slide_are_never_asked_for() -> None:
    """Of OpenSlide nothing is taken but levels and named properties; of a TIFF only the first series is read."""
    asked: list[str] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("associated_images", "associated_image_icc_profiles"):
                asked.append(f"{path.name}:{node.lineno} {node.attr}")
            series = isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith(".series")
            if series and ast.unparse(node.slice) != "0":
                asked.append(f"{path.name}:{node.lineno} {ast.unparse(node)}")
    assert asked == []


def test_a_label_in_a_tiff_is_not_among_its_levels(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    label = np.full((40, 90, 3), 7, dtype=np.uint8)
    with tifffile.TiffWriter(path) as writer:
        writer.write(np.tile(RGB, (8, 8, 1)), photometric="rgb", tile=(64, 64), subifds=1)
        writer.write(np.tile(RGB, (4, 4, 1)), photometric="rgb", tile=(64, 64), subfiletype=1)
        writer.write(label, photometric="rgb", description="label")
    levels = open_field(path).pixels.levels()
    assert [level.shape[:2] for level in levels] == [(512, 512), (256, 256)]
    assert not any((np.asarray(level) == 7).all(axis=-1).any() for level in levels)
