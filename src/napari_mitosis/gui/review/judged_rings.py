"""A detection that was judged loses its ring: the mark of the judgement takes its place."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QObject, QTimer

from ...review.judge import SKIPPED, UNDECIDED
from .reviewing import Reviewing

PAUSE_MS = 150


class JudgedRings(QObject):
    """Keeps the rings of the active field to the detections that wait to be judged.

    In a pause of the keys: the layer takes longer than all the rest.

    Parameters
    ----------
    reviewing : Reviewing
    parent : QObject
    """

    def __init__(self, reviewing: Reviewing, parent: QObject) -> None:
        super().__init__(parent)
        self._reviewing = reviewing
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE_MS)
        self._pause.timeout.connect(self._follow)
        reviewing.rows_changed.connect(self._pause.start)
        reviewing.notes_changed.connect(self._pause.start)
        reviewing.target_changed.connect(lambda _move: self._pause.start())
        reviewing.annotating.changed.connect(self._pause.start)

    def _follow(self) -> None:
        reviewing, key = self._reviewing, self._reviewing.key
        if reviewing.desk.is_closed or key not in reviewing.desk.session or reviewing.blind:
            return
        layer, queue = reviewing.desk.fields.results(str(key)).detections, reviewing.queue
        kept = queue.frame["kept"].to_numpy(dtype=bool)
        waits = np.isin(queue.notes["state"].to_numpy()[kept], (UNDECIDED, SKIPPED))
        # A result that the queue does not have yet brings another number of rings: they follow with it.
        if layer is not None and len(layer.data) == len(waits) and not np.array_equal(layer.shown, waits):
            layer.shown = waits
            self._pause.start()  # until it stands
