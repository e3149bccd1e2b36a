"""What every picture of the window must hold: nothing outgrows the screen, nothing is cut, every text can be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from qtpy.QtCore import QPoint, QRect
from qtpy.QtGui import QColor
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QAbstractButton, QLabel, QScrollArea, QWidget

from napari_mitosis.gui.style import READABLE, contrast

EDGE = 4.4 / READABLE
"""Letters are drawn smooth: the strongest pixel of a thin one may miss its colour by a little."""


def canvas_of(panel: Any) -> QOpenGLWidget:
    """The canvas of the panel's window."""
    canvases = [one for one in panel.desk.window.findChildren(QOpenGLWidget) if one.isVisible()]
    return max(canvases, key=lambda one: one.width() * one.height())


def texts_of(panel: QWidget) -> Iterator[tuple[Any, str]]:
    """Labels and buttons that are to be seen and say something."""
    for kind in (QLabel, QAbstractButton):
        for widget in panel.findChildren(kind):
            if (
                widget.isVisible()
                and widget.isEnabled()
                and widget.text().strip()
                and widget.width()
                and widget.height()
            ):
                yield widget, widget.text()


def cut_at_the_side(panel: QWidget) -> list[str]:
    """Texts that reach beyond what holds them, and controls beyond the side of their scroll area."""
    found = []
    for widget, text in texts_of(panel):
        place = QRect(widget.mapTo(panel, QPoint(0, 0)), widget.size())
        if place.left() < 0 or place.right() > panel.width():
            found.append(f"{text!r} reaches beyond the panel")
        single = not (isinstance(widget, QLabel) and widget.wordWrap())
        if isinstance(widget, QAbstractButton) and single and widget.minimumSizeHint().width() > widget.width() + 1:
            found.append(f"{text!r} needs {widget.minimumSizeHint().width()} px and has {widget.width()}")
    return found


def scrolled(area: QScrollArea) -> int:
    """By how many pixels the page is higher than its view."""
    page, viewport = area.widget(), area.viewport()
    assert page is not None
    assert viewport is not None
    return max(0, page.height() - viewport.height())


def unreadable(panel: QWidget) -> list[str]:
    """Texts whose strongest pixel is too near to their ground."""
    found, picture = [], panel.grab().toImage()
    for widget, text in texts_of(panel):
        seen = widget.visibleRegion().boundingRect()
        if seen.isEmpty():
            continue
        image = picture.copy(QRect(widget.mapTo(panel, seen.topLeft()), seen.size()))
        colours = Counter(image.pixel(x, y) for x in range(image.width()) for y in range(image.height()))
        ground = QColor(colours.most_common(1)[0][0])
        strongest = max(contrast(QColor(colour), ground) for colour in colours)
        if strongest < READABLE * EDGE:
            found.append(f"{text!r}: {strongest:.1f} : 1")
    return found
