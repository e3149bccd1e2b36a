"""The verdict on a new version: figures with intervals, what it finds and loses, and whether it may be adopted."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QIcon, QPixmap
from qtpy.QtWidgets import (
    QFrame,
    QGridLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from ...finetune.gate import FEWEST_FIELDS, FEWEST_MITOSES, Verdict
from ..style import tinted
from .intervals import Intervals
from .work import MOST_THUMBNAILS, Judgement, Thumbnail

SIDE_PX = 128
FIRST = 6
"""Thumbnails of a kind that are shown before the rest is asked for."""

GOOD, BAD, UNCERTAIN = "#00c853", "#ff8a80", "#ffb81c"
KINDS = (
    ("lost", "− Lost", BAD, "Mitoses that only the parent finds"),  # what a reader must know first
    ("found", "+ Found", GOOD, "Mitoses that only the new version finds"),
    ("dropped_false", "+ False alarms gone", GOOD, "False detections that only the parent makes"),
    ("new_false", "− New false alarms", BAD, "False detections that only the new version makes"),
)


class VerdictView(QFrame):
    """Shows a `Judgement`.

    Attributes
    ----------
    adopt_wanted : Signal()
    look_wanted : Signal(object)
        A `Thumbnail` was clicked.
    figures : QWidget
        The thumbnails, to be laid out wherever there is room for many.
    """

    adopt_wanted = Signal()
    look_wanted = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("verdict")
        self.judgement: Judgement | None = None
        self.headline = _text("headline")
        self.reason = _text("reason")
        self.intervals = Intervals()
        self.table = _text("faint")
        self.table.setTextFormat(Qt.TextFormat.RichText)
        self.adopt = QPushButton()
        self.adopt.setObjectName("primary")
        self.adopt.clicked.connect(self.adopt_wanted)
        self.state = _text("faint")
        self.figures = QWidget()
        self.gallery = QGridLayout(self.figures)
        self.gallery.setContentsMargins(2, 0, 2, 0)
        self.gallery.setSpacing(6)
        self.gallery.setColumnStretch(0, 1)
        self.gallery.setColumnStretch(1, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(9, 8, 9, 9)
        column.setSpacing(5)
        for widget in (self.headline, self.reason, self.intervals, self.table, self.adopt, self.state):
            column.addWidget(widget)
        self.hide()
        self.figures.hide()

    def show_judgement(self, judgement: Judgement | None, in_use: str = "") -> None:
        """Show what came of a run, or nothing; `in_use` is the version that is adopted now."""
        self.judgement = judgement
        self.setVisible(judgement is not None)
        self.figures.setVisible(judgement is not None)
        self._clear()
        if judgement is None:
            return
        verdict = judgement.verdict
        colour = verdict_colour(verdict)
        mark = _mark(verdict)
        difference = (
            f"F {verdict.difference:+.2f} <span style='font-weight:normal'>({_span(verdict.low, verdict.high)})</span>"
        )
        self.headline.setText(f"<span style='color:{tinted(colour, self)}'>{mark}</span> · {difference}")
        self.reason.setText(verdict.reason)
        self.intervals.show_figures(verdict.parent, verdict.child, colour)
        rows = "".join(
            f"<tr><td>{name}&nbsp;</td><td>&nbsp;precision <b>{f.precision:.2f}</b></td>"
            f"<td>&nbsp;recall <b>{f.recall:.2f}</b></td></tr>"
            for name, f in (("parent", verdict.parent), ("new", verdict.child))
        )
        self.table.setText(f"<table>{rows}</table>")
        self.set_in_use(in_use)
        for at, (kind, title, tint, tip) in enumerate(KINDS):
            count = len(getattr(verdict, kind))
            column = _Column(f"{title} ({count})", tint, tip, judgement.thumbnails[kind], count, self)
            self.gallery.addWidget(column, at // 2, at % 2, Qt.AlignmentFlag.AlignTop)

    def set_in_use(self, name: str) -> None:
        """Tell which version is in use now: adopting the present one would change nothing."""
        judgement = self.judgement
        if judgement is None:
            return
        offered, used = judgement.verdict.offered, judgement.name == name
        self.adopt.setVisible(offered and not used)
        self.adopt.setText(f"Adopt {judgement.card.version}")
        others = "" if judgement.verdict.for_others else "; go back before another patient, on whom it was not judged"
        self.adopt.setToolTip(f"Detect with this version from now on; one click goes back{others}")
        self.state.setVisible(used or not offered)
        self.state.setText(
            f"{judgement.name} is in use."
            if used
            else f"It is kept as {judgement.name}; your present version stays in use."
        )

    def _clear(self) -> None:
        while (item := self.gallery.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()


class _Column(QWidget):
    """Thumbnails of one kind under their title, some at first and all when asked for."""

    def __init__(
        self, title: str, colour: str, tip: str, thumbnails: list[Thumbnail], count: int, view: VerdictView
    ) -> None:
        super().__init__()
        heading = QLabel(title)
        heading.setStyleSheet(f"color: {tinted(colour, view)}; font-weight: bold;")
        heading.setToolTip(tip)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 4, 0, 0)
        self._column.setSpacing(4)
        self._column.addWidget(heading)
        self._colour, self._tip, self._view = colour, tip, view
        if not thumbnails:
            none = QLabel("none" if count == 0 else f"{count}, but their image files are gone")
            none.setObjectName("faint")
            none.setWordWrap(True)
            self._column.addWidget(none)
        self._add(thumbnails[:FIRST])
        rest = thumbnails[FIRST:]
        if rest:
            more = QToolButton()
            beyond = f" of {count - FIRST}" if count > MOST_THUMBNAILS else ""
            more.setText(f"{len(rest)}{beyond} more")
            more.clicked.connect(more.hide)
            more.clicked.connect(lambda: self._add(rest))
            self._column.addWidget(more)

    def _add(self, thumbnails: list[Thumbnail]) -> None:
        for thumbnail in thumbnails:
            self._column.addWidget(_Figure(thumbnail, self._colour, self._tip, self._view))


class _Figure(QToolButton):
    """One thumbnail, with the name of its field; a click goes there."""

    def __init__(self, thumbnail: Thumbnail, colour: str, tip: str, view: VerdictView) -> None:
        super().__init__()
        size = self.iconSize()
        size.setWidth(SIDE_PX)
        size.setHeight(SIDE_PX)
        self.setIconSize(size)
        smooth, keep = Qt.TransformationMode.SmoothTransformation, Qt.AspectRatioMode.KeepAspectRatio
        self.setIcon(QIcon(QPixmap.fromImage(thumbnail.image).scaled(SIDE_PX, SIDE_PX, keep, smooth)))
        name = thumbnail.field if len(thumbnail.field) < 19 else f"{thumbnail.field[:8]}…{thumbnail.field[-9:]}"
        self.setText(name)
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        self.setStyleSheet(f"QToolButton {{ border: 2px solid {colour}; border-radius: 4px; padding: 1px; }}")
        place = f"{thumbnail.field}: x {thumbnail.x_px:.0f}, y {thumbnail.y_px:.0f}"
        self.setToolTip(f"{tip}.\n{place}. Click to go there, where the field is open.")
        self.clicked.connect(lambda: view.look_wanted.emit(thumbnail))


def verdict_colour(verdict: Verdict) -> str:
    """Green is only what may be adopted; what is worse is red, what is not certain amber."""
    if verdict.offered:
        return GOOD
    return BAD if verdict.difference < 0 else UNCERTAIN


def _mark(verdict: Verdict) -> str:
    """The verdict in a word or two."""
    if verdict.offered:
        return "✓ Better" if verdict.for_others else "✓ Better, for this patient"
    if verdict.fields < FEWEST_FIELDS or verdict.mitoses < FEWEST_MITOSES:
        return "? Too little evidence"
    if verdict.difference < 0:
        return "✗ Worse"
    return "= No gain" if verdict.difference == 0 else "? Not certain"


def _span(low: float, high: float) -> str:
    return f"95 %: {low:+.2f} to {high:+.2f}"


def _text(name: str) -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return label
