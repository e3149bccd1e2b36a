"""The report of a case: what is on the page, that nothing private is, and that a browser prints it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.store import Journal
from napari_mitosis.cases.areas import Area
from napari_mitosis.cases.case import Case, CaseField, add_to_case, read_case
from napari_mitosis.cases.count import Counted
from napari_mitosis.cases.live import Waiting
from napari_mitosis.cases.pending import pending_of_case
from napari_mitosis.cases.places import case_hotspot
from napari_mitosis.cases.report import ReportOptions, rendered, report, template_text
from napari_mitosis.cli.app import app
from napari_mitosis.errors import MitosisError
from napari_mitosis.fields.field import Field, open_field
from napari_mitosis.inference.pipeline import Pipeline, load_pipeline
from napari_mitosis.jobs import Job, run
from napari_mitosis.measures.grade import WHO

SAMPLES = Path(str(files("napari_mitosis"))) / "sample_data"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAME = "Pat <b>7</b> & Söhne"


@pytest.fixture(scope="module")
def case_journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal with a case of three sample fields, annotated by their own tables."""
    folder = tmp_path_factory.mktemp("case")
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_STATE_HOME", str(folder / "state"))
    journal = Journal(folder / "journal.sqlite")
    moments = iter(NOON + timedelta(seconds=at) for at in range(10_000))
    for name in ("hotspot", "mimics", "quiet"):
        shutil.copy(SAMPLES / f"{name}.tif", folder)
        field = open_field(folder / f"{name}.tif")
        add_to_case(journal, NAME, [field], "ann")
        book = Notebook(journal, field, "Žofie", lambda: next(moments))
        truth = pd.read_csv(SAMPLES / f"{name}.csv")
        book.add_all(truth[["y_px", "x_px", "label"]])
        if name == "hotspot":
            book.set_complete(True)
            book.note("area", Area.outline([[20, 20], [20, 500], [480, 480], [500, 20]]).text())
    journal.close()
    patch.undo()
    return folder / "journal.sqlite"


def page_of(journal: Path, printed: datetime = NOON, options: ReportOptions | None = None) -> str:
    with Journal(journal) as opened:
        return run(report(opened, read_case(opened, NAME), printed, options))


