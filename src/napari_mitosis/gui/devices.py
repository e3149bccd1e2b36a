"""Which devices there are, and what other packages bring, asked in a worker: the answers need torch."""

from __future__ import annotations

from collections.abc import Mapping

from ..jobs import Job, Progress


def devices_job() -> Job[list[str]]:
    """A job that returns the devices of this machine, the best first."""
    yield Progress(0, 1, "looking for devices")
    from ..inference.device import available_devices  # imports torch: seconds, so not in the window's thread

    return available_devices()


def packages_job() -> Job[Mapping[str, str]]:
    """A job that returns the other package of each detector that has one, by the detector's name."""
    yield Progress(0, 1, "looking for detectors of other packages")
    from ..models.trust import packages

    return packages()
