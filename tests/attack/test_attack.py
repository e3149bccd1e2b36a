"""A part of the attack, small enough for every run of the tests; ``make attack`` runs all of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from .kills import attack_kills
from .servers import attack_servers
from .worker import Worker, attack

COUNTS = {
    **{"images": 200, "tables": 200, "cards": 200, "runs": 200, "spill": 200, "weights": 12},
    **{"datasets": 200, "slides": 200, "journals": 100, "studies": 200, "templates": 200},
}
"""Weights and journals take more than a tenth of a second each."""


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


@pytest.mark.parametrize("name", COUNTS)
def test_damage_ends_in_a_result_or_in_a_clear_error(worker: Worker, name: str) -> None:
    tally = attack(worker, name, COUNTS[name])
    assert tally.wrong == []
    assert len(tally.ends) >= 2  # some were refused, and some were not: the damage is neither none nor all


@pytest.mark.skipif(sys.platform == "win32", reason="there is neither fork nor SIGKILL on Windows")
def test_killed_writers_lose_nothing() -> None:
    tally = attack_kills(60)
    assert tally.wrong == []
    assert tally.ends["actions kept"] > 60


def test_hostile_servers_neither_hold_nor_fill() -> None:
    assert attack_servers(200).wrong == []
