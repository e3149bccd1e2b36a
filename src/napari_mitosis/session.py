"""The truth about the open fields: what was seen in each, under which rule, and what that makes of it.

No Qt: the viewer shows a session, a script can drive one. Everything here is called from one thread, except
the jobs and decisions that it hands out: they hold all they need and never touch the session.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from psygnal import Signal

from .decision.decide import Decider, Rule
from .decision.evidence import Evidence
from .fields.field import Field
from .inference.cache import EvidenceCache
from .jobs import Job, Progress

if TYPE_CHECKING:
    from .inference.pipeline import Pipeline
    from .measures.grade import Density
    from .models.card import ModelCard


@dataclass(frozen=True)
class Ticket:
    """What a result was asked for; a result with an outdated ticket is dropped.

    Attributes
    ----------
    key : hashable
        The open field.
    epoch : int
        Grows with whatever makes evidence outdated: a new detection, another um/px, other pixels.
    generation : int
        Counts the rules that were asked for.
    """

    key: Hashable
    epoch: int
    generation: int


@dataclass(frozen=True, eq=False)
class Result:
    """Detections of one field under one rule.

    Attributes
    ----------
    ticket : Ticket
    evidence : Evidence
        The score maps that the detections were read off.
    decider : Decider
        Holds caches. One thread at a time may use it.
    rule : Rule
    detections : DataFrame
        With `tables.DETECTION_COLUMNS`.
    candidates : DataFrame
        The same columns: every blob above the threshold, before area and score filters.
    kept : ndarray of bool, shape (n,)
        Which of the candidates are the detections, in the same order.
    threshold : float
        The threshold in use, be it fixed or Otsu's.
    density : Density
        Detections per mm2 with the Poisson interval.
    pipeline : Pipeline
        What looked; its rule is the one that the model brings along.
    note : str
        What the reader should know of this look, such as that the stain is unusual; mostly empty.
    """

    ticket: Ticket
    evidence: Evidence
    decider: Decider
    rule: Rule
    detections: pd.DataFrame
    candidates: pd.DataFrame
    kept: NDArray[np.bool_]
    threshold: float
    density: Density
    pipeline: Pipeline
    note: str = ""

    @property
    def card(self) -> ModelCard:
        """The card of the model that looked."""
        return self.pipeline.card

    @property
    def preset(self) -> Rule:
        """The rule that the model brings along."""
        return self.pipeline.rule


@dataclass(frozen=True, eq=False)
class Request:
    """A decision to be made, in whichever thread. Attributes as in `Result`."""

    ticket: Ticket
    evidence: Evidence
    decider: Decider
    rule: Rule
    pipeline: Pipeline

    def run(self) -> Result:
        """Decide. Milliseconds; the network does not run."""
        from .measures.grade import mitotic_density  # scipy.stats loads slowly: first in the worker of a detection

        decider, rule = self.decider, self.rule
        candidates, kept = decider.candidates(rule), decider.kept(rule)
        detections = candidates[kept].reset_index(drop=True)
        return Result(
            ticket=self.ticket,
            evidence=self.evidence,
            decider=decider,
            rule=rule,
            detections=detections,
            candidates=candidates,
            kept=kept,
            threshold=decider.threshold(rule),
            density=mitotic_density(len(detections), self.evidence.area_mm2),
            pipeline=self.pipeline,
        )

    def job(self) -> Job[Result]:
        """The same as a job, for a worker."""
        yield Progress(0, 1, "deciding")
        return self.run()


@dataclass(eq=False)
class OpenField:
    """One open field. Read it; only its session changes it.

    Attributes
    ----------
    field : Field
    annotations : DataFrame or None
        With `tables.ANNOTATION_COLUMNS`, where the field came with them.
    rule : Rule or None
        As the sliders stand; None before the first detection.
    model : str or None
        What `rule` was set for: a model version, and a plus with the verifier's where one looked.
    result : Result or None
        The newest result.
    """

    field: Field
    annotations: pd.DataFrame | None = None
    rule: Rule | None = None
    model: str | None = None
    result: Result | None = None
    epoch: int = 0
    generation: int = 0

    def centroids_yx(self) -> NDArray[np.float64] | None:
        """Mitoses of the field in pixels, shape (n, 2): the annotated ones, else the detected ones, else None."""
        frame = self.annotations
        if frame is not None:
            frame = frame[frame["label"] == "mitosis"]
        elif self.result is not None:
            frame = self.result.detections
        else:
            return None
        return frame[["y_px", "x_px"]].to_numpy(dtype=np.float64)


class Session:
    """The open fields, which of them is looked at, and their results.

    Parameters
    ----------
    load : callable, optional
        Name of a model -> pipeline; `inference.pipeline.load_pipeline` by default. A pipeline looks for detections
        only, never for a change of rule.

    Attributes
    ----------
    cache : EvidenceCache
        What was seen, so that no network looks twice at the same pixels.
    opened, closed, active_changed : Signal(key)
        `active_changed` carries None when no field is left.
    field_changed : Signal(key)
        Another um/px or other pixels.
    rule_changed, result_changed : Signal(key)
        `result_changed` also tells that a result was dropped.
    """

    opened = Signal(object)
    closed = Signal(object)
    active_changed = Signal(object)
    field_changed = Signal(object)
    rule_changed = Signal(object)
    result_changed = Signal(object)

    def __init__(self, load: Callable[[str], Pipeline] | None = None) -> None:
        self._load = load or _load_pipeline
        self._fields: dict[Hashable, OpenField] = {}
        self._active: Hashable | None = None
        self._pipelines: dict[str, Pipeline] = {}
        self.cache = EvidenceCache()
        self._epochs = itertools.count(1)

    def __len__(self) -> int:
        return len(self._fields)

    def __iter__(self) -> Iterator[Hashable]:
        return iter(tuple(self._fields))

    def __contains__(self, key: object) -> bool:
        return key in self._fields

    def __getitem__(self, key: Hashable) -> OpenField:
        return self._fields[key]

    @property
    def active(self) -> Hashable | None:
        """Key of the field that is looked at, or None."""
        return self._active

    @property
    def current(self) -> OpenField | None:
        """The field that is looked at, or None."""
        return self._fields.get(self._active) if self._active is not None else None

    def open(self, key: Hashable, field: Field, annotations: pd.DataFrame | None = None) -> None:
        """Add a field; the first one becomes active.

        Raises
        ------
        ValueError
            If the key is taken.
        """
        if key in self._fields:
            raise ValueError(f"a field is open under {key!r} already")
        self._fields[key] = OpenField(field, annotations, epoch=next(self._epochs))
        self.opened.emit(key)
        if self._active is None:
            self.activate(key)

    def close(self, key: Hashable) -> None:
        """Forget a field and its results; whatever still runs for it will be dropped."""
        if self._fields.pop(key, None) is None:
            return
        self.closed.emit(key)
        if self._active == key:
            self._active = next(iter(self._fields), None)
            self.active_changed.emit(self._active)

    def activate(self, key: Hashable) -> None:
        """Look at another open field.

        Raises
        ------
        KeyError
            If it is not open.
        """
        if key not in self._fields:
            raise KeyError(key)
        if self._active != key:
            self._active = key
            self.active_changed.emit(key)

    def set_mpp(self, key: Hashable, mpp: float) -> None:
        """State the um/px of a field. What was seen at another um/px is dropped.

        Raises
        ------
        ValueError
            If it cannot be a pixel size.
        """
        state = self._fields[key]
        if state.field.mpp != mpp:
            self.replace_field(key, state.field.with_mpp(mpp))

    def recall(self, key: Hashable, model: str, rule: Rule) -> None:
        """What is detected next in a field by this model is decided under this rule, as it was before a restart."""
        state = self._fields[key]
        state.model, state.rule = model, rule

    def rename(self, key: Hashable, name: str) -> None:
        """Call an open field by another name; what was seen in it stays."""
        state = self._fields[key]
        state.field = state.field.renamed(name)

    def replace_field(self, key: Hashable, field: Field) -> None:
        """The pixels or the um/px of an open field are others now; its results are dropped."""
        state = self._fields[key]
        state.field = field
        state.epoch = next(self._epochs)
        had_result, state.result = state.result is not None, None
        self.field_changed.emit(key)
        if had_result:
            self.result_changed.emit(key)

    def detection(self, key: Hashable, model: str, device: str = "auto") -> Job[Result]:
        """A job that looks at a field and decides; hand what it returns to `accept`.

        The job works on what the field is now. A detection that is asked for later outdates this one.

        Parameters
        ----------
        model : str
            See `inference.pipeline.load_pipeline`.
        device : str
            ``"auto"``, ``"cuda"``, ``"mps"`` or ``"cpu"``.
        """
        state = self._fields[key]
        state.epoch = next(self._epochs)
        state.generation += 1
        ticket = Ticket(key, state.epoch, state.generation)
        return self._detect(ticket, state, state.field, model, device)

    def _detect(self, ticket: Ticket, state: OpenField, field: Field, model: str, device: str) -> Job[Result]:
        """Runs in a worker: of the session it uses only what is safe from any thread."""
        field.require_mpp("Detection")
        pipeline = yield from self.loading(model)
        evidence = yield from pipeline.look(field, device=device, cache=self.cache)
        yield Progress(0, 0, "deciding")
        # The sliders may have moved while the network looked.
        rule = state.rule if state.rule is not None and state.model == evidence.model else pipeline.rule
        result = Request(ticket, evidence, pipeline.decider(evidence), rule, pipeline).run()
        from .inference.stain_guard import unusual_stain  # torch: only in the worker of a detection

        return replace(result, note=unusual_stain(field, pipeline.card))

    def loading(self, model: str) -> Job[Pipeline]:
        """A job that returns the pipeline of a model; each is loaded once."""
        if model not in self._pipelines:
            yield Progress(0, 0, f"loading {model}")
            self._pipelines[model] = self._load(model)
        return self._pipelines[model]

    def request(self, key: Hashable, rule: Rule) -> Request | None:
        """Set the rule of a field and return the decision that is due, or None before its first detection."""
        state = self._fields[key]
        if rule != state.rule:
            state.rule = rule
            self.rule_changed.emit(key)
        if state.result is None:
            return None
        state.generation += 1
        ticket = Ticket(key, state.result.ticket.epoch, state.generation)
        shown = state.result
        return Request(ticket, shown.evidence, shown.decider, rule, shown.pipeline)

    def set_rule(self, key: Hashable, **changes: Any) -> None:
        """Change fields of a rule, such as ``min_score=0.6``, and decide here and now.

        Raises
        ------
        ValueError
            If there is no rule yet: nothing was detected.
        """
        rule = self._fields[key].rule
        if rule is None:
            raise ValueError("detect in this field first")
        request = self.request(key, replace(rule, **changes))
        if request is not None:
            self.accept(request.run())

    def accept(self, result: Result) -> bool:
        """Make a result the field's own, unless the field is gone or something newer is there; whether it was."""
        ticket = result.ticket
        state = self._fields.get(ticket.key)
        if state is None:
            return False
        shown = state.result.ticket if state.result is not None else Ticket(ticket.key, -1, -1)
        # While a new detection runs, the sliders still move what the last one saw.
        live = state.result is not None and state.result.decider is result.decider
        newer = (ticket.epoch, ticket.generation) > (shown.epoch, shown.generation)
        if not newer or not (live or ticket.epoch == state.epoch):
            return False
        state.result = result
        if ticket.epoch != shown.epoch:
            state.rule, state.model = result.rule, result.evidence.model
            self.rule_changed.emit(ticket.key)
        self.result_changed.emit(ticket.key)
        return True


def _load_pipeline(name: str) -> Pipeline:
    from .inference.pipeline import load_pipeline  # torch is imported by the first detection, in its worker

    return load_pipeline(name)
