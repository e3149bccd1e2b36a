"""What still matters comes first: the order of the queue by the expected change of the score."""

from __future__ import annotations

from qtpy.QtCore import QObject, QTimer

from ...review.orders import CHANGE
from .reviewing import Reviewing


class ScoreOrder(QObject):
    """Keeps the queue of the active field in that order, and says when nothing that waits can change the score.

    The count is not made before the order is asked for.

    Parameters
    ----------
    reviewing : Reviewing
    parent : QObject
    """

    def __init__(self, reviewing: Reviewing, parent: QObject) -> None:
        super().__init__(parent)
        self._reviewing = reviewing
        self._following = False
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(0)
        self._pause.timeout.connect(self.follow)
        reviewing.target_changed.connect(self._tell)
        reviewing.rows_changed.connect(self._pause.start)
        self.follow()

    def follow(self) -> None:
        """Bring the order up to date, where it is the one that was chosen."""
        reviewing, desk = self._reviewing, self._reviewing.desk
        if reviewing.order != CHANGE or desk.is_closed:
            return
        from ..case_count import case_count_of  # scipy.stats loads slowly

        count = case_count_of(desk)
        if not self._following:
            self._following = True
            count.changed.connect(self.follow)
        queue, result = reviewing.queue, reviewing.result
        count_of_kept = int(queue.frame["kept"].sum())
        if result is None or count_of_kept != len(result.detections):
            return  # it has not caught up with the result yet
        if queue.set_change(count.change_of_detections(reviewing.key, count_of_kept)) and not reviewing.judging:
            reviewing.rows_changed.emit()

    def _tell(self, _move: bool) -> None:
        """The score stands: the reader may stop."""
        reviewing = self._reviewing
        if reviewing.order != CHANGE or not len(reviewing.queue):
            return
        from ...cases.count import whatever_words
        from ..case_count import case_count_of

        tally = case_count_of(reviewing.desk).tally
        text = whatever_words(tally) if tally is not None else ""
        if text:
            reviewing.said.emit(text)
