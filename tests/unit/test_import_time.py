"""Importing the package is cheap, and its names are the functions, whoever imported what before."""

from __future__ import annotations

import subprocess
import sys

import pytest

import napari_mitosis


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_loads_neither_torch_nor_qt() -> None:
    code = "import sys, napari_mitosis; print(sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = python(code)
    heavy = ("torch", "napari'", "qtpy", "PyQt6", "magicgui", "pandas", "numpy", "skimage")
    assert not [name for name in heavy if name in loaded], loaded


def test_fields_and_decisions_load_neither_torch_nor_qt() -> None:
    code = (
        "import sys; from napari_mitosis import Field, open_field, decide, evaluate, list_cards, Rule; list_cards();"
        "import napari_mitosis.fields.npe2_reader, napari_mitosis.datasets, napari_mitosis.cli;"
        "print([name for name in ('torch', 'napari', 'qtpy', 'PyQt6') if name in sys.modules])"
    )
    assert python(code) == "[]"


def test_every_public_name_is_there() -> None:
    missing = [name for name in napari_mitosis.__all__ if not hasattr(napari_mitosis, name)]
    assert not missing
    assert set(napari_mitosis.__all__) <= set(dir(napari_mitosis))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = napari_mitosis.nothing
