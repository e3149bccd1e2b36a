"""The figures of a notebook as a layer of points; whatever is done to the layer is done in the notebook."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from napari.components import ViewerModel
from napari.layers import Image, Points
from numpy.typing import NDArray

from ...errors import MitosisError
from ...review.edits import Edits, edits_between
from ..places import insert_above, placed, set_points
from .looks import LINE, LOOKS, apply_looks

if TYPE_CHECKING:
    from ...annotations.notebook import Notebook

NAME = "annotations"
ASSUMED_MPP = 0.25
FEATURES: tuple[str, ...] = ("figure", "label", "phase", "reader", "source")


_BEGINS = frozenset({"adding", "removing", "changing"})

Keep = Callable[[pd.DataFrame], "pd.Series[bool]"]


class AnnotationLayer:
    """One field's figures in the viewer, two-way.

    A change of the notebook shows at once. Anything that changes the layer (napari's tools, keys, scripts) is
    told from what it showed before and becomes actions of the notebook: one for each figure, of a drag at its end.
    Then the layer shows what the notebook holds.

    Parameters
    ----------
    viewer : ViewerModel
    owner : Image
        The field's layer.
    notebook : Notebook
    label : callable
        Returns the label of figures that carry none.
    selected : callable
        Told the id of the figure that is selected alone, or an empty text.
    said : callable
        Told what could not be done.

    Attributes
    ----------
    points : Points or None
        The layer; None after its user deleted it, until `show` brings it back.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        owner: Image,
        notebook: Notebook,
        label: Callable[[], str],
        selected: Callable[[str], None],
        said: Callable[[str], None],
    ) -> None:
        self._viewer = viewer
        self._owner = owner
        self.notebook = notebook
        self._label = label
        self._selected = selected
        self._said = said
        self._keep: Keep | None = None
        self._quiet = False
        self._under_way = False
        self._abandoned = False
        self.patient = False
        self._stale = False
        self._before = _table(notebook.figures.iloc[:0])
        self.points: Points | None = None
        notebook.changed.connect(self._noted)
        owner.events.name.connect(self._renamed)
        for name in ("scale", "translate", "units"):
            getattr(owner.events, name).connect(self._put_in_place)

    # What is shown

    @property
    def shown(self) -> pd.DataFrame:
        """The figures in the layer: columns figure, y_px, x_px, label, phase, reader, source, in the layer's order."""
        return self._before.copy()

    def set_filter(self, keep: Keep | None) -> None:
        """Show only some of the figures: `keep` takes a table of them and says which. None: all."""
        self.take_in()
        self._keep = keep
        self._render()

    def show(self, visible: bool = True) -> None:
        """Show the layer, or hide it. A layer that its user deleted comes back when it is to be seen."""
        if visible and self.points is None:
            self._make()
        if self.points is not None:
            self.points.visible = visible

    def select(self, figure: str) -> None:
        """Select a figure in the layer; an empty text or an unknown id: none."""
        if self.points is None:
            return
        rows = np.flatnonzero((self._before["figure"] == figure).to_numpy())
        if set(self.points.selected_data) != set(rows.tolist()):
            self.points.selected_data = set(rows.tolist())
        self.points.refresh(extent=False, thumbnail=False)

    def preview(self, figure: str, y_px: float, x_px: float) -> None:
        """Draw a figure elsewhere while it is dragged; the notebook is not told."""
        rows = np.flatnonzero((self._before["figure"] == figure).to_numpy())
        if self.points is None or not len(rows):
            return
        with self._quietly():
            data = np.array(self.points.data)
            data[rows[0]] = (y_px, x_px)
            self.points.data = data
        self._under_way = True

    def drop(self, figure: str, y_px: float, x_px: float) -> None:
        """A drag ended here: move the figure.

        Raises
        ------
        MitosisError
            When the figure is gone meanwhile.
        """
        self._under_way = False
        self.notebook.move(figure, y_px, x_px)

    def end_preview(self) -> None:
        """Draw everything where the notebook has it."""
        self._under_way = False
        self._render()

    def place(self, figure: str) -> tuple[float, float]:
        """Where a figure that is shown lies, (y, x) in pixels of the field.

        Raises
        ------
        KeyError
            If it is not shown.
        """
        rows = self._before[self._before["figure"] == figure]
        if rows.empty:
            raise KeyError(figure)
        return float(rows["y_px"].iloc[0]), float(rows["x_px"].iloc[0])

    def near(self, y_px: float, x_px: float, radius_um: float) -> str | None:
        """Id of the nearest figure that is shown within a radius; None where there is none."""
        if self._before.empty:
            return None
        places = self._before[["y_px", "x_px"]].to_numpy(dtype=np.float64)
        distance = np.hypot(places[:, 0] - y_px, places[:, 1] - x_px) * self._mpp
        nearest = int(np.argmin(distance))
        return str(self._before["figure"].iloc[nearest]) if distance[nearest] <= radius_um else None

    def close(self) -> Points | None:
        """Let go of notebook and viewer; what is left of the layer is returned, to be removed."""
        self._under_way = False
        self.take_in()
        self.notebook.changed.disconnect(self._noted)
        self._owner.events.name.disconnect(self._renamed)
        for name in ("scale", "translate", "units"):
            getattr(self._owner.events, name).disconnect(self._put_in_place)
        points, self.points = self.points, None
        if points is not None:
            self._unfollow(points)
        return points

    def gone(self, layer: object) -> bool:
        """A layer was removed from the viewer; whether it was this one. Only the view of the figures is gone then."""
        if self.points is None or layer is not self.points:
            return False
        self._unfollow(self.points)
        self.points = None
        self._under_way = False
        return True

    # Notebook -> layer

    def _noted(self, _change: object) -> None:
        if self.patient:
            self._stale = True
        else:
            self._render()

    def catch_up(self) -> None:
        """Show what was noted while the layer was patient."""
        if self._stale:
            self._render()

    def _render(self) -> None:
        """Bring the layer up to date with the notebook, in place."""
        points = self.points
        if points is None or self._quiet or self._under_way:
            return
        self._stale = False
        figures = self.figures()
        places = _places(figures)
        marked = {self._before["figure"].iloc[row] for row in points.selected_data if row < len(self._before)}
        with self._quietly():
            if places.shape != points.data.shape or not np.array_equal(places, points.data):
                if len(places) < len(points.data):
                    points.selected_data = set()
                set_points(points, places)
            if not _same(points.features, figures[list(FEATURES)]):
                points.features = figures[list(FEATURES)]
            apply_looks(points, list(figures["label"]), self._mpp)
            rows = set(np.flatnonzero(figures["figure"].isin(marked)).tolist())
            if marked and rows != set(points.selected_data):
                points.selected_data = rows
        self._before = figures

    def figures(self) -> pd.DataFrame:
        """What there is to show: figure, y_px, x_px, label, phase, reader, source; without those filtered out."""
        figures = _table(self.notebook.figures)
        return figures if self._keep is None else figures[self._keep(figures)].reset_index(drop=True)

    def _make(self) -> None:
        figures = self.figures()
        self._before = figures
        self.points = points = Points(
            _places(figures),
            ndim=2,
            name=f"{self._owner.name}: {NAME}",
            features=figures[list(FEATURES)],
            size=LOOKS["mitosis"].size_um / self._mpp,
            border_width=LINE,
            border_color=LOOKS["mitosis"].colour,
            face_color="transparent",
            **placed(self._owner),
        )
        apply_looks(points, list(figures["label"]), self._mpp)
        events = points.events
        events.data.connect(self._data_event)
        events.features.connect(self._touched)
        events.set_data.connect(self._touched)
        for name in ("scale", "translate", "rotate", "shear", "affine"):
            getattr(events, name).connect(self._put_in_place)
        points.selected_data.events.items_changed.connect(self._picked)
        insert_above(self._viewer, points, list(self._viewer.layers))

    def _unfollow(self, points: Points) -> None:
        events = points.events
        events.data.disconnect(self._data_event)
        events.features.disconnect(self._touched)
        events.set_data.disconnect(self._touched)
        for name in ("scale", "translate", "rotate", "shear", "affine"):
            getattr(events, name).disconnect(self._put_in_place)
        points.selected_data.events.items_changed.disconnect(self._picked)

    def _put_in_place(self, *_: object) -> None:
        """The layer lies where its field lies: moving it as a whole would move every figure."""
        if self.points is None or self._quiet:
            return
        place = placed(self._owner)
        with self._quietly():
            self.points.affine = np.eye(3)
            self.points.rotate = np.eye(2)
            self.points.shear = np.zeros(1)
            self.points.scale = place["scale"]
            self.points.translate = place["translate"]
            self.points.units = place["units"]
        self._render()

    def _renamed(self, *_: object) -> None:
        if self.points is not None:
            self.points.name = f"{self._owner.name}: {NAME}"

    # Layer -> notebook

    def _data_event(self, event: Any) -> None:
        action = str(event.action)
        if self._quiet:
            return
        # napari says that it begins, changes the layer bit by bit (a drag: at each movement), and says that it ended.
        self._under_way = action in _BEGINS
        if not self._under_way:
            self.take_in(fresh=action == "added")

    def _touched(self, *_: object) -> None:
        self.take_in()

    def take_in(self, *, at_rest: bool = False, fresh: bool = False) -> None:
        """Note what was done to the layer, if anything.

        Parameters
        ----------
        at_rest : bool
            No button is pressed: if something is said to be under way since the last time, it ended untold.
        fresh : bool
            What is new was added, not pasted: it gets the label that is chosen.
        """
        if at_rest and self._abandoned:
            self._under_way = False
        self._abandoned = at_rest and self._under_way
        points = self.points
        if points is None or self._quiet or self._under_way:
            return
        data = np.asarray(points.data, dtype=np.float64)
        features = points.features
        if self._is_as_shown(data, features):
            return
        if fresh and "label" in features:
            new = ~features["figure"].isin(self._before["figure"]) | features["figure"].duplicated()
            features = features.assign(
                label=features["label"].astype(object).mask(new, self._label()),
                phase=features["phase"].astype(object).mask(new, ""),
            )
        edits = edits_between(self._before, data, features, self.notebook.field.shape, self._label())
        self._note(edits)
        self._render()

    def _is_as_shown(self, data: NDArray[np.float64], features: pd.DataFrame) -> bool:
        before = self._before
        same = data.shape == (len(before), 2) and np.array_equal(data, before[["y_px", "x_px"]].to_numpy(np.float64))
        return bool(same) and _same(features, before[list(FEATURES)])

    def _note(self, edits: Edits) -> None:
        """Write edits into the notebook; what somebody else deleted meanwhile is not there any more."""
        notebook = self.notebook
        refused = edits.refused
        with self._quietly():
            there = set(notebook.figures["figure"])
            notebook.delete_all([figure for figure in edits.deleted if figure in there])
            for figure, y_px, x_px in edits.moved:
                refused = _tried(partial(notebook.move, figure, y_px, x_px)) or refused
            for figure, label, phase in edits.relabelled:
                refused = _tried(partial(notebook.relabel, figure, label, phase or None)) or refused
            if edits.added:
                columns = ["y_px", "x_px", "label", "phase"]
                notebook.add_all(pd.DataFrame(list(edits.added), columns=columns))
        if refused:
            self._said(refused)

    def _picked(self, *_: object) -> None:
        if self._quiet or self.points is None:
            return
        rows = [row for row in self.points.selected_data if row < len(self._before)]
        self._selected(str(self._before["figure"].iloc[rows[0]]) if len(rows) == 1 else "")

    @property
    def _mpp(self) -> float:
        return self.notebook.field.mpp or ASSUMED_MPP

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """What happens meanwhile is our own doing."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before


def _tried(act: Callable[[], None]) -> str:
    """Do something to a figure that may be gone; why it could not be done, or nothing."""
    try:
        act()
    except MitosisError as error:
        return str(error)
    return ""


def _table(figures: pd.DataFrame) -> pd.DataFrame:
    return figures[["figure", "y_px", "x_px", "label", "phase", "reader", "source"]].reset_index(drop=True)


def _places(figures: pd.DataFrame) -> NDArray[np.float64]:
    """Centres (n, 2) in an array of their own: napari writes into it when points are dragged."""
    return np.array(figures[["y_px", "x_px"]], dtype=np.float64)


def _same(features: pd.DataFrame, figures: pd.DataFrame) -> bool:
    """Whether the features are those of the figures, column by column."""
    if set(features.columns) != set(figures.columns) or len(features) != len(figures):
        return False
    return all(list(features[name]) == list(figures[name]) for name in figures.columns)
