"""Opening fields: formats, um/px, refusals, laziness."""

from __future__ import annotations

import json
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_mitosis.errors import FieldError, UnknownResolution
from napari_mitosis.fields.field import Field, lazy_field, open_field
from napari_mitosis.fields.pixels import LazyPixels

H, W = 300, 420


@pytest.fixture(scope="module")
def rgb() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype=np.uint8)


def _tiff(path: Path, array: np.ndarray, **options: object) -> Path:
    tifffile.imwrite(path, array, **options)
    return path


ALPHA = np.full((H, W, 1), 7, dtype=np.uint8)
TIFFS = {
    "plain": {"photometric": "rgb"},
    "strips": {"photometric": "rgb", "rowsperstrip": 7, "compression": "lzw"},
    "tiled": {"photometric": "rgb", "tile": (64, 64), "compression": "zlib"},
    "bigtiff": {"photometric": "rgb", "tile": (64, 64), "bigtiff": True},
    "motorola": {"photometric": "rgb", "byteorder": ">", "tile": (64, 64)},
    "imagej": {"imagej": True},
    "ome": {"photometric": "rgb", "metadata": {"axes": "YXS"}, "ome": True},
}


@pytest.mark.parametrize("kind", TIFFS)
def test_tiff_kinds_keep_every_pixel(tmp_path: Path, rgb: np.ndarray, kind: str) -> None:
    field = open_field(_tiff(tmp_path / "a.tif", rgb, **TIFFS[kind]))
    assert field.shape == (H, W)
    assert field.name == "a"
    assert field.mpp is None
    np.testing.assert_array_equal(field.read(11, 200, 70, 419), rgb[11:200, 70:419])
    np.testing.assert_array_equal(field.numpy(), rgb)


def test_tiff_colour_planes_and_alpha(tmp_path: Path, rgb: np.ndarray) -> None:
    planes = np.ascontiguousarray(np.moveaxis(rgb, -1, 0))
    planar = _tiff(tmp_path / "p.tif", planes, photometric="rgb", planarconfig="separate", tile=(64, 64))
    rgba = _tiff(tmp_path / "r.tif", np.concatenate([rgb, ALPHA], 2), photometric="rgb", extrasamples=["unassalpha"])
    channels = _tiff(tmp_path / "c.ome.tif", planes, photometric="minisblack", metadata={"axes": "CYX"})
    for path in (planar, rgba, channels):
        np.testing.assert_array_equal(open_field(path).numpy(), rgb)


