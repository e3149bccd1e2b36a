"""From a cold start to the first judged candidate of a new JPEG, with a hand that counts what it does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QAbstractItemView, QApplication, QDialogButtonBox, QFileDialog, QWidget

from napari_mitosis.annotations.store import Journal
from napari_mitosis.datasets.samples import sample_folder

MOST = 6
"""Clicks and key presses, those in the file dialog among them."""


class Hand:
    """Clicks what can be seen and struck, and counts."""

    def __init__(self, qtbot: Any) -> None:
        self.qtbot = qtbot
        self.done: list[str] = []

    def click(self, widget: QWidget, what: str, at: Any = None) -> None:
        seen = widget.visibleRegion().boundingRect()
        assert widget.isEnabled(), f"{what} cannot be clicked: {widget.toolTip()}"
        place = seen.center() if at is None else at
        assert seen.contains(place), f"{what} is not to be seen"
        self.done.append(what)
        self.qtbot.mouseClick(widget, Qt.MouseButton.LeftButton, pos=place)

    def press(self, window: QWidget, key: Qt.Key, what: str) -> None:
        self.done.append(what)
        self.qtbot.keyClick(window, key)

    def choose_file(self, name: str) -> None:
        """Click a file in the dialog that is open, and Open."""
        dialog = QApplication.activeModalWidget()
        assert isinstance(dialog, QFileDialog)
        try:
            self.qtbot.waitUntil(lambda: _file(dialog, name) is not None, timeout=10_000)
            view, index = _file(dialog, name)
            self.click(view.viewport(), name, view.visualRect(index).center())
            box = dialog.findChild(QDialogButtonBox)
            assert box is not None
            self.click(box.button(QDialogButtonBox.StandardButton.Open), "Open")
        finally:
            dialog.close()  # it would wait for ever


def _file(dialog: QFileDialog, name: str) -> Any:
    """The view of the files, as a list or in columns, and where in it a file is; None while that is not to be seen."""
    for view in dialog.findChildren(QAbstractItemView):
        model, root = view.model(), view.rootIndex()
        if view.objectName() not in ("listView", "treeView") or model is None:
            continue
        for index in (model.index(row, 0, root) for row in range(model.rowCount(root))):
            if index.data() == name and view.viewport().visibleRegion().contains(view.visualRect(index).center()):
                return view, index
    return None


@pytest.fixture
def qt_dialogs() -> Any:
    """Qt's own file dialog, where the desktop has another one."""
    attribute = Qt.ApplicationAttribute.AA_DontUseNativeDialogs
    before = QApplication.testAttribute(attribute)
    QApplication.setAttribute(attribute, True)
    yield
    QApplication.setAttribute(attribute, before)


def test_six_clicks_and_keys_from_a_cold_start_to_the_first_judged_candidate(
    opened: Callable[..., Any], qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qt_dialogs: None
) -> None:
    folder = tmp_path / "slides"
    folder.mkdir()
    Image.open(sample_folder() / "hotspot.tif").convert("RGB").crop((0, 0, 512, 512)).save(folder / "new.jpg")
    monkeypatch.chdir(folder)
    _viewer, panel = opened(keep=True)
    window, hand = panel.desk.window, Hand(qtbot)
    window.resize(1366, 740)
    qtbot.wait(100)

    QTimer.singleShot(0, lambda: hand.choose_file("new.jpg"))
    hand.click(panel.pages["Fields"].welcome.open_field, "Open field…")
    detect = panel.page("Detect").panel
    qtbot.waitUntil(detect.pixel_size.usual.isVisible, timeout=10_000)
    hand.click(detect.pixel_size.usual, "40× scan")
    hand.click(detect.run_panel.run, "Detect mitoses")
    review: Any = None

    def waits_to_be_judged() -> bool:
        nonlocal review
        review = panel.pages.get("Review")
        return review is not None and review.isVisible() and review.marker.place_px is not None

    qtbot.waitUntil(waits_to_be_judged, timeout=120_000)
    qtbot.waitUntil(lambda: panel.desk.current is not None, timeout=10_000)
    target = review.reviewing.target
    hand.press(window, Qt.Key.Key_G, "G")

    with_journal = Journal(os.environ["NAPARI_MITOSIS_JOURNAL"])
    (action,) = with_journal.actions()
    with_journal.close()
    assert (action.y_px, action.x_px) == pytest.approx(target.place)
    assert action.label == "mitosis"
    assert len(hand.done) <= MOST, hand.done


def test_who_wants_to_stay_at_detect_stays_there(opened: Callable[..., Any], qtbot: Any, tmp_path: Path) -> None:
    path = tmp_path / "new.tif"
    Image.open(sample_folder() / "hotspot.tif").convert("RGB").crop((0, 0, 512, 512)).save(path)
    _viewer, panel = opened(path, mpp=0.25)
    detect = panel.page("Detect")
    detect.panel.run_panel.review_after.click()
    detect.run()
    qtbot.waitUntil(lambda: not detect.running, timeout=120_000)
    assert detect.session.current.result is not None
    assert len(detect.session.current.result.detections)
    assert panel.step == "Detect"
    _viewer, later = opened(path, mpp=0.25)
    assert not later.page("Detect").panel.run_panel.review_after.isChecked(), "the choice is kept"
