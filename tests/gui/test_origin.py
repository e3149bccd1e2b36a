"""Models from elsewhere, and those that another package runs, are shown as such before they first run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import platformdirs
import pytest

from napari_mitosis.models.registry import find_version
from napari_mitosis.models.trust import accept, origin

from .conftest import card, press


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platformdirs, "user_state_dir", lambda *_, **__: str(tmp_path / "state"))


def test_a_version_from_elsewhere_is_marked_until_it_is_known(open_dock: Any, qtbot: Any) -> None:
    shipped = find_version("segmitos@1.0.0")[0]
    foreign = card("2.0.0").model_copy(update={"sha256": "ab" * 32})
    _, dock = open_dock(cards=[shipped, foreign])
    panel = dock.panel.run_panel
    row = panel.origin
    assert panel.chosen == shipped
    assert not row.isVisible()
    assert "from elsewhere" not in panel.model.itemText(0)
    assert "from elsewhere" in panel.model.itemText(1)
    panel.model.setCurrentIndex(1)
    assert row.isVisible()
    assert row.text.text().startswith("darkness@2.0.0 is from elsewhere")
    assert "weights abababababab" in row.text.text()
    press(row.accept, qtbot)
    assert origin(foreign) == "accepted"
    assert not row.isVisible()
    assert "from elsewhere" not in panel.model.itemText(1)


def test_what_has_no_hash_cannot_be_known(open_dock: Any) -> None:
    _, dock = open_dock(cards=[card()])
    row = dock.panel.run_panel.origin
    assert row.isVisible()
    assert "weights without a hash" in row.text.text()
    assert not row.accept.isVisible()


def test_a_verifier_from_elsewhere_is_told_once_it_is_to_look(open_dock: Any, qtbot: Any) -> None:
    shipped = find_version("segmitos@1.0.0")[0]
    verifier = find_version("deepver@1.0.0")[0].model_copy(update={"version": "9.9", "notes": "tampered"})
    _, dock = open_dock(cards=[shipped, verifier])
    panel = dock.panel.run_panel
    assert not panel.origin.isVisible()
    panel.verify.setChecked(True)
    assert panel.origin.isVisible()
    assert "deepver@9.9" in panel.origin.text.text()


def test_a_detector_of_another_package_is_named_with_it(open_dock: Any) -> None:
    known = card().model_copy(update={"sha256": "cd" * 32})
    accept(known)
    _, dock = open_dock(cards=[known])
    panel = dock.panel.run_panel
    assert not panel.origin.isVisible()
    panel.set_packages({"darkness": "dark-package 1.2"})
    assert panel.origin.text.text() == "darkness is run by another package: dark-package 1.2."
    assert "dark-package 1.2" in panel.model.itemText(0)
    assert not panel.origin.accept.isVisible()
