"""Every format of annotations keeps what it is given; a format added to FORMATS is tested by being there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_mitosis.annotations.actions import PHASES, new_id
from napari_mitosis.annotations.exchange import (
    EXCHANGE_COLUMNS,
    FORMATS,
    FieldFacts,
    Lenient,
    export_annotations,
    import_annotations,
    read_annotations,
)
from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.rows import exchange_frame
from napari_mitosis.annotations.store import Journal
from napari_mitosis.errors import DatasetError
from napari_mitosis.fields.field import Field

each_format = pytest.mark.parametrize("name", sorted(FORMATS))
FACTS = FieldFacts("Feld Ü1", "Feld Ü1.tiff", (1000, 2000), 0.2455)


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def figures() -> pd.DataFrame:
    """All labels and phases, scores and their absence, places at the very edge, names that need care."""
    rng = np.random.default_rng(0)
    labels = ["mitosis", "mimic", "unsure", "mitosis", "mitosis", "mitosis", "mitosis", "mimic"]
    readers = ["ann", "Žofie Ñandú", 'with "quotes", and commas', "Ω\u2028break", "李雷", "", "a;b\tc", "'=1+1"]
    rows = {
        "figure": [new_id() for _ in labels],
        "y_px": [-0.5, 999.5, *rng.uniform(0, 999, 6)],
        "x_px": [-0.5, 1999.5, *rng.uniform(0, 1999, 6)],
        "label": labels,
        "phase": ["", "", "", *PHASES],
        "reader": readers,
        "source": ["reader", "dataset Ö 2026", "segmitos@1.0.0", *["reader"] * 5],
        "score": [np.nan, 0.0, 1.0, 1 / 3, *rng.uniform(0, 1, 4)],
        "time": ["2026-03-01T12:00:00.000005+00:00"] * 7 + [""],
    }
    return exchange_frame(pd.DataFrame(rows))


def held(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """What a format has room for: rows of its labels, with its columns; the others empty. By place."""
    one = FORMATS[name]
    rows = table[table["label"].isin(one.labels)]
    kept = exchange_frame(rows[[column for column in rows.columns if column in one.keeps]])
    if name == "icpr2014":  # a list of confidences: a reader's own mark is sure
        kept["score"] = kept["score"].fillna(1.0)
    return by_place(kept)


def by_place(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(["y_px", "x_px"], ignore_index=True)


def same(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    """Equal; a place or score may differ by what other units, or half a pixel to and fro, cost: never 0.01 px."""
    pd.testing.assert_frame_equal(by_place(found), by_place(wanted), check_exact=False, rtol=0, atol=1e-6)


@each_format
def test_round_trip_keeps_every_column(name: str, tmp_path: Path) -> None:
    path, table = tmp_path / f"Ünï cödé{FORMATS[name].suffix}", figures()
    left_out = export_annotations(path, table, FACTS, name)
    found = read_annotations(path, FACTS)  # what the file is, it tells itself
    assert tuple(found.columns) == EXCHANGE_COLUMNS
    same(found, held(name, table))
    assert left_out == len(table) - len(found)


@each_format
def test_a_field_without_figures(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"empty{FORMATS[name].suffix}"
    if name == "dicom":
        with pytest.raises(DatasetError, match="no figure at all"):
            export_annotations(path, figures().iloc[:0], FACTS, name)
        return
    export_annotations(path, figures().iloc[:0], FACTS, name)
    found = read_annotations(path, FACTS, name)
    assert len(found) == 0
    assert tuple(found.columns) == EXCHANGE_COLUMNS


@each_format
def test_places_and_labels_are_enough(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    table = pd.DataFrame({"y_px": [1.0, 2.0], "x_px": [3.0, 4.0], "label": ["mitosis", "mitosis"]})
    export_annotations(path, table, FACTS, name)
    same(read_annotations(path, FACTS, name), held(name, exchange_frame(table)))


@each_format
def test_into_a_journal_and_out_again(name: str, tmp_path: Path) -> None:
    path, out = tmp_path / f"in{FORMATS[name].suffix}", tmp_path / f"out{FORMATS[name].suffix}"
    export_annotations(path, figures(), FACTS, name)
    count = len(held(name, figures()))
    field = Field.from_array(np.zeros((1000, 2000, 3), np.uint8), 0.2455, "Feld Ü1")
    book = Notebook(Journal(tmp_path / "j.sqlite"), field, "ann")
    imported = import_annotations(book, path, "Üb")
    assert len(imported.added) == count
    assert imported.skipped == 0
    assert set(book.figures["source"]) == {"dataset Üb"}
    export_annotations(out, book.figures, FieldFacts.of(field), name)
    kept = ["y_px", "x_px", "label", "phase", "score"]
    same(read_annotations(out, FACTS)[kept], held(name, figures())[kept])
    again = import_annotations(book, path, "Üb")
    assert (again.added, again.skipped) == ([], count)
    book.undo()  # one step for the whole file
    assert book.figures.empty
    assert len(import_annotations(book, path, "Üb").added) == count


@each_format
def test_what_was_deleted_comes_back_as_another_figure(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"in{FORMATS[name].suffix}"
    export_annotations(path, figures().assign(figure=""), FACTS, name)
    field = Field.from_array(np.zeros((1000, 2000, 3), np.uint8), 0.2455)
    book = Notebook(Journal(tmp_path / "j.sqlite"), field, "ann")
    gone = import_annotations(book, path).added[0]
    book.delete(gone)
    imported = import_annotations(book, path)
    assert imported.skipped == len(held(name, figures())) - 1
    assert len(imported.added) == 1
    assert imported.added != [gone]


WRONG = [
    "",
    "not\x00this",
    "[1, 2",
    "{}",
    "[3]",
    '{"images": 1, "annotations": {}}',
    '{"features": [1]}',
    "y_px,x_px\n1,",
]
WRONG += ["y_px,x_px\n1,2,3\n", "y_px,x_px\nnan,1\n", "y_px,x_px,label\n1,1,cell\n", "a,b\n1,2\n", "[" * 100_000]


@each_format
def test_wrong_files_are_named_and_add_nothing(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"wrong{FORMATS[name].suffix}"
    field = Field.from_array(np.zeros((100, 100, 3), np.uint8), 0.25)
    book = Notebook(Journal(tmp_path / "j.sqlite"), field, "ann")
    for content in WRONG:
        path.write_text(content)
        if content or name not in ("tupac16", "icpr2014"):  # an empty list of mitoses is one: nobody found any
            with pytest.raises(DatasetError, match="wrong"):
                import_annotations(book, path, name=name)
    assert book.journal.actions() == []


@each_format
def test_figures_of_another_field_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    export_annotations(path, figures(), FACTS, name)
    with pytest.raises(DatasetError, match="outside of small"):
        read_annotations(path, FieldFacts("small", "Feld Ü1.tiff", (100, 100), 0.2455), name)


@each_format
def test_bad_figures_are_left_out_and_counted_where_that_is_asked_for(name: str, tmp_path: Path) -> None:
    """In every format: two outside of the field, one twice; the strict way adds nothing at all."""
    path, good = tmp_path / f"a{FORMATS[name].suffix}", figures().assign(figure="", score=0.5)
    good["label"] = "mitosis"
    bad = good.iloc[[2, 3, 4]].assign(y_px=[5000.0, -40.0, good["y_px"][5]], x_px=[1.0, 1.0, good["x_px"][5]])
    export_annotations(path, pd.concat([good, bad], ignore_index=True), FACTS, name)
    field = Field.from_array(np.zeros((1000, 2000, 3), np.uint8), 0.2455)
    book = Notebook(Journal(tmp_path / "j.sqlite"), field, "ann")
    with pytest.raises(DatasetError, match="so do 2 of its 11 figures"):
        import_annotations(book, path, name=name)
    assert book.journal.actions() == []
    checks = Lenient()
    assert len(import_annotations(book, path, name=name, checks=checks).added) == len(good)
    assert checks.dropped == {"outside of the field": 2, "that stand there twice": 1}
    assert checks.words() == "3 left out: 2 outside of the field, 1 that stand there twice."


BAD_ROWS = {
    "csv": ("a.csv", "y_px,x_px,label,score\n1,2,mitosis,\n1,nan,mitosis,\n3,4,cell,\n5,,mimic,\n7,8\n9,9,mimic,7\n"),
    "napari": ("a.csv", "axis-0,axis-1,label,score\n1,2,mitosis,\n1,nan,,\n3,4,cell,\n5,,mimic,\n7,8\n9,9,mimic,7\n"),
    "geojson": (
        "a.geojson",
        json.dumps(
            [
                {"type": "Feature", "geometry": {"type": kind, "coordinates": place}, "properties": about}
                for kind, place, about in (
                    ("Point", [2, 1], {"classification": "mitosis"}),
                    ("Point", ["x", 1], {"classification": "mitosis"}),
                    ("Point", [4, 3], {"classification": "cell"}),
                    ("LineString", [[1, 2], [3, 4]], {"classification": "mimic"}),
                    ("Point", [None, 2], {"classification": "mimic"}),
                    ("Point", [9, 9], {"classification": "mimic", "measurements": {"score": 7}}),
                )
            ]
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_ROWS)
def test_rows_that_are_none_are_left_out_and_counted(name: str, tmp_path: Path) -> None:
    file, content = BAD_ROWS[name]
    path = tmp_path / file
    path.write_text(content)
    with pytest.raises(DatasetError):
        read_annotations(path, FACTS)
    checks = Lenient()
    assert len(read_annotations(path, FACTS, checks=checks)) == 1
    assert checks.dropped.total() == 5
    assert checks.dropped["of an unknown label"] == 1
    assert checks.dropped["with a score beyond 0 and 1"] == 1


def test_swapped_axes_are_no_bad_rows_but_a_bad_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x_px,y_px\n" + "900,1900\n" * 3)
    with pytest.raises(DatasetError, match="Are x and y swapped"):
        read_annotations(path, FACTS, checks=Lenient())


@each_format
def test_an_absent_file_and_an_absent_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="absent"):
        read_annotations(tmp_path / "absent", FACTS, name)
    with pytest.raises(DatasetError, match="cannot be written"):
        export_annotations(tmp_path / "no" / "where", figures(), FACTS, name)


@each_format
def test_a_doubled_id_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    export_annotations(path, figures().assign(figure="a" * 32), FACTS, name)
    if "figure" not in FORMATS[name].keeps:
        return
    with pytest.raises(DatasetError, match="stands there twice"):
        read_annotations(path, FACTS, name)


@each_format
def test_annotated_crops_and_fields_survive(
    name: str, tmp_path: Path, annotated: list[tuple[FieldFacts, pd.DataFrame]]
) -> None:
    """Real annotations, all of them: every figure comes back within 0.01 px, and none that was not there."""
    path = tmp_path / f"a{FORMATS[name].suffix}"
    for facts, table in annotated:
        wanted = held(name, table)
        if len(wanted):
            export_annotations(path, table, facts, name)
            found = by_place(read_annotations(path, facts, name))
            assert found["label"].tolist() == wanted["label"].tolist()
            np.testing.assert_allclose(found[["y_px", "x_px"]], wanted[["y_px", "x_px"]], atol=0.01)


@pytest.fixture(scope="module")
def annotated() -> list[tuple[FieldFacts, pd.DataFrame]]:
    """All annotations of ``ami_br`` and ``icpr2012``, without their images.

    Fields of ``icpr2012`` one by one; the crops of ``ami_br``, each with a figure or two, as tiles of large fields.
    """
    root = Path(os.environ.get("NAPARI_MITOSIS_DATA", "../shared/data"))
    for folder, table in (("ami_br", "points.csv"), ("icpr2012", "mitoses.csv")):
        if not (root / folder / table).is_file():
            pytest.skip(f"the data set {folder} is not here")
    found = []
    for image, own in pd.read_csv(root / "icpr2012" / "mitoses.csv").groupby("image"):
        found.append((FieldFacts(str(image), str(image), (2084, 2084), 0.25), _figures(own["y"], own["x"], "mitosis")))
    rows = pd.read_csv(root / "ami_br" / "points.csv")
    crop = rows.groupby("image", sort=False).ngroup().to_numpy()
    for sheet in range(crop.max() // TILES + 1):
        own, at = rows[crop // TILES == sheet], crop[crop // TILES == sheet] % TILES
        y, x = own["y"] + SIDE_PX * (at // ACROSS), own["x"] + SIDE_PX * (at % ACROSS)
        facts = FieldFacts(f"sheet {sheet}", f"sheet {sheet}", (SIDE_PX * (TILES // ACROSS), SIDE_PX * ACROSS), 0.25)
        found.append((facts, _figures(y, x, own["label"])))
    assert sum(len(table) for _, table in found) > 1000
    return found


SIDE_PX, ACROSS, TILES = 128, 32, 1024


def _figures(y: object, x: object, label: object) -> pd.DataFrame:
    table = pd.DataFrame({"y_px": np.asarray(y, float), "x_px": np.asarray(x, float)}).assign(label=np.asarray(label))
    return table.drop_duplicates(ignore_index=True)


def test_axes_that_are_swapped_and_far_too_many_figures(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x_px,y_px\n" + "900,1900\n" * 3)
    with pytest.raises(DatasetError, match=r"so do 3 of its 3 figures. Are x and y swapped\?"):
        read_annotations(path, FACTS)
    with path.open("wb") as file:
        file.truncate(300 * 2**20)
    with pytest.raises(DatasetError, match="more than 200 MB"):
        read_annotations(path, FACTS)


def test_cells_that_a_spreadsheet_would_run_are_quoted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    readers = ["=1+1", "+1", "-1", "@SUM(A1)", "'=1", "plain"]
    table = exchange_frame(pd.DataFrame({"y_px": range(6), "x_px": range(6), "label": "mimic", "reader": readers}))
    for name in ("csv", "napari"):
        export_annotations(path, table, FACTS, name)
        cells = [cell for line in path.read_text().splitlines()[1:] for cell in line.split(",")]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
        assert read_annotations(path, FACTS, name)["reader"].tolist() == readers


def test_a_small_file_that_claims_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text('<!DOCTYPE a [<!ENTITY b "bbbb">]><ASAP_Annotations>&b;</ASAP_Annotations>')
    with pytest.raises(DatasetError, match="entities"):
        read_annotations(path, FACTS, "asap")


def test_unknown_formats(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no format 'xml'"):
        read_annotations(tmp_path / "a.csv", FACTS, "xml")
    with pytest.raises(DatasetError, match="annotations are"):
        read_annotations(tmp_path / "a.txt", FACTS)
    with pytest.raises(DatasetError, match="um/px"):
        export_annotations(tmp_path / "a.json", figures(), FieldFacts("f", "f", (1000, 2000)), "answer")


def test_qupath_counts_from_the_corner_of_a_pixel(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    export_annotations(path, pd.DataFrame({"y_px": [10.0], "x_px": [20.0], "label": ["mitosis"]}), FACTS)
    (feature,) = json.loads(path.read_text())["features"]
    assert feature["geometry"] == {"type": "Point", "coordinates": [20.5, 10.5]}
    assert feature["properties"]["objectType"] == "annotation"
    assert feature["properties"]["classification"]["name"] == "mitosis"


def test_what_qupath_writes(tmp_path: Path) -> None:
    """A group of points, an outline, an older list of measurements, a plain name for the class."""
    square = [[[10, 20], [30, 20], [30, 40], [10, 40], [10, 20]]]
    geometries = [
        {"type": "MultiPoint", "coordinates": [[1.5, 2.5], [3.5, 4.5]]},
        {"type": "Polygon", "coordinates": square},
        {"type": "Polygon", "coordinates": [[[5, 5], [5, 5]]]},
    ]
    properties = [
        {"classification": {"name": "Mitosis", "colorRGB": -1}},
        {"classification": "Hard negative", "measurements": [{"name": "score", "value": 0.5}]},
        {"classification": {"name": "unsure"}},
    ]
    features = [
        {"type": "Feature", "id": "PathAnnotationObject", "geometry": geometry, "properties": one}
        for geometry, one in zip(geometries, properties, strict=True)
    ]
    path = tmp_path / "q.geojson"
    path.write_text(json.dumps(features))  # older versions write a bare list
    found = read_annotations(path, FACTS)
    assert list(found["y_px"]) == [2.0, 4.0, 29.5, 4.5]
    assert list(found["x_px"]) == [1.0, 3.0, 19.5, 4.5]
    assert list(found["label"]) == ["mitosis", "mitosis", "mimic", "unsure"]
    assert found["score"][2] == 0.5
    features[0]["properties"] = {"classification": {"name": "Tumor"}}
    path.write_text(json.dumps(features))
    with pytest.raises(DatasetError, match=r"feature 1.*Tumor"):
        read_annotations(path, FACTS)


def test_boxes_as_midog_and_as_coco(tmp_path: Path) -> None:
    """The file's own image is chosen by name; corners, or left, top, width and height."""
    images = [{"id": 7, "file_name": "a/001.tiff"}, {"id": 8, "file_name": "002.tiff"}]
    boxes = [
        {"image_id": 7, "category_id": 1, "bbox": [100, 200, 150, 250]},
        {"image_id": 8, "category_id": 2, "bbox": [10, 20, 60, 70]},
    ]
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"images": images, "annotations": boxes}))
    first = read_annotations(path, FieldFacts("one", "001.tiff", (1000, 1000)))
    assert first[["y_px", "x_px", "label"]].to_numpy().tolist() == [[225.0, 125.0, "mitosis"]]
    boxes[0]["bbox"] = [100, 200, 50, 50]
    path.write_text(json.dumps({"images": images, "annotations": boxes}))
    first = read_annotations(path, FieldFacts("one", "001.png", (1000, 1000)))
    assert first[["y_px", "x_px"]].to_numpy().tolist() == [[225.0, 125.0]]
    with pytest.raises(DatasetError, match="none of its 2 images"):
        read_annotations(path, FieldFacts("three", "003.tiff", (1000, 1000)))


def test_midog_files_are_read_by_the_reader_of_the_data_set(tmp_path: Path) -> None:
    from PIL import Image

    from napari_mitosis.datasets.midog import read_midog

    Image.fromarray(np.zeros((1000, 2000, 3), np.uint8)).save(tmp_path / "Feld Ü1.tiff")
    table = figures()[lambda frame: frame["label"] != "unsure"].reset_index(drop=True)
    export_annotations(tmp_path / "midog.json", table, FACTS)
    (sample,) = read_midog(tmp_path)
    assert list(sample.annotations["label"]) == list(table["label"])
    np.testing.assert_allclose(sample.annotations["y_px"], table["y_px"])
