"""Exported files against the programs they are for: their own libraries, or the schema and an example of the format."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as XML

import numpy as np
import pandas as pd
import pytest

from napari_mitosis.annotations.exchange import FieldFacts, export_annotations, read_annotations

FACTS = FieldFacts("field", "field.tif", (400, 600), 0.25)
TABLE = pd.DataFrame(
    {
        "y_px": [10.25, 200.0, 399.0],
        "x_px": [20.5, 300.125, 599.0],
        "label": ["mitosis", "mimic", "unsure"],
        "score": [0.5, np.nan, 0.25],
        "reader": ["ann", "bob", "ann"],
        "figure": ["a" * 32, "b" * 32, "c" * 32],
    }
)
XY = TABLE[["x_px", "y_px"]].to_numpy()


def exported(folder: Path, name: str) -> Path:
    path = folder / "file"
    export_annotations(path, TABLE, FACTS, name)
    return path


def test_coco_by_pycocotools(tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    opened = coco.COCO(str(exported(tmp_path, "coco")))
    boxes = np.array([one["bbox"] for one in opened.loadAnns(opened.getAnnIds(imgIds=[1]))])
    np.testing.assert_allclose(boxes[:, :2] + boxes[:, 2:] / 2, XY)
    assert [one["name"] for one in opened.loadCats(opened.getCatIds())] == ["mitotic figure", "hard negative", "unsure"]
    assert opened.annToMask(opened.loadAnns(2)[0] | {"segmentation": [[0, 0, 5, 0, 5, 5, 0, 5]]}).shape == (400, 600)


def test_geojson_by_geojson_and_shapely(tmp_path: Path) -> None:
    geojson, shapely = pytest.importorskip("geojson"), pytest.importorskip("shapely.geometry")
    content = geojson.loads(exported(tmp_path, "geojson").read_text())
    assert content.is_valid, content.errors()
    places = np.array([shapely.shape(one["geometry"]).centroid.coords[0] for one in content["features"]])
    np.testing.assert_allclose(places, XY + 0.5)  # QuPath counts from the corner of a pixel
    for one in content["features"]:
        assert set(one["properties"]["classification"]) == {"name", "color"}
        assert all(0 <= value <= 255 for value in one["properties"]["classification"]["color"])


def test_circles_that_qupath_draws(tmp_path: Path) -> None:
    shapely = pytest.importorskip("shapely.geometry")
    circle = shapely.Point(100.5, 50.5).buffer(12)
    feature = {"type": "Feature", "geometry": shapely.mapping(circle), "properties": {"classification": "Mitosis"}}
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    found = read_annotations(path, FACTS)
    np.testing.assert_allclose(found[["y_px", "x_px"]], [[50, 100]], atol=1e-9)


def test_sliderunner_by_its_own_database(tmp_path: Path) -> None:
    database = pytest.importorskip("SlideRunner_dataAccess.database")
    path = exported(tmp_path, "sliderunner")
    theirs = database.Database()
    theirs.open(str(path))
    assert theirs.findSlideWithFilename("field.tif", "") == 1
    theirs.loadIntoMemory(1)
    spots = list(theirs.annotations.values())
    np.testing.assert_allclose([[one.x1, one.y1] for one in spots], XY)
    names = [theirs.getClassByID(one.agreedClass) for one in spots]
    assert names == ["Mitotic figure", "Mitotic figure look-alike", "unsure"]
    # What SlideRunner itself adds is read, too.
    person = theirs.insertAnnotator("eve")
    theirs.insertNewSpotAnnotation(33, 44, 1, 1, person)
    theirs.commit()
    theirs.db.close()
    found = read_annotations(path, FACTS, "sliderunner")
    assert found.iloc[-1][["y_px", "x_px", "label", "reader"]].tolist() == [44.0, 33.0, "mitosis", "eve"]


def test_a_database_that_sliderunner_made(tmp_path: Path) -> None:
    database = pytest.importorskip("SlideRunner_dataAccess.database")
    theirs = database.Database()
    path = tmp_path / "theirs.sqlite"
    theirs.create(str(path))
    slide = theirs.insertNewSlide("field.tif", str(tmp_path))
    theirs.insertClass("Mitotic figure")
    theirs.insertClass("Non-mitotic cell")
    for name in ("ann", "bob"):
        theirs.insertAnnotator(name)
    theirs.loadIntoMemory(slide)
    theirs.insertNewSpotAnnotation(10, 20, slide, 1, 1)
    theirs.insertNewAreaAnnotation(100, 50, 150, 100, slide, 2, 2)
    theirs.commit()
    theirs.db.close()
    found = read_annotations(path, FACTS)
    assert found[["y_px", "x_px", "label"]].to_numpy().tolist() == [[20.0, 10.0, "mitosis"], [75.0, 125.0, "mimic"]]


def test_dicom_by_highdicom(tmp_path: Path) -> None:
    highdicom = pytest.importorskip("highdicom")
    opened = highdicom.ann.annread(exported(tmp_path, "dicom"))
    assert opened.SOPClassUID.name == "Microscopy Bulk Simple Annotations Storage"
    groups = {group.label: group for group in opened.get_annotation_groups()}
    np.testing.assert_allclose(groups["mitosis"].get_graphic_data("2D")[0][0], XY[0] + 0.5)
    names, values, units = groups["mitosis"].get_measurements()
    assert (names[0].meaning, float(values[0, 0]), units[0].meaning) == ("Score", 0.5, "no units")
    from pydicom.sr.codedict import codes

    # The standard's own codes, as its dictionary has them: nothing private.
    assert names[0] == codes.SCT.Score
    assert {group.annotated_property_type for group in groups.values()} == {codes.cid8135.Nucleus}
    assert {group.annotated_property_category for group in groups.values()} == {codes.cid7150.AnatomicalStructure}
    assert exported(tmp_path, "dicom").read_bytes()[:132].endswith(b"DICM")


def test_points_by_napari(tmp_path: Path) -> None:
    builtins = pytest.importorskip("napari_builtins.io")
    path = tmp_path / "points.csv"
    export_annotations(path, TABLE, FACTS, "napari")
    ((data, attributes, kind),) = builtins.napari_get_reader(str(path))(str(path))
    assert kind == "points"
    np.testing.assert_allclose(data, XY[:, ::-1])
    assert list(attributes["properties"]["label"]) == TABLE["label"].tolist()
    (theirs,) = [tmp_path / "theirs.csv"]
    builtins.napari_write_points(str(theirs), data, {"properties": {"label": np.array(["mimic"] * 3)}})
    found = read_annotations(theirs, FACTS)
    np.testing.assert_allclose(found[["x_px", "y_px"]], XY)
    assert set(found["label"]) == {"mimic"}


ASAP = """<?xml version="1.0"?>
<ASAP_Annotations><Annotations>
<Annotation Name="a" Type="Dot" PartOfGroup="Mitotic figure" Color="#64FE2E"><Coordinates>
<Coordinate Order="0" X="20.5" Y="30.5" /></Coordinates></Annotation>
<Annotation Name="b" Type="Rectangle" PartOfGroup="hard negative" Color="#64FE2E"><Coordinates>
<Coordinate Order="0" X="10" Y="10" /><Coordinate Order="1" X="60" Y="10" />
<Coordinate Order="2" X="60" Y="60" /><Coordinate Order="3" X="10" Y="60" /></Coordinates></Annotation>
</Annotations><AnnotationGroups><Group Name="Mitotic figure" PartOfGroup="None" Color="#64FE2E"><Attributes />
</Group></AnnotationGroups></ASAP_Annotations>"""

IMAGESCOPE = """<Annotations MicronsPerPixel="0.25"><Annotation Id="1" Name="mitosis" ReadOnly="0" Type="4"
 LineColor="65280"><Attributes><Attribute Name="Description" Id="0" Value=""/></Attributes><Regions>
