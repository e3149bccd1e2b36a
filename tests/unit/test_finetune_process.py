"""What surrounds a training: how it tells of itself, how its end is understood, and the folders of runs. No torch."""

from __future__ import annotations

import errno
import io
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from napari_mitosis.errors import DatasetError, MitosisError
from napari_mitosis.finetune.client import Ended, TrainerProcess
from napari_mitosis.finetune.lock import claimed, is_running
from napari_mitosis.finetune.plan import FinetunePlan
from napari_mitosis.finetune.process import EXITS, LOG_FILE, PROGRESS_FILE, Teller, kind_of, serve
from napari_mitosis.finetune.runs import (
    list_runs,
    log_tail,
    new_folder,
    read_progress,
    read_run,
    unfinished,
)
from napari_mitosis.finetune.watch import Clock, Curves
from napari_mitosis.jobs import Job, Progress


def counting(count: int, error: BaseException | None = None) -> Job[str]:
    for i in range(count):
        yield Progress(i + 1, count, "counting", {"loss": 1.0 / (i + 1)})
    if error is not None:
        raise error
    return "done"


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


def served(job: Job[str], folder: Path, stop: threading.Event) -> tuple[int, list[dict]]:
    stream = io.StringIO()
    code = serve(job, Teller(stream, folder, stop), stop)
    return code, [json.loads(line) for line in stream.getvalue().splitlines()]


def test_what_is_told_is_kept_in_the_folder(tmp_path: Path, stop: threading.Event) -> None:
    code, events = served(counting(3), tmp_path, stop)
    assert code == EXITS["finished"] == 0
    assert events[-1]["status"] == "finished"
    assert [json.loads(line) for line in (tmp_path / PROGRESS_FILE).read_text().splitlines()] == events
    assert read_progress(tmp_path)[0] == Progress(1, 3, "counting", {"loss": 1.0})


def test_quick_steps_are_not_all_told(tmp_path: Path, stop: threading.Event) -> None:
    """Ten thousand steps within a second must not flood the viewer; a new kind of step is told at once."""

    def quick() -> Job[str]:
        yield from counting(10_000)
        yield Progress(1, 1, "judging", {"f": 0.5})
        yield Progress(1, 1, "judging", {"f": 0.6})
        return ""

    _, events = served(quick(), tmp_path, stop)
    told = [event for event in events if event["event"] == "progress"]
    assert len(told) < 20
    assert [event["metrics"] for event in told[-2:]] == [{"f": 0.5}, {"f": 0.6}]


def test_a_stopped_job_is_closed_and_told_as_cancelled(tmp_path: Path, stop: threading.Event) -> None:
    closed = []

    def job() -> Job[str]:
        try:
            for i in range(5):
                if i == 2:
                    stop.set()
                yield Progress(i, 5)
        finally:
            closed.append(True)
        return ""

    code, events = served(job(), tmp_path, stop)
    assert (code, events[-1]["status"], closed) == (EXITS["cancelled"], "cancelled", [True])


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (DatasetError("annotate something first"), "failed"),
        (MemoryError(), "memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory"),
        (ImportError("libtorch.so: failed to map segment: Cannot allocate memory"), "memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk"),
        (OSError(errno.EFBIG, "File too large"), "disk"),
        (RuntimeError('IoError(Os { code: 28, kind: StorageFull, message: "No space left on device" })'), "disk"),
        (ZeroDivisionError("division by zero"), "crashed"),
    ],
)
def test_each_end_is_told(tmp_path: Path, stop: threading.Event, error: BaseException, kind: str) -> None:
    code, events = served(counting(1, error), tmp_path, stop)
    assert (code, events[-1]["status"]) == (EXITS[kind], kind)
    assert events[-1]["text"]


def test_the_reason_is_found_behind_the_error_that_hides_it() -> None:
    error = DatasetError("the evidence cannot be kept")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert kind_of(error) == "disk"


def test_a_disk_that_is_full_does_not_keep_the_end_from_being_told(tmp_path: Path, stop: threading.Event) -> None:
    """The file of progress cannot be written: here, because a folder is in its place."""
    (tmp_path / PROGRESS_FILE).mkdir()
    code, events = served(counting(2), tmp_path, stop)
    assert code != 0
    assert events[-1]["event"] == "ended"