@pytest.mark.parametrize("levels_in_subifds", [True, False])
def test_pyramid_opens_level_0(tmp_path: Path, rgb: np.ndarray, levels_in_subifds: bool) -> None:
    with tifffile.TiffWriter(tmp_path / "p.tif") as writer:
        writer.write(rgb, tile=(64, 64), photometric="rgb", metadata=None, subifds=2 if levels_in_subifds else None)
        for step in (2, 4):
            writer.write(rgb[::step, ::step], tile=(64, 64), photometric="rgb", subfiletype=1, metadata=None)
    np.testing.assert_array_equal(open_field(tmp_path / "p.tif").numpy(), rgb)


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_lossless_images(tmp_path: Path, rgb: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(rgb).save(path)
    np.testing.assert_array_equal(open_field(path).read(1, 9, 2, 8), rgb[1:9, 2:8])


def test_png_alpha_is_dropped_and_jpeg_is_close(tmp_path: Path, rgb: np.ndarray) -> None:
    Image.fromarray(np.concatenate([rgb, ALPHA], 2)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(open_field(tmp_path / "a.png").numpy(), rgb)
    smooth = np.full((64, 64, 3), (200, 120, 160), dtype=np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(open_field(tmp_path / "a.jpg").numpy().astype(int) - smooth).max() <= 3


def test_the_content_tells_the_format_not_the_suffix(tmp_path: Path, rgb: np.ndarray) -> None:
    Image.fromarray(rgb).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "b.tif")
    np.testing.assert_array_equal(open_field(tmp_path / "b.tif").numpy(), rgb)


MPP_CASES = {
    "ome um": ({"ome": True, "metadata": {"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}}, 0.25),
    "ome nm": (
        {
            "ome": True,
            "metadata": {
                "axes": "YXS",
                "PhysicalSizeX": 245.6,
                "PhysicalSizeXUnit": "nm",
                "PhysicalSizeY": 245.6,
                "PhysicalSizeYUnit": "nm",
            },
        },
        0.2456,
    ),
    "ome in pixels": (
        {
            "ome": True,
            "metadata": {
                "axes": "YXS",
                "PhysicalSizeX": 1,
                "PhysicalSizeXUnit": "pixel",
                "PhysicalSizeY": 1,
                "PhysicalSizeYUnit": "pixel",
            },
        },
        None,
    ),
    "imagej micron": ({"imagej": True, "resolution": (4, 4), "metadata": {"unit": "micron"}}, 0.25),
    "imagej um": ({"imagej": True, "resolution": (2, 2), "metadata": {"unit": "um"}}, 0.5),
    "imagej mm": ({"imagej": True, "resolution": (4000, 4000), "metadata": {"unit": "mm"}}, 0.25),
    "imagej without unit": ({"imagej": True, "resolution": (4, 4)}, None),
    "tags cm": ({"resolution": (40000, 40000), "resolutionunit": "CENTIMETER"}, 0.25),
    "tags inch": ({"resolution": (101600, 101600), "resolutionunit": "INCH"}, 0.25),
    "tags without unit": ({"resolution": (40000, 40000), "resolutionunit": "NONE"}, None),
    "72 dpi is a default": ({"resolution": (72, 72), "resolutionunit": "INCH"}, None),
    "96 dpi is a default": ({"resolution": (96, 96), "resolutionunit": "INCH"}, None),
    "aperio": ({"description": "Aperio Image Library v12\r\n46000x32914|AppMag = 40|MPP = 0.2528|x = 1"}, 0.2528),
}


@pytest.mark.parametrize("case", MPP_CASES)
def test_um_per_pixel_from_metadata(tmp_path: Path, rgb: np.ndarray, case: str) -> None:
    options, expected = MPP_CASES[case]
    if "imagej" not in options:
        options = {**options, "photometric": "rgb"}
    field = open_field(_tiff(tmp_path / "a.tif", rgb, **options))
    assert field.mpp == (None if expected is None else pytest.approx(expected, rel=1e-6))


def test_sidecar_overrides_metadata_and_the_argument_overrides_both(tmp_path: Path, rgb: np.ndarray) -> None:
    path = _tiff(tmp_path / "a.tif", rgb, photometric="rgb", resolution=(40000, 40000), resolutionunit=3)
    (tmp_path / "mpp.json").write_text('{"mpp": 0.3}')
    assert open_field(path).mpp == 0.3
    (tmp_path / "a.json").write_text('{"mpp": 0.4, "scanner": "any"}')
    assert open_field(path).mpp == 0.4
    assert open_field(path, mpp=0.5).mpp == 0.5
    (tmp_path / "a.json").write_text('{"scanner": "any"}')
    assert open_field(path).mpp == 0.3


@pytest.mark.parametrize("text", ["{", '{"mpp": "wide"}', '{"mpp": -1}', '{"mpp": 250}', '{"mpp": [1]}', "[" * 9999])
def test_bad_sidecar_names_the_sidecar(tmp_path: Path, rgb: np.ndarray, text: str) -> None:
    path = _tiff(tmp_path / "a.tif", rgb, photometric="rgb")
    (tmp_path / "mpp.json").write_text(text)
    with pytest.raises(FieldError, match=r"^mpp\.json: "):
        open_field(path)


def test_pixels_that_are_not_square_are_refused(tmp_path: Path, rgb: np.ndarray) -> None:
    path = _tiff(tmp_path / "a.tif", rgb, photometric="rgb", resolution=(40000, 20000), resolutionunit=3)
    with pytest.raises(FieldError, match="not square"):
        open_field(path)


@pytest.mark.parametrize("mpp", [0, -0.25, float("nan"), float("inf"), 1000])
def test_impossible_um_per_pixel(tmp_path: Path, rgb: np.ndarray, mpp: float) -> None:
    path = _tiff(tmp_path / "a.tif", rgb, photometric="rgb")
    with pytest.raises(FieldError, match=r"a\.tif: .*pixel size"):
        open_field(path, mpp=mpp)
    with pytest.raises(FieldError, match="pixel size"):
        Field.from_array(rgb, mpp=mpp)


def _png16(path: Path) -> None:
    """A 16-bit RGB PNG, which Pillow cannot write (and would read as 8-bit)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(b"".join(b"\0" + bytes(6 * 8) for _ in range(8)))
    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def _bomb_png(path: Path, side: int) -> None:
    _png16(path)
    content = bytearray(path.read_bytes())
    content[16:26] = struct.pack(">IIBB", side, side, 8, 2)
    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    path.write_bytes(content)


def _forged_tiff(path: Path, rgb: np.ndarray) -> None:
    """A tiled TIFF of 300 x 420 px whose header claims 60000 x 60000."""
    tifffile.imwrite(path, rgb, photometric="rgb", tile=(64, 64))
    with tifffile.TiffFile(path, mode="r+b") as tif:
        for name in ("ImageWidth", "ImageLength"):
            tif.pages[0].tags[name].overwrite(60000)


def _save(path: Path, image: Image.Image, **options: object) -> None:
    image.save(path, **options)


grey = np.zeros((20, 20), dtype=np.uint8)
REFUSED = {
    "zero bytes": ("a.tif", lambda p, a: p.write_bytes(b""), "empty"),
    "text": ("a.tif", lambda p, a: p.write_text("patient,count\n1,2\n"), "not a TIFF, PNG, BMP or JPEG"),
    "only magic": ("a.tif", lambda p, a: p.write_bytes(b"II*\0"), "damaged"),
    "no pages": ("a.tif", lambda p, a: p.write_bytes(b"II*\0" + bytes(28)), "damaged|no image"),
    "truncated tiff": ("a.tif", lambda p, a: (tifffile.imwrite(p, a, tile=(64, 64)), _cut(p)), "truncated|damaged"),
    "truncated png": ("a.png", lambda p, a: (_save(p, Image.fromarray(a)), _cut(p)), "cannot be decoded"),
    "truncated jpeg": ("a.jpg", lambda p, a: (_save(p, Image.fromarray(a)), _cut(p)), "cannot be decoded"),
    "truncated bmp": ("a.bmp", lambda p, a: (_save(p, Image.fromarray(a)), _cut(p)), "cannot be decoded"),
    "16-bit tiff": ("a.tif", lambda p, a: tifffile.imwrite(p, a.astype(np.uint16), photometric="rgb"), "16-bit"),
    "float tiff": ("a.tif", lambda p, a: tifffile.imwrite(p, a.astype(np.float32), photometric="rgb"), "float32"),
    "grey tiff": ("a.tif", lambda p, a: tifffile.imwrite(p, grey), "greyscale"),
    "rgb stack": ("a.tif", lambda p, a: tifffile.imwrite(p, np.stack([a, a]), photometric="rgb"), "stack"),
    "grey stack": ("a.tif", lambda p, a: tifffile.imwrite(p, np.stack([grey] * 5)), "stack"),
    "palette tiff": (
        "a.tif",
        lambda p, a: tifffile.imwrite(p, grey, photometric="palette", colormap=np.zeros((3, 256), np.uint16)),
        "palette",
    ),
    "cmyk tiff": (
        "a.tif",
        lambda p, a: tifffile.imwrite(p, np.zeros((9, 9, 4), np.uint8), photometric="separated"),
        "separated",
    ),
    "grey png": ("a.png", lambda p, a: _save(p, Image.fromarray(grey)), "greyscale"),
    "16-bit grey png": ("a.png", lambda p, a: _save(p, Image.fromarray(grey.astype(np.uint16))), "16"),
    "16-bit rgb png": ("a.png", lambda p, a: _png16(p), "16"),
    "palette png": ("a.png", lambda p, a: _save(p, Image.fromarray(a).quantize(8)), "palette"),
    "animated png": (
        "a.png",
        lambda p, a: _save(p, Image.fromarray(a), save_all=True, append_images=[Image.fromarray(255 - a)]),
        "several images",
    ),
    "cmyk jpeg": ("a.jpg", lambda p, a: _save(p, Image.fromarray(a).convert("CMYK")), "CMYK"),
    "60000 px tiff header": ("a.tif", _forged_tiff, "missing|two different sizes"),
    "60000 px png header": ("a.png", lambda p, a: _bomb_png(p, 60000), "megapixels"),
    "13000 px png header": ("a.png", lambda p, a: _bomb_png(p, 13000), "too short"),
    "folder": ("a.tif", lambda p, a: p.mkdir(), "folder"),
    "missing": ("a.tif", lambda p, a: None, "no such file"),
}


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_field_is_refused_naming_file_and_reason(tmp_path: Path, rgb: np.ndarray, case: str) -> None:
    name, make, reason = REFUSED[case]
    make(tmp_path / name, rgb)
    with pytest.raises(FieldError, match=rf"^{name}: .*({reason})"):
        open_field(tmp_path / name)


def test_a_slide_of_60000_px_that_is_there_opens_without_being_read(tmp_path: Path) -> None:
    tile = np.full((1024, 1024, 3), (210, 150, 180), dtype=np.uint8)
    encoded = zlib.compress(tile.tobytes())
    count = -(-60000 // 1024)
    tifffile.imwrite(
        tmp_path / "slide.tif",
        (encoded for _ in range(count * count)),
        shape=(60000, 60000, 3),
        dtype=np.uint8,
        tile=(1024, 1024),
        photometric="rgb",
        compression="zlib",
    )
    field = open_field(tmp_path / "slide.tif", mpp=0.25)
    assert field.shape == (60000, 60000)
    assert field.area_mm2() == pytest.approx(225.0)
    block = field.read(59990, 60000, 30000, 30020)
    np.testing.assert_array_equal(block, tile[:10, :20])


def test_a_damaged_tile_raises_where_it_is_read_and_nowhere_else(tmp_path: Path, rgb: np.ndarray) -> None:
    path = _tiff(tmp_path / "a.tif", rgb, photometric="rgb", tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path) as tif:
        start, size = tif.pages[0].dataoffsets[0], tif.pages[0].databytecounts[0]
    content = bytearray(path.read_bytes())
    content[start : start + size] = b"\xff" * size
    path.write_bytes(content)
    field = open_field(path)
    np.testing.assert_array_equal(field.read(64, 128, 64, 128), rgb[64:128, 64:128])
    with pytest.raises(FieldError, match=r"a\.tif: its pixels cannot be decoded"):
        field.read(0, 10, 0, 10)


def test_a_file_that_vanished_raises_a_field_error(tmp_path: Path, rgb: np.ndarray) -> None:
    field = open_field(_tiff(tmp_path / "a.tif", rgb, photometric="rgb", tile=(64, 64)))
    (tmp_path / "a.tif").unlink()  # possible on Windows too: no handle is kept
    with pytest.raises(FieldError, match=r"a\.tif"):
        field.numpy()


def test_digest_depends_on_pixels_only(tmp_path: Path, rgb: np.ndarray) -> None:
    tiled = open_field(_tiff(tmp_path / "a.tif", rgb, photometric="rgb", tile=(64, 64)), mpp=0.5)
    assert isinstance(tiled.pixels, LazyPixels)
    assert tiled.digest == Field.from_array(rgb).digest == tiled.with_mpp(0.25).digest
    other = rgb.copy()
    other[5, 5, 1] ^= 1
    assert Field.from_array(other).digest != tiled.digest
    flat = np.zeros((4, 6, 3), np.uint8)
    assert Field.from_array(flat).digest != Field.from_array(flat.reshape(6, 4, 3)).digest


def test_read_is_a_copy_inside_the_field(rgb: np.ndarray) -> None:
    field = Field.from_array(rgb)
    before = field.digest
    field.read(0, 5, 0, 5)[:] = 0
    assert Field.from_array(rgb).digest == before
    with pytest.raises(ValueError, match="read-only"):
        field.pixels[0, 0, 0] = 1
    for box in ((-1, 5, 0, 5), (0, H + 1, 0, 5), (5, 4, 0, 5), (0, 5, 0, W + 1)):
        with pytest.raises(ValueError, match="not inside"):
            field.read(*box)


def test_unknown_resolution_is_said(rgb: np.ndarray) -> None:
    field = Field.from_array(rgb, name="A03")
    with pytest.raises(UnknownResolution, match="Density needs the pixel size of 'A03'"):
        field.require_mpp("Density")
    with pytest.raises(UnknownResolution):
        field.area_mm2()
    assert field.with_mpp(0.25).area_mm2() == pytest.approx(H * W * 0.0625e-6)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((5, 5), np.uint8), "greyscale"),
        (np.zeros((5, 5, 3), np.uint16), "uint16"),
        (np.zeros((5, 5, 3)), "float64"),
        (np.zeros((2, 5, 5, 3), np.uint8), "stack"),
        (np.zeros((5, 5, 2), np.uint8), "shape"),
        (np.zeros((0, 5, 3), np.uint8), "no pixels"),
    ],
)
def test_arrays_that_are_no_field(array: np.ndarray, reason: str) -> None:
    with pytest.raises(FieldError, match=reason):
        Field.from_array(array)


def test_dask_and_zarr_arrays_stay_lazy(rgb: np.ndarray) -> None:
    import dask.array as da
    import zarr

    rgba = np.concatenate([rgb, ALPHA], 2)
    stored = zarr.create_array({}, shape=rgba.shape, chunks=(64, 64, 4), dtype="uint8")
    stored[:] = rgba
    for source in (da.from_array(rgba, chunks=64), stored):
        field = Field.from_array(source)
        assert not isinstance(field.pixels, np.ndarray)
        np.testing.assert_array_equal(field.read(3, 70, 5, 80), rgb[3:70, 5:80])


@pytest.mark.parametrize(
    "key",
    [
        np.s_[::3, ::5],
        np.s_[10:20],
        np.s_[...],
        np.s_[7],
        np.s_[-5:, -9:-2, 1],
        np.s_[5:5, :],
        np.s_[::-1, 4:9],
        np.s_[2:9, 3],
        np.s_[:, :, :2],
        np.s_[..., 0],
    ],
)
def test_lazy_pixels_slice_like_numpy(tmp_path: Path, rgb: np.ndarray, key: object) -> None:
    pixels = lazy_field(_tiff(tmp_path / "a.tif", rgb, photometric="rgb", tile=(64, 64))).pixels
    np.testing.assert_array_equal(np.asarray(pixels[key]), rgb[key])
    np.testing.assert_array_equal(np.asarray(pixels), rgb)


def test_lazy_fields_travel_to_other_processes(tmp_path: Path, rgb: np.ndarray) -> None:
    field = open_field(_tiff(tmp_path / "a.tif", rgb, photometric="rgb", tile=(64, 64)))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(field)).numpy(), rgb)


def test_lazy_png_decodes_when_read_and_loaded_keeps_it(tmp_path: Path, rgb: np.ndarray) -> None:
    Image.fromarray(rgb).save(tmp_path / "a.png")
    (tmp_path / "a.json").write_text(json.dumps({"mpp": 0.25}))
    field = lazy_field(tmp_path / "a.png")
    loaded = field.loaded()
    (tmp_path / "a.png").unlink()
    np.testing.assert_array_equal(loaded.numpy(), rgb)
    assert loaded.mpp == 0.25
    assert loaded.loaded() is loaded
    with pytest.raises(FieldError, match="no such file"):
        field.numpy()
