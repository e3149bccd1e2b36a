"""Files become fields one after the other, read and decoded beside the window, which goes on meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from ...fields.field import open_field
from ...fields.npe2_reader import SUFFIXES, LayerData, field_layer
from ...fields.slides import one_of_each_series
from ...jobs import Job, Progress
from ..desk import Desk


class Opening(QObject):
    """Opens files in a viewer. One that cannot be used is told of, and the others open.

    Attributes
    ----------
    told : Signal(str)
        What is being opened; an empty text when nothing is.
    ended : Signal()
        Everything that was asked for is open, or was refused.
    """

    told = Signal(str)
    ended = Signal()

    def __init__(self, desk: Desk, parent: QObject) -> None:
        super().__init__(parent)
        self._desk = desk
        self._waiting: deque[Path] = deque()
        self._busy = False

    def open(self, paths: Sequence[Path]) -> None:
        """Open these files, after those that wait; a folder stands for the images right in it."""
        self._waiting.extend(paths)
        if paths and not self._busy:
            self._next()

    def _next(self) -> None:
        self._busy = bool(self._waiting)
        if not self._waiting:
            self.told.emit("")
            self.ended.emit()
            return
        path = self._waiting.popleft()
        more = f", {len(self._waiting)} more to open" if self._waiting else ""
        self.told.emit(f"Opening {path.name}{more} …")
        job = images_job(path) if path.is_dir() else layer_job(path)
        self._desk.workers.start(job, succeeded=self._read, failed=self._refused)

    def _read(self, content: LayerData | list[Path]) -> None:
        if isinstance(content, list):
            self._waiting.extendleft(reversed(content))
        else:
            pixels, options, _ = content
            self._desk.viewer.add_image(pixels, **options)
        self._next()

    def _refused(self, error: Exception) -> None:
        show_error(str(error))
        self._next()


def layer_job(path: Path) -> Job[LayerData]:
    """Open one file as a field, its pixels in memory where they cannot be read in parts."""
    yield Progress(0, 1, f"opening {path.name}")
    return field_layer(open_field(path))


def images_job(folder: Path) -> Job[list[Path]]:
    """The images right in a folder, by name; of the files of one slide the first."""
    yield Progress(0, 1, f"looking into {folder.name}")
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    return one_of_each_series(images)
