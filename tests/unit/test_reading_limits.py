"""What a file claims is held against what it is: nothing hangs, floods a log, or takes memory that the file has not."""

from __future__ import annotations

import io
import json
import logging
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_mitosis.errors import FieldError
from napari_mitosis.fields import codecs
from napari_mitosis.fields.codecs import coded_size
from napari_mitosis.fields.field import open_field
from napari_mitosis.fields.limits import MAX_DIRECTORIES, MAX_LOG_LINES, other_file, quiet
from napari_mitosis.fields.resolution import check_mpp

RGB = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)


def tiff(path: Path, **options: object) -> Path:
    tifffile.imwrite(path, RGB, photometric="rgb", **options)  # type: ignore[arg-type]
    return path


def jpeg_in_tiff(path: Path, claimed: int) -> Path:
    """One strip of JPEG that states another size inside than the TIFF around it."""
    content = io.BytesIO()
    Image.fromarray(RGB).save(content, "JPEG")
    data = bytearray(content.getvalue())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">2H", claimed, claimed)
    tifffile.imwrite(
        path, iter([bytes(data)]), shape=RGB.shape, dtype=np.uint8, photometric="ycbcr", compression="jpeg",
        tile=(64, 96),
    )  # fmt: skip
    return path


@pytest.mark.parametrize("claimed", [20_000, 65_500])
def test_a_jpeg_that_claims_more_than_its_tile_is_not_decoded(tmp_path: Path, claimed: int) -> None:
    path = jpeg_in_tiff(tmp_path / "a.tif", claimed)
    assert path.stat().st_size < 20_000
    tracemalloc.start()
    with pytest.raises(FieldError, match="not of the size"):
        open_field(path)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_an_honest_jpeg_in_a_tiff_opens(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", tile=(32, 32), compression="jpeg")
    assert open_field(path).read(0, 64, 0, 96).shape == RGB.shape
    assert coded_size(b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc2\x00\x0b\x08\x00\x20\x00\x30\x03") == (32, 48)
    assert coded_size(b"\0\0\0\x0cjP  \xff\x4f\xff\x51\0\x29\0\0" + struct.pack(">4I", 50, 40, 10, 5)) == (35, 40)
    assert coded_size(b"\xff\xd8" + b"\xff\xe0\x00\x00" * 20) is None


def test_a_jpeg_of_very_many_scans_is_refused(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.jpg", progressive=True)
    assert open_field(tmp_path / "a.jpg").shape == (64, 96)
    content = (tmp_path / "a.jpg").read_bytes()
    at = content.rindex(b"\xff\xda")
    (tmp_path / "a.jpg").write_bytes(content[:at] + content[at:-2] * 200 + content[-2:])
    with pytest.raises(FieldError, match="scans"):
        open_field(tmp_path / "a.jpg")


def ifd(following: int, tags: list[tuple[int, int, int, int]] | None = None) -> bytes:
    rows = b"".join(struct.pack("<HHII", *tag) for tag in tags or [(256, 4, 1, 8)])
    return struct.pack("<H", len(tags or [1])) + rows + struct.pack("<I", following)


DIRECTORIES = {
    "a circle of one": (b"II*\0" + struct.pack("<I", 8) + ifd(8), "circle"),
    "a circle of two": (b"II*\0" + struct.pack("<I", 8) + ifd(26) + ifd(8), "circle"),
    "very many": (
        b"II*\0" + struct.pack("<I", 8) + b"".join(ifd(8 + 18 * (n + 1)) for n in range(200_000)) + ifd(0),
        f"more than {MAX_DIRECTORIES} images",
    ),
    "below each other": (b"II*\0" + struct.pack("<I", 8) + ifd(0, [(330, 4, 1, 8)]), "damaged|no image|values are"),
    "very many below": (b"II*\0" + struct.pack("<I", 8) + ifd(0, [(330, 4, 10**5, 8)]) + bytes(10**6), "more than"),
    "very many tags": (b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 60_000) + bytes(10**6), "60000 tags"),
    "a value that is not there": (b"II*\0" + struct.pack("<I", 8) + ifd(0, [(270, 2, 2**31, 8)]), "claims"),
}


@pytest.mark.parametrize(("content", "words"), DIRECTORIES.values(), ids=DIRECTORIES.keys())
def test_directories_that_keep_a_parser_busy_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(FieldError, match=words):
        open_field(tmp_path / "a.tif")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("suffix", [".tif", ".png", ".svs", ".json"])
def test_a_named_pipe_is_no_image(tmp_path: Path, suffix: str) -> None:
    if suffix == ".json":  # the image is one, its sidecar is a pipe
        tiff(tmp_path / "a.tif")
        os.mkfifo(tmp_path / "a.json")
        assert open_field(tmp_path / "a.tif").shape == (64, 96)
        return
    os.mkfifo(tmp_path / f"a{suffix}")
    with pytest.raises(FieldError, match="pipe"):
        open_field(tmp_path / f"a{suffix}")


def ome(path: Path, old: str, new: str) -> Path:
    """An OME-TIFF whose XML says something else than what its writer wrote."""
    tifffile.imwrite(path, RGB, photometric="rgb", ome=True, metadata={"axes": "YXS"})
    with tifffile.TiffFile(path) as tif:
        xml = tif.ome_metadata or ""
    assert old in xml
    tifffile.tiffcomment(path, xml.replace(old, new).encode())
    return path


@pytest.mark.parametrize("kind", ["image", "pipe", "nothing"])
def test_an_ome_tiff_does_not_show_the_pixels_of_another_file(tmp_path: Path, kind: str) -> None:
    other = tmp_path / "other.ome.tif"
    if kind == "image":
        tiff(other)
    elif kind == "pipe":
        if not hasattr(os, "mkfifo"):
            pytest.skip("this system has no named pipes")
        os.mkfifo(other)
    named = '<TiffData IFD="0" PlaneCount="1"><UUID FileName="other.ome.tif">urn:uuid:1</UUID></TiffData>'
    path = ome(tmp_path / "a.ome.tif", '<TiffData IFD="0" PlaneCount="1"/>', named)
    with pytest.raises(FieldError, match=r"another file \('other\.ome\.tif'\)"):
        open_field(path)


@pytest.mark.parametrize(
    ("xml", "found"),
    [
        ('<OME UUID="urn:1"><UUID FileName="old.tif">urn:1</UUID></OME>', None),  # the file was renamed
        ("<OME><UUID FileName='a.tif'>urn:1</UUID></OME>", None),
        ('<ome:OME UUID="urn:1"><ome:UUID FileName="b.tif">urn:2</ome:UUID></ome:OME>', "b.tif"),
        ('<OME><UUID FileName="../../etc/passwd">x</UUID></OME>', "../../etc/passwd"),
    ],
)
def test_files_that_ome_xml_names(xml: str, found: str | None) -> None:
    assert other_file(xml, "a.tif") == found


def test_a_stack_that_is_only_claimed_is_refused(tmp_path: Path) -> None:
    path = ome(tmp_path / "a.ome.tif", 'SizeT="1"', 'SizeT="600000"')
    with pytest.raises(FieldError, match=r"stack of \d{6,7} images"):
        open_field(path)
    tifffile.imwrite(tmp_path / "b.tif", RGB, imagej=True)
    content = (tmp_path / "b.tif").read_bytes()
    (tmp_path / "b.tif").write_bytes(content.replace(b"ImageJ=1.11a\nimages=1\n", b"ImageJ=1\nimages=99999\n"))
    assert len(content) == (tmp_path / "b.tif").stat().st_size
    with pytest.raises(FieldError, match="stack of 99999"):
        open_field(tmp_path / "b.tif")


def test_a_library_says_a_few_lines_about_a_file(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("a library")
    with caplog.at_level(logging.WARNING), quiet("a library"):
        for number in range(1000):
            logger.warning("line %d", number)
    assert len(caplog.records) == MAX_LOG_LINES
    logger.warning("again")
    assert len(caplog.records) == MAX_LOG_LINES + 1


def test_a_codec_that_writes_as_much_as_it_likes_is_not_asked_where_memory_is_not_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiff(tmp_path / "a.tif", compression="webp")
    monkeypatch.setattr(codecs, "memory_is_limited", lambda: False)  # as on Windows and macOS
    with pytest.raises(FieldError, match=r"compression \(WEBP\)"):
        open_field(path)


@pytest.mark.parametrize("text", ["1e400", "-1e400", "[1]", '"0.25 um"', "1" + "0" * 5000, "{}"])
def test_an_absurd_sidecar_is_told(tmp_path: Path, text: str) -> None:
    path = tiff(tmp_path / "a.tif")
    (tmp_path / "a.json").write_text(f'{{"mpp": {text}}}', encoding="utf-8")
    with pytest.raises(FieldError, match=r"a\.json"):
        open_field(path)


def test_an_integer_beyond_floats_is_no_pixel_size() -> None:
    with pytest.raises(ValueError, match="must be a number"):
        check_mpp(10**400)
    assert json.loads("0.25") == check_mpp("0.25")  # type: ignore[arg-type]
