"""The panel as napari docks it: closing the dock hides the panel, and nothing of it is lost."""

from functools import partial
from typing import Any

import napari
from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QDockWidget, QVBoxLayout, QWidget

from .menu import add_menu
from .panel import Panel, panel_of

PLUGIN = "napari-mitosis"
WIDGET = "Mitosis panel"
DOCK_NAME = f"{WIDGET} (Mitosis)"
"""napari's own name for the dock of this contribution: its menu entry then finds it."""


class PanelDock(QWidget):
    """Shows the one panel of a viewer. napari makes it, and deletes it at a click of the x; the panel stays.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        super().__init__()
        self.panel: Panel = panel_of(viewer)
        self._was_docked = False
        before = self.panel.parent()
        if isinstance(before, PanelDock):  # napari knows a dock by two names; there is one panel
            QTimer.singleShot(0, partial(_remove, viewer, before))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.panel)
        self.panel.show()
        add_menu(viewer, self.panel, open_step)

    def event(self, event: QEvent | None) -> bool:
        """Notice that napari takes this out of its window: the panel goes back to the window, hidden."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self._was_docked and self.parent() is None and self._holds():
                self.panel.hide()
                self.panel.setParent(self.panel.desk.window)
            self._was_docked = self.parent() is not None
        done: bool = super().event(event)
        return done

    def _holds(self) -> bool:
        panel, window = self.panel, self.panel.desk.window
        alive = bool(isalive(panel)) and bool(isalive(window))  # type: ignore[no-untyped-call]
        return alive and panel.parent() is self


def _remove(viewer: napari.Viewer, dock: PanelDock) -> None:
    """Take away a dock whose panel has gone to another one."""
    if dock in viewer.window.dock_widgets.values():
        viewer.window.remove_dock_widget(dock)


def open_step(viewer: napari.Viewer, name: str) -> QWidget:
    """Bring a step to the front; the panel is docked first where it is not. Returns the step's page."""
    panel = open_panel(viewer)
    return panel.show_step(name)


def open_panel(viewer: napari.Viewer) -> Panel:
    """Bring the panel to the front, docked on the right where it is not docked yet."""
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
