"""Names from outside: fit for files on every system, never a way out of a folder; paths come back as they were."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_mitosis.names import LONGEST_NAME_BYTES, inside, path_text, printable, safe_name, text_path

ODD = os.fsdecode(b"slide \xff\xfe.tif")


@given(st.text(st.characters(exclude_categories=())))
def test_a_safe_name_is_one_plain_name_whatever_the_text(text: str) -> None:
    name = safe_name(text)
    assert 0 < len(name.encode("utf-8")) <= LONGEST_NAME_BYTES
    assert not set(name) & set('<>:"/\\|?*\0')
    assert name[0] not in " ." and name[-1] not in " ."  # noqa: PT018
    assert safe_name(name) == name


@pytest.mark.parametrize("name", ["CON", "nul.txt", "com1", "..", ".", "a/b", "a\\b", "", "../x", "/etc/passwd", ODD])
def test_names_that_a_system_takes_otherwise_are_changed(name: str) -> None:
    assert safe_name(name) != name
    assert inside(Path("."), name) is None


def test_long_names_stay_apart() -> None:
    first, second = safe_name("é" * 300 + "1"), safe_name("é" * 300 + "2")
    assert first != second
    assert len(first.encode()) <= LONGEST_NAME_BYTES


def test_a_link_does_not_lead_out_of_a_folder(tmp_path: Path) -> None:
    outside = tmp_path / "secret"
    outside.write_text("x", encoding="utf-8")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "plain").write_text("x", encoding="utf-8")
    try:
        (folder / "child").symlink_to(outside)
    except OSError:
        pytest.skip("links cannot be made here")
    assert inside(folder, "child") is None
    assert inside(folder, "plain") == folder / "plain"


@pytest.mark.parametrize("path", ["/a/b c/ü.tif", "/a/" + ODD, "C:\\a\\b.tif", "/a/100 %/#x.tif"])
def test_a_path_written_as_text_is_read_as_the_same_path(path: str) -> None:
    text = path_text(Path(path))
    text.encode("utf-8")
    assert text_path(text) == Path(path)


SHOWN = {"plain ü": "plain ü", ODD: "slide \\udcff\\udcfe.tif", "a\0b": "a\\0b"}


@pytest.mark.parametrize(("text", "shown"), SHOWN.items())
def test_what_is_shown_can_be_written_anywhere(text: str, shown: str) -> None:
    assert printable(text) == shown
    shown.encode("utf-8")
