"""Damaged files of every format: a field opens and reads, or it raises `FieldError`; nothing else, ever."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_mitosis.errors import FieldError
from napari_mitosis.fields.field import open_field

RGB = np.random.default_rng(1).integers(0, 256, (48, 80, 3), dtype=np.uint8)
RGB[:24] = (220, 160, 190)  # flat tissue compresses into other structures than noise


def _originals(folder: Path) -> Iterator[tuple[str, Path]]:
    for suffix in ("png", "bmp", "jpg"):
        Image.fromarray(RGB).save(folder / f"a.{suffix}")
        yield suffix, folder / f"a.{suffix}"
    kinds = {
        "tiff plain": {},
        "tiff lzw": {"compression": "lzw", "rowsperstrip": 4},
        "tiff tiled": {"tile": (16, 16), "compression": "zlib"},
        "tiff jpeg": {"tile": (16, 16), "compression": "jpeg"},
        "bigtiff": {"bigtiff": True, "tile": (16, 16)},
        "ome": {"ome": True, "metadata": {"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}},
    }
    for number, (name, options) in enumerate(kinds.items()):
        path = folder / f"{number}.tif"
        tifffile.imwrite(path, RGB, photometric="rgb", **options)
        yield name, path
    tifffile.imwrite(folder / "ij.tif", RGB, imagej=True, resolution=(4, 4), metadata={"unit": "um"})
    yield "imagej", folder / "ij.tif"


def _contents() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return {name: path.read_bytes() for name, path in _originals(Path(folder))}


CONTENTS = _contents()


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """The bytes of an image file, cut, with flipped bits, with a block overwritten, or with two parts joined."""
    name = draw(st.sampled_from(sorted(CONTENTS)))
    content = bytearray(CONTENTS[name])
    # Headers are where a flipped bit does most harm, so half of the damage goes there.
    position = st.one_of(st.integers(0, min(400, len(content) - 1)), st.integers(0, len(content) - 1))
    for _ in range(draw(st.integers(0, 6))):
        content[draw(position)] ^= 1 << draw(st.integers(0, 7))
    if draw(st.booleans()):
        start = draw(position)
        block = draw(st.binary(min_size=1, max_size=16))
        content[start : start + len(block)] = block
    if draw(st.booleans()):
        content = content[: draw(st.integers(0, len(content)))]
    return name, bytes(content)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=damaged())
def test_damaged_files_open_and_read_or_raise_a_field_error(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[str, bytes]
) -> None:
    name, content = case
    path = tmp_path_factory.getbasetemp() / f"fuzzed_{name.replace(' ', '_')}.tif"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            field = open_field(path)
            height, width = field.shape
            block = field.read(0, min(height, 512), 0, min(width, 512))
        except FieldError as error:
            message = str(error)
        else:
            message = ""
    if message:
        assert message.startswith(f"{path.name}: ")
        assert len(message) < 400
        assert "\n" not in message
        return
    assert block.shape == (min(height, 512), min(width, 512), 3)
    assert block.dtype == np.uint8
    assert field.mpp is None or 0.05 <= field.mpp <= 5


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200), magic=st.sampled_from([b"", b"II*\0", b"MM\0+", b"BM", b"\xff\xd8\xff"]))
def test_noise_raises_a_field_error(tmp_path_factory: pytest.TempPathFactory, content: bytes, magic: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.tif"
    path.write_bytes(magic + content)
    with pytest.raises(FieldError, match=r"^noise\.tif: "):
        open_field(path)


def test_the_undamaged_originals_open() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, path in _originals(Path(folder)):
            assert open_field(path).numpy().shape == RGB.shape, name
