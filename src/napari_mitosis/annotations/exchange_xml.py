"""Annotations as XML: of ASAP, as CAMELYON and TIGER have it, and of Aperio ImageScope.

Both count from the corner of the first pixel, this program from its centre: half a pixel apart. What neither has a
word for stands in further attributes, which both leave alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as XML

import pandas as pd

from ..errors import DatasetError
from .rows import (
    NO_PLACE,
    BadRow,
    FieldFacts,
    Strict,
    exchange_frame,
    known_id,
    known_label,
    place_number,
    read_text,
    records,
    stated_number,
)

_HALF = 0.5
_NOTES = ("figure", "phase", "reader", "source", "time")
_HEX = {"mitosis": "#009E73", "mimic": "#D55E00", "unsure": "#F0E442"}
RADIUS_PX = 25.0
"""Of the circle that ImageScope shows around a figure."""


def write_asap(figures: pd.DataFrame, facts: FieldFacts) -> str:
    """The figures as dots of ASAP, in a group for each label."""
    root = XML.Element("ASAP_Annotations")
    listed = XML.SubElement(root, "Annotations")
    for number, row in enumerate(records(figures)):
        label = row["label"]
        head = {"Name": f"Annotation {number}", "Type": "Dot", "PartOfGroup": label, "Color": _HEX[label]}
        dot = XML.SubElement(listed, "Annotation", head | _notes(row))
        places = XML.SubElement(dot, "Coordinates")
        y, x = (repr(float(row[name]) + _HALF) for name in ("y_px", "x_px"))
        XML.SubElement(places, "Coordinate", {"Order": "0", "X": x, "Y": y})
    groups = XML.SubElement(root, "AnnotationGroups")
    for label, colour in _HEX.items():
        group = XML.SubElement(groups, "Group", {"Name": label, "PartOfGroup": "None", "Color": colour})
        XML.SubElement(group, "Attributes")
    return _text(root)


def read_asap(path: Path, facts: FieldFacts, checks: Strict) -> pd.DataFrame:
    """Read dots, and outlines by the mean of their corners; the group is the label.

    Raises
    ------
    DatasetError
        Naming the annotation and what is wrong with it.
    """
    root = _root(path, "ASAP_Annotations", "ASAP")
    rows = []
    for number, annotation in enumerate(root.iterfind("Annotations/Annotation"), start=1):
        where = f"{path}, annotation {number}"
        with checks.row():
            corners = [_pair(corner, where) for corner in annotation.iterfind("Coordinates/Coordinate")]
            rows.append(_row(annotation.attrib, annotation.get("PartOfGroup", ""), _mean(corners, where), where))
    return exchange_frame(rows)


def write_imagescope(figures: pd.DataFrame, facts: FieldFacts) -> str:
    """The figures as circles of ImageScope, in a layer for each label."""
    root = XML.Element("Annotations", {"MicronsPerPixel": repr(facts.mpp)} if facts.mpp else {})
    rows = records(figures)
    for number, (label, colour) in enumerate(_HEX.items(), start=1):
        head = {"Id": str(number), "Name": label, "ReadOnly": "0", "Type": "4", "LineColor": str(_bgr(colour))}
        layer = XML.SubElement(root, "Annotation", {**head, "Visible": "1", "Selected": "0"})
        XML.SubElement(layer, "Attributes")
        regions = XML.SubElement(layer, "Regions")
        XML.SubElement(regions, "RegionAttributeHeaders")
        for at, row in enumerate(rows, start=1):
            if row["label"] == label:
                shape = {"Id": str(at), "Type": "2", "Zoom": "1", "Selected": "0", "Text": label, "Analyze": "1"}
                region = XML.SubElement(regions, "Region", shape | _notes(row))
                XML.SubElement(region, "Attributes")
                corners = XML.SubElement(region, "Vertices")
                for sign in (-1, 1):
                    y, x = (repr(float(row[name]) + _HALF + sign * RADIUS_PX) for name in ("y_px", "x_px"))
                    XML.SubElement(corners, "Vertex", {"X": x, "Y": y, "Z": "0"})
    return _text(root)


def read_imagescope(path: Path, facts: FieldFacts, checks: Strict) -> pd.DataFrame:
    """Read circles, boxes, pointers and outlines; the name of the layer, or the region's text, is the label.

    Raises
    ------
    DatasetError
        Naming the region and what is wrong with it.
    """
    root = _root(path, "Annotations", "ImageScope")
    rows: list[tuple[int, dict[str, Any]]] = []
    layers = root.iterfind("Annotation")
    regions = ((layer, region) for layer in layers for region in layer.iterfind("Regions/Region"))
    for number, (layer, region) in enumerate(regions, start=1):
        where = f"{path}, region {number}"
        with checks.row():
            corners = [_pair(corner, where) for corner in region.iterfind("Vertices/Vertex")]
            if region.get("Type") == "3":  # a pointer: the first corner is its head
                corners = corners[:1]
            name = layer.get("Name") or region.get("Text") or ""
            order = int(region.get("Id", "0")) if region.get("Id", "").isdigit() else 0
            rows.append((order, _row(region.attrib, name, _mean(corners, where), where)))
    return exchange_frame([row for _, row in sorted(rows, key=lambda pair: pair[0])])


def _notes(row: dict[str, Any]) -> dict[str, str]:
    notes = {name: _printable(str(row[name])) for name in _NOTES if row[name]}
    return notes if math.isnan(row["score"]) else {**notes, "score": repr(float(row["score"]))}


def _printable(text: str) -> str:
    """A text without what XML cannot hold, such as control characters."""
    return "".join(letter for letter in text if letter.isprintable() or letter in "\t\n\u2028\u2029")


def _row(notes: Any, label: str, place: tuple[float, float], where: str) -> dict[str, Any]:
    return {
        **{name: notes.get(name, "") for name in _NOTES},
        "figure": known_id(notes.get("figure", "")),
        "y_px": place[0] - _HALF,
        "x_px": place[1] - _HALF,
        "label": known_label(label, where),
        "score": stated_number(notes.get("score"), where),
    }


def _pair(corner: XML.Element, where: str) -> tuple[float, float]:
    return place_number(corner.get("Y"), where), place_number(corner.get("X"), where)


def _mean(corners: list[tuple[float, float]], where: str) -> tuple[float, float]:
    if not corners:
        raise BadRow(f"{where}: it has no coordinates.", NO_PLACE)
    return sum(y for y, _ in corners) / len(corners), sum(x for _, x in corners) / len(corners)


def _bgr(colour: str) -> int:
    """A colour as ImageScope counts it: blue is the highest byte."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return red + 256 * green + 65536 * blue


def _text(root: XML.Element) -> str:
    XML.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + XML.tostring(root, encoding="unicode") + "\n"


def _root(path: Path, tag: str, program: str) -> XML.Element:
    text = read_text(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # neither program writes one; a small file can claim gigabytes so
        raise DatasetError(f"{path}: it declares entities, which annotations do not need.")
    try:
        root = XML.fromstring(text)
    except (XML.ParseError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: it is no XML ({error}).") from error
    if root.tag != tag:
        raise DatasetError(f"{path}: it is no {program} file; its root is '{root.tag[:40]}', not '{tag}'.")
    return root


def roots(head: str) -> Iterator[str]:
    """Names of the formats whose root the beginning of a file has."""
    if "<ASAP_Annotations" in head:
        yield "asap"
    elif "<Annotations" in head:
        yield "imagescope"
