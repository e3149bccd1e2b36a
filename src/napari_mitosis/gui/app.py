"""Opens napari with fields and the docks, one behind the other."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import napari
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QTabWidget, QVBoxLayout, QWidget

from ..errors import FieldError, MitosisError
from ..fields.field import open_field
from ..fields.npe2_reader import field_layer
from .detect.dock import DetectDock

if TYPE_CHECKING:
    from napari.layers import Image


DOCK_PX = 456
"""Width of the docks: that of the widest, so that nothing moves when another one comes to the front."""

_LOADED_MS = 3000


def launch(paths: Sequence[Path], detect: bool = True, mpp: float | None = None) -> None:
    """Open napari and return when its window is closed.

    Parameters
    ----------
    paths : sequence of Path
        Images to open as fields; the shipped sample field when empty.
    detect : bool
        Start a detection in the first field at once.
    mpp : float, optional
        um/px, where the files do not state it or state it wrongly.
    """
    viewer, _ = open_window(paths, detect, mpp)
    viewer.show()
    # What is loaded by then stays: left out of full collections, which would stop the window for half a second.
    QTimer.singleShot(_LOADED_MS, gc.freeze)
    napari.run()


def open_window(paths: Sequence[Path], detect: bool, mpp: float | None = None) -> tuple[napari.Viewer, DetectDock]:
    """Open napari with these fields and the docks Detect (in front), Review and Train, and return at once.

    A file that cannot be used is told of in the dock; the others open.
    """
    viewer = napari.Viewer(title="napari-mitosis", show_welcome_screen=False)
    # napari 0.9 moved the scale bar; older ones have it at the viewer itself.
    overlays = getattr(getattr(viewer, "canvas", None), "overlays", viewer)
    overlays.scale_bar.visible = True
    failures = [reason for path in paths if (reason := _open(viewer, path, mpp)) is not None]
    if not paths:
        _open_sample(viewer)
    dock = DetectDock(viewer)
    _dock(viewer, dock, "Detect mitoses", "Detect")
    for name, build in (("Review", _review), ("Train", _train)):
        _dock(viewer, Later(partial(build, viewer)), name, name)
    raise_dock(dock)
    if len(dock.session):
        dock.fields.choose(next(iter(dock.fields)))
    if failures:
        dock.panel.say("\n".join(failures), error=True)
    if detect and len(dock.session):
        QTimer.singleShot(0, dock.run)
    return viewer, dock


class Later(QWidget):
    """A dock that is built when it is first looked at: opening the window does not wait for it.

    Parameters
    ----------
    build : callable
        Returns the widget that fills it.

    Attributes
    ----------
    content : QWidget or None
        That widget, once it is there.
    """

    def __init__(self, build: Callable[[], QWidget]) -> None:
        super().__init__()
        self._build = build
        self._was_docked = self._in_front = False
        self.content: QWidget | None = None
        self.setMinimumWidth(DOCK_PX)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)

    def set_in_front(self, yes: bool) -> None:
        """Build it, if it stays in front: docks come up for a moment when they are added."""
        self._in_front = yes
        if yes:
            QTimer.singleShot(0, self._fill)

    def _fill(self) -> None:
        if self._in_front and self.content is None:
            self.content = self._build()
            self._column.addWidget(self.content)

    def event(self, event: QEvent | None) -> bool:
        """A dock that is closed lets its content go, which then ends what it does."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self._was_docked and self.parent() is None and self.content is not None:
                self.content.setParent(None)
            self._was_docked = self.parent() is not None
        done: bool = super().event(event)
        return done


def raise_dock(widget: QWidget) -> None:
    """Bring the dock that holds a widget to the front."""
    holder: QObject | None = widget
    while holder is not None and not isinstance(holder, QDockWidget):
        holder = holder.parent()
    if holder is not None:
        holder.show()
        holder.raise_()


def _dock(viewer: napari.Viewer, widget: QWidget, name: str, title: str) -> None:
    """Add a dock behind the others under napari's own name for it, so that its menu finds this one."""
    dock = viewer.window.add_dock_widget(
        widget, name=f"{name} (napari-mitosis)", area="right", tabify=True, add_vertical_stretch=False
    )
    dock.setWindowTitle(title)
    if isinstance(widget, Later):
        dock.visibilityChanged.connect(widget.set_in_front)
    window = dock.parent()
    if isinstance(window, QMainWindow):
        window.setTabPosition(Qt.DockWidgetArea.RightDockWidgetArea, QTabWidget.TabPosition.North)


def _review(viewer: napari.Viewer) -> QWidget:
    from .review.dock import ReviewDock

    return ReviewDock(viewer)


def _train(viewer: napari.Viewer) -> QWidget:
    from .train.dock import TrainDock

    return TrainDock(viewer)


def _open(viewer: napari.Viewer, path: Path, mpp: float | None) -> str | None:
    """Open one field; the reason where that does not work."""
    try:
        pixels, options, _ = field_layer(open_field(path, mpp))
    except (FieldError, OSError) as error:
        return str(error)
    viewer.add_image(pixels, **options)
    return None


def _open_sample(viewer: napari.Viewer) -> Image | None:
    from ..datasets.samples import hotspot

    try:
        pixels, options, *_ = hotspot()[0]
    except (MitosisError, OSError):
        return None  # an installation without samples still opens
    return viewer.add_image(pixels, **options)
