"""The report on paper by Qt: no row of a table is split over two pages, on A4 and on Letter."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from PIL import Image
from qtpy.QtCore import QSizeF
from qtpy.QtGui import QTextDocument

from napari_mitosis.cases.report import rendered
from napari_mitosis.gui.report.printing import laid_out, tables_of

PAPERS = {"A4": (703, 1032), "Letter": (726, 966)}
ROWS = 40


def page() -> str:
    """A page of the report with many figures, each with its picture."""
    buffer = io.BytesIO()
    Image.new("RGB", (120, 120), (150, 60, 120)).save(buffer, format="JPEG")
    picture = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    figure = {"field": "field", "x": "10", "y": "20", "phase": "metaphase", "source": "by hand", "score": "0.90"}
    figure |= {"reader": "ann", "time": "2026-01-01 12:00 UTC", "picture": picture}
    field = {
        "name": "field",
        "digest": "0" * 64,
        "state": "judged",
        "count": ROWS,
        "mm2": "0.066",
        "area": "whole field",
    }
    field |= {"mpp": "0.25, its file", "model": "none", "rule": "", "picture": ""}
    waiting = [{"field": "field", "x": "1", "y": "2", "probability": "0.50", "change": "0.100"}] * 30
    words = dict.fromkeys(
        ("words", "per_10_hpf", "convention_source", "judged", "hotspot", "pending_words"), "A sentence."
    )
    numbers = {"accepted": ROWS, "density": "1.0", "interval": "0 to 2", "area": "0.066", "score": 3, "limits": "1, 2"}
    figures = [{**figure, "number": number} for number in range(1, ROWS + 1)]
    made = {"case": "Case 7", "fields": [field], "figures": figures, "pending": waiting, "warnings": ["A warning."]}
    how = {"convention": "Nottingham", "sha256": "0" * 64, "software": "napari-mitosis", "printed": "2026-01-01"}
    return rendered({**words, **numbers, **made, **how})


def pages_of_row(document: QTextDocument, table: Any, row: int, height: float) -> set[int]:
    """On which pages the lines of a row lie; a picture is a line, which Qt moves where it finds no room for it."""
    layout, pages = document.documentLayout(), set()
    for column in range(table.columns()):
        block = table.cellAt(row, column).firstCursorPosition().block()
        top = layout.blockBoundingRect(block).top()
        for at in range(block.layout().lineCount()):
            line = block.layout().lineAt(at)
            first = top + line.y()
            pages |= {int(first // height), int((first + line.height() - 0.5) // height)}
    return pages


@pytest.mark.parametrize("paper", PAPERS)
def test_no_row_is_split_over_two_pages(paper: str, qapp: Any) -> None:
    width, height = PAPERS[paper]
    document = laid_out(page(), width, height)
    assert document.pageCount() >= 4
    tables = tables_of(document)
    assert [table.rows() for table in tables[1:4]] == [2, ROWS + 1, 31]
    for table in tables:
        for row in range(table.rows()):
            assert len(pages_of_row(document, table, row, height)) == 1, f"row {row}"
    block, layout = document.begin(), document.documentLayout()
    while block.isValid():  # nothing between the tables is lost
        assert not block.text().strip() or layout.blockBoundingRect(block).height() > 8, block.text()
        block = block.next()


def test_left_to_itself_qt_splits_rows(qapp: Any) -> None:
    """What the test above looks for can happen: at some height of the paper it does."""
    document = QTextDocument()
    document.setHtml(page())
    split = 0
    for height in range(900, 990, 15):
        document.setPageSize(QSizeF(724, height))
        rows = [(table, row) for table in tables_of(document) for row in range(table.rows())]
        split += max(len(pages_of_row(document, table, row, height)) for table, row in rows) == 2
    assert split > 0
