"""Notes what of each field is on screen, and shows what was not seen yet."""

from __future__ import annotations

import contextlib
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.utils import Colormap
from qtpy.compat import isalive
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtOpenGLWidgets import QOpenGLWidget

from ...fields.field import Field
from ...jobs import Job, Progress
from ...review.coverage import Coverage, Rectangle, cell_px, tissue_of
from ...review.coverage_file import default_folder, load_coverage, save_coverage
from ..grave import Grave
from ..places import insert_above, placed

if TYPE_CHECKING:
    from ..desk import Desk

TICK_MS = 250
UNSEEN = "not seen yet"
UNSEEN_COLOUR = (0.08, 0.12, 0.35)
UNSEEN_OPACITY = 0.5


class CoverageWatch(QObject):
    """Keeps a map of what was on screen for each open field whose um/px is known, over restarts as well.

    Parameters
    ----------
    desk : Desk
    parent : QObject

    Attributes
    ----------
    changed : Signal(key)
        More of a field was seen, or its map is new.
    """

    changed = Signal(object)

    def __init__(self, desk: Desk, parent: QObject) -> None:
        super().__init__(parent)
        self._desk = desk
        self._maps: dict[Any, Coverage] = {}
        self._fields: dict[Any, Field] = {}
        self._digests: dict[Any, str] = {}
        self._layers: dict[Any, Image] = {}
        self._canvas: QOpenGLWidget | None = None
        self._shown = False
        self._grave = Grave(desk.viewer, self)
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)
        self._timer.start()
        desk.notebook_changed.connect(self._follow)
        desk.viewer.layers.events.removed.connect(self._layer_removed)

    def of(self, key: Any) -> Coverage | None:
        """The map of an open field; None where there is no field or its um/px is unknown."""
        session = self._desk.session
        if key is None or key not in session:
            return None
        field = session[key].field
        if field.mpp is None:
            return None
        known = self._fields.get(key)
        if known is not None and known is not field:
            self._keep(key)
        if known is None or known.shape != field.shape or known.mpp != field.mpp or known.pixels is not field.pixels:
            self._fields[key] = field
            self._maps[key] = Coverage(field.shape, field.mpp)
            self._desk.workers.start(_finding_tissue(key, field), succeeded=self._found_tissue)
        return self._maps[key]

    # What is on screen

    def view(self, key: Any) -> tuple[Rectangle, float] | None:
        """The rectangle of a field that the canvas shows, in its pixels, and um per screen pixel; None: no canvas."""
        viewer, session = self._desk.viewer, self._desk.session
        size = self._canvas_size()
        mpp = session[key].field.mpp if key in session else None
        if size is None or mpp is None:
            return None
        owner = self._desk.fields.layer(str(key))
        camera = getattr(viewer, "scene", viewer).camera
        pixel = 1.0 / (camera.zoom * float(owner.scale[-1]))  # pixels of the field in one of the screen
        y, x = owner.world_to_data(camera.center[-2:])[-2:]
        high, wide = size[0] * pixel / 2, size[1] * pixel / 2
        return (float(y) - high, float(x) - wide, float(y) + high, float(x) + wide), mpp * pixel

    def _canvas_size(self) -> tuple[int, int] | None:
        """Height and width of the canvas in screen pixels; None while nobody can see it."""
        known = self._canvas
        if known is not None and isalive(known) and known.isVisible() and not _minimized(known):  # type: ignore[no-untyped-call]
            return known.height(), known.width()
        window = self._window()
        canvases = window.findChildren(QOpenGLWidget) if window is not None else []
        seen = [widget for widget in canvases if widget.isVisible() and not _minimized(widget)]
        if not seen:
            return None
        # A window has many parts, and every tick comes by here: the canvas is looked for once.
        canvas = self._canvas = max(seen, key=lambda widget: widget.width() * widget.height())
        return canvas.height(), canvas.width()

    def _window(self) -> QObject | None:
        window: QObject | None = self.parent()
        while window is not None and window.parent() is not None:
            window = window.parent()
        return window

    def _tick(self) -> None:
        key = self._desk.session.active
        coverage = self.of(key)
        viewer = self._desk.viewer
        if coverage is None or getattr(viewer, "canvas", viewer).grid.enabled:
            return
        if not self._desk.fields.layer(str(key)).visible:
            return
        view = self.view(key)
        if view is not None and coverage.look(view[0], view[1], TICK_MS / 1000):
            self._draw(key)
            self.changed.emit(key)

    def _keep(self, key: Any) -> None:
        """Write down what was seen of a field; a disk that is full costs the map, and not the review."""
        if key in self._digests and key in self._maps:
            with contextlib.suppress(OSError):
                save_coverage(default_folder(), self._digests[key], self._maps[key])

    def _found_tissue(self, result: tuple[Any, Field, Any, Coverage]) -> None:
        key, field, tissue, before = result
        if self._fields.get(key) is field:
            self._maps[key].set_tissue(tissue)
            self._maps[key].seconds += before.seconds
            self._digests[key] = field.digest
            self._draw(key)
            self.changed.emit(key)

    # The layer

    @property
    def shown(self) -> bool:
        """Whether the unseen tissue of the active field is darkened."""
        return self._shown

    def show(self, shown: bool) -> None:
        """Darken what was not seen yet of the active field, or stop doing so."""
        self._shown = shown
        self._follow()

    def _follow(self, *_: object) -> None:
        session = self._desk.session
        for key in [key for key in self._maps if key not in session]:
            self._keep(key)
            self._digests.pop(key, None)
            del self._maps[key], self._fields[key]
            self._grave.bury(self._layers.pop(key, None))
        if self._shown and session.active is not None:
            self._draw(session.active)
        for key, layer in self._layers.items():
            layer.visible = self._shown and key == session.active
        self.changed.emit(session.active)

    def _draw(self, key: Any) -> None:
        """Bring the layer up to date, or make it."""
        coverage = self._maps.get(key) or self.of(key)
        if coverage is None or not self._shown:
            return
        data = coverage.unseen.astype(np.uint8)
        layer = self._layers.get(key)
        if layer is not None and layer.data.shape == data.shape:
            layer.data = data
            return
        owner = self._desk.fields.layer(str(key))
        clear, dark = (*UNSEEN_COLOUR, 0.0), (*UNSEEN_COLOUR, 1.0)
        self._layers[key] = layer = Image(
            data,
            name=f"{owner.name}: {UNSEEN}",
            colormap=Colormap([clear, dark], name="unseen"),
            contrast_limits=(0, 1),
            opacity=UNSEEN_OPACITY,
            interpolation2d="nearest",
            blending="translucent",
            **placed(owner, (coverage.cell_px, coverage.cell_px), (coverage.cell_px - 1) / 2),
        )
        insert_above(self._desk.viewer, layer, [owner])

    def _layer_removed(self, event: Any) -> None:
        for key, layer in tuple(self._layers.items()):
            if layer is event.value:
                del self._layers[key]

    def stop(self) -> None:
        """Look no more, write down what was seen, and take the layers away."""
        self._timer.stop()
        for key in self._maps:
            self._keep(key)
        self._desk.notebook_changed.disconnect(self._follow)
        self._desk.viewer.layers.events.removed.disconnect(self._layer_removed)
        layers, self._layers = self._layers, {}
        for layer in layers.values():
            self._grave.bury(layer)
        self._grave.bury_now()


def _minimized(widget: QOpenGLWidget) -> bool:
    window = widget.window()
    return window is not None and bool(window.isMinimized())


def _finding_tissue(key: Any, field: Field) -> Job[tuple[Any, Field, Any, Coverage]]:
    """Which cells hold tissue, from a few pixels of each, row of cells by row of cells; and what was seen before."""
    assert field.mpp is not None
    before = Coverage(field.shape, field.mpp)
    load_coverage(default_folder(), field.digest, before)
    cell = cell_px(field.shape, field.mpp)
    height, width = field.shape
    rows, columns = int(np.ceil(height / cell)), int(np.ceil(width / cell))
    tissue = np.zeros((rows, columns), dtype=bool)
    for row in range(rows):
        yield Progress(row, rows, "finding tissue")
        y = min(int(row * cell), height - 1)
        band = field.read(y, min(y + max(1, int(min(cell, 64))), height), 0, width)
        edges = [min(int(column * cell), width) for column in range(columns + 1)]
        tissue[row] = [tissue_of(band[:, low : max(high, low + 1)]) for low, high in pairwise(edges)]
    return key, field, tissue, before
