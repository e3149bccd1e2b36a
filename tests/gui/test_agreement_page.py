"""The Agreement step in a real window: readers and the detector are compared, disputes settled by key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import Qt

from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.cases.adjudicate import verdicts
from napari_mitosis.gui.panel.dock import open_step
from napari_mitosis.gui.readers.page import AgreementPage

from .conftest import press, settle
from .review_window import open_review

DISCS = ((60.0, 80.0), (180.0, 250.0))


@pytest.fixture
def agreement_page(detected: Any, qtbot: Any, tmp_path: Path) -> Any:
    """Two readers of a detected field: both marked one figure, each another one besides."""
    viewer, dock = detected
    qtbot.waitUntil(lambda: dock.desk.current is not None, timeout=20_000)
    desk = dock.desk
    for name, places in (("ann", [DISCS[0], (20.0, 20.0)]), ("bob", [DISCS[0], DISCS[1]])):
        book = Notebook(desk.journal, desk.current.field, name)
        for y, x in places:
            book.add(y, x, phase="metaphase")
    desk.current.refresh()
    page: Any = open_step(viewer, "Agreement")
    page._choose = lambda _parent: str(tmp_path)
    qtbot.waitUntil(lambda: page.compare_button.isEnabled(), timeout=20_000)
    settle(qtbot, dock)
    return viewer, dock, page


def compared(page: AgreementPage, dock: Any, qtbot: Any, *names: str) -> None:
    for name, check in page.checks.items():
        check.setChecked(name in names)
    press(page.compare_button, qtbot)
    qtbot.waitUntil(
        lambda: page.compared is not None and list(page.compared.agreement.names) == list(names), timeout=30_000
    )
    settle(qtbot, dock)


def strike(page: AgreementPage, name: str, qtbot: Any) -> None:
    *held, key = page.keys.keys[name].split("-")
    modifier = Qt.KeyboardModifier.ShiftModifier if held else Qt.KeyboardModifier.NoModifier
    names = {"PageDown": Qt.Key.Key_PageDown, "PageUp": Qt.Key.Key_PageUp}
    qtbot.keyClick(page.window(), names.get(key) or getattr(Qt.Key, f"Key_{key}"), modifier)


def test_readers_and_the_detector_are_compared(agreement_page: Any, qtbot: Any, tmp_path: Path) -> None:
    _, dock, page = agreement_page
    assert list(page.checks) == ["ann", "bob", "darkness@1.0.0"]
    compared(page, dock, qtbot, "ann", "bob", "darkness@1.0.0")
    assert page.results.pairs.rowCount() == 3
    first = [page.results.pairs.item(0, column).text() for column in range(6)]
    assert first[:5] == ["ann and bob", "1", "1", "1", "0.50"]
    assert "Fleiss" in page.results.summary.text()
    plots = [page.results.choice.itemText(at) for at in range(page.results.choice.count())]
    assert {"kappa and F", "counts and ICC", "Bland-Altman, ann and bob", "phases, ann and bob"} <= set(plots)
    page.results.choice.setCurrentText("Bland-Altman, ann and bob")
    assert page.results.plot.pixmap().width() > 200
    press(page.save, qtbot)
    qtbot.waitUntil(lambda: "files are in" in page.message.text(), timeout=30_000)
    assert {"pairs.csv", "disputed.csv", "kappa and F.png"} <= {path.name for path in tmp_path.iterdir()}
    compared(page, dock, qtbot, "ann", "bob")
    assert "Fleiss" not in page.results.summary.text()
    page.checks["bob"].setChecked(False)
    assert not page.compare_button.isEnabled()
    assert "Two readers" in page.compare_button.toolTip()


def test_disputes_are_settled_by_key_and_words_are_hidden_until_asked(agreement_page: Any, qtbot: Any) -> None:
    _, dock, page = agreement_page
    compared(page, dock, qtbot, "ann", "bob")
    view = page.dispute
    assert view.isVisible()
    assert "Dispute 1 of 2" in view.place.text()
    assert "hidden" in view.words.text()
    assert "mitosis" not in view.words.text()
    assert dock.desk.peek.on  # rings would tell what the readers said
    qtbot.waitUntil(lambda: not view.picture.pixmap().isNull(), timeout=20_000)
    place = view.row[["y_px", "x_px"]].tolist()
    strike(page, "words", qtbot)
    assert (
        "<b>ann</b>: mitosis (metaphase)<br><b>bob</b>: did not mark it<br>Majority: a tie (1 of 2)"
        in view.words.text()
    )
    assert not dock.desk.peek.on
    strike(page, "next", qtbot)
    assert "hidden" in view.words.text()
    strike(page, "back", qtbot)
    assert view.row[["y_px", "x_px"]].tolist() == place
    strike(page, "mimic", qtbot)
    qtbot.waitUntil(lambda: view.settled == 1, timeout=20_000)
    settle(qtbot, dock)
    assert view.at == 1
    labels = dock.desk.current.figures.set_index("y_px")["label"]
    assert labels[place[0]] == "mimic"  # the open notebook shows it
    strike(page, "mitosis", qtbot)
    qtbot.waitUntil(lambda: "All disputes are settled" in page.message.text(), timeout=20_000)
    assert "Majority" in view.words.text()
    settle(qtbot, dock)
    given = verdicts(dock.desk.journal, page.gathered.readings.fields)
    assert sorted(given["verdict"]) == ["mimic", "mitosis"]
    assert set(given["adjudicator"]) == {dock.desk.reader}
    compared(page, dock, qtbot, "bob", "darkness@1.0.0")
    assert page.compared.agreement.counts["bob"].tolist() == [2]  # verdicts are no readings: bob said what he said


def test_the_keys_are_those_of_the_review_again_when_it_is_left(agreement_page: Any, qtbot: Any) -> None:
    viewer, dock, page = agreement_page
    review = open_review(viewer, qtbot)
    of_review = dict(viewer.keymap)
    open_step(viewer, "Agreement")
    qtbot.waitUntil(page.isVisible, timeout=10_000)
    settle(qtbot, dock)
    compared(page, dock, qtbot, "ann", "bob")
    assert page.keys.taken
    assert dict(viewer.keymap) != of_review
    open_step(viewer, "Review")
    qtbot.waitUntil(review.isVisible, timeout=10_000)
    assert dict(viewer.keymap) == of_review
    assert not dock.desk.peek.on


def test_a_field_that_is_read_blind_gives_nothing_away(agreement_page: Any, qtbot: Any) -> None:
    _, dock, page = agreement_page
    key = dock.session.active
    dock.desk.blind.start(key, "eve", "2026-01-01T00:00:00+00:00", dock.desk.current.figures)
    page.refresh()
    settle(qtbot, dock)
    assert not page.compare_button.isEnabled()
    assert "read blind" in page.message.text()
    assert "darkness@1.0.0" not in page.checks
