"""Thumbnails of candidates, read in a worker, those asked for last first."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QImage, QPixmap

from ...errors import MitosisError
from ...fields.field import Field
from ...jobs import Job, Progress
from ..worker import Workers

CROP_UM = 32.0
"""Side of a thumbnail on the tissue: a large mitosis with its neighbours."""

MOST_PX = 256
"""Thumbnails are kept no larger than this."""

BATCH = 16
KEPT = 1500
"""Thumbnails that are kept: about 70 MB at 0.25 um/px."""

Place = tuple[Any, int, int]
"""A field's key, y and x in whole pixels."""


class Thumbnails(QObject):
    """Thumbnails by place; one that is not there yet is read in a worker, and `arrived` tells of it.

    Parameters
    ----------
    workers : Workers
    parent : QObject

    Attributes
    ----------
    arrived : Signal()
        Some more are there.
    """

    arrived = Signal()

    def __init__(self, workers: Workers, parent: QObject) -> None:
        super().__init__(parent)
        self._workers = workers
        self._known: OrderedDict[Place, QPixmap] = OrderedDict()
        self._wanted: OrderedDict[Place, Field] = OrderedDict()
        self._reading = False

    def get(self, key: Any, field: Field, y_px: float, x_px: float) -> QPixmap | None:
        """The thumbnail about a place of a field; None while it is being read.

        Parameters
        ----------
        key : hashable
            Of the open field.
        field : Field
            With its um/px.
        y_px, x_px : float
        """
        place = (key, round(y_px), round(x_px))
        known = self._known.get(place)
        if known is not None:
            self._known.move_to_end(place)
            return known
        self._wanted[place] = field
        self._wanted.move_to_end(place)
        while len(self._wanted) > 8 * BATCH:  # scrolled past long ago
            self._wanted.popitem(last=False)
        self._read_on()
        return None

    def forget(self, key: Any) -> None:
        """The field is gone, or its pixels are others."""
        for places in (self._known, self._wanted):
            for place in [place_of for place_of in places if place_of[0] == key]:
                del places[place]

    def _read_on(self) -> None:
        if self._reading or not self._wanted:
            return
        batch = [self._wanted.popitem(last=True) for _ in range(min(BATCH, len(self._wanted)))]
        self._reading = True
        self._workers.start(_reading(batch), succeeded=self._came, failed=self._failed, cancelled=self._stopped)

    def _came(self, images: dict[Place, QImage]) -> None:
        self._reading = False
        for place, image in images.items():
            self._known[place] = QPixmap.fromImage(image)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        self.arrived.emit()
        self._read_on()

    def _failed(self, _error: Exception) -> None:
        self._reading = False
        self._read_on()

    def _stopped(self) -> None:
        self._reading = False


def _reading(batch: list[tuple[Place, Field]]) -> Job[dict[Place, QImage]]:
    images = {}
    for done, (place, field) in enumerate(batch):
        yield Progress(done, len(batch), "thumbnails")
        try:
            images[place] = as_image(crop(field, place[1], place[2]))
        except (MitosisError, ValueError):  # a damaged file: a grey square, instead of asking again and again
            images[place] = as_image(np.full((8, 8, 3), 128, dtype=np.uint8))
    return images


def crop(field: Field, y_px: int, x_px: int, side_um: float = CROP_UM) -> NDArray[np.uint8]:
    """A square of a field about a place; grey beyond the field's edge.

    Parameters
    ----------
    field : Field
        With its um/px.
    y_px, x_px : int
        The middle.
    side_um : float

    Returns
    -------
    ndarray of uint8, shape (n, n, 3)
        In pixels of the field.

    Raises
    ------
    MitosisError
        If um/px is unknown, or the pixels cannot be read.
    """
    side = max(8, round(side_um / field.require_mpp("A thumbnail")))
    height, width = field.shape
    y0, x0 = y_px - side // 2, x_px - side // 2
    square = np.full((side, side, 3), 128, dtype=np.uint8)
    top, left = max(0, y0), max(0, x0)
    bottom, right = min(height, y0 + side), min(width, x0 + side)
    if bottom > top and right > left:
        square[top - y0 : bottom - y0, left - x0 : right - x0] = field.read(top, bottom, left, right)
    return square


def as_image(pixels: NDArray[np.uint8]) -> QImage:
    """Pixels as an image of its own, no larger than `MOST_PX`."""
    height, width = pixels.shape[:2]
    image = QImage(np.ascontiguousarray(pixels).tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()
    if max(height, width) > MOST_PX:
        keep = Qt.AspectRatioMode.KeepAspectRatio
        image = image.scaled(MOST_PX, MOST_PX, keep, Qt.TransformationMode.SmoothTransformation)
    return image
