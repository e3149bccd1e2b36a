"""Slides of every kind open, give their levels, um/px and objective, and never their label."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from slide_files import LABEL, WRITERS, write_dicom, write_svs

from napari_mitosis import open_field
from napari_mitosis.batches.batch import find_fields
from napari_mitosis.errors import FieldError
from napari_mitosis.fields.field import Field
from napari_mitosis.fields.npe2_reader import field_layer, napari_get_reader
from napari_mitosis.fields.pixels import LazyPixels
from napari_mitosis.fields.slides import SlidePixels, read_header

pytest.importorskip("openslide")

SIDE = 1024
ORIGIN = {"s.scn": (1024, 512)}  # where its scanned part lies on the glass


@pytest.fixture(scope="module")
def tissue() -> NDArray[np.uint8]:
    """Smooth pink and purple, so that JPEG changes little of it."""
    noise = ndimage.zoom(np.random.default_rng(5).random((16, 16)), SIDE / 16, order=1)[..., None]
    return np.asarray(noise * (150, 60, 90) + (90, 60, 120), dtype=np.uint8)


@pytest.fixture(scope="module")
def slides(tissue: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pytest.importorskip("pydicom")
    folder = tmp_path_factory.mktemp("slides")
    return {name: write(folder / name, tissue) for name, write in WRITERS.items()}


def test_the_files_of_a_dicom_slide_are_one_slide(tissue: NDArray[np.uint8], tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    for name in ("a.dcm", "b.dcm"):
        write_dicom(tmp_path / name, tissue)
    (tmp_path / "torn.dcm").write_bytes(b"no slide")
    assert len(list(tmp_path.iterdir())) > 6
    assert [file.path.name for file in find_fields([tmp_path])] == ["a.dcm", "b.dcm", "torn.dcm"]


@pytest.mark.parametrize("name", WRITERS)
def test_levels_resolution_and_pixels(name: str, slides: dict[str, Path], tissue: NDArray[np.uint8]) -> None:
    field = open_field(slides[name])
    assert napari_get_reader(str(slides[name])) is not None
    y, x = ORIGIN.get(name, (0, 0))
    assert field.mpp == pytest.approx(0.25)
    assert field.shape == (SIDE, SIDE) or name == "s.scn"
    assert len(field.levels) >= 3
    assert field.levels[0] is field.pixels
    for level in range(3):
        step = 2**level
        shape = tuple(n // step for n in field.shape)
        assert field.levels[level].shape == (*shape, 3)
        top, left = (y + 256) // step, (x + 512) // step
        part = field.read(top, top + 128, left, left + 64, level)
        truth = tissue[256 : 256 + 128 * step : step, 512 : 512 + 64 * step : step]
        assert np.abs(part.astype(int) - truth).mean() < 4
    if name != "s.ome.tif":
        assert field.pixels.magnification == 40
        assert field.pixels.scanned_px == (y, y + SIDE, x, x + SIDE)
    copy = pickle.loads(pickle.dumps(field))
    np.testing.assert_array_equal(copy.read(0, 9, 0, 9), field.read(0, 9, 0, 9))
    with pytest.raises(ValueError, match="is not inside"):
        field.read(0, field.shape[0], 0, 1, level=1)


@pytest.mark.parametrize("name", WRITERS)
def test_label_and_macro_are_never_shown(name: str, slides: dict[str, Path]) -> None:
    for level in open_field(slides[name]).levels:
        green = np.abs(np.asarray(level[:]).astype(int) - LABEL[0, 0]).max(axis=2) < 60
        assert not green.any()


@pytest.mark.parametrize("name", WRITERS)
def test_a_torn_slide_is_refused_by_name(name: str, slides: dict[str, Path], tmp_path: Path) -> None:
    whole = slides[name].read_bytes()
    torn = tmp_path / name
    torn.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(FieldError, match=name):
        open_field(torn).numpy()


def test_what_is_no_slide_is_refused_by_name(tmp_path: Path) -> None:
    for content in (b"", b"not a slide", b"II*\x00\xff\xff\xff\xff"):
        path = tmp_path / "x.ndpi"
        path.write_bytes(content)
        with pytest.raises(FieldError, match=r"x\.ndpi"):
            open_field(path)
    with pytest.raises(FieldError, match="no such file"):
        open_field(tmp_path / "absent.svs")


def test_a_slide_is_read_again_after_an_error(slides: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    whole = slides["s.svs"].read_bytes()
    path.write_bytes(whole)
    field = open_field(path)
    field.pixels.close()
    path.write_bytes(whole[:5000])
    with pytest.raises(FieldError, match=r"a\.svs"):
        field.read(0, 8, 0, 8)
    path.write_bytes(whole)
    assert field.read(0, 8, 0, 8).shape == (8, 8, 3)


def test_tiffslide_stands_in(slides: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tiffslide")
    region = open_field(slides["s.svs"]).read(100, 300, 200, 300)
    monkeypatch.setitem(sys.modules, "openslide", None)
    header = read_header(slides["s.svs"])  # in this process: the one that decodes has packages of its own
    assert header is not None
    assert (header["mpp"], header["magnification"]) == (0.25, 40)
    own = SlidePixels.of(slides["s.svs"], header).decoded(100, 300, 200, 300)
    assert np.abs(own.astype(int) - region).max() <= 3  # of another JPEG decoder
    monkeypatch.setitem(sys.modules, "tiffslide", None)
    assert read_header(slides["s.svs"]) is None  # tifffile reads it
    with pytest.raises(FieldError, match=r"s\.mrxs.*pip install"):
        read_header(slides["s.mrxs"])


class Plain(LazyPixels):
    """A slide of one colour with a dot, made as it is read."""

    def __init__(self, dot: int) -> None:
        super().__init__(Path("plain.svs"), 60_000, 50_000)
        self.in_parts, self.dot = True, dot

    def _decode(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[np.uint8]:
        block = np.full((y1 - y0, x1 - x0, 3), 200, dtype=np.uint8)
        if y0 == 0 and x0 == 0:
            block[0, 0] = self.dot
        return block


def test_a_slide_has_a_digest_without_being_read_whole() -> None:
    first, same, other = (Field(Plain(dot), 0.25, "plain") for dot in (1, 1, 2))
    assert first.digest == same.digest != other.digest


def test_a_slide_is_shown_by_its_levels(tmp_path: Path, tissue: NDArray[np.uint8]) -> None:
    field = open_field(write_svs(tmp_path / "a.svs", tissue))
    levels, options, kind = field_layer(field, max_px=SIDE * SIDE // 4)
    assert (kind, options["multiscale"], [level.shape[0] for level in levels]) == ("image", True, [1024, 512, 256])


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of scanners that the source package of openslide-python carries for its own tests."""
    folder = tmp_path_factory.mktemp("openslide")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
    command += ["--no-build-isolation", "--dest", str(folder), "openslide-python==1.4.3"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    except (subprocess.SubprocessError, OSError):
        pytest.skip("the source package of openslide-python cannot be downloaded here")
    with tarfile.open(next(folder.glob("*.tar.gz"))) as tar:
        tar.extractall(folder)  # our own, or one that pip has checked
    return next(folder.glob("*/tests/fixtures"))


def test_published_files(published: Path) -> None:
    for name in ("small.svs", "boxes_0.dcm"):
        field = open_field(published / name)
        assert (field.shape, field.mpp, field.pixels.magnification) == ((16, 16), 0.499, 20)
        assert field.numpy().std() > 0
    pyramid = open_field(published / "boxes.tiff")
    assert [level.shape[:2] for level in pyramid.levels] == [(250, 300), (125, 150), (62, 75), (31, 37)]
    assert pyramid.mpp is None  # 72 dpi is no pixel size of a microscope
    for name in ("unreadable.svs", "unopenable.tiff"):
        with pytest.raises(FieldError, match=name):
            open_field(published / name).numpy()
