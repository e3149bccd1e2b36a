"""Write the tables of `conventions.md` and the example `report-example.html`.

    python docs/conventions.py

The tables are made by the functions that score, the page from the sample fields with a fixed time. Another run gives
the same but for the hash of the annotations: figures have new ids.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import pandas as pd

from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.store import Journal
from napari_mitosis.cases.case import add_to_case, read_case
from napari_mitosis.cases.report import ReportOptions, report, write_page
from napari_mitosis.fields.field import open_field
from napari_mitosis.jobs import run
from napari_mitosis.measures.grade import CONVENTIONS, NOTTINGHAM, field_area_mm2, field_table

DOCS = Path(__file__).resolve().parent
SAMPLES = Path(str(files("napari_mitosis"))) / "sample_data"
MOMENT = datetime(2026, 1, 1, 12, tzinfo=UTC)


def convention_rows() -> str:
    """A row for each convention."""
    lines = ["| `--convention` | title | 2 from | 3 from | in | source |", "|---|---|---|---|---|---|"]
    for one in CONVENTIONS.values():
        limits = [
            f"{'more than ' if above else ''}{limit:g}" for limit, above in zip(one.from_counts, one.above, strict=True)
        ]
        lines.append(f"| `{one.name}` | {one.title} | {' | '.join(limits)} | {one.area_mm2:g} mm² | {one.source} |")
    return "\n".join(lines)


def diameter_rows() -> str:
    """All field diameters of the Nottingham table."""
    lines = ["| diameter, mm | area of 10 fields, mm² | score 1 | score 2 | score 3 |", "|---|---|---|---|---|"]
    for diameter, last, third in field_table(NOTTINGHAM):
        middle = f"{last + 1}-{third - 1}" if last + 1 < third - 1 else f"{last + 1}"
        lines.append(f"| {diameter:.2f} | {field_area_mm2(diameter, 10):.3f} | 0-{last} | {middle} | {third} or more |")
    return "\n".join(lines)


def example_page() -> str:
    """The report of a case of three sample fields, whose own annotations stand for a reader's."""
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "journal.sqlite") as journal:
        moments = (MOMENT + timedelta(seconds=at) for at in range(10_000))
        for name in ("hotspot", "mimics", "quiet"):
            image = Path(shutil.copy(SAMPLES / f"{name}.tif", folder))
            field = open_field(image)
            add_to_case(journal, "Example: three drawn fields", [field], "reader")
            book = Notebook(journal, field, "reader", lambda: next(moments))
            book.add_all(pd.read_csv(SAMPLES / f"{name}.csv"))
            book.set_complete(True)
        case = read_case(journal, "Example: three drawn fields")
        return run(report(journal, case, MOMENT, ReportOptions(hotspot_mm2=0.01)))


def main() -> None:
    page = DOCS / "conventions.md"
    text = page.read_text(encoding="utf-8")
    for name, rows in (("conventions", convention_rows()), ("diameters", diameter_rows())):
        marks = f"<!-- {name} -->", f"<!-- end of {name} -->"
        text = re.sub(f"{marks[0]}.*?{marks[1]}", f"{marks[0]}\n{rows}\n{marks[1]}", text, flags=re.DOTALL)
    page.write_text(text, encoding="utf-8")
    write_page(DOCS / "report-example.html", example_page())


if __name__ == "__main__":
    main()
