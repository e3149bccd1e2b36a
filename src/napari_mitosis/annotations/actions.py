"""One action of a reader: a row of the journal. Rows are added, never changed."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from dataclasses import field as value
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..names import printable
from ..tables import LABELS

if TYPE_CHECKING:
    from ..decision.decide import Rule

KINDS = (
    *("add", "move", "relabel", "delete", "accept", "reject", "complete", "reopen"),
    *("join", "leave", "area", "undo", "redo"),
)
"""What can be done. ``accept`` and ``reject`` judge a detector's candidate and make a figure of it, as ``add`` does;
``join`` puts a field into a case and ``leave`` takes it out; ``area`` says what of a field is counted."""

PHASES = ("prophase", "metaphase", "anaphase", "telophase", "atypical")
"""Optional detail of a label."""

MAKES_FIGURE = frozenset({"add", "accept", "reject"})
ABOUT_FIGURE = MAKES_FIGURE | {"move", "relabel", "delete"}
PLACES = MAKES_FIGURE | {"move"}
LABELS_IT = MAKES_FIGURE | {"relabel"}
MARKS = frozenset({"complete", "reopen"})
FILES = frozenset({"join", "leave"})
ABOUT_FIELD = MARKS | FILES | {"area"}
ABOUT_ACTION = frozenset({"undo", "redo"})
TARGETS = ABOUT_ACTION | {"join", "area"}


def new_id() -> str:
    """A fresh id for an action or a figure: 32 hex digits, unique everywhere."""
    return uuid.uuid4().hex


def utc_now() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC with microseconds; sorting the text sorts by time.

    Raises
    ------
    ValueError
        When the moment does not know its time zone.
    """
    if moment.tzinfo is None:
        raise ValueError("a moment without time zone cannot be written down in UTC")
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def rule_json(rule: Rule | None) -> str:
    """A rule as canonical JSON, or nothing; an unlimited area is ``null``."""
    if rule is None:
        return ""
    values = {name: None if value == math.inf else value for name, value in asdict(rule).items()}
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)


def parse_rule(text: str) -> Rule | None:
    """The rule that `rule_json` wrote; None where there is none, or it is of a version that meant others."""
    from ..decision.decide import Rule

    try:
        values = json.loads(text) if text else None
        if not isinstance(values, dict):
            return None
        weights = tuple((str(name), float(share)) for name, share in values.pop("weights", ()))
        unlimited: dict[str, Any] = {name: math.inf if value is None else value for name, value in values.items()}
        return Rule(**unlimited, weights=weights)
    except (ValueError, TypeError):
        return None


@dataclass(frozen=True)
class Action:
    """One action, complete: nothing else is needed to tell what was done, by whom, to what, and when.

    Attributes
    ----------
    id : str
        Made before the action is written, so that writing it twice stores it once.
    kind : str
        One of `KINDS`.
    field : str
        Digest of the field's pixels.
    figure : str
        Id of the figure; empty for what is about a field or about an action.
    y_px, x_px : float or None
        The new place, of kinds that place a figure.
    label, phase : str or None
        The new label, one of `tables.LABELS`, of kinds that label a figure; one of `PHASES` or None.
    score : float or None
        A detector's score of the candidate, or a data set's confidence; in [0, 1].
    mpp : float or None
        um/px of the field at that moment.
    reader : str
        The person.
    source : str
        Where the figure comes from: ``reader``, ``dataset NAME`` or ``detector@version``.
    model, rule : str
        Detector version on screen and its rule (JSON) at that moment; empty = none.
    time : str
        UTC, ISO 8601 with microseconds.
    target : str
        Of ``undo`` and ``redo``: the id of the action that they are about; of ``join``: the name of the case; of
        ``area``: the area, as text.
    batch : str
        Id of the first of several actions that were done, and are undone, together; empty = alone.
    tick, writer : int, str
        The order of a field's actions, whenever they reach the journal and whatever the clocks say: an action has a
        higher tick than all that its writer knew of; of two that did not know of each other the times decide, then
        the writers' ids.
        0 = the journal gives the next one.

    Raises
    ------
    ValueError
        When it cannot be meant; the message says why.
    """

    id: str
    kind: str
    field: str
    figure: str = ""
    y_px: float | None = None
    x_px: float | None = None
    label: str | None = None
    phase: str | None = None
    score: float | None = None
    mpp: float | None = None
    reader: str = ""
    source: str = ""
    model: str = ""
    rule: str = ""
    time: str = ""
    target: str = ""
    batch: str = ""
    # Where an action stands is no part of what was done: two that differ in it alone are the same action.
    tick: int = value(default=0, compare=False)
    writer: str = value(default="", compare=False)

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise ValueError(f"an action of kind '{self.kind}' {problem}")

    @property
    def unit(self) -> str:
        """What is undone as one: the batch, or the action alone."""
        return self.batch or self.id

    def row(self) -> dict[str, Any]:
        """Its values by name, ready for a table or JSON."""
        return asdict(self)


