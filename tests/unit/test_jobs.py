"""Jobs: run, cancel, and tell their progress in other words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from napari_mitosis.errors import Cancelled
from napari_mitosis.jobs import Job, Progress, retold, run


def counting(closed: list[bool]) -> Job[str]:
    try:
        for i in range(3):
            yield Progress(i, 3, "counting")
        return "done"
    finally:
        closed.append(True)


def test_run_gives_progress_and_result():
    seen: list[Progress] = []
    assert run(counting([]), seen.append) == "done"
    assert [p.done for p in seen] == [0, 1, 2]


def test_cancelling_closes_the_job():
    closed: list[bool] = []
    with pytest.raises(Cancelled):
        run(counting(closed), cancelled=lambda: True)
    assert closed == [True]


def test_a_retold_job_has_the_same_result_and_other_words():
    seen: list[Progress] = []
    told = retold(counting([]), lambda p: replace(p, message=f"fold 1: {p.message}"))
    assert run(told, seen.append) == "done"
    assert {p.message for p in seen} == {"fold 1: counting"}


def test_closing_a_retold_job_closes_the_one_inside():
    closed: list[bool] = []
    inner = counting(closed)  # kept, so that no garbage collection closes it
    told = retold(inner, lambda p: p)
    next(told)
    told.close()
    assert closed == [True]
