"""Slides as the scanners of five makers write them, from any pixels: for the tests of the reader, and for pictures.

Each function writes the smallest file that holds what such a scanner writes: pyramid, um/px, objective and, where
the kind has them, a label and a macro image.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
LABEL = np.full((64, 96, 3), (0, 200, 0), dtype=np.uint8)
"""A label in a green that no tissue has."""


def pyramid(pixels: Pixels, levels: int = 3) -> Iterator[Pixels]:
    """The pixels, then every second pixel of the level before."""
    for level in range(levels):
        yield np.ascontiguousarray(pixels[:: 2**level, :: 2**level])


def write_svs(path: Path, pixels: Pixels, mpp: float = 0.25) -> Path:
    """Aperio: tiled JPEG, a strip thumbnail, then levels, then label and macro."""
    h, w = pixels.shape[:2]
    text = f"Aperio Image Library v12\r\n{w}x{h} [0,0 {w}x{h}] (256x256) JPEG/RGB Q=90|AppMag = 40|MPP = {mpp}"
    with tifffile.TiffWriter(path) as tif:
        for number, level in enumerate(pyramid(pixels)):
            tif.write(level, tile=(256, 256), compression="jpeg", description=text, metadata=None, photometric="rgb")
            if number == 0:
                tif.write(pixels[::8, ::8], compression="jpeg", description=text, metadata=None, photometric="rgb")
        for name in ("label", "macro"):
            words = f"Aperio Image Library v12\r\n{name} 96x64"
            kind = 1 if name == "label" else 9
            tif.write(LABEL, compression="jpeg", description=words, metadata=None, subfiletype=kind, photometric="rgb")
    return path


def write_ndpi(path: Path, pixels: Pixels, mpp: float = 0.25) -> Path:
    """Hamamatsu: each level one JPEG strip, the objective in a tag, then the macro under objective -1."""
    images = [(level, 40.0 / 2**number) for number, level in enumerate(pyramid(pixels))] + [(LABEL, -1.0)]
    with tifffile.TiffWriter(path) as tif:
        for number, (level, lens) in enumerate(images):
            tags = [(65420, 4, 1, 1, True), (65421, 11, 1, lens, True), (65424, 9, 1, 0, True)]
            dots = 10_000 / (mpp * 2 ** min(number, 2))
            tif.write(
                level, rowsperstrip=level.shape[0], compression="jpeg", photometric="rgb", metadata=None,
                resolution=(dots, dots), resolutionunit="CENTIMETER", extratags=tags,
            )  # fmt: skip
    return path


def write_scn(path: Path, pixels: Pixels, mpp: float = 0.25) -> Path:
    """Leica: a macro of the whole glass and the scanned part, told apart by XML."""
    h, w = pixels.shape[:2]
    nm = round(mpp * 1000)
    glass = f'sizeX="{2 * w * nm}" sizeY="{3 * h * nm}"'
    levels = list(pyramid(pixels))
    rows = "".join(
        f'<dimension sizeX="{level.shape[1]}" sizeY="{level.shape[0]}" r="{number}" ifd="{number + 1}"/>'
        for number, level in enumerate(levels)
    )
    light = "<illuminationSettings><illuminationSource>brightfield</illuminationSource></illuminationSettings>"

    def image(objective: float, size: str, dimensions: str, view: str) -> str:
        settings = f"<objectiveSettings><objective>{objective:g}</objective></objectiveSettings>{light}"
        return (
            f'<image><device model="m" version="1"/><pixels {size}>{dimensions}</pixels><view {view}/>'
            f"<scanSettings>{settings}</scanSettings></image>"
        )

    macro = image(0.6, 'sizeX="96" sizeY="64"', '<dimension sizeX="96" sizeY="64" r="0" ifd="0"/>',
                  f'{glass} offsetX="0" offsetY="0"')  # fmt: skip
    main = image(40, f'sizeX="{w}" sizeY="{h}"', rows,
                 f'sizeX="{w * nm}" sizeY="{h * nm}" offsetX="{512 * nm}" offsetY="{1024 * nm}"')  # fmt: skip
    xml = (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'
        f"<collection {glass}>{macro}{main}</collection></scn>"
    )
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        for number, level in enumerate([LABEL, *levels]):
            text = xml if number == 0 else None
            tif.write(
                level, tile=(256, 256), compression="jpeg", photometric="rgb", metadata=None, description=text,
                subfiletype=int(number > 1), resolution=(1e4 / mpp, 1e4 / mpp), resolutionunit="CENTIMETER",
            )  # fmt: skip
    return path


def write_bif(path: Path, pixels: Pixels, mpp: float = 0.25) -> Path:
    """Ventana: XML in the XMP tag of the label image and of level 0; pixels in whole tiles of 256."""
    h, w = pixels.shape[:2]
    down, across = h // 256, w // 256
    pixels = pixels[: down * 256, : across * 256]
    scan = f'<?xml version="1.0"?><iScan Magnification="40" ScanRes="{mpp}"/>'
    joints = "".join(
        f'<TileJointInfo FlagJoined="1" Confidence="100" Direction="{way}" Tile1="{a}" Tile2="{b}" '
        'OverlapX="0" OverlapY="0"/>'
        for way, a, b in _joints(down, across)
    )
    info = (
        '<?xml version="1.0"?><EncodeInfo Ver="2"><SlideInfo/><SlideStitchInfo>'
        f'<ImageInfo AOIScanned="1" AOIIndex="0" NumRows="{down}" NumCols="{across}" Width="256" Height="256" '
        f'Pos-X="0" Pos-Y="0">{joints}</ImageInfo></SlideStitchInfo>'
        '<AoiOrigin><AOI0 OriginX="0" OriginY="0"/></AoiOrigin></EncodeInfo>'
    )
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        tif.write(LABEL, compression="jpeg", photometric="rgb", metadata=None, description="Label_Image",
                  extratags=[(700, 1, len(scan) + 1, scan.encode() + b"\0", True)])  # fmt: skip
        for number, level in enumerate(pyramid(pixels)):
            tags = [(700, 1, len(info) + 1, info.encode() + b"\0", True)] if number == 0 else []
            words = f"level={number} mag={40 / 2**number:g} quality=90"
            tif.write(level, tile=(256, 256), compression="jpeg", photometric="rgb", metadata=None,
                      description=words, extratags=tags)  # fmt: skip
    return path


def _joints(down: int, across: int) -> Iterator[tuple[str, int, int]]:
    """Neighbours in the order in which the stage goes: from the lower left, to and fro."""

    def place(row: int, column: int) -> int:
        return row * across + (column if row % 2 == 0 else across - 1 - column) + 1

    for row in range(down):
        for column in range(across - 1):
            yield "RIGHT", place(row, column), place(row, column + 1)
    for row in range(down - 1):
        for column in range(across):
            yield "UP", place(row, column), place(row + 1, column)


def write_mrxs(path: Path, pixels: Pixels, mpp: float = 0.25) -> Path:
    """3DHISTECH: ``NAME.mrxs`` and a folder with an index and JPEG tiles of 256."""
    folder = path.with_suffix("")
    folder.mkdir()
    Image.fromarray(LABEL).save(path, format="JPEG")
    down, across = pixels.shape[0] // 256 // 4 * 4, pixels.shape[1] // 256 // 4 * 4
    pixels = pixels[: down * 256, : across * 256]
    levels = list(pyramid(pixels))
    slide_id = "0123456789ABCDEF0123456789ABCDEF"
    data, records = io.BytesIO(), []
    data.write(b"\0" * 64)
    for number, level in enumerate(levels):
        rows = []
        for y in range(0, level.shape[0], 256):
            for x in range(0, level.shape[1], 256):
                start = data.tell()
                Image.fromarray(level[y : y + 256, x : x + 256]).save(data, format="JPEG", quality=90)
                place = (y // 256) * 2**number * across + (x // 256) * 2**number
                rows.append((place, start, data.tell() - start, 0))
        records.append(rows)
    (folder / "Data0000.dat").write_bytes(data.getvalue())
    (folder / "Index.dat").write_bytes(_mrxs_index(slide_id, records))
    (folder / "Slidedat.ini").write_text(_mrxs_ini(slide_id, across, down, len(levels), mpp), encoding="utf-8")
    return path


def _mrxs_index(slide_id: str, records: list[list[tuple[int, int, int, int]]]) -> bytes:
    head = b"01.02" + slide_id.encode()
    table = len(head) + 8
    place = table + 4 * len(records)
    pointers, pages = [], []
    for rows in records:
        pointers.append(place)
        page = b"".join(struct.pack("<4i", *row) for row in rows)
        pages.append(struct.pack("<2i", 0, place + 8) + struct.pack("<2i", len(rows), 0) + page)
        place += len(pages[-1])
    roots, table_of_levels = struct.pack("<2i", table, place), struct.pack(f"<{len(pointers)}i", *pointers)
    return b"".join([head, roots, table_of_levels, *pages, struct.pack("<i", 0)])


def _mrxs_ini(slide_id: str, across: int, down: int, levels: int, mpp: float) -> str:
    text = [
        "[GENERAL]", f"SLIDE_ID = {slide_id}", f"IMAGENUMBER_X = {across}", f"IMAGENUMBER_Y = {down}",
        "OBJECTIVE_MAGNIFICATION = 40", "CameraImageDivisionsPerSide = 1", "[HIERARCHICAL]", "HIER_COUNT = 1",
        "NONHIER_COUNT = 0", "INDEXFILE = Index.dat", "HIER_0_NAME = Slide zoom level", f"HIER_0_COUNT = {levels}",
    ]  # fmt: skip
    text += [f"HIER_0_VAL_{number}_SECTION = LEVEL_{number}" for number in range(levels)]
    text += ["[DATAFILE]", "FILE_COUNT = 1", "FILE_0 = Data0000.dat"]
    for number in range(levels):
        text += [
            f"[LEVEL_{number}]", "OVERLAP_X = 0", "OVERLAP_Y = 0", f"MICROMETER_PER_PIXEL_X = {mpp * 2**number}",
            f"MICROMETER_PER_PIXEL_Y = {mpp * 2**number}", "IMAGE_FORMAT = JPEG", "IMAGE_FILL_COLOR_BGR = 16777215",
            f"IMAGE_CONCAT_FACTOR = {int(number > 0)}", "DIGITIZER_WIDTH = 256", "DIGITIZER_HEIGHT = 256",
        ]  # fmt: skip
    return "\n".join(text) + "\n"


def write_ome(path: Path, pixels: Pixels, mpp: float = 0.25) -> Path:
    """OME-TIFF with its pyramid in SubIFDs."""
    levels = list(pyramid(pixels))
    options = {"tile": (256, 256), "compression": "jpeg", "photometric": "rgb"}
    sizes = {"PhysicalSizeX": mpp, "PhysicalSizeY": mpp, "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(levels[0], subifds=len(levels) - 1, metadata={"axes": "YXS", **sizes}, **options)
        for level in levels[1:]:
            tif.write(level, subfiletype=1, **options)
    return path


def write_dicom(path: Path, pixels: Pixels, mpp: float = 0.25) -> Path:
    """DICOM (supplement 145): one file a level, one JPEG frame a tile, and a label under a patient's name."""
    from pydicom.uid import generate_uid

    series = generate_uid()
    for number, level in enumerate(pyramid(pixels)):
        place = path if number == 0 else path.with_stem(f"{path.stem}_{number}")
        _write_dicom_image(place, level, mpp * 2**number, series, "RESAMPLED" if number else "NONE")
    _write_dicom_image(path.with_stem(f"{path.stem}_label"), np.tile(LABEL, (4, 3, 1))[:256, :256], 10, series, "LABEL")
    return path


