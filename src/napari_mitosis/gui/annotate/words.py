"""Actions and labels as a reader reads them, and small parts that the panels share."""

from __future__ import annotations

from datetime import datetime

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPen, QPixmap, QPolygonF
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QToolButton, QWidget

from ...annotations.actions import Action
from ...review.words import name_of
from .looks import LOOKS

ICON_PX = 16


def done(action: Action | None) -> str:
    """What an action did, in a few words."""
    if action is None:
        return ""
    label = name_of(action.label) if action.label else ""
    phase = f" ({action.phase})" if action.phase else ""
    words = {
        "add": f"marked as {label}{phase}",
        "accept": f"candidate judged {label}{phase}",
        "reject": f"candidate judged {name_of('mimic')}",
        "move": "moved",
        "relabel": f"changed to {label}{phase}",
        "delete": "deleted",
        "complete": "field declared complete",
        "reopen": "field declared not complete",
        "join": f"field put into case {action.target}",
        "leave": "field taken out of its case",
        "area": "area to count stated",
        "undo": "undone",
        "redo": "done again",
    }
    return words[action.kind] + (", with others" if action.batch else "")


def moment(time: str) -> str:
    """A time of the journal (UTC) by the clock on the wall."""
    return datetime.fromisoformat(time).astimezone().strftime("%d %b %Y %H:%M:%S") if time else ""


def label_icon(label: str, size: int = ICON_PX) -> QIcon:
    """The mark of a label as its layer draws it, on a dark ground."""
    look = LOOKS[label]
    pixmap = QPixmap(size, size)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(QColor(look.colour), 2.0))
    low, high, middle = 2.0, size - 2.0, size / 2
    if look.symbol == "disc":
        painter.drawEllipse(QRectF(low, low, high - low, high - low))
    elif look.symbol == "square":
        painter.drawRect(QRectF(low, low, high - low, high - low))
    else:
        corners = ((middle, low), (high, middle), (middle, high), (low, middle))
        painter.drawPolygon(QPolygonF([QPointF(x, y) for x, y in corners]))
    painter.end()
    return QIcon(pixmap)


def section(text: str) -> QLabel:
    """A heading inside a panel."""
    label = QLabel(text)
    label.setObjectName("section")
    return label


def faint(text: str = "") -> QLabel:
    """A line of less weight that wraps."""
    label = QLabel(text)
    label.setObjectName("faint")
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label


def tool(text: str, tip: str = "", *, checkable: bool = False) -> QToolButton:
    """A small button."""
    button = QToolButton()
    button.setText(text)
    button.setToolTip(tip)
    button.setCheckable(checkable)
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    return button


def row(*parts: QWidget | None) -> QHBoxLayout:
    """Widgets side by side; None takes the room that is left."""
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for part in parts:
        if part is None:
            layout.addStretch(1)
        else:
            layout.addWidget(part)
    return layout
