"""What holds for every data set reader: on tiny fixtures in the published file formats, and on real tissue."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_mitosis.datasets import READERS, Sample, detect_kind, open_samples
from napari_mitosis.tables import ANNOTATION_COLUMNS, LABELS, check_annotations

SHAPE = (60, 90)  # not square, so that swapped coordinates leave the field


def tissue(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(90, 250, (*SHAPE, 3), dtype=np.uint8)


def disc(y: int, x: int, radius: int = 4) -> np.ndarray:
    """(y, x) of the pixels of a disc."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.argwhere((rows - y) ** 2 + (columns - x) ** 2 <= radius**2)


def icpr2012(root: Path) -> None:
    for slide in ("A00_v2", "A01_v2"):
        (root / slide).mkdir()
    for name in ("A00_v2/A00_00", "A00_v2/A00_01", "A01_v2/A01_00"):
        Image.fromarray(tissue()).save(root / f"{name}.bmp")
    lines = [",".join(f"{x},{y}" for y, x in disc(*centre)) for centre in ((20, 80), (50, 10))]
    (root / "A00_v2" / "A00_00.csv").write_text("\n".join(lines) + "\n")
    (root / "A01_v2" / "A01_00.csv").write_text(lines[0] + ",\r\n")
    # A00_01 has no mitosis, hence no CSV file.


def icpr2012_table(root: Path) -> None:
    (root / "images").mkdir()
    (root / "masks").mkdir()
    mask = np.zeros(SHAPE, dtype=np.uint8)
    for index, centre in enumerate(((20, 80), (50, 10)), start=1):
        mask[tuple(disc(*centre).T)] = index
    Image.fromarray(tissue()).save(root / "images" / "A00_01.jpg")
    Image.fromarray(mask).save(root / "masks" / "A00_01.png")
    # The rows are out of order: the index, not the row, names the value in the mask.
    (root / "mitoses.csv").write_text("image,index,x,y,area_px\nA00_01,2,10.0,50.0,49\nA00_01,1,80.0,20.0,49\n")


def icpr2014(root: Path) -> None:
    (root / "A03" / "frames" / "x40").mkdir(parents=True)
    (root / "A03" / "frames" / "x20").mkdir()
    (root / "A03" / "mitosis").mkdir()
    for name in ("x40/A03_00Aa", "x40/A03_00Ab", "x20/A03_00A"):
        tifffile.imwrite(root / "A03" / "frames" / f"{name}.tiff", tissue(), photometric="rgb")
    (root / "A03" / "mitosis" / "A03_00Aa_mitosis.csv").write_text("80,20,0.8\n10,50,1\n")
    (root / "A03" / "mitosis" / "A03_00Aa_not_mitosis.csv").write_text("70,5,0.2\n")
    (root / "A03" / "mitosis" / "A03_00Ab_mitosis.csv").write_text("")
    (root / "A03" / "mitosis" / "A03_00Ab_not_mitosis.csv").write_text("")


def icpr2014_table(root: Path) -> None:
    (root / "images").mkdir()
    Image.fromarray(tissue()).save(root / "images" / "A03_00Aa.png")
    (root / "points.csv").write_text(
        "image,x,y,label,confidence\nA03_00Aa,80,20,mitosis,0.8\nA03_00Aa,10,50,mitosis,1.0\nA03_00Aa,70,5,mimic,0.2\n"
    )


def tupac16(root: Path) -> None:
    for case in ("01", "24"):
        (root / "mitoses_image_data_part_1" / case).mkdir(parents=True)
        (root / "mitoses_ground_truth" / case).mkdir(parents=True)
        tifffile.imwrite(root / "mitoses_image_data_part_1" / case / "01.tif", tissue(), photometric="rgb")
    tifffile.imwrite(root / "mitoses_image_data_part_1" / "01" / "02.tif", tissue(), photometric="rgb")
    (root / "mitoses_ground_truth" / "01" / "01.csv").write_text("20,80\n50,10\n")
    (root / "mitoses_ground_truth" / "24" / "01.csv").write_text("20,80\n")


def amida13(root: Path) -> None:
    (root / "01").mkdir()
    tifffile.imwrite(root / "01" / "01.tif", tissue(), photometric="rgb")
    (root / "01" / "01.csv").write_text("20,80\n50,10\n")


def midog(root: Path, corners: bool = True) -> None:
    boxes = []
    for number, (y, x, category) in enumerate(((20, 80, 1), (50, 10, 1), (5, 70, 2))):
        box = [x - 25, y - 25, x + 25, y + 25] if corners else [x - 25, y - 25, 50, 50]
        boxes.append({"id": number, "image_id": 1, "category_id": category, "bbox": box, "iscrowd": 0})
    names = {1: "001.tiff", 2: "002.tiff", 3: "003.tiff"}
    images = [{"id": key, "file_name": name, "width": SHAPE[1], "height": SHAPE[0]} for key, name in names.items()]
    categories = [{"id": 1, "name": "mitotic figure"}, {"id": 2, "name": "hard negative"}]
    document = {"info": {}, "licenses": [], "images": images, "categories": categories, "annotations": boxes}
    (root / "MIDOG++.json").write_text(json.dumps(document))
    tifffile.imwrite(root / "001.tiff", tissue(), photometric="rgb", resolution=(1e4 / 0.23,) * 2, resolutionunit=3)
    tifffile.imwrite(root / "002.tiff", tissue(), photometric="rgb")  # nobody annotated it; 003 is not there


