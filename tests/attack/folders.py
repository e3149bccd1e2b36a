"""Cases of whole folders: data sets, slides, journals with their cases, studies, and a report's template."""

from __future__ import annotations

import atexit
import functools
import json
import random
import shutil
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import tifffile
from tests.contract.test_dataset_readers import PUBLISHED
from tests.unit.slide_files import LABEL, WRITERS

from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.store import Journal
from napari_mitosis.cases.case import add_to_case, case_names, read_case
from napari_mitosis.cases.report import ReportOptions, page_content, rendered, report, template_text
from napari_mitosis.cases.study import new_study, open_study, readings, round_of
from napari_mitosis.datasets import open_samples
from napari_mitosis.errors import MitosisError
from napari_mitosis.fields.field import open_field
from napari_mitosis.fields.slides import one_of_each_series
from napari_mitosis.jobs import run
from napari_mitosis.tables import check_annotations

from .mutate import damaged, damaged_json, damaged_tags

WHOLE = ("nothing", "a folder", "as it was", "damaged", "damaged", "damaged", "damaged", "tags")
"""What becomes of a file of a folder."""


@functools.cache
def _shelf() -> Path:
    """Where the undamaged ones lie, for as long as this process runs."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _copy(source: Path, folder: Path) -> Path:
    place = folder / "copy"
    shutil.rmtree(place, ignore_errors=True)
    return Path(shutil.copytree(source, place))


def _spoil(path: Path, rng: random.Random) -> None:
    """Take a file away, put a folder in its place, or damage it."""
    kind, content = rng.choice(WHOLE), path.read_bytes()
    if kind == "tags":
        path.write_bytes(damaged_tags(content, rng))
    elif kind == "damaged" and path.suffix == ".json" and rng.random() < 0.7:
        path.write_text(json.dumps(damaged_json(json.loads(content), rng)), encoding="utf-8")
    elif kind == "damaged":
        path.write_bytes(damaged(content, rng))
    elif kind != "as it was":
        path.unlink()
        if kind == "a folder":
            path.mkdir()


@functools.cache
def _data_set(name: str) -> Path:
    folder = _shelf() / name
    folder.mkdir()
    PUBLISHED[name][1](folder)
    return folder


def data_set(rng: random.Random, folder: Path) -> str:
    """A file of a data set is spoilt; what is read of it has annotations that lie inside, and masks that fit."""
    name = rng.choice(sorted(PUBLISHED))
    place = _copy(_data_set(name), folder)
    _spoil(rng.choice(sorted(path for path in place.rglob("*") if path.is_file())), rng)
    read = 0
    try:
        for sample in open_samples(place, rng.choice((PUBLISHED[name][0], "auto"))):
            height, width = sample.field.shape
            assert sample.field.numpy().shape == (height, width, 3)
            frame = check_annotations(sample.annotations)
            assert frame["y_px"].between(0, height - 1).all()
            assert frame["x_px"].between(0, width - 1).all()
            mask = sample.mask
            assert mask is None or (mask.shape == (height, width) and mask.max() <= len(sample.centroids_yx()))
            read += 1
    except MitosisError:
        return "refused"
    return "read" if read else "nothing in it"


@functools.cache
def _slide(name: str) -> Path:
    folder = _shelf() / name
    folder.mkdir()
    noise = np.random.default_rng(3).integers(0, 64, (512, 512, 1), dtype=np.uint8)
    WRITERS[name](folder / name, np.asarray(noise + np.array((150, 90, 130)), dtype=np.uint8))
    return folder


def slide(rng: random.Random, folder: Path) -> str:
    """A file of a slide is spoilt; it is opened and read by level, and its label is not shown."""
    name = rng.choice(sorted(WRITERS))
    place = _copy(_slide(name), folder)
    files = sorted(path for path in place.rglob("*") if path.is_file())
    _spoil(rng.choice(files), rng)
    shown = place / name if (place / name).exists() else files[0]
    try:
        one_of_each_series([shown])
        field = open_field(shown)
        for level, pixels in enumerate(field.levels[:4]):
            height, width = pixels.shape[:2]
            block = field.read(0, min(height, 300), 0, min(width, 300), level)
            assert block.shape == (min(height, 300), min(width, 300), 3)
            assert (np.abs(block.astype(int) - LABEL[0, 0]).max(axis=2) < 20).mean() < 0.9, "the label is shown"
    except MitosisError:
        return "refused"
    assert field.mpp is None or 0.05 <= field.mpp <= 5
    return "opened"


@functools.cache
def _desk() -> Path:
    """A journal with a case, a study, and the image of both."""
    folder = _shelf() / "desk"
    folder.mkdir()
    pixels = np.random.default_rng(4).integers(120, 250, (96, 96, 3), dtype=np.uint8)
    tifffile.imwrite(folder / "a.tif", pixels, photometric="rgb")
    field = open_field(folder / "a.tif", mpp=0.25)
    with Journal(folder / "journal.sqlite") as journal:
        book = Notebook(journal, field, "ann")
        for number in range(12):
            book.add(5.0 + 7 * number, 40.0, "mitosis" if number % 3 else "mimic")
        book.undo()
        book.set_complete(True)
        add_to_case(journal, "case 7", [field], "ann")
    new_study(folder / "study", [field], ["ann", "bob"], rounds=2, washout_days=0)
    return folder


def journal(rng: random.Random, folder: Path) -> str:
    """A journal's file is damaged and everything that reads one is asked; it is told, or it works."""
    place = _copy(_desk(), folder)
    path = place / "journal.sqlite"
    _spoil(path, rng)
    try:
        with Journal(path, create=False) as opened:
            found = opened.check()
            for name in case_names(opened):
                run(report(opened, read_case(opened, name), datetime(2030, 1, 1, tzinfo=UTC)))
            book = Notebook(opened, open_field(place / "a.tif", mpp=0.25), "ann")
            book.add(1, 1)
            book.undo()
    except MitosisError:
        return "refused"
    return "told" if found or book.warning else "read"


