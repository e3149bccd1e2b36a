"""The panel as napari docks it: closing the dock hides the panel, and nothing of it is lost."""

from functools import partial

import napari
from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from .menu import add_menu
from .panel import Panel, panel_of


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
        add_menu(viewer, self.panel)

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
