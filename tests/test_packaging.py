"""What is built works where it is installed: manifest and samples inside, and without a window's libraries.

The wheel is unpacked beside the libraries of this environment, so nothing is downloaded again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import textwrap
import zipfile
from pathlib import Path

import pytest

import napari_mitosis

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "napari_mitosis"
QT = "('napari', 'magicgui', 'qtpy', 'superqt', 'pyqtgraph', 'PyQt5', 'PyQt6', 'PySide2', 'PySide6')"


def command(*arguments: str | Path, **more: object) -> str:
    done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return str(done.stdout)


def build(kind: str, source: Path, out: Path) -> Path:
    command(sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", out, source)
    return next(iter(out.iterdir()))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, installed alone into a folder."""
    target = tmp_path_factory.mktemp("installed")
    command(
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile",
        "--disable-pip-version-check", "--target", target, wheel,
    )  # fmt: skip
    return target


def run_installed(installed: Path, code: str, folder: Path) -> str:
    """Run code in a new interpreter that finds the installed wheel before the tree under test."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    where = "import napari_mitosis; assert napari_mitosis.__file__.startswith({!r}), napari_mitosis.__file__\n"
    script = where.format(str(installed)) + textwrap.dedent(code)
    return command(sys.executable, "-c", script, cwd=folder, env=environment)


def contents(wheel: Path) -> dict[str, int]:
    """Name and checksum of every file of a wheel, but for its own list of them."""
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename: info.CRC for info in archive.infolist() if not info.filename.endswith("RECORD")}


def test_wheel_holds_everything_that_the_tree_holds(wheel: Path) -> None:
    names = set(contents(wheel))
    ignored = {".pyc"}
    wanted = {
        f"napari_mitosis/{path.relative_to(PACKAGE).as_posix()}"
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix not in ignored
    }
    assert {"napari_mitosis/napari.yaml", "napari_mitosis/py.typed"} <= names
    assert any(name.startswith("napari_mitosis/sample_data/") and name.endswith((".png", ".tif")) for name in names)
    assert wanted <= names, sorted(wanted - names)
    with zipfile.ZipFile(wheel) as archive:
        entry_points = next(name for name in names if name.endswith("entry_points.txt"))
        text = archive.read(entry_points).decode()
        assert not [info for info in archive.infolist() if info.external_attr >> 28 == 0xA], "a link in the wheel"
    assert "napari_mitosis:napari.yaml" in text
    assert "napari_mitosis.cli:main" in text


def test_wheel_of_the_sdist_is_the_same(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path)
    source = next(path for path in tmp_path.iterdir() if path.is_dir())
    assert contents(build("wheel", source, tmp_path / "out")) == contents(wheel)


def test_top_of_the_tree_shows_manifest_and_samples() -> None:
    for name in ("napari.yaml", "sample_data"):
        link = ROOT / name
        if not link.is_symlink():
            pytest.skip("this checkout has no links")
        assert link.resolve() == (PACKAGE / name).resolve()


def test_manifest_is_found_and_samples_open(installed: Path, tmp_path: Path) -> None:
    """Its commands are called as napari calls them, from the installed files."""
    found = run_installed(
        installed,
        """
        from npe2 import PluginManager
        manager = PluginManager()
        manager.discover()
        manager.activate("napari-mitosis")
        manifest = manager.get_manifest("napari-mitosis")
        samples = manifest.contributions.sample_data
        for sample in samples:
            layers = sample.open(_registry=manager.commands)
            pixels = layers[0][0]
            assert pixels.ndim == 3 and pixels.shape[2] == 3, pixels.shape
            assert "napari_mitosis_field" in layers[0][1]["metadata"], layers[0][1]
        print(len(samples), manifest.package_metadata.version)
        """,
        tmp_path,
    )
    count, version = found.split()
    assert int(count) >= 3
    assert version == napari_mitosis.__version__


def test_editable_install_discovers_the_manifest(tmp_path: Path) -> None:
    if not (PACKAGE / "napari.yaml").read_text(encoding="utf-8").strip():
        pytest.fail("the manifest is empty")
    code = """
    from npe2 import PluginManager
    manager = PluginManager(); manager.discover()
    print(manager.get_manifest("napari-mitosis").display_name)
    """
    assert command(sys.executable, "-c", textwrap.dedent(code), cwd=tmp_path).strip()


def test_it_works_where_there_is_no_qt(installed: Path, tmp_path: Path) -> None:
    """Every module but the window's imports, and a sample goes from file to table."""
    out = run_installed(
        installed,
        f"""
        import importlib, importlib.abc, pkgutil, sys

        class NoQt(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in {QT}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

        sys.meta_path.insert(0, NoQt())
        names = [info.name for info in pkgutil.walk_packages(napari_mitosis.__path__, "napari_mitosis.")
                 if not info.name.startswith("napari_mitosis.gui")]
        for name in names:
            importlib.import_module(name)
        from pathlib import Path
        from napari_mitosis import list_cards
        from napari_mitosis.cli import app
        assert list_cards(), "no weights in the wheel"
        try:
            app(["demo", "--out", "out"], standalone_mode=False)
        except SystemExit as stop:
            assert not stop.code
        assert Path("out/detections.csv").is_file() and list(Path("out").glob("*.overlay.png"))
        assert not [name for name in {QT} if name in sys.modules]
        print("modules", len(names))
        """,
        tmp_path,
    )
    assert "modules" in out


def test_version_is_the_same_everywhere(wheel: Path) -> None:
    assert wheel.name.startswith(f"napari_mitosis-{napari_mitosis.__version__}-")
    assert f"version: {napari_mitosis.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## {napari_mitosis.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_an_index_would_take_it(wheel: Path, sdist: Path) -> None:
    command(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
