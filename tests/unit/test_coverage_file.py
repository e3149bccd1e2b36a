"""What was seen of a field is kept over restarts; whatever does not fit counts as nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_mitosis.review.coverage import Coverage
from napari_mitosis.review.coverage_file import file_of, load_coverage, save_coverage

SHAPE, MPP = (200, 300), 0.25


def seen() -> Coverage:
    coverage = Coverage(SHAPE, MPP)
    coverage.look((0, 0, 100, 100), 0.3, 1.0)
    return coverage


def test_what_was_seen_is_seen_after_a_restart(tmp_path: Path) -> None:
    save_coverage(tmp_path / "new", "sha256:ab/../c", seen())
    assert [path.parent for path in (tmp_path / "new").iterdir()] == [tmp_path / "new"]
    again = Coverage(SHAPE, MPP)
    assert load_coverage(tmp_path / "new", "sha256:ab/../c", again)
    assert again.share == seen().share > 0
    assert not load_coverage(tmp_path / "new", "another", again)


@pytest.mark.parametrize("kind", ["another size", "another um/px", "cut", "no archive", "negative"])
def test_what_does_not_fit_is_left_alone(kind: str, tmp_path: Path) -> None:
    coverage = seen()
    if kind == "negative":
        coverage.seconds[:] = -1
    save_coverage(tmp_path, "digest", coverage)
    path = file_of(tmp_path, "digest")
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    elif kind == "no archive":
        path.write_bytes(b"nothing of the kind")
    shape = (400, 300) if kind == "another size" else SHAPE
    fresh = Coverage(shape, 0.5 if kind == "another um/px" else MPP)
    assert not load_coverage(tmp_path, "digest", fresh)
    assert fresh.seconds.sum() == 0
