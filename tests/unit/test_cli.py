"""The command line, as a user types it: what it prints, what it writes, what it answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from napari_mitosis import __version__
from napari_mitosis.cli import app, window

Write = Callable[..., Path]
DISCS = [(60, 70), (180, 250)]


def call(*arguments: object, code: int = 0) -> str:
    """Run a command in this process; everything that it printed, in one line without breaks."""
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
    return " ".join(done.output.split())


def test_version_and_help() -> None:
    assert call("--version") == f"napari-mitosis {__version__}"
    shown = call("--help")
    for command in ("open", "demo", "detect", "evaluate", "models", "datasets", "train"):
        assert command in shown
        assert "Usage" in call(command, "--help")


def test_installed_command_is_quick_and_answers() -> None:
    code = "import sys; sys.argv[1:] = ['--version']; from napari_mitosis.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert __version__ in done.stdout


def test_detect_writes_and_tells(tmp_path: Path, write_field: Write, model_folder: Path) -> None:
    write_field("fields/a.png", DISCS)
    write_field("fields/b.png", [])
    out = tmp_path / "results"
    shown = call("detect", tmp_path / "fields", "--models", model_folder, "--out", out, "--device", "cpu")
    table = pd.read_csv(out / "detections.csv")
    summary = json.loads((out / "summary.json").read_text())
    assert summary["model"] == "segmitos@0.0.1"
    assert [one["count"] for one in summary["fields"]] == [
        int((table["file"] == name).sum()) for name in ("a.png", "b.png")
    ]
    assert len(table) > 0
    assert "a.png" in shown
    assert "per mm2" in shown
    assert len(list(out.glob("*.overlay.png"))) == len(list(out.glob("*.score_map.png"))) == 2


def test_thresholds_of_the_command_line_are_obeyed(tmp_path: Path, write_field: Write, model_folder: Path) -> None:
    field = write_field("a.png", DISCS)
    out = tmp_path / "o"
    options = ["--models", model_folder, "--out", out, "--no-pictures"]
    wanted = ["--area", 2.5, "--threshold", 0.06, "--distance", 5, "--smoothing", 0.4]
    call("detect", field, *options, *wanted)
    before = pd.read_csv(out / "detections.csv")
    least = float(before["score"].median())
    call("detect", field, *options, *wanted, "--score", least)
    rule = json.loads((out / "summary.json").read_text())["rule"]
    assert (rule["min_score"], rule["min_area_um2"], rule["threshold"]) == (pytest.approx(least), 2.5, 0.06)
    assert (rule["min_distance_um"], rule["smoothing_um"]) == (5, 0.4)
    after = pd.read_csv(out / "detections.csv")
    assert len(after) == (before["score"] > least).sum() > 0
    assert not list(out.glob("*.png"))


def test_a_bad_file_gives_exit_code_one_and_its_reason(tmp_path: Path, write_field: Write, model_folder: Path) -> None:
    good = write_field("good.png", DISCS)
    bad = tmp_path / "bad [1].tif"
    bad.write_text("this is text")
    out = tmp_path / "o"
    shown = call("detect", bad, good, "--models", model_folder, "--out", out, code=1)
    assert "1 of 2 files failed" in shown
    assert "bad [1].tif" in shown
    assert "Traceback" not in shown
    errors = {one["file"]: one["error"] for one in json.loads((out / "summary.json").read_text())["fields"]}
    assert errors["good.png"] is None
    assert "bad [1].tif" in errors["bad [1].tif"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "nothing"], "there are no weights for 'nothing'"),
        (["--model", "segmitos@9.9"], "segmitos@0.0.1"),
        (["--device", "abacus"], "no device 'abacus'"),
    ],
)
def test_what_cannot_start_says_why(write_field: Write, model_folder: Path, arguments: list[str], says: str) -> None:
    assert says in call("detect", write_field("a.png", []), "--models", model_folder, *arguments, code=1)


@pytest.mark.parametrize("number", ["--threshold high", "--threshold 1.5", "--score 2", "--area -1", "--mpp 0"])
def test_impossible_numbers_are_refused(write_field: Write, number: str) -> None:
    option, value = number.split()
    assert option in call("detect", write_field("a.png", []), option, value, code=2)


def test_models_are_listed_and_shown(model_folder: Path) -> None:
    for arguments in (["models", "--models"], ["models", "list", "--models"]):
        shown = call(*arguments, model_folder)
        assert "segmitos@0.0.1" in shown
        assert "not measured" in shown
    for name in ("segmitos", "segmitos@0.0.1"):
        card = json.loads(call("models", "show", name, "--models", model_folder))
        assert card["trained_on"] == "nothing"
        assert card["sha256"]
    assert "There is no model 'x'" in call("models", "show", "x", "--models", model_folder, code=1)


def test_data_sets_are_listed(shared_data: Path) -> None:
    assert "human breast cancer" in call("datasets", "list")
    shown = call("datasets", "show", shared_data / "icpr2012")
    fields = len(list((shared_data / "icpr2012" / "images").iterdir()))
    assert f"{fields} fields" in shown
    assert "2084 x 2084" in shown


def test_a_download_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    assert "cannot be downloaded" in call("datasets", "download", "camelyon", code=2)
    shown = call("datasets", "download", "midog++", "--tumour", "of a unicorn", "--out", tmp_path / "d", code=1)
    assert "human breast cancer" in shown


def test_without_a_display_the_window_says_what_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    for arguments in ([], ["open", "a.tif", "--detect"]):
        shown = call(*arguments, code=1)
        assert "there is no display" in shown
        assert "napari-mitosis detect" in shown
    monkeypatch.setenv("DISPLAY", ":7")
    assert window.why_no_window() is None


def test_a_missing_file_is_told_before_a_window_opens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(window, "why_no_window", lambda: None)
    assert "no such file" in call("open", tmp_path / "nowhere.tif", code=1)


def test_demo_without_a_window(tmp_path: Path) -> None:
    out = tmp_path / "out"
    shown = call("demo", "--headless", "--out", out)
    table = pd.read_csv(out / "detections.csv")
    assert f"{table['score'].iloc[0]:.2f}" in shown  # the table is printed
    assert list(out.glob("*.overlay.png"))
    assert list(out.glob("*.score_map.png"))