def test_the_page_holds_what_a_report_needs_and_nothing_private(case_journal: Path) -> None:
    options = ReportOptions(WHO, hotspot_mm2=0.005)
    page = page_of(case_journal, options=options)
    assert "Pat &lt;b&gt;7&lt;/b&gt; &amp; Söhne" in page
    assert "<b>7</b>" not in page
    for text in ("Research use only", "Žofie", "hotspot", "per mm²", "Poisson", "um/px", WHO.source, "napari-mitosis "):
        assert text in page
    text = re.sub(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+", "", page)
    assert str(case_journal.parent) not in text
    assert not re.search(r"(src|href)=\"(?!data:)[^\"]+\"", page)
    with Journal(case_journal) as journal:
        case = read_case(journal, NAME)
    counted = [Counted.of(field) for field in case.fields]
    inside = sum(int((one.area.holds(one.yx_px, one.shape) & (one.labels == "mitosis")).sum()) for one in counted)
    assert inside > 0
    assert len(re.findall(r'alt="figure \d+"', page)) == inside
    assert f'<span class="large">{inside}</span>' in page
    place = case_hotspot(counted, 0.005)
    assert place is not None
    assert f"circle): {place.count} mitos" in page


def test_what_waits_is_on_the_page_with_its_probability(case_journal: Path) -> None:
    with Journal(case_journal) as journal:
        case = read_case(journal, NAME)
        places = np.array([[100.0, 100.0], [200.0, 200.0], [5.0, 5.0]])  # the last one lies outside of the outline
        waiting = {case.fields[0].digest: Waiting(np.arange(3), places, np.array([0.25, 0.75, 0.9]))}
        assert case.fields[0].area.kind == "outline"
        page = run(report(journal, case, NOON, ReportOptions(WHO), waiting))
    assert "wait to be judged in the areas that count: 2." in page
    rows = re.findall(r"<td>x (\d+), y \d+ px</td><td class=\"number\">([\d.]+)</td>", page)
    assert sorted(rows) == [("100", "0.25"), ("200", "0.75")]
    assert "were not looked for" not in page
    assert "were not looked for" in page_of(case_journal)


def test_detectors_look_again_by_the_rule_of_the_journal(
    model_folder: Path, write_field: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    field = open_field(write_field("a.png", [(60, 60), (150, 200)]))
    pipeline = load_pipeline("segmitos@0.0.1", model_folder)
    detections = run(predicted(pipeline, field))
    assert len(detections) > 1
    with Journal(tmp_path / "j.sqlite") as journal:
        add_to_case(journal, "c", [field], "ann")
        book = Notebook(journal, field, "ann")
        first = detections.iloc[0]
        for rule, left in ((pipeline.rule, len(detections) - 1), (replace(pipeline.rule, min_score=1.0), 0)):
            book.set_context("segmitos@0.0.1", rule)
            book.accept(first["y_px"], first["x_px"], source="segmitos@0.0.1", score=0.5)
            case = read_case(journal, "c")
            job = pending_of_case(case.fields, {field.digest: field}, device="cpu", folder=model_folder)
            waiting, models = run(job)
            assert len(waiting[field.digest].probability) == left
            assert models == {field.digest: "segmitos@0.0.1"}
        fresh = replace_fields(case)
        with pytest.raises(MitosisError, match="Name one"):
            run(pending_of_case(fresh, {field.digest: field}))


def predicted(pipeline: Pipeline, field: Field) -> Job[pd.DataFrame]:
    evidence = yield from pipeline.look(field, device="cpu")
    return pipeline.decide(evidence)


def replace_fields(case: Case) -> list[CaseField]:
    """The same fields, annotated without a detector."""
    return [replace(one, model="", rule="") for one in case.fields]


def test_the_same_journal_gives_the_same_bytes_but_for_the_time(case_journal: Path) -> None:
    later = NOON + timedelta(days=400)
    first, again, another = page_of(case_journal), page_of(case_journal), page_of(case_journal, later)
    assert first == again
    different = [(a, b) for a, b in zip(first.splitlines(), another.splitlines(), strict=True) if a != b]
    printed = "<tr><th>Printed</th><td>{} 12:00:00 UTC</td></tr>"
    assert different == [(printed.format("2026-03-01"), printed.format("2027-04-05"))]


def test_fields_that_are_gone_are_counted_and_named(case_journal: Path, tmp_path: Path) -> None:
    moved = tmp_path / "journal.sqlite"
    shutil.copy(case_journal, moved)
    gone = case_journal.parent / "quiet.tif"
    gone.rename(tmp_path / "away.tif")
    try:
        assert "quiet is counted, but not shown" in page_of(moved)
    finally:
        (tmp_path / "away.tif").rename(gone)


def test_a_laboratory_brings_its_own_template(case_journal: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.html"
    own.write_text("<p>{{ accepted }} in {{ case }}</p>")
    assert re.fullmatch(r"<p>\d+ in Pat &lt;b&gt;7.*</p>", page_of(case_journal, options=ReportOptions(template=own)))
    for text, told in (
        ("{{ nothing }}", "'nothing' is undefined"),
        ("{% if %}", "Expected an expression"),
        ("{{ case.__class__.__mro__ }}", "unsafe"),
    ):
        own.write_text(text)
        with pytest.raises(MitosisError, match=told):
            rendered({"case": "x"}, own)
    with pytest.raises(MitosisError, match="cannot be read"):
        rendered({}, tmp_path / "absent.html")


def test_from_the_command_line(case_journal: Path, tmp_path: Path) -> None:
    run_cli = CliRunner().invoke
    where = ["--journal", str(case_journal)]
    listed = run_cli(app, ["case", "list", *where])
    assert listed.exit_code == 0, listed.output
    assert "complete" in listed.output
    out = tmp_path / "page.html"
    done = run_cli(app, ["report", NAME, "--out", str(out), "--convention", "who", *where])
    assert done.exit_code == 0, done.output
    assert out.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert run_cli(app, ["report", "nobody", "--out", str(out), *where]).exit_code == 1
    assert run_cli(app, ["report", NAME, "--convention", "x", *where]).exit_code == 1
    fresh = str(tmp_path / "fresh.sqlite")
    added = run_cli(app, ["case", "add", "new", str(SAMPLES / "quiet.tif"), "--journal", fresh])
    assert "1 of 1 fields added to new" in added.output, added.output
    run_cli(app, ["case", "template", str(tmp_path / "t.html")])
    assert (tmp_path / "t.html").read_text(encoding="utf-8") == template_text()


@pytest.mark.parametrize("paper", ["A4", "Letter"])
def test_a_browser_prints_it(paper: str, case_journal: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium here: 'apt-get install chromium' lets this test print the report")
    page, printed = tmp_path / "page.html", tmp_path / "page.pdf"
    html = page_of(case_journal)
    row = re.search(r'<tr><td class="number">1</td><td class="thumb">.*?</tr>', html, re.DOTALL)
    assert row is not None
    html = html.replace(row[0], row[0] * 40)
    html = html.replace("@page { margin", f"@page {{ size: {paper}; margin")
    page.write_text(html, encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer", "--virtual-time-budget=5000"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [browser, *options, profile, f"--print-to-pdf={printed}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    content = printed.read_bytes()
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) >= 2
    assert content.count(b"/Subtype /Image") + content.count(b"/Subtype/Image") >= 3
    reader = shutil.which("pdftotext")
    if reader is not None:  # a row is on one page: its first line (name of the field) and its second (the place)
        text = subprocess.run([reader, "-layout", str(printed), "-"], check=True, capture_output=True, text=True).stdout
        sheets = text.partition("Counted figures")[2].split("\f")
        counts = [(sheet.count("by hand"), len(re.findall(r"\bx \d+, y \d+ px", sheet))) for sheet in sheets]
        assert sum(first for first, _ in counts) > 40
        assert sum(first > 0 for first, _ in counts) >= 3
        assert all(first == second for first, second in counts)