<RegionAttributeHeaders/><Region Id="1" Type="2" Zoom="0.5" Text=""><Attributes/><Vertices>
<Vertex X="100" Y="200" Z="0"/><Vertex X="150" Y="250" Z="0"/></Vertices></Region>
<Region Id="2" Type="3" Text=""><Attributes/><Vertices><Vertex X="7.5" Y="8.5"/><Vertex X="90" Y="90"/></Vertices>
</Region></Regions><Plots/></Annotation></Annotations>"""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (ASAP, [[30.0, 20.0, "mitosis"], [34.5, 34.5, "mimic"]]),
        (IMAGESCOPE, [[224.5, 124.5, "mitosis"], [8.0, 7.0, "mitosis"]]),
    ],
    ids=["asap", "imagescope"],
)
def test_xml_as_the_programs_write_it(text: str, wanted: list, tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(text)
    assert read_annotations(path, FACTS)[["y_px", "x_px", "label"]].to_numpy().tolist() == wanted


def test_xml_has_the_parts_of_the_example(tmp_path: Path) -> None:
    """Every element and attribute that the programs' own files have, ours have, too."""
    for name, example in (("asap", ASAP), ("imagescope", IMAGESCOPE)):
        ours = XML.fromstring(exported(tmp_path, name).read_text())
        for element in XML.fromstring(example).iter():
            same = [one for one in ours.iter(element.tag) if set(element.attrib) <= set(one.attrib)]
            if element.tag not in ("Attribute", "Plots"):
                assert same or not list(ours.iter(element.tag)), element.tag


