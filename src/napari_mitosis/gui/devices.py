"""Which devices there are, asked in a worker: the answer needs torch."""

from __future__ import annotations

from ..jobs import Job, Progress


def devices_job() -> Job[list[str]]:
    """A job that returns the devices of this machine, the best first."""
    yield Progress(0, 1, "looking for devices")
    from ..inference.device import available_devices  # imports torch: seconds, so not in the window's thread

    return available_devices()
