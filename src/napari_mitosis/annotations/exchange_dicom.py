"""Annotations as DICOM Microscopy Bulk Simple Annotations, by highdicom: points in pixels of the image.

A group for each label and score; DICOM counts from the corner of the first pixel, this program from its centre.
Needs ``pip install "napari-mitosis[dicom]"``.
"""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import __version__
from ..errors import DatasetError
from ..tables import table_text
from .rows import FieldFacts, Strict, exchange_frame, known_label

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_HALF = 0.5
_MEANINGS = {"mitosis": "Mitotic figures", "mimic": "Mimics of mitotic figures", "unsure": "Neither for sure"}
_STRUCTURE = ("91723000", "SCT", "Anatomical Structure")
_NUCLEUS = ("84640000", "SCT", "Nucleus")
"""Of context groups 7150 and 8135. They have no code for a mitotic figure: that is what the group's label says."""
_SCORE = ("246262008", "SCT", "Score")
_OWN_SCORE = "score"
"""As versions before wrote it."""
_VL_WSI = "1.2.840.10008.5.1.4.1.1.77.1.6"


def write(figures: pd.DataFrame, facts: FieldFacts) -> bytes:
    """A DICOM file; the same figures of the same field give the same unique ids.

    Raises
    ------
    DatasetError
        When highdicom is not installed.
    """
    highdicom, codes = _libraries()
    from pydicom.uid import generate_uid

    source = _source(facts)
    series = generate_uid(entropy_srcs=[facts.name, "annotations"])
    groups: list[Any] = []
    for label in _MEANINGS:
        rows = figures[figures["label"] == label]
        for scored in (True, False):
            part = rows[rows["score"].notna() == scored]
            if len(part):
                groups.append(_group(highdicom, codes, len(groups) + 1, label, part, series))
    if not groups:
        raise DatasetError("DICOM annotations cannot hold no figure at all.")
    dataset = highdicom.ann.MicroscopyBulkSimpleAnnotations(
        source_images=[source],
        annotation_coordinate_type="2D",
        annotation_groups=groups,
        series_instance_uid=series,
        series_number=1,
        sop_instance_uid=generate_uid(entropy_srcs=[facts.name, table_text(figures)]),
        instance_number=1,
        manufacturer="napari-mitosis",
        manufacturer_model_name="napari-mitosis",
        software_versions=__version__,
        device_serial_number="0",
        content_description="Mitotic figures",
        specific_character_set="ISO_IR 192",
    )
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def _group(highdicom: Any, codes: Any, number: int, label: str, rows: pd.DataFrame, series: str) -> Any:
    from pydicom.uid import generate_uid

    points = rows[["x_px", "y_px"]].to_numpy(dtype=np.float64) + _HALF
    scores = rows["score"].to_numpy(dtype=np.float64)
    measured = None
    if np.isfinite(scores).all():
        measured = [highdicom.ann.Measurements(codes(*_SCORE), scores, codes("1", "UCUM", "no units"))]
    return highdicom.ann.AnnotationGroup(
        number=number,
        uid=generate_uid(entropy_srcs=[series, label, points.tobytes().hex()]),
        label=label,
        annotated_property_category=codes(*_STRUCTURE),
        annotated_property_type=codes(*_NUCLEUS),
        graphic_type="POINT",
        graphic_data=[point[None] for point in points],
        algorithm_type="MANUAL",
        measurements=measured,
        description=_MEANINGS[label],
    )


def read(path: Path, facts: FieldFacts, checks: Strict) -> pd.DataFrame:
    """Read points, and other shapes by the mean of their corners; the group's label is the label.

    Raises
    ------
    DatasetError
        When highdicom is not installed or the file is no such one.
    """
    highdicom, _ = _libraries()
    from pydicom.errors import InvalidDicomError

    rows: list[dict[str, Any]] = []
    try:
        annotations = highdicom.ann.annread(path)
        groups = annotations.get_annotation_groups()
    except (InvalidDicomError, ValueError, AttributeError, KeyError, TypeError, EOFError) as error:
        raise DatasetError(f"{path}: it is no DICOM file of annotations ({error}).") from error
    for group in groups:
        where = f"{path}, group {group.number}"
        shapes = group.get_graphic_data(coordinate_type="2D")
        names, values, _units = group.get_measurements()
        at = [column for column, name in enumerate(names) if name.value in (_SCORE[0], _OWN_SCORE)]
        for number, corners in enumerate(shapes):
            x, y = np.asarray(corners, dtype=np.float64).reshape(-1, 2).mean(axis=0) - _HALF
            score = float(values[number, at[0]]) if at else math.nan
            with checks.row():
                label = known_label(str(group.label), where)
                rows.append({"y_px": float(y), "x_px": float(x), "label": label, "score": score})
    return exchange_frame(rows)


def _source(facts: FieldFacts) -> Dataset:
    """The least that DICOM must be told of the image: who it is is not known to us, and not made up."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    source = Dataset()
    source.file_meta = FileMetaDataset()
    source.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    source.SOPClassUID = _VL_WSI
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        setattr(source, name, generate_uid(entropy_srcs=[facts.name, name]))
    for name in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(source, name, "")
    source.StudyDate = source.StudyTime = source.ReferringPhysicianName = source.ContainerIdentifier = ""
    source.Modality = "SM"
    source.Rows = source.TotalPixelMatrixRows = facts.shape[0]
    source.Columns = source.TotalPixelMatrixColumns = facts.shape[1]
    source.SpecificCharacterSet = "ISO_IR 192"
    source.IssuerOfTheContainerIdentifierSequence = []
    source.ContainerTypeCodeSequence = []
    source.SpecimenDescriptionSequence = []
    return source


def _libraries() -> tuple[Any, Any]:
    try:
        import highdicom
        from highdicom.sr import CodedConcept
    except ImportError as error:
        raise DatasetError('DICOM annotations need highdicom: pip install "napari-mitosis[dicom]".') from error
    return highdicom, CodedConcept
