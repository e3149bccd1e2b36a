"""The panel in napari's menu: its steps are entries there, and opening one opens no second dock."""

from typing import Any

import napari
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QDockWidget, QMenu, QWidget

from .panel import Panel

PLUGIN = "napari-mitosis"
WIDGET = "Mitosis panel"
DOCK_NAME = f"{WIDGET} (Mitosis)"
"""napari's own name for the dock of this contribution: its menu entry then finds it."""

MENU_NAME = "mitosis_steps"


def open_step(viewer: napari.Viewer, name: str) -> QWidget:
    """Bring a step to the front; the panel is docked first where it is not. Returns the step's page."""
    panel = open_panel(viewer)
    return panel.show_step(name)


def open_panel(viewer: napari.Viewer) -> Panel:
    """Bring the panel to the front, docked on the right where it is not docked yet."""
    from .dock import PanelDock

    holder: Any = viewer.window.dock_widgets.get(DOCK_NAME)
    if holder is None:
        holder = PanelDock(viewer)
        viewer.window.add_dock_widget(holder, name=DOCK_NAME, area="right", add_vertical_stretch=False)
    panel: Panel = holder.panel
    raise_dock(holder)
    return panel


def raise_dock(widget: QWidget) -> None:
    """Bring the dock that holds a widget to the front."""
    holder: QObject | None = widget
    while holder is not None and not isinstance(holder, QDockWidget):
        holder = holder.parent()
    if holder is not None:
        holder.show()
        holder.raise_()


def add_menu(viewer: napari.Viewer, panel: Panel) -> QMenu:
    """Add the steps to the Plugins menu, once; the step in front is checked."""
    plugins: QMenu = viewer.window.plugins_menu
    known: QMenu | None = plugins.findChild(QMenu, MENU_NAME)
    if known is not None:
        return known
    menu = QMenu("Mitosis", plugins)
    menu.setObjectName(MENU_NAME)
    menu.setToolTipsVisible(True)
    for name, action in panel.actions_by_step.items():
        menu.addAction(action)
        action.triggered.connect(lambda _checked, name=name: open_step(viewer, name))
    plugins.addSeparator()
    plugins.addMenu(menu)
    return menu


# What the manifest names: each opens the panel at one step.


def fields(viewer: napari.Viewer) -> None:
    """Open the panel at its list of fields."""
    open_step(viewer, "Fields")


def detect(viewer: napari.Viewer) -> None:
    """Open the panel where a network looks."""
    open_step(viewer, "Detect")


def review(viewer: napari.Viewer) -> None:
    """Open the panel where candidates are judged."""
    open_step(viewer, "Review")


def report(viewer: napari.Viewer) -> None:
    """Open the panel where the case is counted."""
    open_step(viewer, "Report")


def train(viewer: napari.Viewer) -> None:
    """Open the panel where a model learns."""
    open_step(viewer, "Train")


def compare(viewer: napari.Viewer) -> None:
    """Open the panel where models are compared."""
    open_step(viewer, "Compare")