def _write_dicom_image(path: Path, pixels: Pixels, mpp: float, series: str, flavour: str) -> None:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGBaseline8Bit, VLWholeSlideMicroscopyImageStorage, generate_uid

    h, w = pixels.shape[:2]
    frames = []
    for y in range(0, h, 256):
        for x in range(0, w, 256):
            tile, part = np.full((256, 256, 3), 255, dtype=np.uint8), pixels[y : y + 256, x : x + 256]
            tile[: part.shape[0], : part.shape[1]] = part
            stream = io.BytesIO()
            Image.fromarray(tile).save(stream, format="JPEG", quality=90)
            frames.append(stream.getvalue())
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = VLWholeSlideMicroscopyImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.SeriesInstanceUID, data.StudyInstanceUID, data.PatientName = series, series, "Nobody^Real"
    last = ["LABEL", "NONE"] if flavour == "LABEL" else ["VOLUME", flavour]
    data.ImageType, data.Modality, data.DimensionOrganizationType = ["ORIGINAL", "PRIMARY", *last], "SM", "TILED_FULL"
    data.Rows = data.Columns = 256
    data.TotalPixelMatrixRows, data.TotalPixelMatrixColumns, data.NumberOfFrames = h, w, len(frames)
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "YBR_FULL_422", 0
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    measures, shared, path_of_light = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [mpp / 1000, mpp / 1000], 0.001
    shared.PixelMeasuresSequence = [measures]
    path_of_light.ObjectiveLensPower, path_of_light.OpticalPathIdentifier = 40.0, "1"
    data.SharedFunctionalGroupsSequence, data.OpticalPathSequence = [shared], [path_of_light]
    data.PixelData = encapsulate(frames)
    data.save_as(path, enforce_file_format=True)


WRITERS = {
    "s.dcm": write_dicom,
    "s.svs": write_svs,
    "s.ndpi": write_ndpi,
    "s.scn": write_scn,
    "s.bif": write_bif,
    "s.mrxs": write_mrxs,
    "s.ome.tif": write_ome,
}
