"""The npe2 reader, without napari."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_mitosis.errors import FieldError
from napari_mitosis.fields import npe2_reader as reader
from napari_mitosis.fields.field import Field, open_field

RGB = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.fixture
def tiff(tmp_path: Path) -> Path:
    path = tmp_path / "A03.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", resolution=(40000, 40000), resolutionunit="CENTIMETER")
    return path


def test_layer_data_carry_scale_units_and_the_field(tiff: Path) -> None:
    read = reader.napari_get_reader(str(tiff))
    assert read is not None
    ((pixels, options, kind),) = read(str(tiff))
    np.testing.assert_array_equal(np.asarray(pixels), RGB)
    assert kind == "image"
    assert options["name"] == "A03"
    assert options["rgb"] is True
    assert options["scale"] == pytest.approx((0.25, 0.25))
    assert options["units"] == ("um", "um")
    field = reader.field_of(options["metadata"])
    assert isinstance(field, Field)
    assert field.path == tiff


def test_unknown_um_per_pixel_leaves_the_layer_in_pixels(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb")
    ((_, options, _),) = reader.read_fields(str(tmp_path / "a.tif"))
    assert "scale" not in options
    assert "units" not in options


def test_several_files_are_several_layers(tiff: Path) -> None:
    assert len(reader.read_fields([str(tiff), str(tiff)])) == 2


@pytest.mark.parametrize("path", ["a.csv", "folder", "a.nii.gz", [], ["a.tif", "b.txt"]])
def test_other_files_are_left_to_others(path: str | list[str]) -> None:
    assert reader.napari_get_reader(path) is None


@pytest.mark.parametrize("name", ["a.TIF", "a.tiff", "a.png", "a.BMP", "a.jpg", "a.jpeg", "a.svs"])
def test_image_suffixes_are_taken(name: str) -> None:
    assert reader.napari_get_reader(name) is reader.read_fields


def test_without_a_window_a_bad_file_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A window that another test opened may still listen.
    monkeypatch.setitem(sys.modules, "napari.utils.notifications", None)
    (tmp_path / "bad.tif").write_bytes(b"")
    with pytest.raises(FieldError, match=r"bad\.tif: the file is empty"):
        reader.read_fields(str(tmp_path / "bad.tif"))


def test_in_napari_a_bad_file_shows_its_reason_and_the_others_open(tiff: Path, tmp_path: Path) -> None:
    notifications = pytest.importorskip("napari.utils.notifications")
    manager = notifications.notification_manager
    (tmp_path / "bad.tif").write_text("text")
    shown: list[str] = []
    listener: Callable[[object], None] = lambda note: shown.append(note.message)  # noqa: E731
    manager.notification_ready.connect(listener)
    try:
        assert reader.read_fields(str(tmp_path / "bad.tif")) == [(None,)]
        assert len(reader.read_fields([str(tmp_path / "bad.tif"), str(tiff)])) == 1
    finally:
        manager.notification_ready.disconnect(listener)
        manager.records.clear()
    assert shown == ["bad.tif: it is not a TIFF, PNG, BMP or JPEG image"] * 2


def test_napari_shows_fields_in_memory_and_on_disk(tiff: Path, tmp_path: Path) -> None:
    layers = pytest.importorskip("napari.layers")
    big = np.tile(RGB, (20, 20, 1))
    tifffile.imwrite(tmp_path / "big.tif", big, photometric="rgb", tile=(64, 64))
    (tmp_path / "mpp.json").write_text('{"mpp": 0.5}')
    for path, pixels in ((tiff, RGB), (tmp_path / "big.tif", big)):
        ((data, options, _),) = reader.read_fields(str(path))
        layer = layers.Image(data, **options)
        assert layer.rgb
        assert layer.scale.tolist() == [0.5, 0.5]
        assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
        assert layer.get_value((10.2, 7.4), world=True) == pytest.approx(pixels[20, 15])
        assert layer.data.shape == pixels.shape


def test_a_slide_is_shown_by_its_pyramid(tmp_path: Path) -> None:
    layers = pytest.importorskip("napari.layers")
    big = np.tile(RGB, (20, 20, 1))
    with tifffile.TiffWriter(tmp_path / "slide.tif") as writer:
        writer.write(big, tile=(64, 64), photometric="rgb", subifds=1, metadata=None)
        writer.write(big[::4, ::4], tile=(64, 64), photometric="rgb", subfiletype=1, metadata=None)
    field = open_field(tmp_path / "slide.tif", mpp=0.25)
    data, options, _ = reader.field_layer(field, max_px=100_000)
    assert [level.shape for level in data] == [big.shape, (200, 300, 3)]
    np.testing.assert_array_equal(np.asarray(data[1]), big[::4, ::4])
    layer = layers.Image(data, **options)
    assert layer.multiscale
    assert layer.extent.world[1] == pytest.approx([800 * 0.25, 1200 * 0.25], abs=0.25)


def test_a_slide_without_a_pyramid_is_not_decoded_whole_for_the_screen(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "slide.tif", np.tile(RGB, (20, 20, 1)), photometric="rgb", tile=(64, 64))
    with pytest.raises(FieldError, match=r"slide\.tif: 1200 x 800 px are too many to show without a pyramid"):
        reader.field_layer(open_field(tmp_path / "slide.tif"), max_px=100_000)


def test_the_reader_needs_neither_napari_nor_qt() -> None:
    code = (
        "import sys, napari_mitosis.fields.npe2_reader;"
        "print([m for m in ('napari', 'qtpy', 'torch', 'zarr') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_large_picture_is_shown_by_means_of_its_pixels(tmp_path: Path) -> None:
    fine = np.zeros((3302, 101, 3), np.uint8)
    fine[0::2] = 200  # lines that every second row would show as all bright, or all dark
    Image.fromarray(fine).save(tmp_path / "large.png")
    field = open_field(tmp_path / "large.png")
    levels, options, kind = reader.field_layer(field)
    assert (kind, options["multiscale"]) == ("image", True)
    assert levels[0] is field.pixels
    assert [level.shape for level in levels] == [(3302, 101, 3), (1651, 50, 3)]
    assert (levels[1] == 100).all()
