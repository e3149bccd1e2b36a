"""Commands that open napari: the bare command, ``open`` and ``demo``."""

from __future__ import annotations

import os
import sys
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import typer

from ..errors import MitosisError
from .console import errors_told, stdout
from .detect import detect_and_tell

INSTALL = 'pip install "napari-mitosis[all]"'
QT_BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")


def why_no_window() -> str | None:
    """Why napari cannot open here, or None where it can."""
    if not _installed("napari"):
        return f"napari is not installed ({INSTALL} brings it)"
    if not any(_installed(name) for name in QT_BINDINGS):
        return f"no Qt is installed ({INSTALL} brings it)"
    x11 = sys.platform.startswith("linux")
    if x11 and not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")):
        return "there is no display"
    return None


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ImportError:
        return False


def show(paths: list[Path], detect: bool, mpp: float | None) -> None:
    """Open napari, or say why not and what works without it; returns when the window is closed."""
    with errors_told():
        reason = why_no_window()
        if reason is not None:
            raise MitosisError(f"napari cannot open: {reason}. Without a window: napari-mitosis detect FILES --out DIR")
        for path in paths:
            if not path.exists():
                raise MitosisError(f"{path}: there is no such file")
        from ..gui.app import launch

        launch(paths, detect=detect, mpp=mpp)


def open_window(
    paths: list[Path] | None = typer.Argument(None, metavar="[FILES]", help="Images to open as fields."),
    detect: bool = typer.Option(False, "--detect", help="Detect in the first field at once."),
    mpp: float | None = typer.Option(None, "--mpp", min=0.01, max=10.0, help="um/px, where the files do not state it."),
) -> None:
    """Open napari with images and the detect dock."""
    show(paths or [], detect, mpp)


def demo(
    out: Path = typer.Option(Path("out"), "--out", help="Folder for the results, where there is no display."),
    headless: bool = typer.Option(False, "--headless", help="Open no window even where there is a display."),
) -> None:
    """Detect mitoses in the sample field: in napari, or without a display into a folder.

    The sample field is a drawing made by a program, not tissue.
    """
    reason = "--headless" if headless else why_no_window()
    with errors_told():
        sample = sample_field()
        if reason is not None:
            console = stdout()
            console.print(f"No window ({reason}): detecting in {sample.name} into {out}", highlight=False, markup=False)
            report = detect_and_tell([sample], "segmitos", out)
            print_detections(out / "detections.csv")
            if report.failed:
                raise typer.Exit(1)
            return
    show([sample], detect=True, mpp=None)


def sample_field() -> Path:
    """The sample field that the demonstration opens.

    Raises
    ------
    MitosisError
        When the installation lacks it.
    """
    folder = Path(str(files("napari_mitosis") / "sample_data"))
    images = sorted(path for path in folder.glob("*") if path.suffix in {".tif", ".png"})
    if not images:
        raise MitosisError(f"this installation has no sample fields; {INSTALL} brings them")
    return images[0]


def print_detections(table: Path) -> None:
    """Print a table of detections."""
    import pandas as pd
    from rich.table import Table

    frame = pd.read_csv(table)
    shown = Table(*frame.columns)
    for row in frame.itertuples(index=False):
        shown.add_row(*(f"{value:.2f}" if isinstance(value, float) else str(value) for value in row))
    stdout().print(shown)
