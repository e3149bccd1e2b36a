"""The "Train" dock: learn from the corrections in the background, compare, adopt or go back."""

from collections.abc import Callable, Sequence
from typing import Any

import napari
import pandas as pd
from qtpy.QtCore import QTimer
from qtpy.QtGui import QShowEvent

from ...errors import MitosisError
from ...finetune.client import Ended
from ...finetune.gate import FEWEST_FIELDS, FEWEST_MITOSES
from ...finetune.runs import Run, unfinished
from ...models.registry import list_cards
from ...models.versions import adopt, go_back
from ...review.words import counted
from ..devices import devices_job
from ..page import Page
from ..places import look_at
from .panel import TrainPanel
from .training import Training, training_of
from .work import (
    Begun,
    Choice,
    Judgement,
    Thumbnail,
    begin_job,
    continue_job,
    dismiss_job,
    fields_job,
    judge_job,
    runs_job,
)

MINUTES = (1.0, 5.0, 20.0)

REFRESH_MS = 1500
"""How long after an annotation the counts follow."""


class TrainDock(Page):
    """Trains new versions from a reader's corrections, beside the work; goes on while it is not looked at.

    Parameters
    ----------
    viewer : napari.Viewer
    minutes : sequence of float, optional
        The time budgets on offer.
    """

    def __init__(self, viewer: napari.Viewer, minutes: Sequence[float] = MINUTES) -> None:
        super().__init__(viewer)
        self.workers = self.desk.workers
        self.panel = TrainPanel(self, minutes)
        self.training: Training | None = None
        self._old: Run | None = None
        self._busy = False
        self._down = False
        self._refresh = QTimer(self)
        self._refresh.setSingleShot(True)
        self._refresh.setInterval(REFRESH_MS)
        self._refresh.timeout.connect(self.refresh_fields)
        self._connect()

    def _connect(self) -> None:
        panel = self.panel
        panel.fields.edited.connect(self._update_ready)
        panel.parent_chosen.connect(self._parent_chosen)
        panel.start_wanted.connect(self.start)
        panel.cancel_wanted.connect(self.cancel)
        panel.continue_wanted.connect(self.go_on)
        panel.dismiss_wanted.connect(self._dismiss)
        panel.verdict.adopt_wanted.connect(self.adopt)
        panel.verdict.look_wanted.connect(self._look)
        panel.versions.use_wanted.connect(self.use)
        panel.versions.back_wanted.connect(self.go_back)
        self.desk.noted.connect(self._soon)
        self.desk.notebook_changed.connect(self._soon)

    def _first(self) -> None:
        """Read what is to be shown: only once somebody looks, since a dock may lie behind others for ever."""
        if self._down or self.training is not None:
            return
        self._attach()
        self._offer()
        self.workers.start(devices_job(), succeeded=self._set_devices)
        self.refresh_fields()
        self.workers.start(runs_job(), succeeded=self._listed, failed=self._failed)

    def _attach(self) -> None:
        """Follow the training of the window that the dock is in now."""
        self.training = training_of(self)
        self.training.changed.connect(self._show_training)
        self.training.ended.connect(self._ended)
        self._show_training()
        self.panel.show_end(self.training.last)

    # Fields and models

    def _soon(self, *_: object) -> None:
        if self.isVisible():
            self._refresh.start()

    def refresh_fields(self) -> None:
        """Read the journal again, in a worker."""
        if not self._down:
            self.workers.start(fields_job(self.desk.journal), succeeded=self._set_fields, failed=self._failed)

    def _set_fields(self, fields: pd.DataFrame) -> None:
        self.panel.fields.set_fields(fields)

    def _set_devices(self, devices: list[str]) -> None:
        box = self.panel.device
        chosen = box.currentText()
        box.clear()
        box.addItems(["auto", *devices])
        box.setCurrentText(chosen)

    def _offer(self) -> None:
        """Offer every version that may be started from."""
        self._tried(lambda: self.panel.set_cards(list_cards()))

    def _parent_chosen(self) -> None:
        card = self.panel.card
        if card is not None:
            self._tried(lambda: self.panel.versions.show_versions(card.detector))
        self._update_ready()

    def _update_ready(self) -> None:
        running = self._busy or (self.training is not None and self.training.running)
        self.panel.set_ready(self._why_not(running), self._hint(), running)

    def _why_not(self, running: bool) -> str:
        """Why no training can be started now; empty where it can."""
        card, chosen = self.panel.card, self.panel.fields.chosen
        if running:
            return "A training is under way."
        if self.panel.fields.fields.empty:
            return "Nothing is annotated yet: review some detections, or mark mitoses in a field."
        if card is None:
            return "No model is installed."
        if card.members:
            return "An ensemble has no weights of its own to train: start from one of its members."
        if chosen.empty or len(self.panel.fields.test) == len(chosen):
            return "Choose at least one field to learn from."
        learnt = chosen[~chosen["digest"].isin(self.panel.fields.test)]
        if not int(learnt["mitosis"].sum() + learnt["mimic"].sum()):
            return "There is nothing to learn from: mark a mitosis or a look-alike."
        return ""

    def _hint(self) -> str:
        chosen, test = self.panel.fields.chosen, self.panel.fields.test
        if chosen.empty:
            return ""
        count, mitoses, mimics = len(chosen), int(chosen["mitosis"].sum()), int(chosen["mimic"].sum())
        text = (
            f"{count} field{'s' if count != 1 else ''} · {counted(mitoses, 'mitosis')} · {counted(mimics, 'mimic')}. "
        )
        if count < FEWEST_FIELDS or mitoses < FEWEST_MITOSES:
            return (
                f"{text}Too little evidence to offer a new version: {FEWEST_FIELDS} fields with {FEWEST_MITOSES} "
                "mitoses are needed. Training is possible all the same. 'napari-mitosis propose' names the fields that "
                "teach most."
            )
        if test:
            return (
                f"{text}{len(test)} only for judging; the others are judged by networks that did not learn from them."
            )
        return f"{text}Each field is judged by a network that did not learn from it."

    # Training

    def start(self) -> None:
        """Train from what is chosen."""
        card, running = self.panel.card, self.training is not None and self.training.running
        if card is None or self._busy or self._why_not(running):
            return
        fields = tuple(str(digest) for digest in self.panel.fields.chosen["digest"])
        minutes, device = self.panel.minutes, self.panel.device.currentText()
        choice = Choice(card.name, fields, self.panel.fields.test, minutes, device)
        self._begin(begin_job(self.desk.journal, choice))

    def go_on(self) -> None:
        """Go on with the training that did not come to its end."""
        if self._old is not None and not self._busy:
            self._begin(continue_job(self._old.folder))

    def _begin(self, job: Any) -> None:
        self._busy = True
        self.panel.say("")
        self._update_ready()
        self.workers.start(job, succeeded=self._begun, failed=self._failed)

    def _begun(self, begun: Begun) -> None:
        self._busy = False
        assert self.training is not None
        training = self.training
        if not training.running and self._tried(lambda: training.start(begun.run, begun.curves)):
            self._old = None
            self.panel.show_banner("")
            self.panel.verdict.show_judgement(None)
            self.panel.show_end(None)
        self._update_ready()

    def cancel(self) -> None:
        """Stop the training at its next step."""
        if self.training is not None and self.training.running:
            self.training.cancel()
            self.panel.cancel.setEnabled(False)
            self.panel.cancel.setToolTip("It stops at its next step.")

    def _show_training(self) -> None:
        if self.training is not None and self.isVisible():
            self.panel.show_training(self.training)

    def _ended(self, ended: Ended) -> None:
        assert self.training is not None
        run = self.training.run
        self.panel.show_training(self.training)
        self.panel.show_end(ended)
        self._update_ready()
        if run is None:
            return
        if ended.status == "finished":
            self._judge(run)
        elif ended.status != "failed":
            self._offer_to_go_on(run)

    def _judge(self, run: Run) -> None:
        self.workers.start(judge_job(run.folder), succeeded=self._judged, failed=self._failed)

    # What was trained before

    def _listed(self, runs: list[Run]) -> None:
        """After a start of the viewer: the newest training that did not come to its end, or whose verdict is new."""
        if (self.training is not None and self.training.running) or not runs:
            return
        newest = runs[-1]
        if newest.finished:
            self._judge(newest)
        waiting = unfinished(runs)
        if waiting:
            self._offer_to_go_on(waiting[-1])

    def _offer_to_go_on(self, run: Run) -> None:
        self._old = run
        begun = f"{run.folder.name[9:11]}:{run.folder.name[11:13]}" if run.folder.name[:8].isdigit() else ""
        what = f"{run.fields} field{'s' if run.fields != 1 else ''}, {run.minutes:g} min"
        self.panel.show_banner(f"A training of {run.parent}{f' of {begun}' if begun else ''} ({what}) is not finished.")

    def _dismiss(self) -> None:
        if self._old is not None:
            self.workers.start(dismiss_job(self._old.folder), succeeded=_nothing, failed=self._failed)
        self._old = None
        self.panel.show_banner("")

    # The verdict and the versions

    def _judged(self, judgement: Judgement) -> None:
        self._show_versions(judgement.card.detector)
        self.panel.verdict.show_judgement(judgement, self._in_use(judgement.card.detector))

    def adopt(self) -> None:
        """Use the version that the verdict offers."""
        judgement = self.panel.verdict.judgement
        if judgement is not None and judgement.verdict.offered:
            self.use(judgement.name)

    def use(self, name: str) -> None:
        """Use a version from now on, here and in the detect dock."""
        self._switch(lambda: self._adopted(name))

    @staticmethod
    def _adopted(name: str) -> str:
        adopt(name)
        return name

    def go_back(self, detector: str) -> None:
        """Use the version that was in use before the present one."""
        self._switch(lambda: go_back(detector))

    def _switch(self, change: Callable[[], str]) -> None:
        names: list[str] = []
        if not self._tried(lambda: names.append(change())):
            return
        self._offer()
        detector = names[0].partition("@")[0]
        self._show_versions(detector)
        self.panel.verdict.set_in_use(self._in_use(detector))
        self.desk.models_changed.emit(names[0])

    def _show_versions(self, detector: str) -> None:
        self._tried(lambda: self.panel.versions.show_versions(detector))

    def _in_use(self, detector: str) -> str:
        names: list[str] = []
        self._tried(lambda: names.append(self.panel.versions.show_versions(detector)))
        return names[0] if names else ""

    def _look(self, thumbnail: Thumbnail) -> None:
        """Go to a figure, where its field is open."""
        session, fields = self.desk.session, self.desk.fields
        for key in fields:
            # A field with a notebook knows its digest; computing one here would hold the window up.
            if self.desk.notebook(key) is not None and session[key].field.digest == thumbnail.digest:
                fields.choose(key)
                look_at(self.viewer, fields.layer(key), (thumbnail.y_px, thumbnail.x_px))
                return
        self.panel.say(f"{thumbnail.field} is not open.")

    # Errors and the end

    def _tried(self, action: Callable[[], object]) -> bool:
        try:
            action()
        except MitosisError as error:
            self.panel.say(str(error))
            return False
        return True

    def _failed(self, error: Exception) -> None:
        self._busy = False
        self.panel.say(str(error) or type(error).__name__)
        self._update_ready()

    def shutdown(self) -> None:
        """Let go of everything but the training."""
        if self._down:
            return
        self._down = True
        self._refresh.stop()
        if self.training is not None:
            self.training.changed.disconnect(self._show_training)
            self.training.ended.disconnect(self._ended)

    def showEvent(self, event: QShowEvent | None) -> None:
        """What happened while it was hidden is shown."""
        super().showEvent(event)
        if self.training is None:
            QTimer.singleShot(0, self._first)
        else:
            self._show_training()
            self._soon()


def _nothing(_result: object) -> None:
    """What a job that only writes is followed by."""
