"""Which model versions are shown as coming from elsewhere, and from which package a detector comes."""

from __future__ import annotations

import shutil
from pathlib import Path

import platformdirs
import pytest
from typer.testing import CliRunner

from napari_mitosis.cli import app
from napari_mitosis.errors import WeightsError
from napari_mitosis.models.card import ModelCard
from napari_mitosis.models.registry import find_version, list_cards
from napari_mitosis.models.trust import accept, from_elsewhere, origin, origins, packages, trust_file


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(platformdirs, "user_state_dir", lambda *_, **__: str(tmp_path / "state"))
    return trust_file()


@pytest.fixture
def card(model_folder: Path) -> ModelCard:
    return find_version("segmitos@0.0.1", model_folder)[0]


def test_what_came_with_the_program_is_not_from_elsewhere() -> None:
    shipped = [card for card in list_cards() if not card.finetuned]
    assert set(origins(shipped)) == {"shipped"}
    assert from_elsewhere(shipped) == []


def test_a_version_is_accepted_until_its_card_or_its_weights_change(card: ModelCard) -> None:
    assert origin(card) == "elsewhere"
    accept(card)
    assert origin(card) == "accepted"
    for change in ({"sha256": "0" * 64}, {"mpp": 0.5}, {"rule": {**card.rule, "min_score": 0.9}}, {"notes": "x"}):
        assert origin(card.model_copy(update=change)) == "elsewhere"
    accept(card.model_copy(update={"version": "2"}), "made here")
    assert origin(card.model_copy(update={"version": "2"})) == "made here"
    assert origin(card) == "accepted"


def test_a_shipped_card_that_was_changed_is_from_elsewhere() -> None:
    shipped = find_version("deepdet@1.0.0")[0]
    assert origin(shipped) == "shipped"
    assert origin(shipped.model_copy(update={"rule": {**shipped.rule, "min_score": 0.5}})) == "elsewhere"


def test_weights_without_a_hash_cannot_be_accepted(card: ModelCard) -> None:
    with pytest.raises(WeightsError, match="no hash"):
        accept(card.model_copy(update={"sha256": ""}))


@pytest.mark.parametrize("text", ["{", "[]", '{"a": "shipped"}', "\udcff"])
def test_a_damaged_note_trusts_nobody_and_stops_nothing(card: ModelCard, state: Path, text: str) -> None:
    accept(card)
    state.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert origin(card) == "elsewhere"
    accept(card)
    assert origin(card) == "accepted"


def test_the_command_line_says_so_before_the_first_run(model_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "models"))
    listed = CliRunner().invoke(app, ["models", "list", "--models", str(folder)])
    assert "elsewhere" in listed.output
    done = CliRunner().invoke(app, ["models", "accept", "segmitos@0.0.1", "--models", str(folder)])
    assert done.exit_code == 0, done.output
    assert "elsewhere" not in CliRunner().invoke(app, ["models", "list", "--models", str(folder)]).output


def test_a_detector_of_another_package_is_named_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert packages() == {}
    (tmp_path / "sixth_detector.py").write_text(
        "from napari_mitosis.models.registry import register\n\n\n@register('sixth')\nclass Sixth:\n    title = 'six'\n"
    )
    info = tmp_path / "sixth-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sixth-package\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[napari_mitosis.detectors]\nsixth = sixth_detector\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert packages() == {"sixth": "sixth-package 1.2"}
