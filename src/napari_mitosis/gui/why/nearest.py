"""Why: the known mitoses and mimics that a figure looks most like, as thumbnails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from ...datasets.folder import read_folder
from ...datasets.samples import sample_folder
from ...errors import MitosisError
from ...fields.field import Field
from ...jobs import Job
from ...review.words import NAMES, name_of
from ...session import Session
from ..style import tinted

if TYPE_CHECKING:
    from ...inference.references import References

NEAREST = 4
THUMBNAIL_PX = 52
COLOURS: Mapping[str, str] = MappingProxyType({"mitosis": "#00e63c", "mimic": "#ffb81c"})
ITSELF_UM = 8.0
"""Annotations of the same field nearer than this to the figure mean the figure itself."""


@dataclass(frozen=True, eq=False)
class Why:
    """A figure beside the known ones that it looks most like, the most similar first.

    Attributes
    ----------
    figure : ndarray of uint8, shape (side, side, 3)
    alike : dict of str to (thumbnails, distances)
        By kind, ``mitosis`` and ``mimic``: thumbnails of shape (n, side, side, 3), distances of shape (n,).
    """

    figure: NDArray[np.uint8]
    alike: dict[str, tuple[NDArray[np.uint8], NDArray[np.float32]]]


Annotated = Sequence[tuple[Field, pd.DataFrame]]


def why_job(
    session: Session, model: str, field: Field, point_yx: tuple[float, float], annotated: Annotated, device: str
) -> Job[Why]:
    """Compare a figure with those of the user's annotated fields and of the phantom fields.

    Raises
    ------
    MitosisError
        If the model does not compare figures.
    """
    from ...inference.references import EmbeddingNetwork, look_at, nearest, reference_figures, together

    pipeline = yield from session.loading(model)
    detector: Any = getattr(pipeline, "detector", None)
    if not isinstance(getattr(detector, "network", None), EmbeddingNetwork):
        raise MitosisError(f"{model} does not compare figures with known ones; MSSN does.")
    known: list[References] = []
    for other, frame in (*annotated, *_phantoms({annotated_field.digest for annotated_field, _ in annotated})):
        if other.digest == field.digest:
            frame = _others(frame, point_yx, other.require_mpp("The comparison"))
        known.append((yield from reference_figures(other, frame, detector, device=device)))
    figure, embedding = yield from look_at(field, np.array([point_yx]), detector, device=device)
    alike = {}
    references = together(known)
    for kind in ("mitosis", "mimic"):
        those = references.of_kind(kind)
        index, distance = nearest(those, embedding[0], NEAREST)
        alike[kind] = (those.thumbnails[index], distance)
    return Why(figure[0], alike)


def _phantoms(seen: set[str]) -> list[tuple[Field, pd.DataFrame]]:
    """The sample fields that are not open anyway."""
    samples = [sample for sample in read_folder(sample_folder()) if sample.field.digest not in seen]
    return [(sample.field, sample.annotations) for sample in samples]


def _others(annotations: pd.DataFrame, point_yx: tuple[float, float], mpp: float) -> pd.DataFrame:
    """Annotations that do not mean the figure at this point."""
    apart = np.hypot(annotations["y_px"] - point_yx[0], annotations["x_px"] - point_yx[1]) * mpp
    return annotations[apart > ITSELF_UM].reset_index(drop=True)


class WhyPanel(QWidget):
    """Shows a `Why`: the figure, then a row of mitoses and one of mimics with their distances."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(3)
        self._grid.setColumnStretch(NEAREST + 1, 1)
        self.thumbnails: dict[str, list[QLabel]] = {}
        self.show_why(None)

    def show_why(self, why: Why | None) -> None:
        """Show the thumbnails, or nothing."""
        while (item := self._grid.takeAt(0)) is not None:
            gone = item.widget()
            if gone is not None:
                gone.setParent(None)
                gone.deleteLater()
        self.thumbnails = {}
        self.setVisible(why is not None)
        if why is None:
            return
        self._grid.addWidget(_words("This figure"), 0, 0)
        self._grid.addWidget(_picture(why.figure, "This figure"), 1, 0)
        for block, (kind, (thumbnails, distances)) in enumerate(why.alike.items()):
            top = 3 * block
            heading = _words(
                f"<span style='color:{tinted(COLOURS[kind], self)}'>nearest known {NAMES[kind][1]}, and how far</span>"
            )
            self._grid.addWidget(heading, top, 1, 1, NEAREST + 1)
            self.thumbnails[kind] = []
            for column, (thumbnail, distance) in enumerate(zip(thumbnails, distances, strict=True), 1):
                picture = _picture(
                    thumbnail, f"A known {name_of(kind)}; distance {distance:.2f}: the smaller, the more alike"
                )
                self.thumbnails[kind].append(picture)
                self._grid.addWidget(picture, top + 1, column)
                self._grid.addWidget(_words(f"{distance:.2f}"), top + 2, column)


def _words(text: str) -> QLabel:
    label = QLabel(text)
    label.setObjectName("faint")
    return label


def _picture(pixels: NDArray[np.uint8], tip: str) -> QLabel:
    side = pixels.shape[0]
    image = QImage(
        np.ascontiguousarray(pixels).tobytes(), side, pixels.shape[1], 3 * pixels.shape[1], QImage.Format.Format_RGB888
    )
    label = QLabel()
    smooth = Qt.TransformationMode.SmoothTransformation
    keep = Qt.AspectRatioMode.KeepAspectRatio
    label.setPixmap(QPixmap.fromImage(image.copy()).scaled(THUMBNAIL_PX, THUMBNAIL_PX, keep, smooth))
    label.setToolTip(tip)
    return label
