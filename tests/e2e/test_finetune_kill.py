"""Real fine-tunings in a real process: killed, cancelled, out of memory, on a full disk; the work is never lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tifffile

from napari_mitosis.finetune.client import Ended, TrainerProcess
from napari_mitosis.finetune.lock import is_running
from napari_mitosis.finetune.outcome import read_outcome
from napari_mitosis.finetune.plan import FieldPlan, Figure, FinetunePlan
from napari_mitosis.finetune.publish import publish_child
from napari_mitosis.finetune.runs import read_progress, read_run
from napari_mitosis.jobs import Progress
from napari_mitosis.models.registry import find_version
from napari_mitosis.training.checkpoint import load_tensors

SIDE, STEPS = 320, 3
TIMEOUT_S = 240.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
posix = pytest.mark.skipif(sys.platform == "win32", reason="the test sends signals")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the test limits a running process")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> FinetunePlan:
    """A fine-tuning of a few steps on two small cuts of the phantom field."""
    folder = tmp_path_factory.mktemp("fields")
    data = resources.files("napari_mitosis") / "sample_data"
    pixels, table = tifffile.imread(str(data / "hotspot.tif")), pd.read_csv(str(data / "hotspot.csv"))
    fields = []
    for name, top in (("a", 0), ("b", SIDE)):
        path = folder / f"{name}.tif"
        tifffile.imwrite(path, pixels[top : top + SIDE, :SIDE], photometric="rgb")
        inside = table["y_px"].between(top, top + SIDE - 1) & (table["x_px"] < SIDE)
        rows = table[inside].to_dict("records")
        figures = tuple(Figure(y_px=row["y_px"] - top, x_px=row["x_px"], label=row["label"]) for row in rows)
        fields.append(FieldPlan(path=str(path), name=name, mpp=0.25, complete=True, figures=figures))
    return FinetunePlan(
        parent="segmitos@1.0.0", version="1.0.0+tuned.1", fields=tuple(fields), steps=STEPS, device="cpu", threads=1
    )


def begun(plan: FinetunePlan, folder: Path, **options: Any) -> TrainerProcess:
    plan.save(folder)
    trainer = TrainerProcess(folder, threads=1, **options)
    trainer.start()
    return trainer


def told(trainer: TrainerProcess, until: Any = None) -> list[Progress | Ended]:
    """What a process tells until something is told, or to its end."""
    events: list[Progress | Ended] = []
    deadline = time.monotonic() + TIMEOUT_S
    while trainer.running and not (until is not None and any(until(event) for event in events)):
        assert time.monotonic() < deadline, events[-3:]
        events += trainer.poll()
        time.sleep(0.02)
    return events


def learning(event: Progress | Ended) -> bool:
    return isinstance(event, Progress) and event.message.startswith("learning") and event.done >= 2


def end_of(trainer: TrainerProcess) -> Ended:
    ended = told(trainer)[-1]
    assert isinstance(ended, Ended)
    return ended


@pytest.fixture(scope="module")
def unbroken(plan: FinetunePlan, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Progress | Ended]]:
    """A run that nothing disturbed, and what it told."""
    folder = tmp_path_factory.mktemp("runs") / "unbroken"
    return folder, told(begun(plan, folder))


def test_a_whole_run(unbroken: tuple[Path, list[Progress | Ended]], tmp_path: Path) -> None:
    folder, events = unbroken
    assert events[-1] == Ended("finished", "Finished.")
    steps = [event for event in events[:-1] if isinstance(event, Progress) and "loss" in event.metrics]
    assert steps[-1].done == steps[-1].total == 3 * STEPS
    assert {"loss", "f", "parent_f"} == set(steps[-1].metrics)
    assert read_progress(folder) == events[:-1]  # the same, for a viewer that comes later
    run = read_run(folder)
    assert run is not None
    assert run.finished
    assert not run.running
    name = publish_child(folder, tmp_path)
    assert find_version(name, tmp_path)[0].decision_rule() == read_outcome(folder).card.decision_rule()


@posix
def test_a_killed_run_goes_on_and_ends_as_an_unbroken_one(
    plan: FinetunePlan, unbroken: tuple[Path, list[Progress | Ended]], tmp_path: Path
) -> None:
    folder = tmp_path / "killed"
    trainer = begun(plan, folder)
    told(trainer, learning)
    assert is_running(folder)
    assert trainer.pid is not None
    os.kill(trainer.pid, signal.SIGKILL)
    ended = end_of(trainer)
    assert ended.status == "killed"
    assert "probably because the machine ran out of memory" in ended.text
    assert not is_running(folder)

    again = TrainerProcess(folder, threads=1)
    again.start()
    assert end_of(again).status == "finished"
    whole, resumed = read_outcome(unbroken[0]), read_outcome(folder)
    assert resumed.card == whole.card
    assert resumed.verdict == whole.verdict
    assert (folder / "child.safetensors").read_bytes() == (unbroken[0] / "child.safetensors").read_bytes()


def test_a_cancelled_run_stops_and_keeps_its_steps(plan: FinetunePlan, tmp_path: Path) -> None:
    folder = tmp_path / "cancelled"
    trainer = begun(plan.model_copy(update={"steps": 500}), folder)
    told(trainer, learning)
    trainer.cancel()
    ended = end_of(trainer)
    assert ended.status == "cancelled"
    kept = int(load_tensors(folder / "fold-0" / "tune.checkpoint.safetensors")[1]["step"])
    assert kept >= 1

    again = TrainerProcess(folder, threads=1)
    again.start()
    first = told(again, lambda event: isinstance(event, Progress) and "loss" in event.metrics)
    steps = [event.done for event in first if isinstance(event, Progress) and "loss" in event.metrics]
    assert steps[0] == kept + 1  # not from the start
    again.kill()
    assert end_of(again).status == "cancelled"


@posix
def test_it_stops_when_its_viewer_is_gone(plan: FinetunePlan, tmp_path: Path) -> None:
    """The viewer is a real process, and it is killed."""
    folder = tmp_path / "orphan"
    plan.model_copy(update={"steps": 500}).save(folder)
    source = (
        "import sys, time; from pathlib import Path; from napari_mitosis.finetune.client import TrainerProcess\n"
        "trainer = TrainerProcess(Path(sys.argv[1]), threads=1); trainer.start()\n"
        "print(trainer.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", source, str(folder)], stdout=subprocess.PIPE, text=True) as viewer:
        deadline = time.monotonic() + TIMEOUT_S
        while not any(learning(event) for event in read_progress(folder)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        viewer.kill()
    while is_running(folder):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    last = json.loads((folder / "progress.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert last["status"] == "cancelled"
    assert (folder / "fold-0" / "tune.checkpoint.safetensors").is_file()


@linux
@pytest.mark.parametrize(("limit", "status", "says"), [("FSIZE", "disk", "disk is full"), ("AS", "memory", "memory")])
def test_a_full_disk_and_no_memory_are_told(
    plan: FinetunePlan, tmp_path: Path, limit: str, status: str, says: str
) -> None:
    """No file may get larger than this; no more memory than it has: both from the first training step on."""
    import resource

    folder = tmp_path / limit
    trainer = begun(plan, folder)
    told(trainer, lambda event: isinstance(event, Progress) and event.message.startswith("learning"))
    assert trainer.pid is not None
    used = int(Path(f"/proc/{trainer.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    size = {"FSIZE": 1_000_000, "AS": used}[limit]
    resource.prlimit(trainer.pid, getattr(resource, f"RLIMIT_{limit}"), (size, size))
    ended = end_of(trainer)
    assert ended.status == status, ended
    assert says in ended.text
    assert "Continue" in ended.text

    again = TrainerProcess(folder, threads=1)
    again.start()
    assert any(map(learning, told(again, learning)))  # it goes on; that it ends alike is tested above
    again.kill()
    assert end_of(again).status == "cancelled"


def test_a_plan_that_cannot_be_carried_out_says_why(plan: FinetunePlan, tmp_path: Path) -> None:
    ended = end_of(begun(plan.model_copy(update={"parent": "ensemble@1.0.0"}), tmp_path / "ensemble"))
    assert ended.status == "failed"
    assert "one of its members" in ended.text


def test_a_folder_without_a_plan_says_so(tmp_path: Path) -> None:
    trainer = TrainerProcess(tmp_path, threads=1)
    trainer.start()
    assert "no readable plan" in end_of(trainer).text
