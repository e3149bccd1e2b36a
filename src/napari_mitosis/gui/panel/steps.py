"""The steps of the panel, in the order of the work, and how each is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import napari
from qtpy.QtWidgets import QWidget

from ..desk import desk_of

REPORT = "napari_mitosis.gui.report.panel"


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes
    ----------
    name : str
    meaning : str
        What it is for, in a few words.
    build : callable
        Viewer -> its page.
    more : bool
        Whether it is found under *More*.
    """

    name: str
    meaning: str
    build: Callable[[napari.Viewer], QWidget]
    more: bool = False


def _fields(viewer: napari.Viewer) -> QWidget:
    from ..open.page import FieldsPage

    return FieldsPage(viewer)


def _detect(viewer: napari.Viewer) -> QWidget:
    from ..detect.dock import DetectDock

    return DetectDock(viewer)


def _review(viewer: napari.Viewer) -> QWidget:
    from ..review.dock import ReviewDock

    return ReviewDock(viewer)


def _report(viewer: napari.Viewer) -> QWidget:
    page: QWidget = import_module(REPORT).ReportPanel(desk_of(viewer))
    return page


def _train(viewer: napari.Viewer) -> QWidget:
    from ..train.dock import TrainDock

    return TrainDock(viewer)


def _compare(viewer: napari.Viewer) -> QWidget:
    from ..compare.dock import CompareDock

    return CompareDock(viewer)


def _agreement(viewer: napari.Viewer) -> QWidget:
    from ..readers.page import AgreementPage

    return AgreementPage(viewer)


def _why(viewer: napari.Viewer) -> QWidget:
    from ..why.page import WhyPage

    return WhyPage(viewer)


STEPS: tuple[Step, ...] = (
    Step("Fields", "Open fields and go from one to the next", _fields),
    Step("Detect", "Let a network look, and set how sensitive it is", _detect),
    Step("Review", "Judge each candidate with one key", _review),
    Step("Report", "The count of the case, to be signed", _report),
    Step("Train", "Let a model learn from your corrections", _train, more=True),
    Step("Compare", "See on what several models agree", _compare, more=True),
    Step("Agreement", "See how far readers agree on a case, and settle what they dispute", _agreement, more=True),
    Step("Why", "See which known figures this one looks like", _why, more=True),
)


def steps_here() -> tuple[Step, ...]:
    """The steps that this installation has."""
    reports = find_spec(REPORT.rpartition(".")[0]) is not None
    return tuple(step for step in STEPS if step.name != "Report" or reports)
