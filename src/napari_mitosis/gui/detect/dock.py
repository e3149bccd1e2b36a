"""The step that detects: which model looks, under which rule, and what is shown of it."""

from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout

from ...decision.decide import Rule
from ...errors import MitosisError
from ...models.card import ModelCard
from ...models.registry import list_cards
from ...session import Result, Session
from .. import keys
from ..devices import devices_job, packages_job
from ..open.pixel_size import PixelSizeRow, pixel_sizes_of
from ..page import Page
from ..preferences import Preferences
from .expected import expectation
from .figures import Figures
from .live import LiveDecisions
from .panel import DetectPanel
from .results import ResultView
from .run import Runs

REVIEW_AFTER = "review_after_detecting"


class DetectDock(Page):
    """Detects mitoses in the active field, and lets the rule be tuned while the count follows.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session, optional
        A session to show; that of the viewer's desk by default.
    cards : list of ModelCard, optional
        The model versions on offer; all installed ones by default.

    Attributes
    ----------
    panel : DetectPanel
    runs : Runs
    live : LiveDecisions
    view : ResultView
    figures : Figures
    """

    def __init__(
        self, viewer: napari.Viewer, session: Session | None = None, cards: list[ModelCard] | None = None
    ) -> None:
        super().__init__(viewer, session)
        desk = self.desk
        self.session, self.workers, self.fields = desk.session, desk.workers, desk.fields
        self.panel = DetectPanel(PixelSizeRow(desk, pixel_sizes_of(desk), only_unknown=True))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.panel)
        self.live = LiveDecisions(self.session, self.workers, self)
        self.view = ResultView(desk, self.panel, self)
        self.runs = Runs(desk, self.panel.run_panel, self)
        self.figures = Figures(desk, self.panel, self.view, self)
        self._shown: Any = None
        self._offer(cards)
        self.panel.run_panel.review_after.setChecked(Preferences().get(REVIEW_AFTER, True))
        self._connect()
        self._model_selected()
        self._show_field()
        keys.bind(viewer, self._actions())
        QTimer.singleShot(0, self._probe_devices)

    def _connect(self) -> None:
        panel, session, fields, runs = self.panel, self.session, self.fields, self.runs
        panel.run_panel.run_wanted.connect(self.run)
        panel.run_panel.cancel_wanted.connect(runs.cancel)
        panel.run_panel.review_after.toggled.connect(lambda yes: Preferences().set(REVIEW_AFTER, yes))
        panel.run_panel.model.currentIndexChanged.connect(self._model_selected)
        panel.run_panel.origin.refused.connect(lambda why: panel.say(why, True))
        panel.rule.rule_edited.connect(lambda rule: self.live.edit(self._shown, rule))
        panel.rule.reset_wanted.connect(self._reset_rule)
        panel.toggled.connect(self.view.toggled)
        panel.boxes_wanted.connect(self.figures.make_boxes)
        panel.step_wanted.connect(self.figures.go)
        for part in (runs, self.figures):
            part.said.connect(panel.say)
        runs.landed.connect(self.view.landed)
        fields.changed.connect(runs.update_ready)
        fields.refused.connect(lambda why: panel.say(why, True))
        self.desk.detect_wanted.connect(self.run)
        self.desk.models_changed.connect(self.refresh_models)
        self.desk.blind.changed.connect(self._show_result)
        self.desk.tissue_wanted.connect(lambda: panel.toggles["score_map"].setChecked(False))
        session.active_changed.connect(self._show_field)
        session.field_changed.connect(self._field_changed)
        session.rule_changed.connect(self._rule_changed)
        session.result_changed.connect(self._result_changed)

    def _actions(self) -> dict[str, Any]:
        panel = self.panel
        return {
            "run": self.run,
            "cancel": self.runs.cancel,
            "next": lambda: self.figures.go(1),
            "previous": lambda: self.figures.go(-1),
            "score_map": panel.toggles["score_map"].click,
            "detections": panel.toggles["detections"].click,
            "labels": panel.toggles["labels"].click,
            "boxes": panel.toggles["boxes"].click,
            "less": lambda: panel.rule.step_sensitivity(-1),
            "more": lambda: panel.rule.step_sensitivity(1),
            "area_down": lambda: panel.rule.step_area(-1),
            "area_up": lambda: panel.rule.step_area(1),
        }

    def run(self) -> None:
        """Let the chosen model look at the active field; does nothing, saying why, where it cannot."""
        self.runs.run([self.session.active])

    def run_all(self) -> None:
        """Let the chosen model look at every field that it has not looked at yet."""
        card = self.panel.run_panel.chosen
        waiting = [key for key in self.session if card is not None and not _seen_by(self.session[key].result, card)]
        self.runs.run([key for key in waiting if self.runs.why_not(key) is None] or waiting[:1])

    @property
    def running(self) -> bool:
        """Whether a network is looking at a field now."""
        return self.runs.running

    def _probe_devices(self) -> None:
        """Ask for devices and packages where it does not hold the window up: that imports torch."""
        if not self.desk.is_closed:
            self.workers.start(devices_job(), succeeded=self.panel.run_panel.set_devices)
            self.workers.start(packages_job(), succeeded=self.panel.run_panel.set_packages)

    # The rule

    def _reset_rule(self) -> None:
        state = self.session.current
        if state is not None and state.result is not None:
            self.live.forget()
            rule = state.result.preset
            self._show_rule(rule)
            self.live.request(self.session.active, rule)

    def _rule_changed(self, key: Any) -> None:
        state = self.session.current
        if key == self.session.active and state is not None and self.panel.rule.rule != state.rule:
            self._show_rule(state.rule)

    def _show_rule(self, rule: Rule | None) -> None:
        state = self.session.current
        result = state.result if state is not None else None
        self.panel.rule.set_rule(rule, result.threshold if result is not None else None)

    # Showing

    def _result_changed(self, key: Any) -> None:
        self.view.decided(key)
        if key == self.session.active:
            self._show_result()

    def _show_result(self, *_: object) -> None:
        """Bring count, histogram and sliders up to date with the active field; nothing while it is read blind."""
        state = self.session.current
        result = state.result if state is not None and not self.desk.blind.blind(self.session.active) else None
        panel = self.panel
        self.figures.at = -1
        panel.set_results(result)
        if state is None or result is None:
            panel.rule.set_rule(None)
            panel.rule.show_expected("")
            panel.rule.histogram.set_scores(np.empty(0), np.empty(0))
            return
        panel.rule.show_expected(expectation(result))
        panel.rule.set_evidence(result.evidence, result.preset)
        if not self.live.waiting:
            self._show_rule(state.rule)
        scores = (frame["score"].to_numpy() for frame in (result.candidates, result.detections))
        panel.rule.histogram.set_scores(*scores)

    def _show_field(self, *_: object) -> None:
        """Another field is looked at."""
        key = self.session.active
        self.live.catch_up()  # what a slider of the field before still waits for
        self._shown = key
        self.view.show_layers()
        self._show_result()
        self.runs.update_ready()

    def _field_changed(self, key: Any) -> None:
        if key == self.session.active:
            self.runs.update_ready()

    # Models

    def _model_selected(self, *_: object) -> None:
        card = self.panel.run_panel.chosen
        self.runs.update_ready()
        self.desk.model_selected.emit(card.name if card is not None else "")

    def refresh_models(self, select: str = "") -> None:
        """Offer what is installed and adopted now; `select` is chosen, or what was before."""
        before = self.panel.run_panel.chosen
        self._offer(None)
        self.panel.run_panel.choose(select or (before.name if before is not None else ""))
        self.runs.update_ready()

    def _offer(self, cards: list[ModelCard] | None) -> None:
        try:
            self.panel.run_panel.set_cards(list_cards() if cards is None else cards)
        except MitosisError as error:
            self.panel.say(str(error), error=True)

    # The end

    def shutdown(self) -> None:
        """Give the keys back and wait for nothing any more."""
        self.live.stop()
        self.view.stop()
        keys.unbind(self.viewer, self._actions())


def _seen_by(result: Result | None, card: ModelCard) -> bool:
    return result is not None and result.card.name == card.name
