"""A long job is a generator of `Progress` that returns its result.

The same job runs inline (`run`), in a thread (``gui/worker.py``) or in a process. Between two yields it
holds no lock, so closing the generator cancels it; its ``finally`` clauses clean up.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from .errors import Cancelled

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes
    ----------
    done, total : int
        Steps done, and steps in all (0 = not known yet).
    message : str
        What it is doing, for a person.
    metrics : mapping of str to float
        Named figures, such as the loss of a training step.
    """

    done: int
    total: int
    message: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)


Job = Generator[Progress, None, T]


def run(
    job: Job[T],
    on_progress: Callable[[Progress], object] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> T:
    """Run a job here and now.

    Parameters
    ----------
    job : Job
        A generator that has not been started.
    on_progress : callable, optional
        Called with every `Progress`.
    cancelled : callable, optional
        Asked after each step; when it answers True the job is closed.

    Returns
    -------
    object
        What the job returns.

    Raises
    ------
    Cancelled
        When `cancelled` answered True.
    """
    while True:
        try:
            progress = next(job)
        except StopIteration as stop:
            result: T = stop.value
            return result
        if on_progress is not None:
            on_progress(progress)
        if cancelled is not None and cancelled():
            job.close()
            raise Cancelled


def retold(job: Job[T], tell: Callable[[Progress], Progress]) -> Job[T]:
    """The same job with its progress told in other words; closing it closes the job.

    Parameters
    ----------
    job : Job
        A job that has not been started.
    tell : callable
        From the job's own `Progress` to the one that is shown.
    """
    try:
        while True:
            try:
                progress = next(job)
            except StopIteration as stop:
                result: T = stop.value
                return result
            yield tell(progress)
    finally:
        job.close()
