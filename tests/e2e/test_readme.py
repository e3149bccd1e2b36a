"""What the README promises works as it is printed there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from napari_mitosis.cli.window import sample_field

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_python_lines_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = README.split("<!-- python: begin -->")[1].split("<!-- python: end -->")[0]
    code = code.replace("```python", "").replace("```", "")
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 10
    monkeypatch.chdir(tmp_path)
    sample = sample_field()
    shutil.copy(sample, tmp_path / f"field{sample.suffix}")
    names: dict[str, object] = {}
    exec(compile(code.replace("field.tif", f"field{sample.suffix}"), "README.md", "exec"), names)
    printed = capsys.readouterr().out.split()
    assert int(printed[0]) == len(names["detections"]) >= int(printed[1])  # type: ignore[arg-type]


def test_every_command_in_it_exists() -> None:
    from typer.main import get_command

    from napari_mitosis.cli import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    named = set(re.findall(r"^napari-mitosis ([a-z]+)", README, flags=re.MULTILINE))
    assert named
    assert named <= known, named - known


def test_every_file_it_links_to_exists() -> None:
    root = Path(__file__).resolve().parents[2]
    links = re.findall(r"\]\((?!http)([^)#]+)", README)
    assert links
    assert not [link for link in links if not (root / link).exists()]
