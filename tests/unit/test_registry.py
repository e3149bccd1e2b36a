"""Detectors of other packages are found by their entry points; what is wrong with one harms no other."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from napari_mitosis.models.registry import ENTRY_POINTS, registered, user_folder

MODULE = """
from torch import nn
from napari_mitosis.models.registry import register

@register("{name}")
class Added:
    title = "added by a package"
    configs = ("compact",)
    kind = "{kind}"

    @staticmethod
    def build(config):
        return nn.Identity()
"""


def install(folder: Path, package: str, text: str) -> None:
    """What an installer leaves of a package of one module with an entry point."""
    (folder / f"{package}.py").write_text(text, encoding="utf-8")
    metadata = folder / f"{package}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\n{package} = {package}\n", encoding="utf-8")


def test_other_packages_bring_detectors_and_verifiers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(registered())
    install(tmp_path, "brings_one", MODULE.format(name="added_one", kind="detector"))
    install(tmp_path, "brings_two", MODULE.format(name="added_two", kind="verifier"))
    monkeypatch.syspath_prepend(tmp_path)
    assert set(registered()) - before == {"added_one", "added_two"}
    classes = registered()
    assert classes["added_one"].title == "added by a package"
    assert (classes["added_one"].kind, classes["added_two"].kind) == ("detector", "verifier")


@pytest.mark.parametrize(
    ("package", "text", "told"),
    [
        ("breaks_import", "import no_such_module_anywhere", "no_such_module_anywhere"),
        ("breaks_itself", "raise RuntimeError('broken on purpose')", "broken on purpose"),
        ("takes_a_name", MODULE.format(name="segmitos", kind="detector"), "'segmitos' already"),
    ],
)
def test_a_bad_package_is_left_out_and_told(
    package: str,
    text: str,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = registered()
    install(tmp_path, package, text)
    monkeypatch.syspath_prepend(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert registered() == before
    assert told in caplog.text
    assert package in caplog.text


def test_models_lie_where_the_variable_says_for_a_child_process_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NAPARI_MITOSIS_MODELS", raising=False)
    usual = user_folder()
    monkeypatch.setenv("NAPARI_MITOSIS_MODELS", str(tmp_path / "models"))
    assert user_folder() == tmp_path / "models" != usual
    ask = "from napari_mitosis.models.registry import user_folder; print(user_folder())"
    told = subprocess.run([sys.executable, "-c", ask], env=dict(os.environ), capture_output=True, text=True, check=True)
    assert told.stdout.strip() == str(tmp_path / "models")
