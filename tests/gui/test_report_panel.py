"""The Report step in a real window: the count follows decisions, areas and hotspots are drawn, files are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_mitosis.annotations.exchange import FieldFacts, read_annotations
from napari_mitosis.gui.report.panel import ReportPanel
from napari_mitosis.gui.report.printing import print_pdf
from napari_mitosis.measures.grade import WHO

from .conftest import camera_of, press, settle


@pytest.fixture
def report_panel(detected: Any, qtbot: Any, tmp_path: Path) -> Any:
    """A Report step beside a detected field, whose files go into the test's own folder."""
    viewer, dock = detected
    panel = ReportPanel(dock.desk, lambda parent, title, start, kinds: str(tmp_path / start))
    qtbot.addWidget(panel)
    panel.show()
    qtbot.waitUntil(lambda: dock.desk.current is not None, timeout=20_000)
    settle(qtbot, dock)
    yield viewer, dock, panel
    panel.shutdown()


def test_the_count_follows_what_the_reader_does(report_panel: Any, qtbot: Any) -> None:
    viewer, dock, panel = report_panel
    pending = len(dock.session.current.result.detections)
    assert pending > 0
    assert f"{pending} pending" in panel.numbers.what.text()
    assert panel.numbers.matters.isEnabled()
    press(panel.numbers.matters, qtbot)
    changes = panel.live.changes(dock.session.active, False)
    place = panel.live.of(dock.session.active).pending_yx_px[changes.argmax()]
    assert camera_of(viewer).center[-2:] == pytest.approx(place * 0.25)
    first = dock.session.current.result.detections.iloc[0]
    dock.desk.current.accept(first["y_px"], first["x_px"], source="darkness@1.0.0", score=first["score"])
    assert panel.numbers.count.text() == "1"
    assert f"{pending - 1} pending" in panel.numbers.what.text()
    assert "mm²" in panel.numbers.density.text()
    assert "Score" in panel.numbers.score.text()
    panel.numbers.convention.setCurrentIndex(panel.numbers.convention.findText(WHO.title))
    assert panel.live.convention is WHO
    dock.session.set_rule(dock.session.active, min_score=0.99)
    assert "0 pending" in panel.numbers.what.text()
    assert not panel.numbers.matters.isEnabled()
    dock.desk.current.undo()
    assert panel.numbers.count.text() == "0"


def test_outline_tissue_and_hotspot(report_panel: Any, qtbot: Any) -> None:
    viewer, dock, panel = report_panel
    book = dock.desk.current
    book.add(60, 80)
    book.add(200, 200)
    press(panel.area.draw, qtbot)
    layer = viewer.layers.selection.active
    layer.add_polygons([np.array([[20, 20], [20, 150], [120, 150], [120, 20]])])
    press(panel.area.use, qtbot)
    assert book.marks.area
    assert panel.numbers.count.text() == "1"
    assert "an outline" in panel.area.what.text()
    panel.hotspot_box.area.setValue(0.001)
    panel.hotspot_box.wanted.emit(0.0002, "circle")
    qtbot.waitUntil(lambda: "Hotspot: 1 mitosis" in panel.message.text(), timeout=20_000)
    (hotspot,) = [one for one in viewer.layers if one.name.endswith(": hotspot")]
    corners = hotspot.data[0]
    assert (corners >= [19.9, 19.9]).all()
    assert (corners <= [120.1, 150.1]).all()
    press(panel.area.tissue, qtbot)
    qtbot.waitUntil(lambda: any(one.name.endswith(": tissue") for one in viewer.layers), timeout=20_000)
    (mask,) = [one for one in viewer.layers if one.name.endswith(": tissue")]
    mask.data = np.ones_like(mask.data)
    viewer.layers.selection.active = mask
    press(panel.area.use, qtbot)
    assert "its tissue" in panel.area.what.text()
    assert panel.numbers.count.text() == "2"
    press(panel.area.whole, qtbot)
    assert "the whole field" in panel.area.what.text()


