"""Crops around one figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_mitosis.datasets import read_crops
from napari_mitosis.errors import DatasetError, FieldError
from napari_mitosis.tables import check_annotations


def crop(path: Path, side: int = 32) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), (200, 150, 180)).save(path)


def test_points_list_the_centre_once_and_first(tmp_path: Path) -> None:
    crop(tmp_path / "normal" / "S_1.jpg")
    crop(tmp_path / "atypical" / "S_2.jpg")
    (tmp_path / "points.csv").write_text(
        "image,slide,x,y,label\nS_1,07.tiff,30,4,mimic\nS_1,07.tiff,16,16,mitosis\nS_2,08.tiff,2,3,mitosis\n"
    )
    first, second = read_crops(tmp_path)
    assert first.points[["y_px", "x_px", "label"]].to_numpy().tolist() == [[16, 16, "mitosis"], [4, 30, "mimic"]]
    assert second.points[["y_px", "x_px"]].to_numpy().tolist() == [[16, 16], [3, 2]]
    assert (first.case, second.case) == ("07", "08")
    assert (first.group, second.group) == ("normal", "atypical")
    assert first.shape == first.pixels().shape[:2] == (32, 32)


def test_the_folder_labels_the_centre(tmp_path: Path) -> None:
    crop(tmp_path / "mitosis" / "66_01_17.jpg")
    crop(tmp_path / "mimic" / "27_01_3.jpg")
    found = {item.case: item.points["label"].tolist() for item in read_crops(tmp_path)}
    assert found == {"66": ["mitosis"], "27": ["mimic"]}


def test_errors_name_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no crops found"):
        read_crops(tmp_path)
    crop(tmp_path / "normal" / "1.jpg")
    table = tmp_path / "points.csv"
    table.write_text("image,slide,x,y,label\n1,a,5,5,nucleus\n")
    with pytest.raises(DatasetError, match=r"points\.csv, line 2: the label 'nucleus'"):
        read_crops(tmp_path)
    table.write_text("image,slide,x,y,label\n2,a,5,5,mimic\n")
    with pytest.raises(DatasetError, match="names the crop '2'"):
        read_crops(tmp_path)
    table.unlink()
    (tmp_path / "normal" / "1.jpg").write_bytes(b"")
    with pytest.raises(FieldError, match=r"1\.jpg: the file is empty"):
        read_crops(tmp_path)


@pytest.mark.parametrize(
    ("name", "count", "side", "cases"),
    [("ami_br", 3720, 128, 202), ("atnorm_md", 2107, 128, 1), ("tupac_crops", 243, 80, 16)],
)
def test_real_crops(shared_data: Path, name: str, count: int, side: int, cases: int) -> None:
    crops = read_crops(shared_data / name)
    assert len(crops) == count
    assert len({item.case for item in crops}) == cases
    for item in crops:
        check_annotations(item.points)
        assert side - 1 <= min(item.shape) <= max(item.shape) <= side  # one crop was cut at the field's border
        assert np.abs(item.points[["y_px", "x_px"]].to_numpy()[0] - side / 2).max() <= 2
        assert item.points[["y_px", "x_px"]].to_numpy().min() >= 0
        assert item.points[["y_px", "x_px"]].to_numpy().max() <= side
    assert crops[7].pixels().shape == (*crops[7].shape, 3)
