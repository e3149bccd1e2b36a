"""A step of the reader as a page: what all of them have in common."""

from __future__ import annotations

import napari
from qtpy.QtWidgets import QWidget

from ..session import Session
from .desk import Desk, desk_of


class Page(QWidget):
    """One step. It shares the desk of its viewer, and ends with it: hiding a page ends nothing.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session, optional
        For the desk, where the viewer has none yet.

    Attributes
    ----------
    desk : Desk
    """

    def __init__(self, viewer: napari.Viewer, session: Session | None = None) -> None:
        super().__init__()
        self.viewer = viewer
        self.desk: Desk = desk_of(viewer, session)
        self.desk.closed.connect(self.shutdown)

    def shutdown(self) -> None:
        """Let go of the viewer; called once, when its window goes."""
