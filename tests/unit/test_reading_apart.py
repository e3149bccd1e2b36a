"""What no library can be told is held from outside: decoding in another process, under limits of time and memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from napari_mitosis import open_field
from napari_mitosis.errors import FieldError
from napari_mitosis.fields import apart
from napari_mitosis.fields.field import lazy_field
from napari_mitosis.fields.pixels import ImagePixels

RGB: NDArray[np.uint8] = np.random.default_rng(2).integers(0, 256, (90, 120, 3), dtype=np.uint8)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PNG that is decoded in another process, small as it is."""
    monkeypatch.setattr(ImagePixels, "most_here_px", 0)
    path = tmp_path / "Žofie 1.png"
    Image.fromarray(RGB).save(path)
    return path


def test_another_process_reads_the_same(elsewhere: Path) -> None:
    np.testing.assert_array_equal(open_field(elsewhere).numpy(), RGB)


def test_what_it_refuses_is_said_in_its_words_and_it_goes_on(elsewhere: Path) -> None:
    content = elsewhere.read_bytes()
    elsewhere.write_bytes(content[: len(content) // 2])
    with pytest.raises(FieldError, match=r"Žofie 1\.png: its pixels cannot be decoded"):
        open_field(elsewhere)
    readers = list(apart._READERS._idle)
    elsewhere.write_bytes(content)
    np.testing.assert_array_equal(open_field(elsewhere).numpy(), RGB)
    assert apart._READERS._idle == readers


def test_what_takes_too_long_is_ended(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apart.let_go()
    for limit in ("WALL_S", "START_S"):
        monkeypatch.setattr(apart, limit, 0.0)
    with pytest.raises(FieldError, match="takes too long"):
        open_field(elsewhere)
    monkeypatch.undo()
    assert open_field(elsewhere).shape == RGB.shape[:2]


def test_a_library_that_breaks_down_takes_nothing_with_it(elsewhere: Path) -> None:
    open_field(elsewhere)
    for reader in apart._READERS._idle:
        reader._process.kill()
        reader._process.wait()
    with pytest.raises(FieldError, match="broke down"):
        open_field(elsewhere)
    np.testing.assert_array_equal(open_field(elsewhere).numpy(), RGB)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork on Windows")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_asks_a_process_of_its_own(elsewhere: Path) -> None:
    open_field(elsewhere)
    child = os.fork()
    if child == 0:
        there = apart._READERS._idle == [] and np.array_equal(open_field(elsewhere).numpy(), RGB)
        apart.let_go()
        os._exit(0 if there else 1)
    np.testing.assert_array_equal(open_field(elsewhere).numpy(), RGB)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


_LIMITED = """
import numpy as np
from napari_mitosis.fields import apart, reading
reading._limit_memory()
try:
    np.empty(apart.MOST_BYTES + 2**26, np.uint8)
except MemoryError:
    print("memory", flush=True)
reading._limit_time(0)
while True:
    pass
"""


@pytest.mark.skipif(not apart.memory_is_limited(), reason="only Linux limits both")
def test_the_process_lives_under_limits() -> None:
    """By processor time, so that a busy machine ends no honest file."""
    done = subprocess.run([sys.executable, "-c", _LIMITED], capture_output=True, text=True)
    assert done.stdout == "memory\n"
    assert done.returncode == -apart._SIGXCPU


@pytest.mark.skipif(not apart.memory_is_limited(), reason="these codecs are asked only where memory is limited")
@pytest.mark.parametrize("codec", ["webp", "jpegxl"])
def test_codecs_that_write_as_much_as_they_like_are_asked_elsewhere(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "a.tif"
    options = {"compressionargs": {"lossless": True}}
    tifffile.imwrite(path, RGB, photometric="rgb", tile=(48, 48), compression=codec, **options)  # type: ignore[arg-type]
    assert lazy_field(path).pixels.most_here_px == 0
    field = open_field(path)
    np.testing.assert_array_equal(field.read(10, 80, 20, 110), RGB[10:80, 20:110])