def study(rng: random.Random, folder: Path) -> str:
    """A study's file is damaged, or the journal of a reader; nothing is made outside of its folder."""
    place = _copy(_desk(), folder) / "study"
    shutil.copy(place.parent / "journal.sqlite", place / "ann-1.sqlite")
    _spoil(rng.choice((place / "study.json", place / "study.json", place / "ann-1.sqlite")), rng)
    before = {path for path in folder.rglob("*") if place not in path.parents}
    try:
        opened = open_study(place)
        for reader in opened.readers:
            round_of(place, opened, reader, datetime(2030, 1, 1, tzinfo=UTC))
        for number in range(1, opened.rounds + 1):
            readings(place, opened, number)
    except MitosisError:
        end = "refused"
    else:
        end = "read"
    assert {path for path in folder.rglob("*") if place not in path.parents} == before, "a file outside of its place"
    return end


@functools.cache
def _content() -> dict[str, Any]:
    with Journal(_desk() / "journal.sqlite") as opened:
        case = read_case(opened, "case 7")
        fields = {one.digest: open_field(_desk() / "a.tif", mpp=0.25) for one in case.fields}
        return page_content(opened, case, fields, ReportOptions()) | {"printed": "2030", "warnings": []}


_SCRAPS = (
    *("{{ 1 / 0 }}", "{{ [] + 1 }}", "{{ ''.__class__.__mro__ }}", "{{ case.__init__.__globals__ }}", "{% for %}"),
    *(
        "{% include 'x' %}",
        "{% import 'os' %}",
        "{{ range(10 ** 9) }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    ),
    *(
        "{{ fields[99] }}",
        "{{ nothing }}",
        "{{ 'a'|int('b', base=99) }}",
        "{{ '%d' % 'a' }}",
        "{{ '{0[x]}'.format(1) }}",
    ),
)


def template(rng: random.Random, folder: Path) -> str:
    """A laboratory's template is damaged, or asks for what it may not have."""
    text = template_text()
    if rng.random() < 0.4:
        at = rng.randrange(len(text))
        content = (text[:at] + rng.choice(_SCRAPS) + text[at:]).encode()
    else:
        content = damaged(text.encode(), rng)
    path = folder / "template.html"
    path.write_bytes(content)
    try:
        page = rendered(_content(), path)
    except MitosisError as error:
        assert "\n" not in str(error), "a message of several lines"
        return "refused"
    assert "<module" not in page
    assert "<class" not in page
    return "printed"


FOLDERS: Mapping[str, Callable[[random.Random, Path], str]] = MappingProxyType(
    {"datasets": data_set, "slides": slide, "journals": journal, "studies": study, "templates": template}
)
