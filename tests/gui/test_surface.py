"""Every step at the size of a small laptop and of a desk's screen, dark and light, with real clicks."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from napari_mitosis.datasets.samples import sample_folder
from napari_mitosis.gui.panel.panel import Panel

from .surface import canvas_of, cut_at_the_side, scrolled, unreadable

SIZES = ((1366, 768), (1920, 1080))


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.timeout(300)
def test_every_step_fits_the_screen_and_can_be_read(opened: Any, qtbot: Any, tmp_path: Any, theme: str) -> None:
    path = tmp_path / "field.tif"
    Image.open(sample_folder() / "hotspot.tif").convert("RGB").crop((0, 0, 512, 512)).save(path)
    viewer, panel = opened(path, mpp=0.25)
    viewer.theme = theme
    window, detect = panel.desk.window, panel.page("Detect")
    detect.run()
    qtbot.waitUntil(lambda: not detect.running, timeout=120_000)
    review: Any = panel.show_step("Review")
    qtbot.waitUntil(lambda: review.reviewing.queue.present is not None, timeout=10_000)
    wrong: list[str] = []
    for size in SIZES:
        window.resize(*size)
        qtbot.wait(100)
        for step in panel.steps:
            panel.show_step(step)
            qtbot.wait(100)
            where = f"{step} at {size[0]} x {size[1]}, {theme}"
            assert (window.width(), window.height()) == size, where
            assert canvas_of(panel).width() > size[0] / 2, where
            wrong += [f"{where}: {text}" for text in (*cut_at_the_side(panel), *unreadable(panel))]
        wrong += _tabs(panel, review, qtbot, f"at {size[0]} x {size[1]}, {theme}")
    assert not wrong, "\n".join(wrong)


def _tabs(panel: Panel, review: Any, qtbot: Any, where: str) -> list[str]:
    """What is wrong with the tabs of the review; none needs more height than a small screen has."""
    wrong = []
    panel.show_step("Review")
    for tab in range(review.tabs.count()):
        review.tabs.setCurrentIndex(tab)
        qtbot.wait(50)
        texts = (*cut_at_the_side(panel), *unreadable(panel))
        wrong += [f"{review.tabs.tabText(tab)} {where}: {text}" for text in texts]
        beyond = scrolled(panel.stack.currentWidget())
        wrong += [f"{review.tabs.tabText(tab)} {where}: cut by {beyond} px"] if beyond else []
    review.tabs.setCurrentIndex(0)
    return wrong
