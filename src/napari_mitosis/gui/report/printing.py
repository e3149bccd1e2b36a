"""A page as PDF by Qt's own printing."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QMarginsF, QSizeF
from qtpy.QtGui import QPageLayout, QPageSize, QPdfWriter, QTextDocument

from ...errors import MitosisError

PAPERS = {"A4": QPageSize.PageSizeId.A4, "Letter": QPageSize.PageSizeId.Letter}
_MARGIN_MM = 12.0
_DPI = 96


def print_pdf(page: str, path: Path, paper: str = "A4") -> None:
    """Print a page of the report to a PDF file.

    Parameters
    ----------
    page : str
        HTML.
    path : Path
    paper : {"A4", "Letter"}

    Raises
    ------
    MitosisError
        When the file cannot be written.
    """
    try:
        path.open("ab").close()
    except OSError as error:
        raise MitosisError(f"{path}: the PDF cannot be written ({error.strerror}).") from error
    writer = QPdfWriter(str(path))
    writer.setPageSize(QPageSize(PAPERS[paper]))
    writer.setPageMargins(QMarginsF(_MARGIN_MM, _MARGIN_MM, _MARGIN_MM, _MARGIN_MM), QPageLayout.Unit.Millimeter)
    writer.setResolution(_DPI)
    writer.setCreator("napari-mitosis")
    document = QTextDocument()
    document.setHtml(page)
    layout = writer.pageLayout().paintRectPixels(_DPI)
    document.setPageSize(QSizeF(layout.width(), layout.height()))
    document.print(writer)
