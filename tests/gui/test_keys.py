"""The dock's keys: none is napari's, each does what its tooltip says."""

from __future__ import annotations

import re
from typing import Any

import pytest
from app_model.types import KeyBinding
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtCore import Qt
from qtpy.QtGui import QAction

from napari_mitosis.gui.keys import KEYS, MEANINGS, pretty

from .conftest import bar, settle


def test_none_of_them_is_naparis() -> None:
    taken = {str(KeyBinding.from_str(str(key))) for keys in default_shortcuts.values() for key in keys}
    assert len(taken) > 40
    mine = {name: str(KeyBinding.from_str(key)) for name, key in KEYS.items()}
    assert not {name for name, key in mine.items() if key in taken}
    assert len(set(mine.values())) == len(mine)
    assert set(KEYS) == set(MEANINGS)


def test_none_of_them_is_in_a_menu_or_on_a_layer(detected: Any) -> None:
    viewer, _ = detected
    window = viewer.window
    menus = set()
    for menu in (window.file_menu, window.view_menu, window.layers_menu, window.window_menu, window.help_menu):
        menu.aboutToShow.emit()
        menus |= {action.shortcut().toString() for action in [*menu.actions(), *menu.findChildren(QAction)]} - {""}
    assert len(menus) > 5
    assert not menus & {pretty(name) for name in KEYS}
    for layer in viewer.layers:
        bound = {str(key) for keymap in (layer.keymap, type(layer).class_keymap) for key in keymap}
        assert not bound & {str(KeyBinding.from_str(key)) for key in KEYS.values()}


QT_KEYS = {",": Qt.Key.Key_Comma, ".": Qt.Key.Key_Period, "9": Qt.Key.Key_9, "0": Qt.Key.Key_0}


def strike(dock: Any, name: str, qtbot: Any) -> None:
    """Press the key of an action in napari's window."""
    letter = KEYS[name].rpartition("-")[2] or "-"
    key = QT_KEYS.get(letter) or getattr(Qt.Key, f"Key_{letter}")
    shift = KEYS[name].startswith("Shift")
    qtbot.keyClick(dock.window(), key, Qt.KeyboardModifier.ShiftModifier if shift else Qt.KeyboardModifier.NoModifier)


def test_each_key_works(detected: Any, detector: Any, qtbot: Any) -> None:
    viewer, dock = detected
    strike(dock, "next", qtbot)
    assert dock.panel.position.text().startswith("1 / 3")
    strike(dock, "next", qtbot)
    strike(dock, "previous", qtbot)
    assert dock.panel.position.text().startswith("1 / 3")
    strike(dock, "score_map", qtbot)
    assert not viewer.layers["field: score map"].visible
    strike(dock, "detections", qtbot)
    assert not viewer.layers["field: detections"].visible
    strike(dock, "labels", qtbot)
    assert viewer.layers["field: concentric labels"].visible
    for name, slider, change in (
        ("more", dock.panel.rule.sensitivity, 0.05),
        ("less", dock.panel.rule.sensitivity, -0.05),
        ("area_up", dock.panel.rule.area, 1.0),
        ("area_down", dock.panel.rule.area, -1.0),
    ):
        before = slider.value()
        strike(dock, name, qtbot)
        assert slider.value() == pytest.approx(before + change), name
    settle(qtbot, dock)
    strike(dock, "run", qtbot)
    qtbot.waitUntil(lambda: detector.looks == 2)
    strike(dock, "cancel", qtbot)
    qtbot.waitUntil(lambda: not dock.running)


def test_keys_are_told_in_tooltips_and_help(detected: Any) -> None:
    _, dock = detected
    panel = dock.panel
    told = " ".join(
        widget.toolTip()
        for widget in (
            panel.run_panel.run, panel.next, panel.previous, *panel.toggles.values(),
            panel.rule.sensitivity, panel.rule.area,
        )
    )  # fmt: skip
    elsewhere = {"cancel", "next_field", "previous_field", "bare", "fit", "view_10x", "view_20x", "view_40x"}
    told += bar(dock).grid.toolTip() + bar(dock).line.toolTip()
    for name in set(KEYS) - elsewhere:
        assert pretty(name) in told, name
    page = panel.help.toolTip()
    assert all(pretty(name) in page for name in KEYS)
    assert len(re.findall("<tr>", page)) == len(KEYS)
