"""Shared fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Drawn networks are not worth converting; what the other runtime sees has tests of its own (contract/test_runtimes.py).
os.environ.setdefault("NAPARI_MITOSIS_RUNTIME", "torch")

# As on a processor without bfloat16: no test may depend on what this one has.
if os.environ.get("NAPARI_MITOSIS_TEST_FLOAT32"):
    from napari_mitosis.inference import device

    device._cpu_has_bfloat16 = lambda: False


@pytest.fixture(autouse=True, scope="session")
def own_state(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the program notes for itself is not noted in the account of whoever runs the tests."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real annotated tissue; the test skips, saying so, where it is absent."""
    given = os.environ.get("NAPARI_MITOSIS_DATA")
    folder = Path(given) if given else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not (folder / "icpr2012" / "mitoses.csv").is_file():
        pytest.skip(f"real annotated fields are not at {folder} (set NAPARI_MITOSIS_DATA)")
    return folder
