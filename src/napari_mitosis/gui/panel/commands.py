"""What the manifest names: each opens the panel at one step, and opening one opens no second dock."""

import napari

from .dock import open_step


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
