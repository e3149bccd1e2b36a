"""`Sample`: one annotated field of a data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import DatasetError
from ..fields.field import Field, lazy_field
from ..fields.resolution import sidecar_mpp
from ..tables import check_annotations

Mask = NDArray[np.uint16]


class Sample:
    """One annotated field.

    Parameters
    ----------
    field : Field
        Its pixels are read lazily.
    annotations : DataFrame
        With `ANNOTATION_COLUMNS`; (y, x) in pixels of the field.
    mask : ndarray of uint16, shape (H, W), callable that returns one, or None
        Index of the mitosis, counted from 1 in the order of the mitoses among the annotations;
        0 = background. A callable is called at each use, so a data set does not fill the memory.
    case : str
        Slide or patient: fields of one case must not be split between training and test.
    dataset : str
        Name of the data set.

    Raises
    ------
    ValueError
        When the annotations frame is malformed.
    """

    def __init__(
        self,
        field: Field,
        annotations: pd.DataFrame,
        mask: Mask | Callable[[], Mask] | None = None,
        case: str = "",
        dataset: str = "",
    ) -> None:
        self.field = field
        self.annotations = check_annotations(annotations)
        self.case = case
        self.dataset = dataset
        self._mask = mask

    @property
    def mask(self) -> Mask | None:
        """Index of the mitosis at each pixel, shape (H, W), or None where only centres are known.

        Raises
        ------
        DatasetError
            When the mask file is damaged, has another size than the field, or names a mitosis that there is not.
        """
        mask = self._mask() if callable(self._mask) else self._mask
        if mask is not None and mask.shape != self.field.shape:
            raise DatasetError(f"{self.field.name}: the mask is {mask.shape}, the field {self.field.shape} px")
        count = int((self.annotations["label"] == "mitosis").sum())
        if mask is not None and mask.size and int(mask.max()) > count:
            raise DatasetError(f"{self.field.name}: the mask names mitosis {int(mask.max())}, there are {count}")
        return mask

    @property
    def has_mask(self) -> bool:
        """Whether the mitotic pixels are known (strong labels), not only the centres (weak labels)."""
        return self._mask is not None

    def centroids_yx(self, label: str = "mitosis") -> NDArray[np.float64]:
        """Centres of the annotations with this label, in pixels, shape (n, 2)."""
        chosen = self.annotations.loc[self.annotations["label"] == label, ["y_px", "x_px"]]
        return chosen.to_numpy(dtype=np.float64)

    def __repr__(self) -> str:
        count = len(self.annotations)
        return f"Sample({self.dataset}:{self.field.name}, case={self.case!r}, {count} annotations)"


def sample_field(path: Path, published_mpp: float | None, own_first: bool = False) -> Field:
    """Open an image of a data set.

    Parameters
    ----------
    path : Path
        The image.
    published_mpp : float or None
        um/px that the data set's authors state. A sidecar beside the image overrides it.
    own_first : bool
        Whether um/px in the image's own metadata overrides it too (data sets of several scanners).

    Raises
    ------
    FieldError
        Naming the file and the reason.
    """
    sidecar = sidecar_mpp(path)
    if sidecar is not None or published_mpp is None or not own_first:
        return lazy_field(path, mpp=published_mpp if sidecar is None else sidecar)
    field = lazy_field(path)
    return field if field.mpp is not None else field.with_mpp(published_mpp)


def check_inside(frame: pd.DataFrame, field: Field, source: Path | str) -> pd.DataFrame:
    """Return annotations that all lie on the field.

    Raises
    ------
    DatasetError
        Naming the source and the first annotation outside.
    """
    height, width = field.shape
    outside = (
        (frame["y_px"] < -0.5) | (frame["x_px"] < -0.5) | (frame["y_px"] > height - 0.5) | (frame["x_px"] > width - 0.5)
    ).to_numpy()
    if outside.any():
        row = frame.iloc[int(np.flatnonzero(outside)[0])]
        raise DatasetError(
            f"{source}: the annotation at y {row['y_px']:g}, x {row['x_px']:g} is outside {field.name} "
            f"({height} x {width} px); are x and y swapped?"
        )
    return frame
