"""A page as PDF by Qt's own printing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qtpy.QtCore import QMarginsF, QSizeF
from qtpy.QtGui import QPageLayout, QPageSize, QPdfWriter, QTextBlock, QTextCursor, QTextDocument, QTextTable

from ...errors import MitosisError

PAPERS = {"A4": QPageSize.PageSizeId.A4, "Letter": QPageSize.PageSizeId.Letter}
_MARGIN_MM = 12.0
_DPI = 96
_PADDING_PX = 4


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
    area = writer.pageLayout().paintRectPixels(_DPI)
    laid_out(page, area.width(), area.height()).print(writer)


def laid_out(page: str, width_px: int, height_px: int) -> QTextDocument:
    """A page of the report as pages of paper of a size; no row of a table is split over two of them."""
    document = QTextDocument()
    document.setHtml(page)
    with _as_one(document):
        for table in tables_of(document):
            _pad(table)
    document.setPageSize(QSizeF(width_px, height_px))
    for table in tables_of(document):
        for row in range(table.rows()):
            top, bottom = extent(document, table, row)
            left = height_px - document.documentMargin() - top % height_px
            needs = bottom - top + 2 * _PADDING_PX
            if left < needs < height_px / 2:
                # Qt breaks a row cell by cell: its text would stay, and its picture go. Pushed so far down, all goes.
                with _as_one(document):
                    _push(table, row, left - 2 * _PADDING_PX)
    # What stands between two changed tables can be left without height: everything once more.
    document.markContentsDirty(0, document.characterCount())
    return document


def tables_of(document: QTextDocument) -> list[QTextTable]:
    """All tables of a document, as they follow one another."""
    root = document.rootFrame()
    return [frame for frame in (root.childFrames() if root is not None else []) if isinstance(frame, QTextTable)]


def extent(document: QTextDocument, table: QTextTable, row: int) -> tuple[float, float]:
    """Where the content of a row begins and ends, in pixels from the top of the first page."""
    layout = document.documentLayout()
    assert layout is not None
    rectangles = [layout.blockBoundingRect(block) for block in _blocks(table, row)]
    return min(one.top() for one in rectangles), max(one.bottom() for one in rectangles)


def _blocks(table: QTextTable, row: int) -> list[QTextBlock]:
    cells = [table.cellAt(row, column) for column in range(table.columns())]
    return [cursor.block() for cell in cells for cursor in (cell.firstCursorPosition(), cell.lastCursorPosition())]


@contextmanager
def _as_one(document: QTextDocument) -> Iterator[None]:
    """Many changes, after which Qt lays the document out once, not after each."""
    cursor = QTextCursor(document)
    cursor.beginEditBlock()
    yield
    cursor.endEditBlock()


def _pad(table: QTextTable) -> None:
    """Qt knows no millimetres in style sheets: without this texts of neighbours touch."""
    for row in range(table.rows()):
        for column in range(table.columns()):
            cell = table.cellAt(row, column)
            look = cell.format().toTableCellFormat()
            look.setPadding(_PADDING_PX)
            cell.setFormat(look)


def _push(table: QTextTable, row: int, by_px: float) -> None:
    """Put a row on the next page, by room below the one before; below a heading, which is repeated, above itself."""
    first = row <= table.format().toTableFormat().headerRowCount()
    for column in range(table.columns()):
        cell = table.cellAt(row if first else row - 1, column)
        look = cell.format().toTableCellFormat()
        if first:
            look.setTopPadding(look.topPadding() + by_px)
        else:
            look.setBottomPadding(look.bottomPadding() + by_px)
        cell.setFormat(look)
