"""After some judgements: another threshold for this slide, as an offer with what is expected of it."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy

from ...jobs import Job, Progress
from ...measures.calibrate import Calibration
from ...measures.recalibrate import FEWEST_JUDGED, Recalibration, recalibrate
from ...review.offer import judged_scores
from .reviewing import Reviewing

PAUSE_MS = 600


class OfferBar(QFrame):
    """The offer in one sentence, and what to do with it.

    Attributes
    ----------
    taken, put_off : Signal()
    """

    taken = Signal()
    put_off = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("card")
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.text.setMinimumHeight(3 * self.text.fontMetrics().height())
        self.take, self.leave = QPushButton("Use it"), QPushButton("Not now")
        self.take.setObjectName("onward")
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 4, 6, 4)
        row.addWidget(self.text, 1)
        row.addWidget(self.take)
        row.addWidget(self.leave)
        self.take.clicked.connect(self.taken)
        self.leave.clicked.connect(self.put_off)
        self.hide()

    def show_offer(self, offer: Recalibration | None) -> None:
        """Show it, or nothing."""
        self.text.setText(offer.reason if offer is not None else "")
        best = offer.best if offer is not None else None
        if offer is not None and best is not None:
            (low, high), (least, most) = best.precision_range, best.recall_range
            self.text.setToolTip(
                f"Expected from {offer.judged} judged candidates, with 90 % intervals: precision {low:.2f}–{high:.2f}, "
                f"recall {least:.2f}–{most:.2f}. What has neither a candidate nor a mark is not in it."
            )
        self.setVisible(offer is not None)


class ThresholdOffer(QObject):
    """Asks, in a worker, whether another threshold fits the fields that the present model has seen.

    Parameters
    ----------
    reviewing : Reviewing
    bar : OfferBar
    parent : QObject
    """

    def __init__(self, reviewing: Reviewing, bar: OfferBar, parent: QObject) -> None:
        super().__init__(parent)
        self._reviewing = reviewing
        self._bar = bar
        self._asked: tuple[Any, ...] = ()
        self._offer: Recalibration | None = None
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE_MS)
        self._pause.timeout.connect(self._ask)
        reviewing.target_changed.connect(lambda _move: self._pause.start())
        reviewing.notes_changed.connect(self._pause.start)
        bar.taken.connect(self._take)
        bar.put_off.connect(lambda: self._show(None))

    def _ask(self) -> None:
        reviewing, result = self._reviewing, self._reviewing.result
        if reviewing.desk.is_closed or result is None or reviewing.blind:
            self._show(None)
            return
        seen = [queue for key, queue in reviewing.queues().items() if self._is_of(key, result.evidence.model)]
        scores, mitosis = judged_scores(seen)
        judged = int((mitosis == mitosis).sum())
        asked = (result.evidence.model, result.rule, judged, float(mitosis[mitosis == mitosis].sum()))
        if asked == self._asked:
            return
        self._asked = asked
        self._show(None)
        if judged >= FEWEST_JUDGED and not result.rule.weights:
            calibration = Calibration(result.card.calibration)
            missed = sum(count.by_hand for key in reviewing.desk.session if (count := reviewing.desk.counts.of(key)))
            job = _asking(asked, scores, mitosis, result.rule.min_score, calibration, missed)
            reviewing.desk.workers.start(job, succeeded=self._answered)

    def _answered(self, answer: tuple[tuple[Any, ...], Recalibration]) -> None:
        if answer[0] == self._asked and answer[1].offered:
            self._show(answer[1])

    def _show(self, offer: Recalibration | None) -> None:
        self._offer = offer
        self._bar.show_offer(offer)

    def _take(self) -> None:
        """The threshold of every field that this model has seen."""
        offer, result, session = self._offer, self._reviewing.result, self._reviewing.desk.session
        self._show(None)
        if offer is None or offer.best is None or result is None:
            return
        for key in session:
            if self._is_of(key, result.evidence.model):
                session.set_rule(key, min_score=offer.best.min_score)

    def _is_of(self, key: Any, model: str) -> bool:
        """Whether the result of a field is of this model."""
        session = self._reviewing.desk.session
        result = session[key].result if key in session else None
        return result is not None and result.evidence.model == model


def _asking(
    asked: tuple[Any, ...], scores: Any, mitosis: Any, min_score: float, calibration: Calibration, missed: int
) -> Job[tuple[tuple[Any, ...], Recalibration]]:
    yield Progress(0, 1, "weighing the judgements")
    return asked, recalibrate(scores, mitosis, min_score, calibration, missed=missed)
