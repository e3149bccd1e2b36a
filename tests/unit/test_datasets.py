"""Malformed data sets: every error names the file, and the line where there is one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_mitosis.datasets import Sample, open_samples, read_folder, read_icpr2012, read_midog
from napari_mitosis.errors import DatasetError, FieldError
from napari_mitosis.fields.field import Field
from napari_mitosis.tables import annotations_frame

RGB = np.full((40, 60, 3), 200, dtype=np.uint8)


def bmp(root: Path) -> None:
    Image.fromarray(RGB).save(root / "A00_00.bmp")


def tif(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, RGB, photometric="rgb")


def icpr2012(text: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        bmp(root)
        (root / "A00_00.csv").write_text(text)

    return make


def icpr2012_table(text: str, size: tuple[int, int] = (60, 40)) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        (root / "images").mkdir()
        (root / "masks").mkdir()
        bmp(root / "images")
        Image.new("L", size).save(root / "masks" / "A00_00.png")
        (root / "mitoses.csv").write_text(text)

    return make


def icpr2014(text: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        tif(root / "A03" / "frames" / "x40" / "A03_00Aa.tiff")
        (root / "A03" / "mitosis").mkdir()
        (root / "A03" / "mitosis" / "A03_00Aa_mitosis.csv").write_text(text)

    return make


def icpr2014_table(text: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        (root / "images").mkdir()
        Image.fromarray(RGB).save(root / "images" / "A03_00Aa.png")
        (root / "points.csv").write_text(text)

    return make


def tupac16(text: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        tif(root / "01" / "01.tif")
        (root / "01" / "01.csv").write_text(text)

    return make


def midog(**changes: object) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        tif(root / "001.tiff")
        document = {
            "images": [{"id": 1, "file_name": "001.tiff", "width": 60, "height": 40}],
            "annotations": [{"image_id": 1, "category_id": 1, "bbox": [5, 5, 55, 35]}],
        }
        (root / "MIDOG.json").write_text(json.dumps({**document, **changes}))

    return make


def box(**changes: object) -> list[dict[str, object]]:
    return [{"image_id": 1, "category_id": 1, "bbox": [5, 5, 55, 35], **changes}]


def image(**changes: object) -> list[dict[str, object]]:
    return [{"id": 1, "file_name": "001.tiff", "width": 60, "height": 40, **changes}]


def folder(text: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        Image.fromarray(RGB).save(root / "a.png")
        (root / "a.csv").write_text(text)

    return make


BAD: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "2012 odd": ("icpr2012", icpr2012("1,2,3,4\n5,6,7\n"), r"A00_00\.csv, line 2: an odd number"),
    "2012 word": ("icpr2012", icpr2012("1,2,x,4\n"), r"A00_00\.csv, line 1: 'x' is not a number"),
    "2012 fraction": ("icpr2012", icpr2012("1.5,2\n"), r"A00_00\.csv, line 1: .*whole"),
    "2012 y,x": ("icpr2012", icpr2012("\n39,59\n"), r"A00_00\.csv, line 2: a pixel lies outside"),
    "2012 infinite": ("icpr2012", icpr2012("inf,2\n"), r"A00_00\.csv, line 1: 'inf' is not a finite"),
    "2012 no field": ("icpr2012", lambda root: None, "no ICPR 2012 field found"),
    "2012 table column": ("icpr2012", icpr2012_table("image,index,x\n"), r"mitoses\.csv, line 1: .*column 'y'"),
    "2012 table cells": ("icpr2012", icpr2012_table("image,index,x,y\nA00_00,1,5\n"), r"mitoses\.csv, line 2: 3 cells"),
    "2012 table gap": ("icpr2012", icpr2012_table("image,index,x,y\nA00_00,2,5,5\n"), "indices of A00_00"),
    "2012 table image": ("icpr2012", icpr2012_table("image,index,x,y\nA09_00,1,5,5\n"), "names the image 'A09_00'"),
    "2012 table swapped": ("icpr2012", icpr2012_table("image,index,x,y\nA00_00,1,5,55\n"), "are x and y swapped"),
    "2012 table empty": ("icpr2012", icpr2012_table(""), r"mitoses\.csv: the file is empty"),
    "2014 columns": ("icpr2014", icpr2014("5\n"), r"A03_00Aa_mitosis\.csv, line 1: expected x,y,confidence"),
    "2014 vote": ("icpr2014", icpr2014("5,6,1\n5,6,80\n"), r"A03_00Aa_mitosis\.csv, line 2: the confidence 80"),
    "2014 swapped": ("icpr2014", icpr2014("5,55,1\n"), "A03_00Aa_mitosis.csv: .*are x and y swapped"),
    "2014 no annotations": ("icpr2014", lambda root: tif(root / "A03/frames/x40/a.tiff"), "no such folder of annot"),
    "2014 none": ("icpr2014", lambda root: None, "no ICPR 2014 frame found"),
    "2014 label": ("icpr2014", icpr2014_table("image,x,y,label\nA03_00Aa,1,2,cell\n"), r"line 2: the label 'cell'"),
    "tupac columns": ("tupac16", tupac16("1,2\n1,2,3\n"), r"01\.csv, line 2: expected row,col"),
    "tupac swapped": ("tupac16", tupac16("55,5\n"), r"01\.csv: .*are x and y swapped"),
    "tupac none": ("tupac16", lambda root: None, "no TUPAC16 or AMIDA13 field"),
    "tupac no csv": ("tupac16", lambda root: tif(root / "01" / "01.tif"), "no annotations found"),
    "midog no json": ("midog", lambda root: None, "expected one JSON file .* found none"),
    "midog category": ("midog", midog(annotations=box(category_id=3)), "annotation 0: the category 3"),
    "midog image": ("midog", midog(annotations=box(image_id=9)), "annotation 0: there is no image 9"),
    "midog box": ("midog", midog(annotations=box(bbox=[1, 2, 3])), r"MIDOG\.json: annotations\.0\.bbox"),
    "midog type": ("midog", midog(images="none"), r"MIDOG\.json: images: "),
    "midog size": ("midog", midog(images=image(width=61)), r"001\.tiff should be 40 x 61 px"),
    "midog absent": ("midog", midog(images=image(file_name="2.tiff")), "none of the annotated images"),
    "folder header": ("folder", folder("a,b\n1,2\n"), r"a\.csv, line 1: the header has no columns y and x"),
    "folder number": ("folder", folder("y,x\n1,2\n1,two\n"), r"a\.csv, line 3: 'two' is not a number"),
    "folder label": ("folder", folder("y,x,label\n1,2,cell\n"), r"a\.csv, line 2: the label 'cell'"),
    "folder swapped": ("folder", folder("y,x\n55,5\n"), r"a\.csv: .*are x and y swapped"),
    "folder none": ("folder", lambda root: None, "no annotated image found"),
    "not text": ("folder", lambda root: (folder("")(root), (root / "a.csv").write_bytes(b"\xff\xfe\0y")), "as CSV"),
}


@pytest.mark.parametrize("case", BAD)
def test_errors_name_the_file_and_the_line(tmp_path: Path, case: str) -> None:
    kind, make, message = BAD[case]
    make(tmp_path)
    with pytest.raises(DatasetError, match=message) as caught:
        open_samples(tmp_path, kind)
    assert str(tmp_path) in str(caught.value)


def test_unknown_kind_and_folder() -> None:
    with pytest.raises(DatasetError, match="'cifar' is no kind of data set; choose auto, icpr2012"):
        open_samples(".", "cifar")
    with pytest.raises(DatasetError, match="no such folder"):
        open_samples("nowhere/at/all")


def test_a_mask_of_another_size_is_refused_when_read(tmp_path: Path) -> None:
    icpr2012_table("image,index,x,y\n", size=(30, 30))(tmp_path)
    (sample,) = read_icpr2012(tmp_path)
    with pytest.raises(DatasetError, match="the mask is"):
        _ = sample.mask


def test_a_damaged_image_is_a_field_error(tmp_path: Path) -> None:
    icpr2012("1,2\n")(tmp_path)
    (tmp_path / "A00_00.bmp").write_bytes(b"BM")
    with pytest.raises(FieldError, match=r"A00_00\.bmp"):
        read_icpr2012(tmp_path)


def test_sidecar_overrides_the_published_um_per_pixel(tmp_path: Path) -> None:
    icpr2012("1,2\n")(tmp_path)
    assert read_icpr2012(tmp_path)[0].field.mpp == 0.2456
    (tmp_path / "mpp.json").write_text('{"mpp": 0.22}')
    assert read_icpr2012(tmp_path)[0].field.mpp == 0.22


def test_each_scanner_has_its_um_per_pixel(tmp_path: Path) -> None:
    icpr2012("1,2\n")(tmp_path)
    Image.fromarray(RGB).save(tmp_path / "H00_00.bmp")
    assert {sample.case: sample.field.mpp for sample in read_icpr2012(tmp_path)} == {"A00": 0.2456, "H00": 0.227}


def test_midog_takes_the_um_per_pixel_of_each_image(tmp_path: Path) -> None:
    midog()(tmp_path)
    assert read_midog(tmp_path)[0].field.mpp == 0.25
    tifffile.imwrite(tmp_path / "001.tiff", RGB, photometric="rgb", resolution=(1e4 / 0.23,) * 2, resolutionunit=3)
    assert read_midog(tmp_path)[0].field.mpp == pytest.approx(0.23, rel=1e-4)


def test_midog_never_follows_a_path_out_of_its_folder(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    midog(images=image(file_name="../secret.tiff"))(inner)
    tif(tmp_path / "secret.tiff")
    with pytest.raises(DatasetError, match="none of the annotated images"):
        read_midog(inner)


def test_folder_mask_wins_over_the_mitoses_of_the_csv(tmp_path: Path) -> None:
    folder("y,x,label\n1,2,mitosis\n30,50,mimic\n9,9,unsure\n")(tmp_path)
    mask = np.zeros((40, 60), dtype=np.uint8)
    mask[10:13, 20:25] = 3  # two parts of one telophase: one index, one mitosis
    mask[20:23, 20:25] = 3
    mask[5:8, 50:53] = 9
    Image.fromarray(mask).save(tmp_path / "a_mask.png")
    (sample,) = read_folder(tmp_path)
    np.testing.assert_allclose(sample.centroids_yx(), [[16, 22], [6, 51]])
    assert sample.annotations["label"].tolist() == ["mitosis", "mitosis", "mimic", "unsure"]
    assert sample.mask is not None
    assert sample.mask[11, 22] == sample.mask[21, 22] == 1
    assert sample.mask[6, 51] == 2
    assert sample.mask[0, 0] == 0


def test_folder_cases_are_subfolders(tmp_path: Path) -> None:
    for case in ("p1", "p2"):
        (tmp_path / case).mkdir()
        folder("y,x\n5,5\n")(tmp_path / case)
    folder("y,x\n5,5\n")(tmp_path)
    assert sorted(sample.case for sample in read_folder(tmp_path)) == ["a", "p1", "p2"]


def test_unknown_um_per_pixel_stays_unknown(tmp_path: Path) -> None:
    folder("y,x\n5,5\n")(tmp_path)
    assert read_folder(tmp_path)[0].field.mpp is None


def test_a_sample_takes_a_ready_mask_or_none() -> None:
    field = Field.from_array(RGB, mpp=0.25)
    frame = annotations_frame([5], [6])
    mask = np.zeros((40, 60), dtype=np.uint16)
    assert Sample(field, frame, mask, "a", "b").mask is mask
    assert Sample(field, frame).mask is None
    with pytest.raises(DatasetError, match="the mask is"):
        _ = Sample(field, frame, mask.T.copy()).mask
    with pytest.raises(ValueError, match="column 'label' is missing"):
        Sample(field, frame.drop(columns="label"))
