"""The guess of the pixel size is offered where it is unknown, taken at a click alone, and marked as a guess."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from napari_mitosis.datasets.samples import sample_folder
from napari_mitosis.gui.open.size_guess import ASK
from napari_mitosis.gui.panel.panel import panel_of

from .conftest import add_field, press


def test_a_guess_is_taken_by_a_click_and_remembered_as_a_guess(open_dock: Any, qtbot: Any) -> None:
    with Image.open(sample_folder() / "quiet.tif") as sample:
        pixels = np.asarray(sample.crop((0, 0, 800, 700)))
    viewer, dock = open_dock()
    add_field(viewer, pixels, mpp=None)
    row, session = dock.panel.pixel_size, dock.session
    assert row.guess.text() == ASK
    press(row.guess, qtbot)
    qtbot.waitUntil(lambda: row.guess.mpp is not None, timeout=30_000)
    guess = row.guess.mpp
    assert row.guess.text().startswith(f"about {guess:.2f} µm/px, a guess from nuclear size")
    assert session.current.field.mpp is None, "nothing is taken unasked"
    press(row.guess, qtbot)
    assert session.current.field.mpp == guess
    assert not row.isVisible()
    qtbot.waitUntil(lambda: len(dock.workers) == 0, timeout=10_000)

    viewer, dock = open_dock()
    add_field(viewer, pixels, mpp=None)
    qtbot.waitUntil(lambda: dock.session.current.field.mpp == guess, timeout=10_000)
    row = panel_of(viewer).page("Fields").pixel_size
    assert "(a guess)" in row.question.text()
    row.mpp.setValue(0.25)
    assert "(a guess)" not in row.question.text(), "who types a size has stated it"


def test_a_field_without_nuclei_gets_no_guess_and_another_one_is_asked_anew(open_dock: Any, qtbot: Any) -> None:
    viewer, dock = open_dock()
    add_field(viewer, np.full((90, 90, 3), 240, np.uint8), mpp=None, name="glass")
    button = dock.panel.pixel_size.guess
    press(button, qtbot)
    qtbot.waitUntil(lambda: "Too few nuclei" in button.text(), timeout=30_000)
    assert not button.isEnabled()
    add_field(viewer, np.full((90, 90, 3), 230, np.uint8), mpp=None, name="other glass")
    assert button.text() == ASK
    assert button.isEnabled()
