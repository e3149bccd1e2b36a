"""What was seen of a field, kept over restarts: a small file for each, by the digest of its pixels. No Qt."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import platformdirs

from ..files import replacing
from .coverage import Coverage

ENVIRONMENT = "NAPARI_MITOSIS_COVERAGE"
"""Names another folder."""


def default_folder() -> Path:
    """Where the files are: the folder that ``NAPARI_MITOSIS_COVERAGE`` names, else one in the user's data folder."""
    given = os.environ.get(ENVIRONMENT)
    return Path(given) if given else Path(platformdirs.user_data_dir("napari-mitosis", appauthor=False)) / "coverage"


def file_of(folder: Path, digest: str) -> Path:
    """The file of a field; only letters and digits of its digest name it."""
    return folder / f"{''.join(letter for letter in digest if letter.isalnum())[:64]}.npz"


def save_coverage(folder: Path, digest: str, coverage: Coverage) -> None:
    """Write what was seen; the file is whole or not there.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    path = file_of(folder, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, seconds=coverage.seconds, mpp=np.float64(coverage.mpp))


def load_coverage(folder: Path, digest: str, coverage: Coverage) -> bool:
    """Add what was seen before to a map; whether there was something that fits it.

    A damaged file, or one of another um/px, counts as none.
    """
    path = file_of(folder, digest)
    if not path.is_file():
        return False
    try:
        with np.load(path, allow_pickle=False) as kept:
            seconds, mpp = np.asarray(kept["seconds"], dtype=np.float32), float(kept["mpp"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return False
    fits = seconds.shape == coverage.seconds.shape and abs(mpp - coverage.mpp) < 1e-9
    if not fits or not np.isfinite(seconds).all() or (seconds < 0).any():
        return False
    coverage.seconds += seconds
    return True
