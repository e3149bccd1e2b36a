"""Brings result layers up to date: at once where that is quick, in a pause of the sliders where it is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer

from ...decision.estimate_boxes import BOX_COLUMNS, estimate_boxes, fixed_boxes
from ...decision.evidence import Evidence
from ...jobs import Job, Progress
from ...review.judge import link, places_of
from ...session import Result
from ..desk import Desk
from .boxes import boxes_of
from .panel import DetectPanel

PAUSE_MS = 250
QUICK_CELLS = 1_000_000
"""Score maps with more cells than this in all are fused anew only in a pause."""


@dataclass(frozen=True, eq=False)
class CentroidBoxes:
    """Boxes about the mitoses of a field.

    Attributes
    ----------
    key : hashable
        The open field.
    edges : dict of str to ndarray, shape (n, 4)
        y0, x0, y1, x1 in pixels of the field: ``fixed boxes``, and ``estimated boxes`` where a blob gives one.
    estimated, count : int
        Centroids that a blob covers, and all.
    """

    key: Any
    edges: dict[str, NDArray[np.float64]]
    estimated: int
    count: int


class ResultView(QObject):
    """Shows the results of all open fields as layers, the kinds that the toggles ask for.

    Parameters
    ----------
    desk : Desk
    panel : DetectPanel
        Its toggles are read.
    parent : QObject
    """

    def __init__(self, desk: Desk, panel: DetectPanel, parent: QObject) -> None:
        super().__init__(parent)
        self._desk = desk
        self._session = desk.session
        self._fields = desk.fields
        self._panel = panel
        self._judged: set[Any] = set()
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(PAUSE_MS)
        self._soon.timeout.connect(self._follow_judgements)
        desk.counts.changed.connect(self._judged_again)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE_MS)
        self._pause.timeout.connect(self._in_a_pause)

    def stop(self) -> None:
        """Wait for no pause any more."""
        self._pause.stop()
        self._soon.stop()

    def landed(self, result: Result) -> None:
        """A network has looked: show what it saw."""
        key = result.ticket.key
        here = key == self._session.active
        results = self._fields.results(str(key))
        wants = self._panel.wants
        if here:
            self._panel.offer_maps(bool(result.evidence.maps))
            self._panel.toggles["boxes"].setChecked(not result.evidence.maps)
        if here and wants("score_map"):
            results.show_evidence(result.evidence, True, result.rule.weights)
        else:
            results.drop_maps()
        results.show_detections(result, here and wants("detections"))
        self._hide_rejected(key)
        if here:
            self._in_a_pause()

    def decided(self, key: Any) -> None:
        """A field has another result, or none any more."""
        result = self._session[key].result
        results = self._fields.results(str(key))
        if result is None:
            results.remove()
            return
        results.show_detections(result)
        self._hide_rejected(key)
        if sum(scores.size for scores in result.evidence.maps.values()) <= QUICK_CELLS:
            results.show_weights(result.evidence, result.rule.weights)
        if key == self._session.active:
            self._pause.start()

    def show_layers(self) -> None:
        """Show the active field with its results, and hide the others."""
        key = self._session.active
        state = self._session.current
        self._panel.offer_maps(state is None or state.result is None or bool(state.result.evidence.maps))
        wanted = {name: self._panel.wants(name) for name in self._panel.toggles}
        if state is not None and state.result is not None and wanted["score_map"]:
            results = self._fields.results(str(key))
            if state.result.evidence.maps and not results.has_maps():
                results.show_evidence(state.result.evidence, True, state.result.rule.weights)
        self._fields.show_only(None if key is None else str(key), wanted)
        self._pause.start()

    def toggled(self, name: str, on: bool) -> None:
        """A kind of layer is to be seen, or not: make it where it is not there."""
        state = self._session.current
        if on and state is not None:
            results = self._fields.results(str(self._session.active))
            result = state.result
            if name == "labels":
                self._labels()
            elif result is not None and name == "boxes":
                self._boxes()
            elif result is not None and name == "detections":
                results.show_detections(result, True)
        self.show_layers()

    def _judged_again(self, key: Any) -> None:
        """A key that judges must not wait for the layer: it follows in a pause."""
        self._judged.add(key)
        self._soon.start()

    def _follow_judgements(self) -> None:
        keys, self._judged = self._judged, set()
        for key in keys:
            if key in self._session:
                self._hide_rejected(key)

    def _hide_rejected(self, key: Any) -> None:
        """A detection that its reader called a look-alike has no ring."""
        state, notebook = self._session[key], self._desk.notebooks.known(key)
        if state.result is None or state.field.mpp is None or notebook is None or not len(notebook.figures):
            return
        figures = notebook.figures
        linked = link(places_of(state.result.detections), places_of(figures), state.field.mpp)
        mimic = (figures["label"] == "mimic").to_numpy(dtype=bool)
        rejected = (linked >= 0) & mimic[linked]
        self._fields.results(str(key)).show_only(~rejected)

    def centroid_boxes(self) -> Job[CentroidBoxes] | None:
        """A job that makes boxes of the mitoses of the active field; None where there is no score map to ask."""
        state = self._session.current
        points = state.centroids_yx() if state is not None else None
        if state is None or state.result is None or points is None:
            return None
        inside = ((points >= 0) & (points <= np.array(state.field.shape) - 1)).all(axis=1)
        return _centroid_boxes(self._session.active, state.result.evidence, points[inside])

    def show_centroid_boxes(self, boxes: CentroidBoxes) -> str:
        """Show fixed and estimated boxes side by side; what came of it, in words."""
        if boxes.key not in self._session:
            return ""
        self._fields.results(str(boxes.key)).show_centroid_boxes(boxes.edges)
        whose = "annotated" if self._session[boxes.key].annotations is not None else "detected"
        return f"{boxes.estimated} of {boxes.count} boxes of {whose} mitoses follow the score map (blue)."

    def _in_a_pause(self) -> None:
        state = self._session.current
        if state is None:
            return
        if self._panel.wants("labels"):
            self._labels()
        if state.result is not None:
            results = self._fields.results(str(self._session.active))
            results.show_weights(state.result.evidence, state.result.rule.weights)
            if self._panel.wants("boxes"):
                self._boxes()

    def _labels(self) -> None:
        """Make the concentric labels anew: of the annotations where the field has them, else of the detections."""
        state = self._session.current
        points = state.centroids_yx() if state is not None else None
        if state is not None and points is not None and state.field.mpp is not None:
            results = self._fields.results(str(self._session.active))
            results.show_labels(points, state.field.shape, state.field.mpp, True)

    def _boxes(self) -> None:
        state = self._session.current
        if state is not None and state.result is not None:
            edges, kept = boxes_of(state.result)
            self._fields.results(str(self._session.active)).show_boxes(edges, kept, True)


def _centroid_boxes(key: Any, evidence: Evidence, points: NDArray[np.float64]) -> Job[CentroidBoxes]:
    yield Progress(0, 1, "boxes from centroids")
    columns = list(BOX_COLUMNS[2:6])
    boxes = estimate_boxes(evidence, points)
    by_map = boxes[boxes["estimated"].to_numpy(dtype=bool)]
    fixed = fixed_boxes(points, evidence.mpp)
    edges = {"fixed boxes": fixed[columns].to_numpy(float), "estimated boxes": by_map[columns].to_numpy(float)}
    return CentroidBoxes(key, edges, len(by_map), len(boxes))
