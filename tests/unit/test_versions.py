"""Versions of a detector: adopting, going back, publishing a child; the real registry loads what comes of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from napari_mitosis.decision.decide import Rule
from napari_mitosis.errors import WeightsError
from napari_mitosis.finetune.gate import Figures, Verdict
from napari_mitosis.finetune.outcome import Outcome
from napari_mitosis.finetune.publish import publish_child
from napari_mitosis.models.adoption import ADOPTED_FILE, read_adopted, write_adopted
from napari_mitosis.models.card import ModelCard
from napari_mitosis.models.registry import find_version, list_cards, load_detector, version_key
from napari_mitosis.models.versions import (
    adopt,
    adopted,
    before,
    go_back,
    lineage,
    next_version,
    versions,
)

PARENT = "segmitos@0.0.1"


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    """A folder with the real weights of one detector."""
    return Path(shutil.copytree(model_folder, tmp_path / "models"))


def finished_run(folder: Path, place: Path, *, version: str = "0.0.1+tuned.1", shift: float = 0.01) -> Path:
    """What a fine-tuning of the detector in `folder` leaves: other weights, a card with a rule of its own."""
    from safetensors.torch import save_file

    from napari_mitosis.models.weights import read_state

    place.mkdir()
    card, weights = find_version(PARENT, folder)
    state = read_state(weights)
    save_file({name: tensor + shift if "score" in name else tensor for name, tensor in state.items()},
              place / "child.safetensors")  # fmt: skip
    changes = {"version": version, "parent": PARENT, "sha256": "", "finetuned": {"snapshot": "abc", "steps": 3}}
    child = card.model_copy(update=changes).with_rule(Rule(threshold=0.2, min_score=0.35), "out of fold")
    figures = Figures(0.5, 0.5, 0.5, 0.4, 0.6)
    verdict = Verdict(False, "Too little evidence", figures, figures, 0.0, -0.1, 0.1, 1, 4, (), (), (), ())
    Outcome(place, child, verdict, ()).save()
    return place


def test_versions_are_sorted_by_number() -> None:
    names = ["1.10.0", "1.9.0", "1.0.0+tuned.10", "1.0.0", "1.0.0+tuned.9", "1.0.1", "1.0.0.1", "2.0.0-rc1"]
    assert sorted(names, key=version_key) == [
        "1.0.0", "1.0.0+tuned.9", "1.0.0+tuned.10", "1.0.0.1", "1.0.1", "1.9.0", "1.10.0", "2.0.0-rc1",
    ]  # fmt: skip


def test_a_child_is_kept_and_not_offered(folder: Path, tmp_path: Path) -> None:
    name = publish_child(finished_run(folder, tmp_path / "run"), folder)
    assert name == "segmitos@0.0.1+tuned.1"
    assert [card.name for card in versions("segmitos", folder)] == [PARENT, name]
    assert [card.name for card in list_cards(folder)] == [PARENT]
    assert adopted("segmitos", folder) == PARENT
    assert load_detector("segmitos", folder).card.name == PARENT


def test_an_adopted_child_decides_with_its_own_rule(folder: Path, tmp_path: Path) -> None:
    name = publish_child(finished_run(folder, tmp_path / "run"), folder)
    adopt(name, folder)
    loaded = load_detector("segmitos", folder)
    assert loaded.card.name == name
    assert loaded.card.decision_rule() == Rule(threshold=0.2, min_score=0.35)
    assert loaded.card.finetuned["snapshot"] == "abc"
    assert loaded.fingerprint != load_detector(PARENT, folder).fingerprint
    assert [card.name for card in list_cards(folder)] == [PARENT, name]
    assert [card.name for card in lineage(name, folder)] == [name, PARENT]


def test_going_back_takes_one_step_at_a_time(folder: Path, tmp_path: Path) -> None:
    first = publish_child(finished_run(folder, tmp_path / "a"), folder)
    second = publish_child(finished_run(folder, tmp_path / "b", version="0.0.1+tuned.2", shift=0.02), folder)
    assert before("segmitos", folder) is None
    adopt(first, folder)
    adopt(second, folder)
    adopt(second, folder)  # once more: nothing new
    assert before("segmitos", folder) == first
    assert go_back("segmitos", folder) == first
    assert before("segmitos", folder) == PARENT
    assert go_back("segmitos", folder) == PARENT == go_back("segmitos", folder)
    assert before("segmitos", folder) is None
    assert load_detector("segmitos", folder).card.name == PARENT
    adopt(second, folder)
    adopt(PARENT, folder)  # by its name: a step like any other
    assert go_back("segmitos", folder) == second


def test_an_adopted_version_whose_file_is_gone_does_not_stop_anything(folder: Path, tmp_path: Path) -> None:
    names = [
        publish_child(finished_run(folder, tmp_path / v, version=f"0.0.1+tuned.{v}", shift=int(v) / 100), folder)
        for v in "12"
    ]
    for name in names:
        adopt(name, folder)
    (folder / "segmitos-0.0.1+tuned.1.json").unlink()
    assert before("segmitos", folder) == PARENT
    (folder / "segmitos-0.0.1+tuned.2.json").unlink()
    assert adopted("segmitos", folder) == PARENT
    assert go_back("segmitos", folder) == PARENT


def test_publishing_twice_gives_one_version(folder: Path, tmp_path: Path) -> None:
    run = finished_run(folder, tmp_path / "run")
    assert publish_child(run, folder) == publish_child(run, folder)
    assert len(versions("segmitos", folder)) == 2


def test_two_windows_publish_one_child_at_the_same_time(folder: Path, tmp_path: Path) -> None:
    run = finished_run(folder, tmp_path / "run")
    with ThreadPoolExecutor(4) as pool:
        names = set(pool.map(lambda _: publish_child(run, folder), range(8)))
    assert names == {"segmitos@0.0.1+tuned.1"}
    assert load_detector(*names, folder).card.parent == PARENT


def test_two_children_never_share_a_name(folder: Path, tmp_path: Path) -> None:
    """Both were planned when there was no child yet."""
    first = publish_child(finished_run(folder, tmp_path / "a"), folder)
    second = publish_child(finished_run(folder, tmp_path / "b", shift=0.02), folder)
    assert (first, second) == ("segmitos@0.0.1+tuned.1", "segmitos@0.0.1+tuned.2")
    assert next_version(PARENT, folder) == next_version(first, folder) == "0.0.1+tuned.3"


@pytest.mark.parametrize("damage", ["", "{", '{"status": "finished"}', "[]"])
def test_an_unfinished_run_is_not_published(folder: Path, tmp_path: Path, damage: str) -> None:
    run = finished_run(folder, tmp_path / "run")
    (run / "outcome.json").write_text(damage, encoding="utf-8")
    with pytest.raises(WeightsError, match="run holds no finished fine-tuning"):
        publish_child(run, folder)
    assert len(versions("segmitos", folder)) == 1


def test_a_run_without_weights_is_not_published(folder: Path, tmp_path: Path) -> None:
    run = finished_run(folder, tmp_path / "run")
    (run / "child.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"child\.safetensors is missing"):
        publish_child(run, folder)


def test_weights_without_a_card_are_no_version(folder: Path, tmp_path: Path) -> None:
    """What an interrupted publishing leaves; publishing again makes it whole."""
    run = finished_run(folder, tmp_path / "run")
    shutil.copyfile(run / "child.safetensors", folder / "segmitos-0.0.1+tuned.1.safetensors")
    assert len(versions("segmitos", folder)) == 1
    name = publish_child(run, folder)
    assert load_detector(name, folder).card.name == name


def test_a_version_that_is_not_there_cannot_be_adopted(folder: Path) -> None:
    with pytest.raises(WeightsError, match=r"no weights for 'segmitos@9\.9'"):
        adopt("segmitos@9.9", folder)
    assert read_adopted(folder) == {}


def test_a_damaged_choice_says_what_to_do(folder: Path) -> None:
    (folder / ADOPTED_FILE).write_text("{", encoding="utf-8")
    with pytest.raises(WeightsError, match=r"adopted\.json cannot be read .* Delete it"):
        load_detector("segmitos", folder)


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir(mode=0o500)
    with pytest.raises(WeightsError, match="cannot be kept"):
        write_adopted(tmp_path / "kept", {"segmitos": ["segmitos@1.0.0"]})


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(WeightsError, match="cannot be kept"):
        write_adopted(tmp_path / "file", {"segmitos": ["segmitos@1.0.0"]})


def test_cards_from_before_fine_tuning_are_read() -> None:
    card = next(card for card in list_cards() if card.name == "segmitos@1.0.0")
    content = json.loads(card.model_dump_json())
    del content["finetuned"]
    assert ModelCard.model_validate(content) == card


def test_versions_need_no_torch() -> None:
    code = "from napari_mitosis.models.versions import versions; versions('segmitos'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", f"import sys; {code}"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