def test_case_export_and_report(report_panel: Any, qtbot: Any, tmp_path: Path) -> None:
    _, dock, panel = report_panel
    book = dock.desk.current
    book.add(60, 80)
    panel.case_box.new.setText("Case 7")
    press(panel.case_box.add, qtbot)
    qtbot.waitUntil(lambda: panel.case_box.table.rowCount() == 1, timeout=20_000)
    assert book.marks.case == "Case 7"
    assert panel.case_box.table.item(0, 1).text() == "judged"
    qtbot.waitUntil(lambda: not panel.case_box.without_picture(), timeout=20_000)
    panel.case_box.this_case.setChecked(True)
    assert panel.numbers.count.text() == "1"
    settle(qtbot, dock)
    panel.out_box.formats.setCurrentIndex(panel.out_box.formats.findData("geojson"))
    press(panel.out_box.export, qtbot)
    qtbot.waitUntil(lambda: "1 figures written" in panel.message.text(), timeout=20_000)
    assert len(read_annotations(tmp_path / "field.geojson", FieldFacts.of(book.field))) == 1
    settle(qtbot, dock)
    press(panel.out_box.html, qtbot)
    qtbot.waitUntil(lambda: "report.html" in panel.message.text(), timeout=20_000)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Case 7" in page
    for paper, width in (("A4", 595), ("Letter", 612)):
        path = tmp_path / f"{paper}.pdf"
        print_pdf(page, path, paper)
        content = path.read_bytes()
        assert content.startswith(b"%PDF")
        assert f"/MediaBox [0 0 {width}".encode() in content


def test_import_refuses_a_bad_file_and_can_leave_its_bad_rows_out(
    report_panel: Any, qtbot: Any, tmp_path: Path
) -> None:
    _, dock, panel = report_panel
    path = tmp_path / "marks.csv"
    path.write_text("y_px,x_px,label\n60,80,mitosis\n9000,1,mitosis\n20,20,cell\n30,30,mimic\n")
    panel._pick = lambda _parent: str(path)
    settle(qtbot, dock)
    press(panel.out_box.take_in, qtbot)
    qtbot.waitUntil(lambda: "none of mitosis" in panel.message.text(), timeout=20_000)
    assert dock.desk.current.figures.empty
    settle(qtbot, dock)
    panel.out_box.lenient.setChecked(True)
    press(panel.out_box.take_in, qtbot)
    qtbot.waitUntil(lambda: "2 figures added from marks.csv" in panel.message.text(), timeout=20_000)
    assert "2 left out: 1 of an unknown label, 1 outside of the field." in panel.message.text()
    assert panel.numbers.count.text() == "1"
    dock.desk.current.undo()  # one step
    assert dock.desk.current.figures.empty


def test_the_case_lists_its_fields_with_pictures_and_states(report_panel: Any, qtbot: Any, tmp_path: Path) -> None:
    viewer, dock, panel = report_panel
    path = tmp_path / "two.png"
    Image.fromarray(np.full((40, 60, 3), (200, 60, 90), np.uint8)).save(path, dpi=(25_400 / 0.25, 25_400 / 0.25))
    viewer.open(str(path), plugin="napari-mitosis")
    qtbot.waitUntil(lambda: len(list(dock.session)) == 2 and dock.desk.current is not None, timeout=20_000)
    settle(qtbot, dock)
    panel.case_box.new.setText("Case 8")
    press(panel.case_box.add_open, qtbot)
    table = panel.case_box.table
    qtbot.waitUntil(lambda: table.rowCount() == 2 and not panel.case_box.without_picture(), timeout=20_000)
    rows = {table.item(row, 0).text(): row for row in range(2)}
    states = {name: table.item(row, 1).text() for name, row in rows.items()}
    assert states == {"field": "detected", "two": "open"}
    colour = table.item(rows["two"], 0).icon().pixmap(56, 56).toImage().pixelColor(28, 18)
    seen = (colour.red(), colour.green(), colour.blue())
    assert seen == pytest.approx((200, 60, 90), abs=12)  # its own tissue, but for what the theme makes of an icon
    panel.case_box.field_chosen.emit(panel._found.case.fields[rows["field"]].digest)
    qtbot.waitUntil(lambda: dock.session.current.field.name == "field", timeout=10_000)
    qtbot.waitUntil(lambda: dock.desk.current is not None, timeout=10_000)
    dock.desk.current.add(60, 80)
    dock.desk.current.set_complete(True)
    qtbot.waitUntil(lambda: table.item(rows["field"], 1).text() == "complete", timeout=20_000)


def test_of_a_field_that_is_read_blind_nothing_is_given_away(report_panel: Any, qtbot: Any) -> None:
    _, dock, panel = report_panel
    key = dock.session.active
    dock.desk.blind.start(key, "ann", "2026-01-01T00:00:00+00:00", dock.desk.current.figures)
    panel.refresh()
    assert "0 pending" in panel.numbers.what.text()
