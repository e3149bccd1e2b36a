"""Text can be read in both of napari's themes, whatever part of the panel it is in."""

from __future__ import annotations

import re
from typing import Any

import pytest
from napari.utils.theme import get_theme
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QLabel, QWidget

from napari_mitosis.gui.style import READABLE, contrast, style_for, tinted


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast(QColor("black"), QColor("white")) == pytest.approx(21.0)
    assert contrast(QColor("#777777"), QColor("white")) == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme_id", ["dark", "light"])
def test_every_colour_of_text_is_readable(theme_id: str, qapp: Any) -> None:
    theme, rules = get_theme(theme_id), re.findall(r"([^{}]+)\{([^{}]*)\}", style_for(theme_id))
    ground = QColor(*theme.background.as_rgb_tuple()[:3])
    seen = 0
    for selector, body in rules:
        colours = dict(re.findall(r"(?<![-\w])(color|background): (#\w+|white)\b", body))
        if "color" in colours:
            behind = QColor(colours["background"]) if "background" in colours else ground
            assert contrast(QColor(colours["color"]), behind) >= READABLE, selector.strip()
            seen += 1
    assert seen >= 6


def test_a_colour_is_chosen_for_what_shines_through(qtbot: Any) -> None:
    outer = QWidget()
    qtbot.addWidget(outer)
    outer.setStyleSheet(
        "QWidget { background: #222428; color: #f0f1f2; } QLabel { background: rgba(127, 127, 127, 24); }"
    )
    label = QLabel("text", outer)
    outer.show()
    qtbot.waitExposed(outer)
    assert contrast(QColor(tinted("#c5ccd6", label)), QColor("#222428")) >= READABLE


@pytest.mark.parametrize(("ground", "text"), [("#262930", "#f0f1f2"), ("#efebe9", "#3b3a39")])
def test_a_tint_is_readable_on_what_an_ancestor_painted(ground: str, text: str, qtbot: Any) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    label = QLabel("Better", window)
    window.setStyleSheet(f"QWidget {{ color: {text}; }} QWidget#ground {{ background: {ground}; }}")
    window.setObjectName("ground")
    assert contrast(QColor(tinted("#00c853", label)), QColor(ground)) > 4
