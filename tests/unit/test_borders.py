"""Cards, plans, outcomes and folders of models that somebody has tampered with: told, and never followed."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from napari_mitosis.annotations.snapshot import FieldRecord, FigureRecord, Snapshot
from napari_mitosis.errors import DatasetError, MitosisError, WeightsError
from napari_mitosis.finetune.claim import BEGUN_FILE, SNAPSHOT_FILE, claim
from napari_mitosis.finetune.job import finetune
from napari_mitosis.finetune.journal import field_plans
from napari_mitosis.finetune.lock import claimed
from napari_mitosis.finetune.outcome import read_outcome
from napari_mitosis.finetune.plan import FinetunePlan, read_plan
from napari_mitosis.finetune.publish import publish_child
from napari_mitosis.inference.tiling import model_scale
from napari_mitosis.jobs import run
from napari_mitosis.models.card import read_card
from napari_mitosis.models.registry import find_version, installed
from napari_mitosis.training.checkpoint import save_tensors

DIGEST = "d" * 64


def card_of(folder: Path) -> tuple[Path, dict[str, Any]]:
    path = next(path for path in folder.glob("*.json"))
    return path, json.loads(path.read_text(encoding="utf-8"))


def nested(depth: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


WRONG_IN_A_CARD: dict[str, dict[str, Any]] = {
    "a detector that leads elsewhere": {"detector": "../escaped"},
    "a version that leads elsewhere": {"version": "1/../../x"},
    "a version that is no number anywhere": {"version": "²"},
    "absurd um/px": {"mpp": 0.001},
    "no finite um/px": {"mpp": 1e999},
    "a tile of one pixel": {"tile_px": 1},
    "a tile that fits no memory": {"tile_px": 10**9},
    "a number as text": {"tile_px": "many"},
    "an unknown part of a rule": {"rule": {"colour": "blue"}},
    "a rule of text": {"rule": {"min_score": "high"}},
    "a rule out of range": {"rule": {"min_score": 7}},
    "weights of a rule that are none": {"rule": {"weights": 3}},
    "a verifier's rule that is none": {"verified": {"verifier": "deepver", "rule": {"floor": [1]}}},
    "a verifier without a rule": {"verified": {"verifier": "deepver"}},
    "a calibration that is none": {"calibration": [["a", 1]]},
    "nested deeply": {"notes": nested(500)},
}


@pytest.mark.parametrize("change", WRONG_IN_A_CARD.values(), ids=WRONG_IN_A_CARD.keys())
def test_a_card_that_cannot_be_meant_is_told_and_takes_no_model_away(
    model_folder: Path, tmp_path: Path, change: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "models"))
    before = [card.name for card, _ in installed(folder)]
    path, content = card_of(folder)
    (folder / "stray.json").write_text(json.dumps({**content, **change}), encoding="utf-8")
    shutil.copyfile(path.with_suffix(".safetensors"), folder / "stray.safetensors")
    with pytest.raises(WeightsError, match=r"stray\.json is not a readable model card"):
        read_card(folder / "stray.json")
    with caplog.at_level(logging.WARNING):
        assert [card.name for card, _ in installed(folder)] == before
    assert "stray.json" in caplog.text


@pytest.mark.parametrize("text", ["{}", "[1]", "null", '{"detector": "segmitos"}', "\udcff", "[" * 100_000])
def test_stray_files_beside_the_models_do_no_harm(model_folder: Path, tmp_path: Path, text: str) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "models"))
    (folder / "settings.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    (folder / "folder.json").mkdir()
    assert find_version("segmitos", folder)[0].detector == "segmitos"


def outcome_in(folder: Path, models: Path) -> dict[str, Any]:
    """A finished run whose child is its parent, and the content of its outcome."""
    folder.mkdir()
    path, card = card_of(models)
    shutil.copyfile(path.with_suffix(".safetensors"), folder / "child.safetensors")
    figures = dict.fromkeys(("precision", "recall", "f", "low", "high"), 0.5)
    spots = {kind: [] for kind in ("found", "lost", "new_false", "dropped_false")}
    verdict = {"offered": True, "reason": "better", "parent": figures, "child": figures, "fields": 1, "mitoses": 9}
    return {
        "status": "finished",
        "child": "child.safetensors",
        "child_sha256": hashlib.sha256((folder / "child.safetensors").read_bytes()).hexdigest(),
        "card": {**card, "version": "9.9.9+tuned.1", "parent": f"{card['detector']}@{card['version']}", "sha256": ""},
        "fields": [DIGEST],
        "verdict": {**verdict, **spots, "difference": 0.1, "low": 0.0, "high": 0.2},
    }


def changed(content: dict[str, Any], *keys: str, to: Any) -> dict[str, Any]:
    copy = json.loads(json.dumps(content))
    inner = copy
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = to
    return copy


TAMPERED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "the card leads elsewhere": lambda o: changed(o, "card", "detector", to="../escaped"),
    "the version leads elsewhere": lambda o: changed(o, "card", "version", to="../../x"),
    "the child leads elsewhere": lambda o: changed(o, "child", to="../../etc/hostname"),
    "the child is a link": lambda o: changed(o, "child", to="link"),
    "the child is a number": lambda o: changed(o, "child", to=3),
    "another hash": lambda o: changed(o, "child_sha256", to="0" * 64),
    "no card": lambda o: changed(o, "card", to=None),
    "a list": lambda o: [o],
}


@pytest.mark.parametrize("tamper", TAMPERED.values(), ids=TAMPERED.keys())
def test_a_tampered_run_is_not_published_and_writes_nothing(model_folder: Path, tmp_path: Path, tamper: Any) -> None:
    models = Path(shutil.copytree(model_folder, tmp_path / "place" / "models"))
    folder = tmp_path / "place" / "run"
    content = outcome_in(folder, models)
    (tmp_path / "secret").write_bytes((folder / "child.safetensors").read_bytes())
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "outcome.json").write_text(json.dumps(tamper(content)), encoding="utf-8")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(WeightsError, match="run"):
        publish_child(folder, models)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    (folder / "outcome.json").write_text(json.dumps(content), encoding="utf-8")
    assert publish_child(folder, models)  # as it was, it is a run like any other


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("verdict", "child", "f"), "good"),
        (("verdict", "found"), [{"field": 4, "y_px": 1, "x_px": 1}]),
        (("verdict", "found"), [{"field": 0, "y_px": None, "x_px": 1}]),
        (("fields",), 3),
        (("verdict",), None),
        (("child_sha256",), "0" * 64),
    ],
)
def test_a_damaged_outcome_is_told(model_folder: Path, tmp_path: Path, keys: tuple[str, ...], value: Any) -> None:
    content = outcome_in(tmp_path / "run", model_folder)
    path = tmp_path / "run" / "outcome.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert read_outcome(tmp_path / "run").verdict.reason == "better"
    path.write_text(json.dumps(changed(content, *keys, to=value)), encoding="utf-8")
    with pytest.raises(DatasetError, match="run"):
        read_outcome(tmp_path / "run")


def planned(folder: Path, y_px: float = 5.0) -> FinetunePlan:
    """A plan in a folder, with the snapshot that its figures come from."""
    figure = FigureRecord(id="f" * 32, y_px=y_px, x_px=5.0, label="mitosis")
    record = FieldRecord(digest=DIGEST, name="a", path="/a.tif", mpp=0.25, shape=(99, 99), figures=(figure,))
    snapshot = Snapshot(seq=1, fields=(record,))
    fields = field_plans(snapshot)
    plan = FinetunePlan(parent="segmitos@1.0.0", version="2", fields=fields, snapshot=snapshot.sha256)
    folder.mkdir(exist_ok=True)
    snapshot.save(folder / SNAPSHOT_FILE)
    plan.save(folder)
    return plan


def test_a_plan_and_its_snapshot_changed_together_after_the_start_are_noticed(tmp_path: Path) -> None:
    claim(planned(tmp_path / "run"), tmp_path / "run")
    claim(read_plan(tmp_path / "run"), tmp_path / "run")  # goes on
    planned(tmp_path / "run", y_px=6.0)
    with pytest.raises(DatasetError, match="changed after the fine-tuning was begun"):
        claim(read_plan(tmp_path / "run"), tmp_path / "run")


def test_a_plan_that_does_not_follow_from_its_snapshot_is_noticed(tmp_path: Path) -> None:
    """Both files are whole by themselves, and the plan keeps the hash that the card would carry."""
    plan = planned(tmp_path / "run")
    figure = plan.fields[0].figures[0].model_copy(update={"y_px": 9.0})
    moved = plan.fields[0].model_copy(update={"figures": (figure,)})
    plan.model_copy(update={"fields": (moved,)}).save(tmp_path / "run")
    with pytest.raises(DatasetError, match="do not belong together"):
        claim(read_plan(tmp_path / "run"), tmp_path / "run")
    assert not (tmp_path / "run" / BEGUN_FILE).exists()


def test_one_folder_is_not_fine_tuned_twice_at_a_time(tmp_path: Path) -> None:
    plan = planned(tmp_path / "run")
    with claimed(tmp_path / "run"), pytest.raises(MitosisError, match="running already"):
        run(finetune(plan, tmp_path / "run"))


def test_a_field_of_absurd_um_per_px_is_refused_before_it_is_enlarged() -> None:
    assert model_scale(0.25, 0.5) == 2.0
    with pytest.raises(MitosisError, match="Is the pixel size right"):
        model_scale(20.0, 0.25)


def test_a_checkpoint_that_the_disk_does_not_take_is_told(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(WeightsError, match="cannot be written"):
        save_tensors(tmp_path / "taken", {"a": torch.zeros(3)}, {})
    assert list(tmp_path.iterdir()) == [tmp_path / "taken"]
