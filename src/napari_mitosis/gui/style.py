"""How the parts of the window look, said once: readable in a dark and in a light theme, in the system's size."""

from __future__ import annotations

from napari.utils.theme import get_theme
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QApplication, QWidget

READABLE = 4.5
"""Least contrast of text (WCAG AA)."""

GREEN, AMBER, RED = "#00813a", "#ffb81c", "#ff8a80"
"""Go; mind; wrong. Colour never stands alone: a word says the same."""


def contrast(first: QColor, second: QColor) -> float:
    """Contrast of two colours as WCAG defines it, 1 to 21."""
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: QColor) -> float:
    def linear(value: float) -> float:
        return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)

    red, green, blue = (linear(value) for value in (colour.redF(), colour.greenF(), colour.blueF()))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def readable(colour: str, ground: QColor) -> str:
    """The colour, made lighter or darker until it can be read on the ground."""
    shade, dark = QColor(colour), _luminance(ground) < 0.18
    for _ in range(60):
        if contrast(shade, ground) >= READABLE:
            break
        hue, saturation, lightness, _alpha = shade.getHslF()
        shade = QColor.fromHslF(max(0.0, hue), saturation, min(1.0, max(0.0, lightness + (0.02 if dark else -0.02))))
    return shade.name()


def tinted(colour: str, widget: QWidget) -> str:
    """The colour as it can be read on the ground of a widget: of the nearest one that lets nothing shine through."""
    widget.ensurePolished()  # a style sheet is heard only then
    opaque, text = widget, widget.palette().windowText().color()
    while opaque.palette().window().color().alpha() < 255 and (parent := opaque.parentWidget()) is not None:
        opaque = parent
    ground = opaque.palette().window().color()
    if contrast(ground, text) < READABLE:  # the ground is painted by an ancestor: text says whether it is dark
        ground = QColor("#262930" if _luminance(text) > 0.18 else "#f0f0f0")
    return readable(colour, ground)


def name_as(widget: QWidget, name: str) -> None:
    """Give a widget the look of this name: ``faint``, ``amber``, ``error``."""
    if widget.objectName() != name:
        widget.setObjectName(name)
        style = widget.style()
        if style is not None:
            style.polish(widget)


def style_for(theme_id: str) -> str:
    """The style sheet for one of napari's themes."""
    theme = get_theme(theme_id)
    ground = QColor(*theme.background.as_rgb_tuple()[:3])
    faint, amber, red, good = (readable(colour, ground) for colour in ("#9aa3b2", AMBER, RED, "#00c853"))
    points = QApplication.font().pointSizeF()
    return f"""
QLabel#faint {{ color: {faint}; }}
QLabel#section {{ color: {faint}; font-weight: bold; padding-top: 2px; }}
QLabel#amber, QLabel#said {{ color: {amber}; }}
QLabel#good {{ color: {good}; font-weight: bold; }}
QLabel#error {{ color: {red}; }}
QLabel#card {{ background: rgba(127, 127, 127, 28); border-radius: 4px; padding: 5px; }}
QFrame#summary {{ background: rgba(0, 200, 83, 26); border: 1px solid rgba(0, 200, 83, 90); border-radius: 5px; }}
QFrame#amberbox {{ background: rgba(255, 184, 28, 26); border: 1px solid {amber}; border-radius: 5px; }}
QFrame#welcome {{ background: rgba(127, 127, 127, 22); border-radius: 8px; }}
QFrame#summary QLabel, QFrame#amberbox QLabel, QFrame#welcome QLabel {{ background: transparent; }}
QLabel#title {{ font-size: {points * 1.5:.1f}pt; font-weight: bold; }}
QLabel#field {{ font-weight: bold; }}
QLabel#count {{ font-size: {points * 2.1:.1f}pt; font-weight: bold; }}
QLabel#density {{ font-size: {points * 1.25:.1f}pt; font-weight: bold; }}
QPushButton#primary {{ background: {GREEN}; color: white; font-weight: bold; padding: 5px 10px; border-radius: 4px; }}
QPushButton#primary:hover {{ background: #006b30; }}
QPushButton#primary:disabled {{ background: rgba(127, 127, 127, 60); color: {faint}; }}
QToolButton {{ padding: 3px 7px; border-radius: 3px; }}
QToolButton:disabled {{ background: transparent; color: {faint}; }}
QToolButton:checked:enabled {{ background: {GREEN}; color: white; }}
QToolButton#step {{ padding: 5px 6px; font-weight: bold; border-radius: 4px; }}
QToolButton#step::menu-indicator {{ image: none; }}
QProgressBar {{ text-align: center; border-radius: 3px; min-height: 16px; max-height: 16px; }}
QProgressBar::chunk {{ background: {GREEN}; border-radius: 3px; }}
"""
