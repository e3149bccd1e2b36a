"""Opens napari with fields and the detect dock."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import napari
from qtpy.QtCore import QTimer

from ..errors import FieldError, MitosisError
from ..field import open_field
from ..reader import field_layer
from .detect import DetectDock

if TYPE_CHECKING:
    from napari.layers import Image


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
    napari.run()


def open_window(paths: Sequence[Path], detect: bool, mpp: float | None = None) -> tuple[napari.Viewer, DetectDock]:
    """Open napari with these fields and the dock, and return at once.

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
    viewer.window.add_dock_widget(dock, name="Detect mitoses", area="right")
    if len(dock.session):
        dock.fields.choose(next(iter(dock.fields)))
    if failures:
        dock.panel.say("\n".join(failures), error=True)
    if detect and len(dock.session):
        QTimer.singleShot(0, dock.run)
    return viewer, dock


def _open(viewer: napari.Viewer, path: Path, mpp: float | None) -> str | None:
    """Open one field; the reason where that does not work."""
    try:
        pixels, options, _ = field_layer(open_field(path, mpp))
    except (FieldError, OSError) as error:
        return str(error)
    viewer.add_image(pixels, **options)
    return None


def _open_sample(viewer: napari.Viewer) -> Image | None:
    from ..samples import hotspot

    try:
        pixels, options, *_ = hotspot()[0]
    except (MitosisError, OSError):
        return None  # an installation without samples still opens
    return viewer.add_image(pixels, **options)