_TEXTS: tuple[str, ...] = tuple(
    field.name for field in fields(Action) if field.type == "str" or field.type == "str | None"
)
_NUMBERS = ("y_px", "x_px", "score", "mpp")

MAX_TICK = 2**62
"""Of a tick; a database counts to twice as many."""

ACTION_COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Action))
"""The attributes of an action, in order."""


def in_order(actions: Iterable[Action]) -> list[Action]:
    """The actions of one field in their one order."""
    return sorted(actions, key=lambda action: (action.tick, action.time, action.writer))


def batched(actions: list[Action]) -> list[Action]:
    """The same actions, marked to be undone as one."""
    if len(actions) < 2:
        return actions
    return [replace(action, batch=actions[0].id) for action in actions]


def _problem(action: Action) -> str | None:
    kind = action.kind
    problem = _wrong_type(action)
    if problem:
        return problem
    if kind not in KINDS:
        return f"is unknown; there are {', '.join(KINDS)}"
    if not action.id or not action.field:
        return "needs an id and the digest of its field"
    if (kind in ABOUT_FIGURE) != bool(action.figure):
        return "needs a figure" if kind in ABOUT_FIGURE else "is about no figure"
    if (kind in TARGETS) != bool(action.target):
        return "needs a target" if kind in TARGETS else "has no target"
    if kind in PLACES and not (_finite(action.y_px) and _finite(action.x_px)):
        return f"needs a place, not y {action.y_px}, x {action.x_px}"
    if kind in LABELS_IT and action.label not in LABELS:
        return f"needs a label out of {', '.join(LABELS)}, not '{action.label}'"
    if action.phase is not None and action.phase not in PHASES:
        return f"has the unknown phase '{action.phase}'; there are {', '.join(PHASES)}"
    if action.score is not None and not (math.isfinite(action.score) and 0.0 <= action.score <= 1.0):
        return f"has the score {action.score}, which is not between 0 and 1"
    if action.mpp is not None and not (math.isfinite(action.mpp) and action.mpp > 0):
        return f"has {action.mpp} um/px, which is no pixel size"
    return None


def _wrong_type(action: Action) -> str | None:
    """What of it no database would take, or take for something else."""
    for name in _TEXTS:
        text = getattr(action, name)
        if text is None and name in ("label", "phase"):
            continue
        if not isinstance(text, str):
            return f"has {text!r} for its {name}, which is no text"
        if (not text.isascii() and printable(text) != text) or "\0" in text:
            return f"has a {name} that cannot be written: {printable(text)[:40]}"
    for name in _NUMBERS:
        number = getattr(action, name)
        if number is not None and (not isinstance(number, int | float) or isinstance(number, bool)):
            return f"has {number!r} for its {name}, which is no number"
    if not isinstance(action.tick, int) or not 0 <= action.tick <= MAX_TICK:
        return f"has the tick {action.tick!r}, which is no place in an order"
    return None


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
