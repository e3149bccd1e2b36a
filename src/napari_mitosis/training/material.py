"""What all systems are trained on and measured on, read from one folder of data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..datasets.crops import Crop, read_crops, read_tissue
from ..datasets.icpr import read_icpr2012, read_icpr2014
from ..datasets.sample import Sample
from ..errors import DatasetError

_EVERY = 4


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Annotated fields and crops.

    Attributes
    ----------
    samples : list of Sample
        Fields of all contests; they are dealt over folds by patient.
    crops : list of Crop
        Annotated crops, and tissue without annotations.
    reserve : list of Crop
        Every fourth crop of `atnorm_md`, whose tumour types are not told apart: never trained on.
    tissue_reserve : list of Crop
        Every fourth tile of the tissue without annotations, likewise.
    """

    samples: list[Sample]
    crops: list[Crop]
    reserve: list[Crop]
    tissue_reserve: list[Crop]


def read_training_data(folder: Path) -> TrainingData:
    """Read what there is of icpr2012, icpr2014, icpr2014_h, ami_br, tupac_crops, atnorm_md and stain_bank.

    Raises
    ------
    DatasetError
        If there is no annotated field at all, or naming what is wrong in a data set.
    """
    samples: list[Sample] = []
    if (folder / "icpr2012").is_dir():
        samples += read_icpr2012(folder / "icpr2012")
    for name in ("icpr2014", "icpr2014_h"):
        if (folder / name).is_dir():
            samples += read_icpr2014(folder / name)
    if not samples:
        raise DatasetError(f"{folder} holds none of the folders icpr2012, icpr2014 and icpr2014_h")
    breast = [folder / name for name in ("ami_br", "tupac_crops") if (folder / name).is_dir()]
    crops = [crop for place in breast for crop in read_crops(place)]
    others = read_crops(folder / "atnorm_md") if (folder / "atnorm_md").is_dir() else []
    others.sort(key=lambda crop: crop.path.name)  # as `napari-mitosis recall --every 4` takes them
    tissue = read_tissue(folder / "stain_bank")
    return TrainingData(samples, [*crops, *_kept(others), *_kept(tissue)], others[::_EVERY], tissue[::_EVERY])


def _kept(crops: Sequence[Crop]) -> list[Crop]:
    """All but every fourth."""
    return [crop for i, crop in enumerate(crops) if i % _EVERY]