def test_contest_lists_by_the_readers_of_the_data_sets(tmp_path: Path) -> None:
    from PIL import Image

    from napari_mitosis.datasets.tupac16 import read_tupac16

    (tmp_path / "01").mkdir()
    Image.fromarray(np.zeros((400, 600, 3), np.uint8)).save(tmp_path / "01" / "01.tif")
    export_annotations(tmp_path / "01" / "01.csv", TABLE, FACTS, "tupac16")
    (sample,) = read_tupac16(tmp_path)
    np.testing.assert_allclose(sample.annotations[["x_px", "y_px"]], XY[:1])


def test_an_answer_to_midog_has_the_published_form(tmp_path: Path) -> None:
    content = json.loads(exported(tmp_path, "answer").read_text())
    assert (content["type"], content["version"]) == ("Multiple points", {"major": 1, "minor": 0})
    assert content["points"][0] == {
        "name": "mitotic figure",
        "point": [pytest.approx(20.5 * 0.25e-3), pytest.approx(10.25 * 0.25e-3), 0.0],
        "probability": 0.5,
    }


def test_in_naparis_file_menu(tmp_path: Path) -> None:
    """Through npe2: the manifest names reader and writer, and what one writes the other reads."""
    npe2 = pytest.importorskip("npe2")
    manifest = npe2.PluginManifest.from_file(Path(__file__).parents[2] / "src" / "napari_mitosis" / "napari.yaml")
    suffixes = {suffix for writer in manifest.contributions.writers for suffix in writer.filename_extensions}
    assert {".geojson", ".xml", ".sqlite", ".dcm", ".json"} <= suffixes

    from napari_mitosis.annotations.npe2_exchange import napari_get_annotations, write_points

    features = TABLE.drop(columns=["y_px", "x_px"])
    for suffix in (".geojson", ".xml", ".sqlite"):
        path = str(tmp_path / f"a{suffix}")
        assert write_points(path, XY[:, ::-1], {"features": features}) == [path]
        reader = napari_get_annotations(path)
        assert reader is not None
        ((data, attributes, kind),) = reader(path)
        assert kind == "points"
        order = np.argsort(data[:, 0])
        np.testing.assert_allclose(data[order], XY[:, ::-1])
        assert attributes["features"]["label"].to_numpy()[order].tolist() == TABLE["label"].tolist()
    assert napari_get_annotations("a.tif") is None


def test_convert_on_the_command_line(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from napari_mitosis.cli.app import app

    source, target = exported(tmp_path, "csv").rename(tmp_path / "a.csv"), tmp_path / "a.geojson"
    call = CliRunner().invoke
    done = call(app, ["convert", str(source), str(target), "--size", "400", "600"])
    assert done.exit_code == 0, done.output
    assert len(read_annotations(target, FACTS)) == 3
    lists = call(app, ["convert", str(target), str(tmp_path / "b.csv"), "--size", "400", "600", "--to", "tupac16"])
    assert "2 were left out" in lists.output.replace("\n", " "), lists.output
    assert (tmp_path / "b.csv").read_text() == "10.25,20.5\n"
    for wrong in ([str(source), str(target)], [str(source), str(source), "--size", "400", "600"], []):
        failed = call(app, ["convert", *wrong])
        assert failed.exit_code == 1
    assert call(app, ["convert", str(source), str(tmp_path / "c.xml"), "--size", "50", "60"]).exit_code == 1
    dropped = call(app, ["convert", str(source), str(tmp_path / "d.csv"), "--size", "50", "60", "--drop"])
    assert dropped.exit_code == 0, dropped.output
    assert "Warning: 2 left out: 2 outside of the field." in dropped.output
    assert len(read_annotations(tmp_path / "d.csv", FieldFacts("d", "d", (50, 60)))) == 1
    assert not (tmp_path / "c.xml").exists()
    assert "sliderunner" in call(app, ["convert", "--formats"]).output
