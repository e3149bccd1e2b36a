"""The target, large, with all that is known of it."""

from __future__ import annotations

from qtpy.QtCore import QRect, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from ...review.judge import LETTERS
from ...review.target import CANDIDATES, FIGURE, Target
from ...review.words import name_of
from ..style import tinted
from .gallery import paint_badge, paint_thumbnail
from .reviewing import Reviewing
from .table import COLOURS
from .thumbnails import CROP_UM, Thumbnails

SIDE_PX = 152
BAR_UM = 10.0
"""Length of the scale bar in the picture."""

SCORE = "How sure the detector is that this is a mitosis, from 0 to 1. It is no probability unless its card says so."
AREA = "Area of the dark blob that the detector sees here, in µm²."
KEPT = "Whether the detection's settings (Sensitivity, area) count this candidate."
SPREAD = "The largest less the smallest score that the compared detectors give: large means they disagree."


class PresentPicture(QWidget):
    """The picture of the target in a frame of its decision's colour.

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
        self.target: Target | None = None
        self.setFixedSize(QSize(SIDE_PX, SIDE_PX))
        thumbnails.arrived.connect(self.update)

    def show_target(self, target: Target | None) -> None:
        """Show this one from now on."""
        self.target = target
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Frame, picture, letter, scale bar."""
        reviewing, target = self._reviewing, self.target
        state = reviewing.desk.session.current
        painter = QPainter(self)
        if target is None or state is None or state.field.mpp is None:
            painter.fillRect(self.rect(), QColor(127, 127, 127, 28))
            return
        picture = self.rect().adjusted(4, 4, -4, -4)
        pixmap = self._thumbnails.get(reviewing.key, state.field, *target.place)
        painter.fillRect(self.rect(), QColor(COLOURS[target.state]))
        paint_thumbnail(painter, picture, pixmap)
        paint_badge(painter, picture, target.state, 28)
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
    """The picture, and beside it place in its list, score, area, decision.

    Parameters
    ----------
    reviewing : Reviewing
    thumbnails : Thumbnails
    parent : QWidget, optional

    Attributes
    ----------
    below : QHBoxLayout
        Room for more, below the words.
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
        self.score.setToolTip(SCORE)
        self.facts.setToolTip(f"{AREA}<br>{KEPT}<br>{SPREAD}")
        self.record.setToolTip("Who judged it last, as the journal has it.")
        self.below = QHBoxLayout()
        words = QVBoxLayout()
        words.setSpacing(2)
        for label in (self.place, self.score, self.decision, self.facts, self.record):
            words.addWidget(label)
        words.addStretch(1)
        words.addLayout(self.below)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(10)
        row.addWidget(self.picture, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(words, 1)
        self.setFixedHeight(SIDE_PX)

    def show_target(self) -> None:
        """Bring it up to date."""
        target = self._reviewing.target
        self.picture.show_target(target)
        if target is None:
            count = len(self._reviewing.queue.listed())
            self.place.setText(f"{count} to look at" if count else "")
            for label in (self.score, self.decision, self.facts, self.record):
                label.setText("")
            return
        self.place.setText(heading(target))
        self.score.setText(f"score {target.score:.2f}" if target.score is not None else "")
        letter = f"{LETTERS[target.state]}&nbsp; " if LETTERS[target.state] else ""
        phase = f" · {target.phase}" if target.phase else ""
        name = name_of(target.state)
        colour = tinted(COLOURS[target.state], self)
        self.decision.setText(f"<span style='color:{colour}'><b>{letter}{name}</b>{phase}</span>")
        self.facts.setText(facts(target))
        self.record.setText(f"on record by {target.reader}" if target.reader else "")


def heading(target: Target) -> str:
    """Which of its list a target is."""
    if target.origin == FIGURE:
        return "Marked by hand"
    if not target.number:
        return "Not detected any more"
    where = "" if target.origin == CANDIDATES else "Second look: "
    return f"{where}{target.number} of {target.of}"


def facts(target: Target) -> str:
    """What the detector says of a target beside its score."""
    if target.area_um2 is None:
        return "no detector found it"
    kept = "counted" if target.kept else "left out by the settings"
    spread = f"\nscores differ by {target.disagreement:.2f}" if target.disagreement is not None else ""
    return f"{target.area_um2:.0f} µm² · {kept}{spread}"


def _label(name: str) -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label
