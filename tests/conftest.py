"""Shared fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real annotated tissue; the test skips, saying so, where it is absent."""
    given = os.environ.get("NAPARI_MITOSIS_DATA")
    folder = Path(given) if given else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not (folder / "icpr2012" / "mitoses.csv").is_file():
        pytest.skip(f"real annotated fields are not at {folder} (set NAPARI_MITOSIS_DATA)")
    return folder
