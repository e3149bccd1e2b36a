"""The "Detect mitoses" dock."""

from typing import Any

import napari
import numpy as np
from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QApplication, QWidget
from superqt.utils import QSignalThrottler, signals_blocked

from ...decision.decide import Rule
from ...errors import MitosisError
from ...models.card import ModelCard
from ...models.registry import list_cards
from ...session import Result, Session
from .. import keys
from ..desk import Desk
from ..devices import devices_job
from ..fields import OpenFields
from ..layers import scale_field_layer
from ..why import Why, why_job
from ..worker import JobThread, Workers
from .live import LiveDecisions
from .panel import DetectPanel
from .results import ResultView

THROTTLE_MS = 16


class DetectDock(QWidget):
    """Detects mitoses in the active field, and lets the rule be tuned while the count follows.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session, optional
        A session to show; a new one by default.
    cards : list of ModelCard, optional
        The model versions on offer; all installed ones by default.

    Attributes
    ----------
    desk : Desk
        What the other docks share with this one.
    """

    def __init__(
        self, viewer: napari.Viewer, session: Session | None = None, cards: list[ModelCard] | None = None
    ) -> None:
        super().__init__()
        self.viewer = viewer
        self.session = Session() if session is None else session  # an empty one is falsy
        self.workers = Workers()
        self.live = LiveDecisions(self.session, self.workers)
        self.panel = DetectPanel(self)
        self._wanted_rule: tuple[Any, Rule] | None = None
        self._shown: Any = None
        self._throttle = QSignalThrottler(parent=self)
        self._throttle.setTimeout(THROTTLE_MS)
        self._run: JobThread | None = None
        self._run_key: Any = None
        self._at = -1
        self._was_docked = False
        self._down = False
        self._offer(cards)
        self.fields = OpenFields(viewer, self.session, self)
        self.view = ResultView(self.session, self.fields, self.panel, self)
        self.desk = Desk(viewer, self.session, self.fields, self.workers, self)
        self._connect()
        self.fields.changed.connect(self._list_fields)
        self.fields.refused.connect(self._complain)
        self.fields.picked.connect(self._picked)
        self._list_fields()
        self._show_field()
        keys.bind(viewer, self._actions())
        # The window may go in several ways; each of them ends the jobs.
        down = self.workers.shutdown
        self.destroyed.connect(lambda: down())
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(down)
        QTimer.singleShot(0, self._probe_devices)

    def _connect(self) -> None:
        panel, session = self.panel, self.session
        panel.field.activated.connect(lambda at: self.fields.choose(panel.field.itemData(at)))
        panel.mpp_entered.connect(self._set_mpp)
        panel.run_panel.run_wanted.connect(self.run)
        panel.run_panel.cancel_wanted.connect(self.cancel)
        panel.run_panel.model.currentIndexChanged.connect(self._update_ready)
        panel.rule.rule_edited.connect(self._rule_edited)
        panel.rule.reset_wanted.connect(self._reset_rule)
        panel.toggled.connect(self.view.toggled)
        panel.boxes_wanted.connect(self._make_boxes)
        panel.why_wanted.connect(self._ask_why)
        panel.step_wanted.connect(self.go)
        self._throttle.triggered.connect(self._decide)
        self.desk.detect_wanted.connect(self.run)
        self.desk.blind.changed.connect(self._show_result)
        self.desk.tissue_wanted.connect(lambda: panel.toggles["score_map"].setChecked(False))
        session.active_changed.connect(self._show_field)
        session.closed.connect(self._field_closed)
        session.field_changed.connect(self._field_changed)
        session.rule_changed.connect(self._rule_changed)
        session.result_changed.connect(self._result_changed)

    def _actions(self) -> dict[str, Any]:
        panel = self.panel
        return {
            "run": self.run,
            "cancel": self.cancel,
            "next": lambda: self.go(1),
            "previous": lambda: self.go(-1),
            "score_map": panel.toggles["score_map"].click,
            "detections": panel.toggles["detections"].click,
            "labels": panel.toggles["labels"].click,
            "boxes": panel.toggles["boxes"].click,
            "score_down": lambda: panel.rule.step_score(-1),
            "score_up": lambda: panel.rule.step_score(1),
            "area_down": lambda: panel.rule.step_area(-1),
            "area_up": lambda: panel.rule.step_area(1),
        }

    # Running

    def run(self) -> None:
        """Let the chosen model look at the active field; does nothing, saying why, where it cannot."""
        key, card = self.session.active, self.panel.run_panel.chosen
        why = self._why_not()
        if why is not None or card is None or key is None:
            self._complain(why or "")
            return
        self.panel.say("")
        self._run_key = key
        panel = self.panel.run_panel
        job = self.session.detection(key, panel.wanted, panel.device.currentText())
        self.panel.run_panel.set_running(self.session[key].field.name)
        self._run = self.workers.start(
            job,
            succeeded=self._succeeded,
            failed=self._failed,
            progressed=self.panel.run_panel.show_progress,
            cancelled=self._cancelled,
        )
        self._update_ready()

    def cancel(self) -> None:
        """Stop the run after its present tile."""
        if self._run is not None:
            self._run.cancel()
            self.panel.say("Cancelling…")

    @property
    def running(self) -> bool:
        """Whether a network is looking at a field now."""
        return self._run is not None

    def _succeeded(self, result: Result) -> None:
        if self._down:
            return
        key = result.ticket.key
        self._ended("")
        if not self.session.accept(result):
            if key in self.session:
                self.panel.say("The field changed during the run, so its result was dropped.")
            return
        self.view.landed(result)

    def _failed(self, error: Exception) -> None:
        text = str(error) if isinstance(error, MitosisError) else f"Detection failed: {error or type(error).__name__}"
        self._ended("")
        self._complain(text)
        show_error(text)

    def _cancelled(self) -> None:
        self._ended("Cancelled.")

    def _ended(self, message: str) -> None:
        self._run = self._run_key = None
        self.panel.run_panel.set_running(None)
        self.panel.say(message)
        self._update_ready()

    def _probe_devices(self) -> None:
        """Ask for the devices where it does not hold the window up: that imports torch."""
        if not self._down:
            self.workers.start(devices_job(), succeeded=self.panel.run_panel.set_devices)

    # The rule

    def _rule_edited(self, rule: Rule) -> None:
        self._wanted_rule = (self._shown, rule)
        self._throttle.throttle()

    def _decide(self) -> None:
        """Decide under the rule that the sliders made last, in the field that they were moved in."""
        wanted, self._wanted_rule = self._wanted_rule, None
        if wanted is not None and wanted[0] in self.session:
            self.live.request(*wanted)

    def _reset_rule(self) -> None:
        state = self.session.current
        if state is not None and state.result is not None:
            self._wanted_rule = None
            rule = state.result.preset
            self.panel.rule.set_rule(rule, state.result.threshold)
            self.live.request(self.session.active, rule)

    def _rule_changed(self, key: Any) -> None:
        state = self.session.current
        if key == self.session.active and state is not None and self.panel.rule.rule != state.rule:
            self.panel.rule.set_rule(state.rule, state.result.threshold if state.result else None)

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
        panel.summary.show_result(result)
        self._at = -1
        panel.set_results(result)
        if state is None or result is None:
            panel.rule.set_rule(None)
            panel.rule.histogram.set_scores(np.empty(0), np.empty(0))
            return
        panel.rule.set_evidence(result.evidence, result.preset)
        if self._wanted_rule is None:
            panel.rule.set_rule(state.rule, result.threshold)
        scores = (frame["score"].to_numpy() for frame in (result.candidates, result.detections))
        panel.rule.histogram.set_scores(*scores)

    def _show_field(self, *_: object) -> None:
        """Another field is looked at."""
        key = self.session.active
        panel = self.panel
        self._decide()  # what a slider of the field before still waits for
        self._shown = key
        with signals_blocked(panel.field):
            panel.field.setCurrentIndex(panel.field.findData(key))
        state = self.session.current
        panel.set_field(state.field if state is not None else None)
        self.view.show_layers()
        self._show_result()
        self._update_ready()

    def _list_fields(self) -> None:
        field = self.panel.field
        with signals_blocked(field):
            field.clear()
            for key in self.fields:
                field.addItem(self.fields.layer(key).name, key)
            field.setCurrentIndex(field.findData(self.session.active))
        self._update_ready()

    def _field_closed(self, key: Any) -> None:
        if key == self._run_key:
            self.cancel()

    def _field_changed(self, key: Any) -> None:
        if key == self.session.active:
            self.panel.set_field(self.session[key].field)
            self._update_ready()

    def _set_mpp(self, mpp: float) -> None:
        key = self.session.active
        if key is not None:
            scale_field_layer(self.fields.layer(str(key)), mpp)
            self.session.set_mpp(key, mpp)

    def go(self, step: int) -> None:
        """Centre the next (1) or previous (-1) detection, best score first."""
        state = self.session.current
        if state is None or state.result is None or not len(state.result.detections):
            return
        if self.desk.blind.blind(self.session.active):
            return
        frame = state.result.detections
        self._at = (self._at + step) % len(frame) if self._at >= 0 else (0 if step > 0 else len(frame) - 1)
        row = frame.iloc[self._at]
        self._tell_figure()
        results = self.fields.results(str(self.session.active))
        results.look_at(self._at, (float(row["y_px"]), float(row["x_px"])))

    def _picked(self, key: str, at: int) -> None:
        """A detection was selected in its layer: tell of it where it is."""
        state = self.session.current
        known = state is not None and state.result is not None and at < len(state.result.detections)
        if key == self.session.active and known and at != self._at:
            self._at = at
            self._tell_figure()

    def _tell_figure(self) -> None:
        state = self.session.current
        if state is not None and state.result is not None:
            frame = state.result.detections
            figure = {str(name): float(value) for name, value in frame.iloc[self._at].items()}
            self.panel.show_position(self._at, len(frame), figure)

    def _make_boxes(self) -> None:
        """Boxes from centroids, in a worker."""
        job = self.view.centroid_boxes()
        if job is not None:
            self.workers.start(
                job,
                succeeded=lambda made: self.panel.say(self.view.show_centroid_boxes(made)),
                failed=self._failed_aside,
            )

    def _ask_why(self) -> None:
        """Compare the figure that is looked at with known ones, in a worker."""
        state = self.session.current
        if state is None or state.result is None or not len(state.result.detections):
            return
        if self._at < 0:
            self.go(1)
        row = state.result.detections.iloc[self._at]
        annotated = [
            (one.field, one.annotations)
            for one in (self.session[key] for key in self.session)
            if one.annotations is not None and one.field.mpp is not None
        ]
        point, device = (float(row["y_px"]), float(row["x_px"])), self.panel.run_panel.device.currentText()
        job = why_job(self.session, state.result.card.name, state.field, point, annotated, device)
        self.panel.say("Comparing with known figures…")
        self.workers.start(job, succeeded=self._show_why, failed=self._failed_aside)

    def _show_why(self, why: Why) -> None:
        self.panel.say("")
        self.panel.why_panel.show_why(why)

    def _failed_aside(self, error: Exception) -> None:
        self._complain(str(error) or type(error).__name__)

    # Saying why not

    def _why_not(self) -> str | None:
        state = self.session.current
        if state is None:
            return "Open an RGB image first (File > Open, or File > Open Sample)."
        if self.panel.run_panel.chosen is None:
            return "No model is installed."
        if state.field.mpp is None:
            return "The pixel size of this field is unknown: enter it in µm/px (40x scanners: about 0.25)."
        if self._run is not None:
            name = self.session[self._run_key].field.name if self._run_key in self.session else "a closed field"
            return f"A run on {name} is under way."
        return None

    def _update_ready(self) -> None:
        self.panel.run_panel.set_ready(self._why_not())

    def _complain(self, text: str) -> None:
        self.panel.say(text, error=True)

    def refresh_models(self, select: str = "") -> None:
        """Offer what is installed and adopted now; `select` is chosen, or what was before."""
        before = self.panel.run_panel.chosen
        self._offer(None)
        self.panel.run_panel.choose(select or (before.name if before is not None else ""))
        self._update_ready()

    def _offer(self, cards: list[ModelCard] | None) -> None:
        try:
            self.panel.run_panel.set_cards(list_cards() if cards is None else cards)
        except MitosisError as error:
            self._complain(str(error))

    # The end

    def shutdown(self) -> None:
        """End every job, give the keys back and let go of the viewer."""
        if self._down:
            return
        self._down = True
        self._throttle.cancel()
        self.view.stop()
        self.workers.shutdown()
        self.desk.shutdown()
        self.fields.disconnect_all()
        keys.unbind(self.viewer)

    def event(self, event: QEvent | None) -> bool:
        """Notice that the dock was taken out of its window, which is how napari closes one."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self._was_docked and self.parent() is None:
                self.shutdown()
            self._was_docked = self.parent() is not None
        done: bool = super().event(event)
        return done