def test_a_viewer_that_is_gone_stops_the_job(tmp_path: Path, stop: threading.Event) -> None:
    class Broken(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    assert serve(counting(3), Teller(Broken(), tmp_path, stop), stop) == EXITS["cancelled"]


def test_one_process_works_on_a_run_at_a_time(tmp_path: Path) -> None:
    assert not is_running(tmp_path)
    with claimed(tmp_path):
        assert is_running(tmp_path)
        with pytest.raises(MitosisError, match="running already"), claimed(tmp_path):
            pass
    assert not is_running(tmp_path)
    with claimed(tmp_path):
        pass


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from napari_mitosis.finetune.lock import claimed\n"
        "with claimed(Path(sys.argv[1])):\n    print('claimed', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
        assert is_running(tmp_path)
        process.kill()
    assert not is_running(tmp_path)


# The parent's side


def understood(tmp_path: Path, code: int, words: str = "", log: str = "") -> Ended:
    """The end of a real process that says these words, leaves this log and ends like this."""
    (tmp_path / LOG_FILE).write_text(log, encoding="utf-8")
    source = f"import os, sys; sys.stdout.write({words!r}); sys.stdout.flush(); "
    source += f"os.kill(os.getpid(), {-code})" if code < 0 else f"os._exit({code})"
    trainer = TrainerProcess(tmp_path)
    process = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    trainer._read(process)
    (ended,) = trainer.poll()
    assert isinstance(ended, Ended)
    return ended


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals")
@pytest.mark.parametrize(
    ("sent", "log", "status", "says"),
    [
        ("SIGKILL", "", "killed", "probably because the machine ran out of memory"),
        ("SIGSEGV", "Fatal Python error: Segmentation fault", "crashed", "crashed"),
        ("SIGABRT", "terminate called after throwing an instance of 'std::bad_alloc'", "memory", "ran out of memory"),
    ],
)
def test_an_end_without_words_is_understood(tmp_path: Path, sent: str, log: str, status: str, says: str) -> None:
    ended = understood(tmp_path, -int(getattr(signal, sent)), log=log)
    assert ended.status == status
    assert says in ended.text
    assert "Continue" in ended.text
    assert ended.log == log


def test_the_text_of_an_error_reaches_the_reader(tmp_path: Path) -> None:
    words = json.dumps({"event": "ended", "status": "failed", "text": "annotate a mitosis first"}) + "\n"
    assert understood(tmp_path, EXITS["failed"], words).text == "annotate a mitosis first"


def test_words_that_are_none_of_the_trainers_are_skipped(tmp_path: Path) -> None:
    assert understood(tmp_path, 0, "hello\n[1]\n{\n", log="no trace").status == "crashed"


# Folders of runs


def plan_in(folder: Path, **changes: object) -> Path:
    plan = {"parent": "segmitos@1.0.0", "version": "1.0.0+tuned.1", "minutes": 5, "fields": [{}, {}], **changes}
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    return folder


def test_runs_are_listed_and_those_without_an_end_can_go_on(tmp_path: Path) -> None:
    first, second, third = (plan_in(new_folder(f"segmitos {i}", tmp_path)) for i in range(3))
    (first / "outcome.json").write_text("{}", encoding="utf-8")
    new_folder("empty", tmp_path)
    (tmp_path / "a file").write_text("", encoding="utf-8")
    assert [one.folder for one in list_runs(tmp_path)] == [first, second, third]
    assert [one.folder for one in unfinished(list_runs(tmp_path))] == [second, third]
    with claimed(third):
        assert [one.folder for one in unfinished(list_runs(tmp_path))] == [second]
    one = read_run(second)
    assert one is not None
    assert (one.parent, one.version, one.minutes, one.fields) == ("segmitos@1.0.0", "1.0.0+tuned.1", 5.0, 2)


def test_two_runs_of_one_second_get_a_folder_each(tmp_path: Path) -> None:
    assert len({new_folder("segmitos@1.0.0", tmp_path) for _ in range(3)}) == 3


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(MitosisError, match="cannot be kept"):
        new_folder("segmitos", tmp_path / "file")


def test_half_a_line_of_progress_is_left_out(tmp_path: Path) -> None:
    line = json.dumps({"event": "progress", "done": 1, "total": 2, "message": "x", "metrics": {}})
    (tmp_path / PROGRESS_FILE).write_text(f"{line}\n{line[:20]}", encoding="utf-8")
    assert read_progress(tmp_path) == [Progress(1, 2, "x", {})]


def test_the_end_of_a_long_log(tmp_path: Path) -> None:
    (tmp_path / LOG_FILE).write_text("\n".join(f"line {i}" for i in range(5000)), encoding="utf-8")
    assert log_tail(tmp_path, 2) == "line 4998\nline 4999"
    assert log_tail(tmp_path / "nowhere") == ""


# Curves


def step(done: int, loss: float, **more: float) -> Progress:
    return Progress(done, 30, "learning", {"loss": loss, **more})


def test_curves_hold_each_step_and_each_new_f() -> None:
    curves = Curves.of(
        [
            Progress(0, 3, "looking"),
            step(5, 0.9),
            Progress(10, 30, "fold 1 judged", {"f": 0.5, "parent_f": 0.4}),
            step(11, 0.8, f=0.5, parent_f=0.4),
            Progress(0, 0, "on cpu", {"f": 0.5, "parent_f": 0.4}),
            Progress(20, 30, "fold 2 judged", {"f": 0.5, "parent_f": 0.6}),
            step(21, 0.7, f=0.5, parent_f=0.6),
        ]
    )
    assert curves.loss == [(5, 0.9), (11, 0.8), (21, 0.7)]
    assert curves.f == [(10, 0.5), (20, 0.5)]
    assert curves.parent_f == [(10, 0.4), (20, 0.6)]
    assert curves.steps == 30


def test_what_is_done_again_is_drawn_once() -> None:
    """The run was killed at step 17, and its checkpoint is of step 12."""
    curves = Curves.of(
        [Progress(10, 30, "fold 1 judged", {"f": 0.5, "parent_f": 0.4}), *(step(i, 1.0) for i in (11, 17))]
    )
    for again in (Progress(10, 30, "fold 1 judged", {"f": 0.5, "parent_f": 0.4}), step(13, 0.6), step(14, 0.5)):
        curves.add(again)
    assert curves.loss == [(11, 1.0), (13, 0.6), (14, 0.5)]
    assert curves.f == [(10, 0.5)]


def test_the_time_left_is_told_once_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("napari_mitosis.finetune.watch.time.monotonic", lambda: now[0])
    clock = Clock()
    assert clock.left(Progress(1, 3, "looking")) == ""
    assert clock.left(step(10, 1.0)) == ""  # a run that goes on: what was done before took no time now
    now[0] += 10
    assert clock.left(step(15, 1.0)) == "30 s left"
    assert clock.left(Progress(0, 0, "on cpu")) == "30 s left"
    now[0] += 290
    assert clock.left(step(20, 1.0)) == "5 min left"


# Plans


def test_a_plan_from_the_journal(write_field, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from napari_mitosis.annotations.notebook import Notebook
    from napari_mitosis.annotations.store import Journal
    from napari_mitosis.fields.field import open_field
    from napari_mitosis.finetune.journal import plan_from_journal

    journal, digests = Journal(tmp_path / "journal.sqlite"), {}
    for number, name in enumerate(("a.png", "b.png", "blank.png", "gone.png")):
        field = open_field(write_field(name, [(40 + 10 * number, 50)]))
        journal.remember(field)
        digests[field.name] = field.digest
        if number < 2:
            Notebook(journal, field, "ada").add(40.0, 50.0)
    (tmp_path / "gone.png").unlink()
    chosen = [digests["a"], digests["b"]]

    def planned(fields: list[str]) -> FinetunePlan:
        return plan_from_journal(journal, "segmitos@1.0.0", fields, [digests["b"]], minutes=5)

    plan = planned(chosen)
    parts = {field.name: (field.role, len(field.figures)) for field in plan.fields}
    assert parts == {"a": ("train", 1), "b": ("test", 1)}
    assert [field.name for field in plan.tissue] == ["blank"]
    assert plan.version.startswith("1.0.0+tuned.")
    assert plan.snapshot == planned(chosen[::-1]).snapshot
    Notebook(journal, open_field(tmp_path / "a.png"), "ada").add(90.0, 90.0, "mimic")
    assert plan.snapshot != planned(chosen).snapshot
    journal.close()