def folder(root: Path) -> None:
    mask = np.zeros(SHAPE, dtype=np.uint8)
    for centre in ((20, 80), (50, 10)):
        mask[tuple(disc(*centre).T)] = 255
    for name in ("a", "b", "c", "d", "not_annotated"):
        Image.fromarray(tissue()).save(root / f"{name}.png")
    (root / "a.csv").write_text("x,y,label\n80,20,mitosis\n10,50,mitosis\n70,5,mimic\n")
    (root / "b.csv").write_text("y_px,x_px,confidence\n20,80,0.5\n50,10,1\n")
    Image.fromarray(mask).save(root / "c_mask.png")
    (root / "d.csv").write_text("y,x\n")
    (root / "mpp.json").write_text('{"mpp": 0.25}')


PUBLISHED: dict[str, tuple[str, Callable[[Path], None], int]] = {
    "ICPR 2012": ("icpr2012", icpr2012, 3),
    "ICPR 2012, table": ("icpr2012", icpr2012_table, 1),
    "ICPR 2014": ("icpr2014", icpr2014, 2),
    "ICPR 2014, table": ("icpr2014", icpr2014_table, 1),
    "TUPAC16": ("tupac16", tupac16, 3),
    "AMIDA13": ("amida13", amida13, 1),
    "MIDOG": ("midog", midog, 1),
    "MIDOG in COCO's way": ("midog", lambda root: midog(root, corners=False), 1),
    "folder": ("folder", folder, 4),
}


def check_sample(sample: Sample) -> None:
    """The contract."""
    height, width = sample.field.shape
    pixels = sample.field.numpy()
    assert pixels.shape == (height, width, 3)
    assert pixels.dtype == np.uint8
    assert 0.05 <= sample.field.require_mpp("The contract") <= 5
    assert sample.case
    assert sample.dataset
    frame = check_annotations(sample.annotations)
    assert tuple(frame.columns) == ANNOTATION_COLUMNS
    assert frame["y_px"].between(0, height - 1).all()
    assert frame["x_px"].between(0, width - 1).all()
    centres = sample.centroids_yx()
    assert len(centres) == (frame["label"] == "mitosis").sum()
    assert sum(len(sample.centroids_yx(label)) for label in LABELS) == len(frame)
    mask = sample.mask
    assert (mask is not None) == sample.has_mask
    if mask is not None:
        assert mask.shape == (height, width)
        assert mask.dtype == np.uint16
        assert set(np.unique(mask)) - {0} == set(range(1, len(centres) + 1))
        for index, centre in enumerate(centres, start=1):
            np.testing.assert_allclose(np.argwhere(mask == index).mean(axis=0), centre, atol=1.0)


def test_every_reader_has_a_fixture() -> None:
    assert {kind for kind, *_ in PUBLISHED.values()} == set(READERS)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_format(tmp_path: Path, name: str) -> None:
    kind, make, count = PUBLISHED[name]
    make(tmp_path)
    samples = open_samples(tmp_path, kind)
    for sample in samples:
        check_sample(sample)
    # Every fixture has a first field with mitoses at y 20, x 80 and y 50, x 10: an axis mix-up cannot pass.
    np.testing.assert_allclose(samples[0].centroids_yx(), [[20, 80], [50, 10]], atol=1e-9)
    assert len(samples) == count


@pytest.mark.parametrize("name", PUBLISHED)
def test_auto_finds_the_reader(tmp_path: Path, name: str) -> None:
    kind, make, _ = PUBLISHED[name]
    make(tmp_path)
    assert detect_kind(tmp_path) == ("tupac16" if kind == "amida13" else kind)  # the same format
    assert len(open_samples(tmp_path)) == len(open_samples(tmp_path, kind))


@pytest.mark.parametrize("name", PUBLISHED)
def test_reading_the_list_decodes_no_pixels(tmp_path: Path, name: str) -> None:
    kind, make, _ = PUBLISHED[name]
    make(tmp_path)
    assert not any(isinstance(sample.field.pixels, np.ndarray) for sample in open_samples(tmp_path, kind))


@pytest.mark.parametrize(("name", "table"), [("icpr2012", "mitoses"), ("icpr2014", "points"), ("icpr2014_h", "points")])
def test_real_tissue(shared_data: Path, name: str, table: str) -> None:
    """Counted from the published table by plain csv: the data may grow."""
    with (shared_data / name / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        labels = Counter(row.get("label", "mitosis") for row in csv.DictReader(file))
    samples = open_samples(shared_data / name)
    assert len(samples) == len(list((shared_data / name / "images").iterdir()))
    assert labels["mitosis"] > 0
    assert sum(len(sample.centroids_yx()) for sample in samples) == labels["mitosis"]
    assert sum(len(sample.centroids_yx("mimic")) for sample in samples) == labels["mimic"]
    for sample in samples:
        check_sample(sample)


def test_real_mitoses_are_darker_than_their_field(shared_data: Path) -> None:
    """The dark chromatin lies where the annotations say, so x and y are not swapped."""
    for name in ("icpr2012", "icpr2014"):
        darker = total = 0
        for sample in open_samples(shared_data / name):
            red = sample.field.numpy()[..., 0]
            for y, x in np.round(sample.centroids_yx()).astype(int):
                patch = red[max(0, y - 6) : y + 7, max(0, x - 6) : x + 7]
                darker += bool(np.median(patch) < np.percentile(red, 20))
                total += 1
        assert darker / total > 0.7, (name, darker, total)
