"""The steps of the panel in napari's menu."""

from collections.abc import Callable

import napari
from qtpy.QtWidgets import QMenu, QWidget

from .panel import Panel

MENU_NAME = "mitosis_steps"


def add_menu(viewer: napari.Viewer, panel: Panel, open_step: Callable[[napari.Viewer, str], QWidget]) -> QMenu:
    """Add the steps to the Plugins menu, once; the step in front is checked."""
    plugins: QMenu = viewer.window.plugins_menu
    known: QMenu | None = plugins.findChild(QMenu, MENU_NAME)
    if known is not None:
        return known
    menu = QMenu("Mitosis steps", plugins)  # napari has a "Mitosis" there: the panel and the whole slide
    menu.setObjectName(MENU_NAME)
    menu.setToolTipsVisible(True)
    for name, action in panel.actions_by_step.items():
        menu.addAction(action)
        action.triggered.connect(lambda _checked, name=name: open_step(viewer, name))
    plugins.addSeparator()
    plugins.addMenu(menu)
    return menu
