"""What of the active field is counted: all of it, an outline that is drawn, or its tissue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Shapes
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QWidget

from ...cases.areas import Area
from ...errors import MitosisError
from ..desk import Desk
from .shapes import AREA, TISSUE, AreaLayers, corners_of
from .work import masking

if TYPE_CHECKING:
    from ...annotations.notebook import Notebook

_WORDS = {"whole": "the whole field", "outline": "an outline", "tissue": "its tissue"}


class AreaChoice(QWidget):
    """Chooses the area that counts, and notes it in the journal.

    Parameters
    ----------
    desk : Desk

    Attributes
    ----------
    told : Signal(str)
        What came of it.
    layers : AreaLayers
    """

    told = Signal(str)

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.layers = AreaLayers(desk.viewer)
        self._side_px: dict[str, int] = {}
        self._masked_key = ""
        self.what = QLabel()
        self.whole, self.draw, self.tissue, self.use = (
            QPushButton(text) for text in ("Whole field", "Draw…", "Tissue…", "Count this")
        )
        self.draw.setToolTip("Draw an outline with the mouse, then press 'Count this'.")
        self.tissue.setToolTip("Find the tissue, correct it with the brush where need be, then press 'Count this'.")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.what, 0, 0, 1, 4)
        for column, button in enumerate((self.whole, self.draw, self.tissue, self.use)):
            grid.addWidget(button, 1, column)
        self.whole.clicked.connect(self._whole)
        self.draw.clicked.connect(self._draw)
        self.tissue.clicked.connect(self._mask)
        self.use.clicked.connect(self._use)

    def show_area(self, notebook: Notebook | None) -> None:
        """Show what of a field is counted."""
        self.setEnabled(notebook is not None)
        if notebook is None:
            self.what.setText("")
            return
        try:
            area = Area.parse(notebook.marks.area)
        except MitosisError:
            area = Area()
        self.what.setText(f"Counted: {_WORDS[area.kind]}.")

    def _owner(self) -> Any:
        key = self.desk.session.active
        return self.desk.fields.layer(key) if isinstance(key, str) else None

    def _note(self, area: Area) -> None:
        notebook = self.desk.current
        if notebook is not None and area.text() != (notebook.marks.area or Area().text()):
            notebook.note("area", area.text())

    def _whole(self) -> None:
        self._note(Area())

    def _draw(self) -> None:
        owner = self._owner()
        if owner is None:
            return
        layer = self.layers.drawing(owner, AREA)
        self.desk.viewer.layers.selection = {layer}
        self.desk.viewer.layers.selection.active = layer
        layer.mode = "add_polygon"
        self.told.emit("Draw the outline in the picture: a click for each corner, a double click at the end.")

    def _mask(self) -> None:
        notebook, key = self.desk.current, self.desk.session.active
        if notebook is not None:
            self._masked_key = str(key)
            self.desk.workers.start(masking(notebook.field), succeeded=self._masked, failed=self._failed)

    def _masked(self, result: tuple[Any, int]) -> None:
        cells, side_px = result
        key = self._masked_key
        if self.desk.is_closed or key not in self.desk.session:
            return
        self._side_px[str(key)] = side_px
        self.layers.show_cells(self.desk.fields.layer(key), cells, side_px)
        self.told.emit("Green is tissue. Correct it with the brush of its layer, then press 'Count this'.")

    def _failed(self, error: Exception) -> None:
        self.told.emit(f"⚠ {error}")

    def _use(self) -> None:
        """Count the outline or the tissue that is there; the one whose layer is selected where both are."""
        owner = self._owner()
        if owner is None:
            return
        drawn, mask = self.layers.layer(owner, AREA), self.layers.layer(owner, TISSUE)
        active = self.desk.viewer.layers.selection.active
        try:
            if isinstance(mask, Labels) and (drawn is None or active is mask):
                cells = np.asarray(mask.data) == 1
                self._note(Area.tissue(cells, self._side_px[str(self.desk.session.active)]))
                return
            corners = corners_of(drawn) if isinstance(drawn, Shapes) else None
            if corners is None:
                raise MitosisError("Draw an outline or find the tissue first.")
            self._note(Area.outline(corners))
        except MitosisError as error:
            self.told.emit(f"⚠ {error}")
