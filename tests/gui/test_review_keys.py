"""The keys of the review: none is anyone else's, each works, a reader can change them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from app_model.types import KeyBinding
from napari import layers as kinds
from napari.layers import Layer
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence

from napari_mitosis.gui import keys as detect_keys
from napari_mitosis.gui.preferences import Preferences
from napari_mitosis.gui.review.keys_dialog import KeysDialog
from napari_mitosis.gui.review.review_keys import (
    DEFAULTS,
    ReviewKeys,
    canonical,
    from_sequence,
    pretty,
    taken,
    to_sequence,
)

from .conftest import press
from .review_window import detected_review, states, strike


def test_none_of_them_is_anyone_elses() -> None:
    naparis = {str(KeyBinding.validate(key)) for bindings in default_shortcuts.values() for key in bindings}
    bound = {
        str(key)
        for name in kinds.__all__
        if isinstance(kind := getattr(kinds, name), type) and issubclass(kind, Layer)
        for key in kind.class_keymap
    }
    assert len(naparis) > 40
    assert "Ctrl+Z" in bound
    mine = [canonical(key) for key in DEFAULTS.values()]
    assert None not in mine
    assert len(set(mine)) == len(mine)
    others = {canonical(key) for key in detect_keys.KEYS.values()}
    assert not set(mine) & (naparis | bound | others)
    # What the dock itself holds against a key is at least all this.
    assert naparis | bound | others <= set(taken())


def test_none_of_them_is_in_a_menu(make_napari_viewer: Any) -> None:
    viewer = make_napari_viewer()
    all_taken = taken(viewer)
    assert any("menu" in owner for owner in all_taken.values())
    assert not {canonical(key) for key in DEFAULTS.values()} & set(all_taken)


REFUSED = {
    "A": "napari",
    "Control-Z": "napari",
    "N": "detect dock",
    "Shift-M": "Click to annotate",
    "W": "look-alike",
    "Shift-1": "cannot bind",
    "Shift": "cannot bind",
    "Nonsense": "cannot bind",
    "": "Press a key",
}


def test_a_key_that_cannot_be_is_refused_with_the_reason(make_napari_viewer: Any, tmp_path: Path) -> None:
    keys = ReviewKeys(Preferences(tmp_path / "settings.json"), make_napari_viewer())
    for key, belongs in REFUSED.items():
        with pytest.raises(ValueError, match=belongs):
            keys.change("mitosis", key)
    assert keys.keys == dict(DEFAULTS)


def test_spellings() -> None:
    for key in (*DEFAULTS.values(), "F5", ";", "Control-Shift-K", "Insert"):
        assert canonical(from_sequence(to_sequence(key))) == canonical(key) is not None, key
    assert from_sequence(QKeySequence()) == ""
    assert pretty("Control-1") == "Ctrl+1"
    assert pretty("PageDown") == "PgDn"


def test_what_is_kept_is_read_again_and_nonsense_is_not(make_napari_viewer: Any, tmp_path: Path) -> None:
    viewer, file = make_napari_viewer(), tmp_path / "settings.json"
    keys = ReviewKeys(Preferences(file), viewer)
    keys.change("mitosis", "F5")
    keys.change("mimic", "G")
    assert ReviewKeys(Preferences(file), viewer).keys == {**DEFAULTS, "mitosis": "F5", "mimic": "G"}
    file.write_text(json.dumps({"review_keys": {"mitosis": "A", "mimic": 3, "nobody": "F6", "skip": "F7"}}))
    assert ReviewKeys(Preferences(file), viewer).keys == {**DEFAULTS, "skip": "F7"}
    file.write_text("{ this is no JSON")
    again = ReviewKeys(Preferences(file), viewer)
    assert again.keys == dict(DEFAULTS)
    again.change("skip", "F7")
    again.reset()
    assert ReviewKeys(Preferences(file), viewer).keys == dict(DEFAULTS)


def test_keys_are_shown_and_changed_in_the_dialog(open_dock: Any, qtbot: Any) -> None:
    _, _, dock = detected_review(open_dock, qtbot)
    panel = dock.panel
    for name, button in panel.buttons.items():
        assert dock.keys.pretty(name) in button.toolTip()
        assert dock.keys.pretty(name) in panel.keys_button.toolTip()
    assert panel.buttons["mitosis"].text() == "Mitosis\nG"
    press(panel.keys_button, qtbot)
    dialog = dock.findChild(KeysDialog)
    qtbot.waitUntil(dialog.isVisible)
    edit = dialog.edits["mitosis"]
    edit.setFocus()
    qtbot.keyClick(edit, Qt.Key.Key_N)
    edit.editingFinished.emit()
    assert "detect dock" in dialog.message.text()
    assert edit.keySequence() == to_sequence("G")
    edit.clear()
    qtbot.keyClick(edit, Qt.Key.Key_F5)
    edit.editingFinished.emit()
    assert dialog.message.text().endswith("F5")
    dialog.accept()
    assert panel.buttons["mitosis"].text() == "Mitosis\nF5"
    strike(dock, "mitosis", qtbot)
    assert states(dock)[0] == "mitosis"
    qtbot.keyClick(dock.window(), Qt.Key.Key_G)
    assert states(dock).count("mitosis") == 1, "the old key does nothing any more"
    kept = json.loads(Path(os.environ["NAPARI_MITOSIS_SETTINGS"]).read_text())
    assert kept["review_keys"] == {"mitosis": "F5"}
    press(panel.keys_button, qtbot)
    dialog = dock.findChildren(KeysDialog)[-1]
    qtbot.waitUntil(dialog.isVisible)
    press(dialog.buttons.button(dialog.buttons.StandardButton.RestoreDefaults), qtbot)
    dialog.accept()
    strike(dock, "mitosis", qtbot)
    assert dock.keys.keys == dict(DEFAULTS)
    assert states(dock).count("mitosis") == 2


def test_keys_work_whatever_layer_is_active(open_dock: Any, qtbot: Any) -> None:
    """A layer's own keys win over the viewer's: with each kind of layer active every key of the review works."""
    viewer, _, dock = detected_review(open_dock, qtbot)
    viewer.add_labels(viewer.layers["field"].data[..., 0] // 64, name="labels", opacity=0.1)
    viewer.add_shapes(name="shapes")
    viewer.add_vectors(name="vectors")
    queue = dock.reviewing.queue
    strike(dock, "mitosis", qtbot)
    for name in ("field", "field: detections", "field: annotations", "labels", "shapes", "vectors"):
        viewer.layers.selection.active = viewer.layers[name]
        before = queue.present
        strike(dock, "mimic", qtbot)
        assert queue.notes["state"].iloc[before] == "mimic", name
        strike(dock, "undo", qtbot)
        assert queue.notes["state"].iloc[before] == "undecided", name
        strike(dock, "skip", qtbot)
        assert queue.notes["state"].iloc[before] == "skipped", name
        strike(dock, "back", qtbot)
        assert queue.present == before, name
        strike(dock, "next", qtbot)


def test_a_name_can_be_typed(open_dock: Any, qtbot: Any) -> None:
    _, _, dock = detected_review(open_dock, qtbot)
    reader = dock.panel.reader
    reader.setFocus()
    reader.clear()
    qtbot.keyClicks(reader, "Gwen")
    qtbot.keyClick(reader, Qt.Key.Key_Return)
    assert dock.desk.reader == "Gwen"
    assert states(dock).count("undecided") == 12
    qtbot.waitUntil(lambda: dock.desk.current is not None, timeout=10_000)
    strike(dock, "mitosis", qtbot, where=dock)
    assert states(dock)[0] == "mitosis"
