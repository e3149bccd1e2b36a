"""The present candidate, large, with all that is known of it."""

from __future__ import annotations

from qtpy.QtCore import QRect, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from ...review.judge import LETTERS
from .gallery import paint_badge, paint_thumbnail
from .reviewing import Reviewing
from .table import COLOURS
from .thumbnails import CROP_UM, Thumbnails

SIDE_PX = 184
BAR_UM = 10.0
"""Length of the scale bar in the picture."""


class PresentPicture(QWidget):
    """The picture of the present candidate in a frame of its decision's colour.

    Parameters
    ----------
    reviewing : Reviewing
    thumbnails : Thumbnails
    parent : QWidget, optional
    """

    def __init__(self, reviewing: Reviewing, thumbnails: Thumbnails, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reviewing = reviewing
        self._thumbnails = thumbnails
        self.setFixedSize(QSize(SIDE_PX, SIDE_PX))
        thumbnails.arrived.connect(self.update)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Frame, picture, letter, scale bar."""
        reviewing, present = self._reviewing, self._reviewing.present
        state = reviewing.desk.session.current
        painter = QPainter(self)
        if present is None or state is None:
            painter.fillRect(self.rect(), QColor(127, 127, 127, 28))
            return
        row = reviewing.queue.present or 0
        decision = str(reviewing.queue.notes["state"].iloc[row])
        picture = self.rect().adjusted(4, 4, -4, -4)
        pixmap = self._thumbnails.get(reviewing.key, state.field, float(present["y_px"]), float(present["x_px"]))
        painter.fillRect(self.rect(), QColor(COLOURS[decision]))
        paint_thumbnail(painter, picture, pixmap)
        paint_badge(painter, picture, decision, 28)
        self._paint_bar(painter, picture)

    def _paint_bar(self, painter: QPainter, picture: QRect) -> None:
        length = picture.width() * BAR_UM / CROP_UM
        right, bottom = picture.right() - 7.0, picture.bottom() - 7.0
        for colour, width in (("#101418", 5), ("#ffffff", 2)):
            painter.setPen(QPen(QColor(colour), width))
            painter.drawLine(int(right - length), int(bottom), int(right), int(bottom))
        painter.setPen(QColor("#101418"))
        label = QRectF(right - length, bottom - 18, length, 15)
        painter.drawText(label, Qt.AlignmentFlag.AlignCenter, f"{BAR_UM:.0f} µm")


class PresentCard(QWidget):
    """The picture, and beside it place in the queue, score, area, decision.

    Parameters
    ----------
    reviewing : Reviewing
    thumbnails : Thumbnails
    parent : QWidget, optional
    """

    def __init__(self, reviewing: Reviewing, thumbnails: Thumbnails, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reviewing = reviewing
        self.picture = PresentPicture(reviewing, thumbnails)
        self.place = _label("place")
        self.score = _label("score")
        self.decision = _label("decision")
        self.facts = _label("faint")
        self.record = _label("faint")
        words = QVBoxLayout()
        words.setSpacing(3)
        for one in (self.place, self.score, self.decision, self.facts, self.record):
            words.addWidget(one)
        words.addStretch(1)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(10)
        row.addWidget(self.picture, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(words, 1)

    def show_present(self) -> None:
        """Bring it up to date."""
        reviewing = self._reviewing
        queue, present = reviewing.queue, reviewing.present
        self.picture.update()
        if present is None or queue.present is None:
            self.place.setText(f"{len(queue)} candidates" if len(queue) else "")
            for label in (self.score, self.decision, self.facts, self.record):
                label.setText("")
            return
        note = reviewing.note(queue.present)
        position, state = queue.position, note["state"]
        self.place.setText(f"{position + 1} of {len(queue)}" if position is not None else "not in the queue")
        self.score.setText(f"score {present['score']:.2f}")
        letter = f"{LETTERS[state]}&nbsp; " if LETTERS[state] else ""
        phase = f" · {note['phase']}" if note["phase"] else ""
        self.decision.setText(f"<span style='color:{COLOURS[state]}'><b>{letter}{state}</b>{phase}</span>")
        kept = "kept by the rule" if present["kept"] else "dropped by the rule"
        disagreement = present["disagreement"]
        spread = f"\nscores differ by {disagreement:.2f}" if disagreement == disagreement else ""
        self.facts.setText(f"{present['area_um2']:.0f} µm² · {kept}{spread}")
        self.record.setText(f"on record by {note['reader']}" if note["reader"] else "")


def _label(name: str) -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label
