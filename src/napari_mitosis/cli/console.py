"""What all commands share: where text goes, how a job shows its progress, how an error is told."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ..errors import MitosisError
from ..jobs import Job, Progress, run
from ..names import printable

T = TypeVar("T")

_PIPE_WIDTH = 160


def stdout() -> Console:
    """Where results go. In a pipe, tables are not cut at 80 columns."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def stderr() -> Console:
    """Where progress and errors go."""
    return Console(file=sys.stderr, width=None if sys.stderr.isatty() else _PIPE_WIDTH)


@contextmanager
def errors_told() -> Iterator[None]:
    """Turn an expected error into one line and exit code 1."""
    try:
        yield
    except (MitosisError, OSError, ValueError) as error:
        stderr().print(f"[bold red]Error:[/] {escape(printable(str(error)))}", highlight=False)
        raise typer.Exit(1) from error


def run_shown(job: Job[T], counts: str | None = None) -> T:
    """Run a job with a progress bar on standard error.

    Parameters
    ----------
    job : Job
        A job that has not been started.
    counts : str, optional
        Name of what its steps are ("tiles"): shown as "3/16 tiles". A per cent where absent.

    Returns
    -------
    object
        What the job returns.
    """
    console = stderr()
    amount = MofNCompleteColumn() if counts else TextColumn("{task.percentage:>3.0f}%")
    text = TextColumn("{task.description}", markup=False)
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    with Bar(text, BarColumn(), amount, *times, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(counts or "", total=None)

        def show(step: Progress) -> None:
            words = [step.message, *(f"{name} {value:.4g}" for name, value in step.metrics.items())]
            bar.update(task, completed=step.done, total=step.total or None, description="  ".join(filter(None, words)))

        return run(job, on_progress=show)


def run_logged(job: Job[T], every_s: float = 60.0) -> T:
    """Run a long job: a progress bar in a terminal, otherwise a line with the time whenever a minute has passed."""
    console = stderr()
    if console.is_terminal:
        return run_shown(job)
    last = [float("-inf")]

    def tell(step: Progress) -> None:
        if time.monotonic() - last[0] < every_s:
            return
        last[0] = time.monotonic()
        figures = "  ".join(f"{name} {value:.4g}" for name, value in step.metrics.items())
        line = f"{time.strftime('%H:%M:%S')}  {step.done}/{step.total}  {step.message}  {figures}"
        console.print(line, highlight=False, markup=False)

    return run(job, on_progress=tell)
