"""What the attack on data sets, slides, journals, studies and templates found."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from slide_files import write_scn

from napari_mitosis.annotations.store import Journal
from napari_mitosis.cases.report import rendered
from napari_mitosis.cases.study import new_study, open_study
from napari_mitosis.datasets import open_samples
from napari_mitosis.errors import DatasetError, FieldError, MitosisError
from napari_mitosis.fields.field import Field, open_field

PIXELS = np.random.default_rng(1).integers(90, 250, (60, 90, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "text",
    [
        *("{{ 1 / 0 }}", "{{ [] + 1 }}", "{{ range(10 ** 9) }}", "{% include 'x' %}", "{{ '%d' % 'a' }}"),
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    ],
)
def test_a_template_fails_with_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.html").write_text(text)
    with pytest.raises(MitosisError, match="template cannot be used"):
        rendered({"case": "7"}, tmp_path / "t.html")


@pytest.mark.parametrize(
    "change",
    [
        *({"readers": ["../../ann"]}, {"readers": ["a/b"]}, {"readers": [""]}, {"seed": -1}),
        *({"washout_days": 1e300}, {"fields": []}),
    ],
)
def test_a_tampered_study_leads_nowhere(tmp_path: Path, change: Mapping[str, Any]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, photometric="rgb")
    new_study(tmp_path / "study", [open_field(tmp_path / "a.tif", mpp=0.25)], ["ann"])
    path = tmp_path / "study" / "study.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(MitosisError, match="is damaged"):
        open_study(tmp_path / "study")


def test_a_slide_that_openslide_does_not_know_does_not_show_its_label(tmp_path: Path) -> None:
    """The first image of an SCN is the macro, with the label on it."""
    pytest.importorskip("openslide")
    path = write_scn(tmp_path / "a.scn", np.full((512, 512, 3), 200, dtype=np.uint8))
    assert open_field(path).shape[0] > 100
    known = b"leica-microsystems.com/scn"
    path.write_bytes(path.read_bytes().replace(known, b"x" * len(known)))
    with pytest.raises(FieldError, match="damaged slide"):
        open_field(path)


def test_a_journal_whose_fields_have_no_size_is_told(tmp_path: Path) -> None:
    file = tmp_path / "j.sqlite"
    with Journal(file) as journal:
        journal.remember(Field.from_array(PIXELS, 0.25, "one"))
    raw = sqlite3.connect(file)
    raw.execute("UPDATE mitosis_fields SET height_px = 'tall'")
    raw.commit()
    raw.close()
    with Journal(file) as journal:
        assert [words for words in journal.check() if "fields of the journal" in words]


def test_a_mask_with_more_mitoses_than_there_are_is_told(tmp_path: Path) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    Image.fromarray(PIXELS).save(tmp_path / "images" / "A00_01.png")
    mask = np.zeros(PIXELS.shape[:2], dtype=np.uint8)
    mask[18:23, 78:83], mask[40, 40] = 1, 7
    Image.fromarray(mask).save(tmp_path / "masks" / "A00_01.png")
    (tmp_path / "mitoses.csv").write_text("image,index,x,y,area_px\nA00_01,1,80.0,20.0,25\n")
    (sample,) = open_samples(tmp_path, "icpr2012")
    with pytest.raises(DatasetError, match="names mitosis 7, there are 1"):
        _ = sample.mask
