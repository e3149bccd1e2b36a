"""The tutorial adds a detector: its blocks are run as they are printed, in a process that knows only the tutorial."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import imageio.v3 as iio
import pandas as pd
import pytest

from napari_mitosis.datasets.phantom import PHANTOM_MPP, phantom
from napari_mitosis.fields.field import open_field

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "sixth-detector.md"
BLOCK = re.compile(r"<!-- (file|run|command)(?:: (\S+))? -->\n```\w+\n(.*?)```", re.DOTALL)


def blocks(kind: str) -> dict[str, str]:
    """Blocks of the document of a kind, by their file name or number."""
    found = [match for match in BLOCK.findall(DOCUMENT.read_text(encoding="utf-8")) if match[0] == kind]
    return {name or str(number): text for number, (_, name, text) in enumerate(found)}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed package of the tutorial beside a field; ``models`` is made by the tutorial."""
    folder = tmp_path_factory.mktemp("tutorial")
    site = folder / "site"
    site.mkdir()
    files = blocks("file")
    assert set(files) == {"sixth_detector.py", "pyproject.toml"}
    (site / "sixth_detector.py").write_text(files["sixth_detector.py"], encoding="utf-8")
    # What an installer makes of the project's table.
    project = tomllib.loads(files["pyproject.toml"])["project"]
    metadata = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8"
    )
    lines = [
        line
        for group, points in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in points.items()))
    ]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    dots_per_inch = 25_400 / PHANTOM_MPP
    pixels = phantom((512, 640), 77, n_mitoses=8, n_mimics=4).field.numpy()
    iio.imwrite(folder / "field.png", pixels, dpi=(dots_per_inch, dots_per_inch))
    assert open_field(folder / "field.png").mpp == pytest.approx(PHANTOM_MPP)
    return folder


def call(place: Path, *command: str) -> str:
    """Run a command in the tutorial's folder, where its package is installed and no other of a user's is."""
    environment = {**os.environ, "PYTHONPATH": str(place / "site"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=400
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)  # a loaded machine takes its time
def test_the_tutorial_runs_as_it_is_printed(place: Path) -> None:
    known, training, detecting = blocks("run").values()
    names = call(place, "-c", f"{known}\n{training}").strip().split(", ")
    assert {"sixth", "segmitos"} <= set(names)
    assert (place / "models" / "sixth-0.1.0.json").is_file()
    count = int(call(place, "-c", detecting).split()[0])
    assert count > 0
    (command,) = blocks("command").values()
    program, *arguments = shlex.split(command)
    assert program == "napari-mitosis"
    call(place, "-c", "from napari_mitosis.cli import main; main()", *arguments)
    table = pd.read_csv(place / "out" / "detections.csv")
    assert len(table) == count
    assert set(table["model"]) == {"sixth@0.1.0"}
