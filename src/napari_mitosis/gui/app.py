"""Opens napari with fields and the panel."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path

import napari
from napari.layers import Image
from qtpy.QtCore import QTimer

from ..errors import FieldError
from ..fields.field import open_field
from ..fields.npe2_reader import field_layer
from ..inference.cache import EvidenceCache
from .detect.dock import DetectDock
from .panel.menu import open_panel
from .panel.panel import Panel
from .restore import Restore, evidence_folder, prune

SIZE_PX = (1600, 1000)
"""Of the window before it is maximised: never larger than the screen."""

_LOADED_MS = 3000


def launch(paths: Sequence[Path], detect: bool = True, mpp: float | None = None) -> None:
    """Open napari and return when its window is closed.

    Parameters
    ----------
    paths : sequence of Path
        Images to open as fields; what was open last when empty, or a welcome card.
    detect : bool
        Start a detection in the first field at once.
    mpp : float, optional
        um/px, where the files do not state it or state it wrongly.
    """
    viewer, panel = open_window(paths, detect, mpp, keep=True)
    window = panel.desk.window
    viewer.show()
    window.showMaximized()
    # What is loaded by then stays: left out of full collections, which would stop the window for half a second.
    QTimer.singleShot(_LOADED_MS, gc.freeze)
    napari.run()


def open_window(
    paths: Sequence[Path], detect: bool, mpp: float | None = None, keep: bool = False
) -> tuple[napari.Viewer, Panel]:
    """Open napari with these fields and the panel, and return at once.

    A file that cannot be used is told of in the panel; the others open. With `keep`, what is open is noted for the
    next start, and opened again where no files are given.
    """
    viewer = napari.Viewer(title="napari-mitosis", show_welcome_screen=False)
    # napari 0.9 moved the scale bar; older ones have it at the viewer itself.
    overlays = getattr(getattr(viewer, "canvas", None), "overlays", viewer)
    overlays.scale_bar.visible = True
    failures = [reason for path in paths if (reason := _open(viewer, path, mpp)) is not None]
    panel = open_panel(viewer)
    make_room(panel)
    page = panel.page("Detect")
    assert isinstance(page, DetectDock)
    if failures:
        page.panel.say("\n".join(failures), error=True)
    if keep:
        _keep(viewer, panel, page, restore=not paths)
    panel.show_step("Detect" if len(panel.desk.session) else "Fields")
    if paths and len(panel.desk.session):
        panel.desk.fields.choose(next(iter(panel.desk.fields)))
        if detect:
            QTimer.singleShot(0, page.run)
    return viewer, panel


def _keep(viewer: napari.Viewer, panel: Panel, page: DetectDock, restore: bool) -> None:
    """Note what is open; open what was open before."""
    folder = evidence_folder()
    prune(folder)
    panel.desk.session.cache = EvidenceCache(folder)
    kept = Restore(panel.desk, panel.views)
    if restore:

        def open_path(path: Path, mpp: float | None) -> Image | None:
            before = len(viewer.layers)
            return viewer.layers[-1] if _open(viewer, path, mpp) is None and len(viewer.layers) > before else None

        detected = kept.restore(open_path)
        if detected:
            QTimer.singleShot(0, lambda: page.runs.again(detected))
    kept.follow()


def make_room(panel: Panel) -> None:
    """Give the image most of the window: napari's own controls are folded away, one click brings them back."""
    window = panel.desk.window
    panel.fold_layers()
    screen = window.screen()
    if screen is not None:
        free = screen.availableGeometry()
        window.resize(min(SIZE_PX[0], free.width()), min(SIZE_PX[1], free.height()))


def _open(viewer: napari.Viewer, path: Path, mpp: float | None) -> str | None:
    """Open one field; the reason where that does not work."""
    try:
        pixels, options, _ = field_layer(open_field(path, mpp))
    except (FieldError, OSError) as error:
        return str(error)
    viewer.add_image(pixels, **options)
    return None
